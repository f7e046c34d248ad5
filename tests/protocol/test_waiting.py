"""Cells that wait: futures on the one runtime, sleeps, threads that go on; and what an interrupt does to them."""

import time

import pytest


def test_a_future_is_awaited_at_the_top(kernel):
    kernel.ok("async fn answer(n: i32) -> i32 {\n    tokio::time::sleep(std::time::Duration::from_millis(5)).await;\n    n\n}")
    kernel.ok("let six = answer(6).await;")
    assert kernel.ok("six * answer(7).await").plain == "42"
    assert kernel.ok("let (a, b): (i32, i32) = tokio::join!(answer(1), answer(2));\na + b").plain == "3"
    assert kernel.ok("let nested = async { answer(3).await + 1 };\nnested.await").plain == "4"


def test_what_is_awaited_may_fail(kernel):
    kernel.ok('async fn refuse() -> Result<i32, std::num::ParseIntError> { "x".parse::<i32>() }')
    said = kernel.run("let never = refuse().await?;")
    assert said.reply["status"] == "error" and "invalid digit" in said.error


def test_a_task_of_one_cell_is_awaited_in_another(kernel):
    kernel.ok("let task = tokio::spawn(async { 40 + 2 });")
    assert kernel.ok("task.await?").plain == "42"


def test_an_error_in_an_awaiting_line_is_at_its_place(kernel):
    said = kernel.run("async fn one() -> i32 { 1 }\nlet é = one().await + one().await + wrong_name;")
    line = next(line for line in said.error.splitlines() if "wrong_name;" in line)
    marks = said.error.splitlines()[said.error.splitlines().index(line) + 1]
    assert marks.index("^") == line.index("wrong_name"), said.error


@pytest.mark.parametrize(
    "waits",
    ['sleep("60s");', "std::future::pending::<()>().await;", "tokio::time::sleep(std::time::Duration::from_secs(60)).await;"],
)
def test_the_first_interrupt_ends_what_waits_and_keeps_the_variables(kernel, waits):
    kernel.ok("let kept = 11;")
    request = kernel.start(waits)
    kernel.iopub(lambda message: message["msg_type"] == "execute_input")
    time.sleep(1)
    kernel.manager.interrupt_kernel()
    said = kernel.wait(request, within=10)
    assert said.reply["status"] == "error" and said.reply["ename"] == "Interrupted", str(said)
    assert kernel.ok("kept").plain == "11"


def test_an_interrupt_leaves_the_queries_of_other_cells_running(fresh):
    fresh.ok('let bank = demo::bank()?;\nlet txns = read_kafka(bank.bootstrap()).topic("transactions").json()?;')
    fresh.ok("txns")
    request = fresh.start('sleep("60s");')
    fresh.iopub(lambda message: message["msg_type"] == "execute_input")
    time.sleep(1)
    fresh.manager.interrupt_kernel()
    assert fresh.wait(request, within=10).reply["status"] == "error"
    before = int(fresh.ok("bank.produced()").plain)
    fresh.until(lambda: int(fresh.ok("bank.produced()").plain) > before, what="more transactions")
    assert fresh.ok("txns.collect()?.height() > 0").plain == "true"


def test_a_thread_prints_below_the_cell_that_started_it(kernel):
    request = kernel.start(
        'std::thread::spawn(|| for n in 0..6 { std::thread::sleep(std::time::Duration::from_millis(500)); println!("beat {n}"); });\n'
        'tokio::spawn(async { tokio::time::sleep(std::time::Duration::from_millis(1500)).await; eprintln!("task"); });'
    )
    first = kernel.wait(request)
    assert first.reply["status"] == "ok"
    other = kernel.start('println!("mine"); sleep("5s");')
    parents = {}

    def heard(message):
        if message["msg_type"] == "stream":
            for line in message["content"]["text"].splitlines():
                parents[line] = message["parent_header"]["msg_id"]
        return "beat 5" in parents and "task" in parents

    kernel.iopub(heard, within=20)
    assert parents["mine"] == other
    assert {parents[f"beat {n}"] for n in range(1, 6)} == {request} and parents["task"] == request
    kernel.wait(other)


