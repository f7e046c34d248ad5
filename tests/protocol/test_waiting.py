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
