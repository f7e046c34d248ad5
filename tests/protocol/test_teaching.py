"""What a person reads who made a mistake: the words are part of the product, so each is pinned here."""

import re

import pytest

# Uses of a frame that do not compile, each with what must be read. Nothing of it runs: a function is enough.
MISTAKES = [
    ('txns.filter(col("amount") > 50);', ["on columns a comparison is a method", ".gt(…)", "lit(50)"]),
    ('txns.filter(col("status") == col("other"));', ["`bool` is no condition on columns", "on columns a comparison is a method"]),
    ("txns.filter(true);", ["`bool` is no condition on columns", 'such as col("amount").gt(lit(50))']),
    ('txns.select(["amount"]);', ["is no list of expressions", 'a column by its name is col("name")']),
    ('txns.with_columns("amount");', ["`&str` is no list of expressions", "in brackets"]),
    ('txns.tail(5);', ["no method named `tail`", "`.collect()?.lazy()` a LazyFrame"]),
    ('txns.sort(["amount"], Default::default());', ["is no list of expressions", 'a column by its name is col("name")']),
    ('txns.group_by_dynamic(col("t"), [], "10s");', ['a window is made of a duration: tumbling("10s")']),
    ('txns.group_by_dynamic(col("t"), [], tumbling("10s")).collect();', ["waiting to be told what to aggregate", ".agg("]),
    ('txns.with_watermark("t", 30);', ['a duration is a text, with its unit: "30s"']),
    ('let reader = read_kafka("h:1").topic("t"); reader.filter(true);', ["a reader becomes a frame when its format is named"]),
    ('let frame = read_kafka("h:1").topic("t").json(); frame.filter(true);', ["put `?` behind it"]),
    ("let all: DataFrame = txns.collect();", ["expected `DataFrame`", "put `?` behind it"]),
    ("sleep(3);", ["`{integer}` is no time to wait", 'sleep("500ms")']),
]


@pytest.mark.parametrize(("mistake", "words"), MISTAKES, ids=[mistake for mistake, _ in MISTAKES])
def test_a_mistake_with_a_frame_is_explained(kernel, mistake, words):
    said = kernel.run(f"fn mistaken(txns: StreamFrame) {{\n    {mistake}\n}}")
    assert said.reply["status"] == "error"
    missing = [word for word in words if word not in said.error]
    assert not missing, f"{missing} not in:\n{said.error}"
    assert "2 |" in said.error, f"the line is the cell's own:\n{said.error}"


def test_the_right_words_need_no_message(kernel):
    right = 'txns.filter(col("a").gt(lit(1))).select([col("a")]).with_columns(col("a").alias("b")).group_by_dynamic(col("t"), [], tumbling("1s")).agg(len())'
    kernel.ok(f"fn right(txns: StreamFrame) -> StreamFrame {{ {right} }}")


def test_a_moved_variable_says_where_it_went(kernel):
    kernel.ok("let ledger = vec![1, 2];")
    count = kernel.ok("let book = ledger;").reply["execution_count"]
    said = kernel.run("ledger.len()")
    assert "cannot find value `ledger`" in said.error
    assert f"moved away, in cell [{count}]: let book = ledger;" in said.error
    assert "`&ledger`" in said.error and "`ledger.clone()`" in said.error
    kernel.ok("let ledger = vec![3];")
    assert kernel.ok("ledger.len() + book.len()").plain == "3"


def test_a_type_defined_anew_says_which_variables_are_lost(kernel):
    kernel.ok("struct Branch { id: u32 }\nlet madrid = Branch { id: 1 };\nlet lima = Branch { id: 2 };\nlet untouched = 5;")
    said = kernel.ok("struct Branch { id: u64, city: String }")
    assert re.search(r"variables (madrid, lima|lima, madrid) are lost", said.stderr), said.stderr
    said = kernel.run("madrid.id")
    assert "`madrid` was lost when its type was defined anew" in said.error
    assert kernel.ok("untouched").plain == "5"