def test_printing_without_a_line_end_appears_at_once(kernel):
    request = kernel.start('print!("half a line"); sleep("3s"); println!(" and the rest");')
    shown = kernel.iopub(lambda message: "half a line" in message["content"].get("text", ""))
    assert shown["content"]["text"] == "half a line"
    kernel.wait(request)


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ('println!("{}", async { 1 }.await);', "1\n"),
        ('println!("{} {}", two().await?, add(two().await?, 1).await);', "2 3\n"),
        ('assert_eq!(two().await?, 2);\nassert!(two().await? > 1, "{}", add(1, 2).await);\nprint!("held");', "held"),
        ('print!("{}", format!("{}", vec![add(1, 2).await, add(3, 4).await].iter().sum::<i32>()));', "10"),
        ('if matches!(two().await, Ok(2)) { print!("two"); }', "two"),
        ('let (a, b) = tokio::join!(add(1, 1), add(2, 2));\nprint!("{a} {b}");', "2 4"),
        ('let both = tokio::try_join!(two(), two())?;\nprint!("{both:?}");', "(2, 2)"),
        ('let f = async |x: i32| { println!("{}", add(x, 1).await); };\nf(1).await;', "2\n"),
        ('let task = tokio::spawn(async { println!("{}", add(1, 1).await); });\ntask.await?;', "2\n"),
        ('print!("{}", Box::pin(async move { add(2, 3).await }).await);', "5"),
        ('for n in [1, 2] { print!("{} ", add(n, async { 1 }.await).await); }', "2 3 "),
    ],
)
def test_what_is_awaited_in_a_macro_is_waited_for(kernel, code, shown):
    kernel.ok("async fn two() -> Result<i32, std::num::ParseIntError> { \"2\".parse() }\nasync fn add(a: i32, b: i32) -> i32 { a + b }")
    said = kernel.ok(code)
    assert said.stdout == shown and "Compiling" not in said.stderr
    assert kernel.ok("add(1, 1).await").plain == "2"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("loop { tokio::select! { _ = async {} => break, } }", ""),
        ('let mut n = 0;\nloop { tokio::select! { _ = std::future::ready(()) => { n += 1; if n < 3 { continue; } break; } } }\nprint!("{n}");', "3"),
        ('let found = tokio::select! { biased; x = async { 1 } => x, y = std::future::pending::<i32>() => y };\nprint!("{found}");', "1"),
        ('tokio::select! { r = async { "5".parse::<i32>() } => { let n = r?; print!("{n}"); } }', "5"),
        ('tokio::select! { Some(n) = async { None::<i32> } => print!("{n}"), else => print!("none") }', "none"),
        ('let (s, mut r) = tokio::sync::mpsc::channel(8);\nfor n in 0..3 { s.send(n).await?; }\ndrop(s);\n'
         'loop { tokio::select! { Some(n) = r.recv() => print!("{n} "), else => break } }', "0 1 2 "),
        ('let name = String::from("moved");\ntokio::select! { s = async { name } => print!("{s}") };', "moved"),
        ('let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));\nlet mut n = 0;\n'
         'let end = tokio::time::sleep(std::time::Duration::from_secs(30));\ntokio::pin!(end);\n'
         'loop { tokio::select! { _ = tick.tick() => { n += 1; if n > 3 { break; } } _ = &mut end => break, } }\nprint!("{n}");', "4"),
        ('tokio::select! { _ = std::future::ready(()), if false => print!("no"), _ = std::future::ready(()) => print!("{}", async { 7 }.await) }', "7"),
        ("use tokio::select;\nselect! { mut v = async { vec![1] } => { v.push(2); print!(\"{v:?}\") } }", "[1, 2]"),
        ('let f = async { loop { tokio::select! { _ = async {} => break 9 } } };\nprint!("{}", f.await);', "9"),
    ],
)
def test_the_first_of_several_is_taken(kernel, code, shown):
    # In braces, for not all that is bound here has a type that can be kept.
    assert kernel.ok("{\n" + code + "\n};").stdout == shown


def test_a_selection_that_waits_is_interrupted(kernel):
    kernel.ok("let kept = 12;")
    request = kernel.start("loop { tokio::select! { _ = std::future::pending::<()>() => break } }")
    kernel.iopub(lambda message: message["msg_type"] == "execute_input")
    time.sleep(1)
    kernel.manager.interrupt_kernel()
    assert kernel.wait(request, within=10).reply["ename"] == "Interrupted"
    assert kernel.ok("kept").plain == "12"


@pytest.mark.parametrize("code", ["let f = |x: i32| async { x }.await;\nf(1)", "fn f() -> i32 { async { 1 }.await }\nf()", "macro_rules! get { ($e:expr) => { $e.await } }\nget!(async { 1 })"])
def test_an_await_that_nothing_can_wait_for_is_explained_and_fetches_nothing(kernel, code):
    said = kernel.run(code, within=30)
    assert said.reply["status"] == "error" and "E0728" in said.error and "`async` block" in said.error
    assert "Updating" not in said.stderr and "Compiling" not in said.stderr
    assert kernel.ok("async { 1 }.await").plain == "1"
    assert kernel.ok(":show_deps").plain == ""
