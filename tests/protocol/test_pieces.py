"""Rust as a person writes it in pieces, over many cells. Each notebook is a list of cells, with what the last line of each shows:
a text, or `error(…)` with the words that its error must have."""

import pytest

# Words of what is put around a cell, and of the programs that the kernel is made of: no person is to read them.
NOT_OURS = ("evcxr", "persist", "ctx", "catch_unwind", "variable_store", "run_user_code", "CORRIENTE_", "block_on", "'static lifetime")


class error:  # noqa: N801
    """The cell fails, and its error has these words."""

    def __init__(self, *words, without=()):
        self.words, self.without = words, without


NOTEBOOKS = {
    # An `impl` that is run again.
    "an impl of its own cell": [
        ("struct Account { cents: i64 }", ""),
        ("impl Account { fn euros(&self) -> i64 { self.cents / 100 } }", ""),
        ("let account = Account { cents: 250 };\naccount.euros()", "2"),
        ("impl Account { fn euros(&self) -> i64 { self.cents / 100 + 1 } }", ""),
        ("account.euros()", "3"),
        ("impl Account {\n    fn euros(&self) -> i64 { 7 }\n    fn zero() -> Account { Account { cents: 0 } }\n}", ""),
        ("account.euros() + Account::zero().cents", "7"),
    ],
    "methods in several impls": [
        ("struct Pair(i32, i32);", ""),
        ("impl Pair { fn first(&self) -> i32 { self.0 }\n fn sum(&self) -> i32 { self.0 + self.1 } }", ""),
        ("impl Pair { fn second(&self) -> i32 { self.1 } }", ""),
        ("let pair = Pair(1, 2);\n(pair.first(), pair.second(), pair.sum())", "(1, 2, 3)"),
        ("impl Pair { fn sum(&self) -> i32 { 30 } }", ""),
        ("(pair.first(), pair.second(), pair.sum())", "(1, 2, 30)"),
    ],
    "an impl of a trait": [
        ("#[derive(Debug, Clone, PartialEq)]\nstruct City { name: String }", ""),
        ('impl std::fmt::Display for City { fn fmt(&self, f: &mut std::fmt::Formatter<\'_>) -> std::fmt::Result { write!(f, "<{}>", self.name) } }', ""),
        ('let city = City { name: "Lima".into() };\ncity.to_string()', '"<Lima>"'),
        ('use std::fmt;\nimpl fmt::Display for City { fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result { write!(f, "[{}]", self.name) } }', ""),
        ("city.to_string()", '"[Lima]"'),
        ("impl From<&str> for City { fn from(name: &str) -> Self { City { name: name.to_owned() } } }", ""),
        ("impl From<String> for City { fn from(name: String) -> Self { City { name } } }", ""),
        ('(City::from("a").name, City::from(String::from("b")).name)', '("a", "b")'),
        ('impl From<&str> for City { fn from(name: &str) -> Self { City { name: name.to_uppercase() } } }', ""),
        ('(City::from("a").name, City::from(String::from("b")).name)', '("A", "b")'),
    ],
    "an impl with parameters": [
        ("struct Stack<T> { items: Vec<T> }", ""),
        ("impl<T> Stack<T> { fn new() -> Self { Stack { items: Vec::new() } }\n fn push(&mut self, item: T) { self.items.push(item) } }", ""),
        ("impl<T> Stack<T>\nwhere\n    T: Clone,\n{\n    fn last(&self) -> Option<T> { self.items.last().cloned() }\n}", ""),
        ("let mut stack = Stack::new();\nstack.push(4);\nstack.last()", "Some(4)"),
        ("impl<U> Stack<U> where U: Clone { fn last(&self) -> Option<U> { self.items.first().cloned() } }", ""),
        ("stack.push(5);\nstack.last()", "Some(4)"),
        ("impl Stack<i32> { fn total(&self) -> i32 { self.items.iter().sum() } }", ""),
        ("impl Stack<i32> { fn total(&self) -> i32 { -1 } }", ""),
        ("stack.total()", "-1"),
    ],
    "a type with its impls is run again": [
        ("struct Point { x: i32 }\nimpl Point { fn get(&self) -> i32 { self.x } }\nimpl std::fmt::Debug for Point { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { f.write_str(\"point\") } }", ""),
        ("Point { x: 1 }.get()", "1"),
        ("struct Point { x: i32 }\nimpl Point { fn get(&self) -> i32 { self.x + 1 } }\nimpl std::fmt::Debug for Point { fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result { f.write_str(\"a point\") } }", ""),
        ("Point { x: 1 }.get()", "2"),
        ("Point { x: 1 }", "a point"),
        ("#[derive(Debug)]\nstruct Point { x: i32, y: i32 }\nimpl Point { fn get(&self) -> i32 { self.x + self.y } }", ""),
        ("Point { x: 1, y: 5 }.get()", "6"),
        ("Point { x: 1, y: 5 }", "Point { x: 1, y: 5 }"),
        ("impl Point { fn get(&self) -> i32 { 9 } }", ""),
        ("Point { x: 1, y: 5 }.get()", "9"),
    ],
    "an impl that fails leaves the one before": [
        ("struct Safe;\nimpl Safe { fn open(&self) -> i32 { 1 } }", ""),
        ("impl Safe { fn open(&self) -> i32 { \"\" } }", error("mismatched types")),
        ("Safe.open()", "1"),
        ("impl Safe { fn open(&self) -> i32 { 2 } }\npanic!(\"after\")", error("after")),
        ("Safe.open()", "2"),
    ],
    "an impl of a foreign trait for what is of polars": [
        ("trait Tall { fn tall(&self) -> bool; }", ""),
        ("impl Tall for DataFrame { fn tall(&self) -> bool { self.height() > 1 } }", ""),
        ('df!("a" => [1, 2])?.tall()', "true"),
        ("impl Tall for DataFrame { fn tall(&self) -> bool { self.height() > 5 } }", ""),
        ('df!("a" => [1, 2])?.tall()', "false"),
    ],
    "a type of another layout does not read old memory": [
        ("struct Row { value: i64 }", ""),
        ("let row = Row { value: 5 };\nlet rows = vec![Row { value: 1 }];\nlet other = 3;", ""),
        ("struct Row { value: String }", ""),
        ("row.value.len()", error("`row`", "defined anew")),
        ("rows.len()", error("`rows`", "defined anew")),
        ("other", "3"),
        ("struct Holder { row: Row }\nlet holder = Holder { row: Row { value: \"x\".into() } };", ""),
        ("#[derive(Debug, Clone)]\nstruct Row { value: String }", ""),
        ("holder.row.value.len()", "1"),
        ("struct Row { value: u8 }", ""),
        ("holder.row.value", error("`holder`", "defined anew")),
    ],
    # Macros.
    "a macro in functions and types of later cells": [
        ("macro_rules! square { ($x:expr) => { $x * $x }; }", ""),
        ("square!(4)", "16"),
        ("fn area(side: i32) -> i32 { square!(side) }", ""),
        ("struct Field { side: i32 }\nimpl Field { fn area(&self) -> i32 { square!(self.side) } }", ""),
        ("(area(3), Field { side: 5 }.area())", "(9, 25)"),
        ("macro_rules! square { ($x:expr) => { $x + $x }; }", ""),
        ("(area(3), Field { side: 5 }.area(), square!(4))", "(6, 10, 8)"),
    ],
    "macros of macros in any order": [
        ("macro_rules! a { () => { 1 }; }\nmacro_rules! b { () => { a!() + 1 }; }", ""),
        ("macro_rules! c { () => { b!() + a!() }; }", ""),
        ("macro_rules! d { () => { c!() + b!() + a!() }; }\nmacro_rules! e { () => { d!() }; }\nmacro_rules! f { () => { e!() }; }", ""),
        ("fn all() -> i32 { f!() + e!() }", ""),
        ("all()", "12"),
        ("macro_rules! a { () => { 2 }; }", ""),
        ("all()", "20"),
    ],
    "items that a macro makes": [
        ("macro_rules! newtype { ($name:ident, $inner:ty) => { #[derive(Debug, Clone, PartialEq)] pub struct $name(pub $inner); }; }", ""),
        ("newtype!(Cents, i64);", ""),
        ("let price = Cents(5);\nprice", "Cents(5)"),
        ("price.0 + 1", "6"),
        ("fn twice(c: &Cents) -> Cents { Cents(c.0 * 2) }", ""),
        ("twice(&price)", "Cents(10)"),
        ("newtype!(Cents, i64);\nnewtype! { Name, String }", ""),
        ('(Cents(1), Name("n".into()))', '(Cents(1), Name("n"))'),
        ("macro_rules! getter { ($f:ident, $v:expr) => { fn $f() -> i32 { $v } }; }\ngetter!(one, 1);\ngetter!(two, one() + 1)", ""),
        ("one() + two()", "3"),
        ("getter!(one, 10);", ""),
        ("one() + two()", "21"),
    ],
    "a macro that makes impls": [
        ("trait Named { fn name() -> &'static str; }\nstruct A;\nstruct B;", ""),
        ("macro_rules! named { ($($t:ident)*) => { $(impl Named for $t { fn name() -> &'static str { stringify!($t) } })* }; }", ""),
        ("named!(A B);", ""),
        ("(A::name(), B::name())", '("A", "B")'),
        ("named!(A B);", ""),
        ("(A::name(), B::name())", '("A", "B")'),
    ],
    "a macro for statements and values": [
        ("macro_rules! say { ($($t:tt)*) => { println!($($t)*) }; }\nmacro_rules! max { ($a:expr) => { $a }; ($a:expr, $($r:expr),+) => { { let r = max!($($r),+); if $a > r { $a } else { r } } }; }", ""),
        ('say!("x");\nmax!(1, 7, 3)', "7"),
        ("let biggest = max!(2, 4);\nbiggest", "4"),
        ("macro_rules! counts { ($($k:expr => $v:expr),*) => {{ let mut m = std::collections::BTreeMap::new(); $(m.insert($k, $v);)* m }}; }", ""),
        ('let counted = counts!("a" => 1, "b" => 2);\ncounted', '{"a": 1, "b": 2}'),
        ('counted["b"]', "2"),
    ],
    # Statics.
    "a static keeps its value": [
        ("use std::sync::atomic::{AtomicU64, Ordering};\nstatic HITS: AtomicU64 = AtomicU64::new(0);", ""),
        ("HITS.fetch_add(1, Ordering::SeqCst);\nHITS.fetch_add(1, Ordering::SeqCst);", ""),
        ("fn hit() -> u64 { HITS.fetch_add(1, Ordering::SeqCst) + 1 }", ""),
        ("hit()", "3"),
        ("hit() + HITS.load(Ordering::SeqCst)", "8"),
        ("static HITS: AtomicU64 = AtomicU64::new(0);", ""),
        ("hit()", "1"),
        ("static HITS: AtomicU64 = AtomicU64::new(40);\nhit()", "41"),
        ("nonsense()", error("nonsense")),
        ("hit()", "42"),
    ],
    "a static of each kind": [
        ("use std::sync::{LazyLock, Mutex, OnceLock, RwLock};\nuse std::collections::HashMap;", ""),
        ("static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());\nstatic RATES: LazyLock<RwLock<HashMap<&str, f64>>> = LazyLock::new(|| {\n    RwLock::new(HashMap::from([(\"EUR\", 1.0)]))\n});\nstatic ONCE: OnceLock<String> = OnceLock::new();\nstatic mut COUNT: u32 = 0;\nstatic GREETING: &str = \"hello\";\nstatic PRIMES: [u8; 3] = [2, 3, 5];", ""),
        ('NAMES.lock().unwrap().push("a".into());\nRATES.write().unwrap().insert("USD", 2.0);\nONCE.set("first".into());\nunsafe { COUNT += 5; }', ""),
        ("(NAMES.lock().unwrap().len(), RATES.read().unwrap().len(), ONCE.get().cloned(), unsafe { COUNT })", '(1, 2, Some("first"), 5)'),
        ("(GREETING, PRIMES[2])", '("hello", 5)'),
        ("fn tally() -> u32 { unsafe { COUNT += 1; COUNT } }", ""),
        ("tally() + tally()", "13"),
    ],
    "a static of a function": [
        ("fn next_id() -> u32 {\n    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};\n    static NEXT: AtomicU32 = AtomicU32::new(1);\n    NEXT.fetch_add(1, Relaxed)\n}", ""),
        ("next_id()", "1"),
        ("next_id()", "2"),
        ("struct Ticket;\nimpl Ticket { fn number() -> u32 { next_id() } }", ""),
        ("Ticket::number()", "3"),
        ("mod counter { use std::sync::atomic::*; static N: AtomicI32 = AtomicI32::new(0); pub fn up() -> i32 { N.fetch_add(1, Ordering::Relaxed) } }", ""),
        ("counter::up()", "0"),
        ("counter::up()", "1"),
    ],
    "a thread local keeps its value": [
        ("use std::cell::{Cell, RefCell};\nthread_local! {\n    static DEPTH: Cell<u32> = const { Cell::new(1) };\n    /// Lines.\n    pub static LOG: RefCell<Vec<String>> = RefCell::new(Vec::new());\n}", ""),
        ("DEPTH.set(5);\nLOG.with(|log| log.borrow_mut().push(\"a\".into()));", ""),
        ("(DEPTH.get(), LOG.with_borrow(Vec::len))", "(5, 1)"),
        ("fn depth() -> u32 { DEPTH.with(|depth| depth.get()) }", ""),
        ("(depth(), std::thread::spawn(depth).join().unwrap())", "(5, 1)"),
        ("thread_local!(static ONE: Cell<i8> = Cell::new(1));\nONE.get()", "1"),
        ("std::thread_local! { static ONE: Cell<i8> = Cell::new(2) }", ""),
        ("ONE.get()", "2"),
        ("thread_local! { static DEEP: std::cell::RefCell<std::collections::BTreeMap<u8, Vec<u8>>> = const { std::cell::RefCell::new(std::collections::BTreeMap::new()) } }", ""),
        ("DEEP.with_borrow_mut(|deep| deep.insert(1, vec![]));\nDEEP.with_borrow(|deep| deep.len())", "1"),
    ],
    "a static of a type of one's own": [
        ("#[derive(Debug, Default)]\nstruct Ledger { lines: Vec<i64> }", ""),
        ("static LEDGER: std::sync::Mutex<Ledger> = std::sync::Mutex::new(Ledger { lines: Vec::new() });", ""),
        ("LEDGER.lock().unwrap().lines.push(7);", ""),
        ("LEDGER.lock().unwrap()", "Ledger { lines: [7] }"),
        ("#[derive(Debug, Default)]\nstruct Ledger { lines: Vec<String>, more: u8 }", error("`more`", "static LEDGER", "an earlier cell", "one cell")),
        ("#[derive(Debug, Default)]\nstruct Ledger { lines: Vec<String>, more: u8 }\nstatic LEDGER: std::sync::Mutex<Ledger> = std::sync::Mutex::new(Ledger { lines: Vec::new(), more: 3 });\nLEDGER.lock().unwrap().more", "3"),
        ("#[derive(Debug, Default)]\nstruct Ledger { lines: Vec<u8>, more: u8 }", ""),
        ("LEDGER.lock().unwrap()", "Ledger { lines: [], more: 3 }"),
    ],
    # References.
    "what borrows says how to keep it": [
        ('let text = String::from("a b");\nlet numbers = vec![3, 1, 2];\nlet mut list = vec![1];\nlet frame = df!("a" => [1, 2])?;\nlet lock = std::sync::Mutex::new(5);', ""),
        ("let first = &numbers[0];", error("`first`", ".clone()")),
        ("let part = &text[..1];", error("`part`", ".to_owned()")),
        ("let part: &str = text.as_str();", error("`part`", ".to_owned()")),
        ("let each = numbers.iter();", error("`each`", ".collect")),
        ("let words = text.split(' ').collect::<Vec<_>>();", error("`words`", ".to_owned()")),
        ("let slice = &numbers[1..];", error("`slice`")),
        ('let column = frame.column("a")?;', error("`column`", ".clone()")),
        ('let value = frame.column("a")?.get(0)?;', error("`value`", ".into_static()")),
        ("let guard = lock.lock().unwrap();", error("`guard`")),
        ("let biggest = numbers.iter().max();", error("`biggest`", ".cloned()")),
        ("let pushes = |n| list.push(n);", ""),
        ("(text.len(), numbers.len(), list.len(), frame.height())", "(3, 3, 1, 2)"),
    ],
    "what borrows works where it stands": [
        ('let text = String::from("a b");\nlet numbers = vec![3, 1, 2];\nlet frame = df!("a" => [1, 2])?;', ""),
        ("{ let first = &numbers[0]; first + 1 }", "4"),
        ("for word in text.split(' ') { print!(\"{word}\"); }\nnumbers.iter().max().copied()", "Some(3)"),
        ('frame.column("a")?.get(0)?', "Int32(1)"),
        ('let value = frame.column("a")?.get(0)?.into_static();\nvalue', "Int32(1)"),
        ('let column = frame.column("a")?.clone();\ncolumn.len()', "2"),
        ("let words: Vec<String> = text.split(' ').map(str::to_owned).collect();\nwords.len()", "2"),
        ('let name = "static";\nlet names = ["a", "b"];\nlet cow: std::borrow::Cow<\'static, str> = "c".into();', ""),
        ("name.len() + names.len() + cow.len()", "9"),
        ("let add: Box<dyn Fn(i32) -> i32> = { let base = 10; Box::new(move |x| x + base) };\nadd(1)", "11"),
        ("add(2)", "12"),
    ],
    # Names of one's own, and the prelude's.
    "a person's glob wins": [
        ("mod geometry {\n    pub fn col(n: i32) -> i32 { n + 1 }\n    pub fn lit(n: i32) -> i32 { n * 2 }\n    pub struct Series(pub i32);\n}\nuse geometry::*;", ""),
        ("col(1) + lit(2)", "6"),
        ("let mine = Series(3);\nlet other = col(4);\nmine.0 + other", "8"),
        ("mine.0 + col(other)", "9"),
        ("fn both() -> i32 { col(lit(1)) }\nboth()", "3"),
    ],
    "globs of std": [
        ("use std::fmt::*;\nstruct P;\nimpl Display for P { fn fmt(&self, f: &mut Formatter<'_>) -> Result { f.write_str(\"p\") } }", ""),
        ("P.to_string()", '"p"'),
        ("use std::time::*;\nlet pause = Duration::from_secs(2);\npause.as_secs()", "2"),
        ("use std::collections::*;\nlet map = HashMap::from([(1, 2)]);\nmap[&1]", "2"),
        ("use std::sync::*;\nuse std::sync::atomic::*;\nlet shared = Arc::new(AtomicU8::new(3));\nshared.load(Ordering::Relaxed)", "3"),
        ("shared.load(Ordering::Relaxed) as u64 + pause.as_secs()", "5"),
    ],
    "globs of what is there": [
        ("use polars::prelude::*;\nuse corriente::prelude::*;", ""),
        ('df!("a" => [1, 2])?.lazy().filter(col("a").gt(lit(1))).collect()?.height()', "1"),
        ("use chrono::*;\nlet day = NaiveDate::from_ymd_opt(2026, 11, 29).unwrap();\nday.to_string()", '"2026-11-29"'),
        ("Duration::days(2).num_hours()", "48"),
        ("(day + Duration::days(1)).day()", "30"),
    ],
    "items of the prelude's names": [
        ("#[derive(Debug)]\nstruct Series { n: i32 }\nfn col(n: i32) -> i32 { n }\nfn len() -> i32 { 4 }\nfn input() -> i32 { 1 }", ""),
        ("col(1) + len() + input() + Series { n: 1 }.n", "7"),
        ("#[derive(Debug)]\nenum Result { Won, Lost }\n#[derive(Debug)]\nenum Option { Yes }\nstruct String;\nstruct Vec;\nstruct Box;", ""),
        ("let game = Result::Won;\nlet yes = Option::Yes;\ngame", "Won"),
        ("let n: i32 = \"5\".parse()?;\nn", "5"),
        (":restart", ""),
        ("let again = Result::Lost;\nagain", "Lost"),
        ("fn println() -> i32 { 3 }\nprintln() + n_of()\n;fn n_of() -> i32 { 2 }", ""),
    ],
    # Types that are hard to name.
    "boxes and results": [
        ("let f: Box<dyn Fn(i32) -> i32 + Send> = Box::new(|x| x + 1);\nlet parsed = \"x\".parse::<i32>();\nlet any: Box<dyn std::error::Error + Send + Sync> = \"bad\".into();", ""),
        ("(f(1), parsed.is_err(), any.to_string())", '(2, true, "bad")'),
        ('let made = df!("a" => [1]);\nlet read = std::fs::read_to_string("/nowhere");\nlet asked = sql("select 1 from nothing_here");', ""),
        ("(made.is_ok(), read.is_err(), asked.is_err())", "(true, true, true)"),
        ('let collected = read_kafka("127.0.0.1:1").topic("t").json();', ""),
        ("collected.is_err()", "true"),
        ("fn fails() -> Result<i32, CollectError> { Err(CollectError::Interrupted { rows: 1 }) }", ""),
        ("let table = memory_table(\"none\");\nlet failed = fails();", ""),
        ("(table.is_err(), failed.is_err())", "(true, true)"),
        ("let shared: Result<i32, Box<dyn std::error::Error + Send + Sync>> = Err(\"shared\".into());\nshared?", error("`?`", "2 | shared?", without=["importing"])),
    ],
    "types of tokio": [
        ("let (tx, mut rx) = tokio::sync::mpsc::channel(4);\nlet task = tokio::spawn(async move { tx.send(5).await.is_ok() });", ""),
        ("rx.recv().await", "Some(5)"),
        ("task.await?", "true"),
        ('let mut ticks = tokio::time::interval(std::time::Duration::from_millis(1));\nlet listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;', ""),
        ("ticks.tick().await;\nlistener.local_addr()?.port() > 0", "true"),
        ("let (one, other) = tokio::sync::oneshot::channel::<i32>();\nlet (watcher, watched) = tokio::sync::watch::channel(1);", ""),
        ("one.send(3);\nwatcher.send(4)?;\nother.await? + *watched.borrow()", "7"),
        ('let there = tokio::fs::read_to_string("/proc/self/comm").await;', ""),
        ("there.is_ok()", "true"),
    ],
    "impl trait": [
        ("fn evens() -> impl Iterator<Item = u32> { (0..10).filter(|n| n % 2 == 0) }\nasync fn later() -> i32 { 5 }\nfn adder(n: i32) -> impl Fn(i32) -> i32 { move |x| x + n }", ""),
        ("evens().sum::<u32>()", "20"),
        ("let numbers = evens();\nnumbers.count()", "5"),
        ("numbers", error("`numbers`", "collect")),
        ("let soon = later();\nsoon.await", "5"),
        ("soon.await", error("`soon`", "Box::pin")),
        ("let add = adder(2);\nadd(1)", "3"),
        ("add(1)", error("`add`", "Box<dyn Fn")),
        ("let kept: Vec<u32> = evens().collect();\nlet boxed: Box<dyn Iterator<Item = u32>> = Box::new(evens());\nlet pinned = Box::pin(later()) as std::pin::Pin<Box<dyn Future<Output = i32> + Send>>;", ""),
        ("(kept.len(), boxed.count(), pinned.await)", "(5, 5, 5)"),
        ("let mapped = kept.iter().map(|n| n + 1);\nmapped.count()", "5"),
        ("mapped", error("`mapped`", ".collect()")),
    ],
    # What is there.
    "crates that are there": [
        ("use serde::{Deserialize, Serialize};\n#[derive(Debug, Serialize, Deserialize, PartialEq)]\nstruct Card { number: String, limit: Option<f64> }", ""),
        ('let card: Card = serde_json::from_str(r#"{"number": "7", "limit": 5.5}"#)?;\ncard', 'Card { number: "7", limit: Some(5.5) }'),
        ("serde_json::to_string(&card)?", r'"{\"number\":\"7\",\"limit\":5.5}"'),
        ('let value = serde_json::json!({"a": [1, 2]});\nvalue["a"][1].as_i64()', "Some(2)"),
        ("let now = chrono::Utc::now();\nlet day = chrono::NaiveDate::from_ymd_opt(2026, 1, 2).unwrap();", ""),
        ("use chrono::Datelike;\n(now.year() > 2000, day.day())", "(true, 2)"),
        ('let frame: polars::prelude::DataFrame = polars::df!("a" => [1])?;\nframe.height()', "1"),
        ("mod inner { use polars::prelude::*; use serde::Serialize; #[derive(Serialize)] pub struct N { pub n: i32 } pub fn n() -> PolarsResult<usize> { Ok(df!(\"a\" => [1])?.height()) } }", ""),
        ("(inner::n()?, serde_json::to_string(&inner::N { n: 1 })?)", r'(1, "{\"n\":1}")'),
        ("extern crate serde;\nextern crate polars as p;\np::prelude::lit(1);", ""),
    ],
    "crates that are not there": [
        ("use rand::Rng;\n1", error(":dep rand", "1 | use rand::Rng;", without=["earlier"])),
        ("let x = 1;\nlet y = regex::Regex::new(\"a\");", error(":dep regex", "2 | let y")),
        ("use std::{fmt, nothing::Here};", error("nothing", "1 | use std", without=["earlier"])),
        ("use serde::Serialise;", error("Serialise", "1 | use serde")),
    ],
    # The language.
    "modules and traits": [
        ("mod shapes {\n    pub trait Shape { fn area(&self) -> f64; fn name(&self) -> String { \"shape\".into() } }\n    #[derive(Default)]\n    pub struct Square(pub f64);\n    impl Shape for Square { fn area(&self) -> f64 { self.0 * self.0 } }\n    pub mod deep { pub const N: usize = 3; }\n}", ""),
        ("use shapes::{Shape, Square, deep::N};\nlet shapes_of: Vec<Box<dyn Shape>> = vec![Box::new(Square(2.0))];", ""),
        ("shapes_of[0].area() + N as f64", "7.0"),
        ("fn total<S: Shape + ?Sized>(all: &[Box<S>]) -> f64 where S: Shape { all.iter().map(|s| s.area()).sum() }\ntotal(&shapes_of)", "4.0"),
        ("struct Circle;\nimpl Shape for Circle { fn area(&self) -> f64 { 3.0 } }\nCircle.name()", '"shape"'),
    ],
    "the rest of the language": [
        ("/// Doc.\n#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]\n#[repr(u8)]\nenum Level { Low = 1, High }\nconst fn twice(n: usize) -> usize { n * 2 }\nconst SIZE: usize = twice(2);\ntype Grid = [[u8; SIZE]; 2];\nunion Bits { f: f32, u: u32 }", ""),
        ("let grid: Grid = [[1; SIZE]; 2];\n(Level::High as u8, grid.len() * SIZE, unsafe { Bits { f: 1.0 }.u })", "(2, 8, 1065353216)"),
        ("let Some(level) = Some(Level::Low) else { panic!() };\nlet (a, mut b) = (1, 2);\nlet [c, .., d] = [1, 2, 3];\nlet x @ 1..=9 = 5 else { panic!() };\nb += 1;\nlevel", "Low"),
        ("(level, a, b, c, d, x)", "(Low, 1, 3, 1, 3, 5)"),
        ("let a = \"text\";\nlet a = a.len();\na", "4"),
        ("a + 1", "5"),
        ("let größe = 3;\nlet 数 = 4;\nfn añadir(n: i32) -> i32 { n + 1 }\nañadir(größe) + 数", "8"),
        ("extern \"C\" fn call(n: i32) -> i32 { n + 1 }\nunsafe extern \"C\" { fn abs(n: i32) -> i32; }\ncall(1) + unsafe { abs(-4) }", "6"),
        ("unsafe extern \"C\" { fn abs(n: i32) -> i32; safe fn labs(n: i64) -> i64; }\n(unsafe { abs(-5) }) as i64 + labs(-1)", "6"),
        ("fn outer() -> i32 { fn inner() -> i32 { 2 } inner() + 1 }\nuse std::collections::BTreeMap;\nlet map: BTreeMap<_, _> = [(1, \"a\")].into();\nouter() + map.len() as i32", "4"),
        ("async fn fetch(n: u32) -> Result<u32, String> { tokio::task::yield_now().await; Ok(n) }\nlet fetched = fetch(3).await?;\nfetched", "3"),
        ("let moved = vec![1];\nlet taken = moved;", ""),
        ("moved", error("`moved`", "moved away")),
        ("impl Level { const ALL: [Level; 2] = [Level::Low, Level::High]; }\nLevel::ALL.iter().max()", "Some(High)"),
        ("let gone = String::new();\nlet thread = std::thread::spawn(move || gone.len());", ""),
        ("gone", error("`gone`", "moved away", "thread")),
        ("let r#type = 5;\nr#type + 1", "6"),
        ("r#type + 2", "7"),
        ("loop { break; }\nlet label = 'out: loop { break 'out 3; };\nif label == 3 { 1 } else { 2 }", "1"),
        ("match label { 3 => \"three\", _ => \"other\" }", '"three"'),
    ],
}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_of_pieces(kernel, name):
    kernel.run(":clear")
    for number, (code, shows) in enumerate(NOTEBOOKS[name], 1):
        said = kernel.run(code)
        where = f"cell {number}: {code}\n{said}"
        if isinstance(shows, error):
            assert said.reply["status"] == "error", where
            missing = [word for word in shows.words if word not in said.error]
            assert not missing, f"{missing} in {where}\n{said.error}"
            assert said.reply["ename"] != "ProcessDied", where
            assert not [word for word in shows.without if word in said.error], f"{where}\n{said.error}"
        else:
            assert said.reply["status"] == "ok", f"{where}\n{said.error}"
            assert said.plain == shows, f"{where}"
        foreign = [word for word in NOT_OURS if word in said.everything]
        assert not foreign, f"{foreign} in {where}\n{said.everything}"