@pytest.mark.parametrize("code", ["async fn main() {\n    println!(\"hello\");\n}", "#[tokio::main]\nasync fn main() {}"])
def test_a_program_is_told_that_a_cell_needs_no_main(kernel, code):
    said = kernel.run(code)
    assert said.reply["status"] == "error"
    assert "a cell has no `main`" in said.error and "the statements run by themselves" in said.error


def test_a_main_that_nobody_calls_is_mentioned(kernel):
    said = kernel.ok('fn main() { println!("from main"); }')
    assert "`main` is defined, and not run" in said.stderr and said.stdout == ""
    assert kernel.ok("main();").stdout == "from main\n"


def test_the_compilers_suggestion_is_shown_as_text_and_in_colour(kernel):
    said = kernel.run("let amounts = vec![1];\namonts.len()")
    assert "help: a local variable with a similar name exists: `amounts`" in said.error
    raw = "\n".join(said.contents("error")[0]["traceback"])
    assert "\x1b[" in raw
    assert "2 |" in said.error


@pytest.mark.parametrize("code", ["let = ;", "let x = 1;\nlet = x;", "fn open( {", "let x = ;"])
def test_what_does_not_parse_does_not_run(kernel, code):
    said = kernel.run(code)
    assert said.reply["status"] == "error" and said.reply["ename"] == "CompileError"


def test_what_has_no_name_is_there_in_its_cell_and_says_so(kernel):
    count = kernel.run("let factor = 3;\nlet triple = move |x: i32| x * factor;\nlet nine = triple(3);").reply["execution_count"]
    assert kernel.ok("nine").plain == "9"
    said = kernel.run("triple(4)")
    assert f"`triple` was there in cell [{count}] only" in said.error and "Box<dyn Fn" in said.error
    said = kernel.ok("let some = vec![1, 2, 3].into_iter().map(|x| x + 1);\nsome.sum::<i32>()")
    assert said.plain == "9" and "some is there in this cell only" in said.stderr
    kernel.ok("let double: Box<dyn Fn(i32) -> i32> = Box::new(|x| x * 2);")
    assert kernel.ok("double(4)").plain == "8"


def test_a_reference_into_a_variable_cannot_be_kept(kernel):
    said = kernel.run("let text = String::new();\nlet part = &text[..];")
    assert said.reply["status"] == "error" and "`part`" in said.error and "reference" in said.error


def test_variables_of_any_static_type_are_kept(kernel):
    kernel.ok(
        "use std::{cell::RefCell, collections::HashMap, rc::Rc, sync::{Arc, Mutex, mpsc}};\n"
        "#[derive(Debug)] enum Kind<T> { One(T), Many(Vec<T>) }\n"
        "fn half(x: f64) -> f64 { x / 2.0 }\n"
        "let shared = Rc::new(RefCell::new(vec![1u8]));\n"
        "let (sender, receiver) = mpsc::channel::<Option<String>>();\n"
        "let by_card: HashMap<String, Vec<(i64, f64)>> = HashMap::new();\n"
        "let lock = Arc::new(Mutex::new(Kind::Many(vec![Some('x')])));\n"
        "let function: fn(f64) -> f64 = half;\n"
        'let text = "static";\n'
        "let task = tokio::spawn(async { 7 });\n"
        "let array = [[0u16; 3]; 2];\n"
        'let lazy = df!("a" => [1, 2])?.lazy();\n'
        "let mut counted = 0;"
    )
    kernel.ok("shared.borrow_mut().push(2); sender.send(Some(text.to_owned()))?; counted += 1;")
    said = kernel.ok(
        'println!("{:?} {:?} {} {:?} {} {} {} {} {counted}", shared.borrow(), receiver.recv()?, by_card.len(), lock.lock().unwrap(),\n'
        "    function(5.0), task.await?, array.len(), lazy.collect()?.height());"
    )
    assert said.stdout == "[1, 2] Some(\"static\") 0 Many([Some('x')]) 2.5 7 2 2 1\n"
