"""What a cell can do to its process, and what is left afterwards: the kernel always."""

import os
import signal
import time

import psutil
import pytest
from kernel import Kernel, is_running, temporary_files


def test_a_killed_cell_process_is_reported_and_the_next_cell_runs(fresh):
    fresh.ok("let account_balance = 100;\nfn helper() -> i32 { 7 }")
    request = fresh.start('println!("it runs");\nloop { std::thread::sleep(std::time::Duration::from_millis(10)); }')
    # Killed sooner, the process would have ended between two cells, and this one would run in the next.
    fresh.iopub(lambda message: "it runs" in str(message["content"].get("text", "")))
    os.kill(cell_process(fresh), signal.SIGKILL)
    said = fresh.wait(request)
    assert said.reply["status"] == "error"
    assert "account_balance" in said.everything, f"it must say which variables were lost; {said}"
    # Items are kept, variables are not, and the kernel works.
    assert fresh.ok("helper()").plain == "7"
    assert fresh.run("account_balance").reply["status"] == "error"


def test_a_process_killed_between_two_cells_is_reported_too(fresh):
    fresh.ok("let forgotten = 1;")
    os.kill(cell_process(fresh), signal.SIGKILL)
    told = fresh.iopub(lambda message: "forgotten" in str(message["content"]), within=20)
    assert told["msg_type"] in ("stream", "error", "display_data")
    assert fresh.ok("40 + 2").plain == "42"


@pytest.mark.parametrize("code", ["std::process::abort();", "std::process::exit(3);"])
def test_a_cell_that_ends_its_own_process_does_not_end_the_kernel(fresh, code):
    assert fresh.run(code).reply["status"] == "error"
    assert fresh.ok("6 * 7").plain == "42"


def test_an_endless_loop_is_interrupted_and_the_next_cell_runs(fresh):
    fresh.ok("let before_the_loop = 1;\nfn helper() -> i32 { 7 }")
    request = fresh.start('println!("looping");\nloop { std::hint::spin_loop(); }')
    fresh.iopub(lambda message: "looping" in str(message["content"].get("text")))
    # The first one asks the cell to end, so that nothing is lost; a bare loop does not listen, and the page says so.
    fresh.manager.interrupt_kernel()
    fresh.iopub(lambda message: "Interrupt once more" in str(message["content"]), within=10)
    fresh.manager.interrupt_kernel()
    began = time.monotonic()
    said = fresh.wait(request, within=30)
    assert time.monotonic() - began < 10
    assert said.reply["status"] == "error", str(said)
    assert "interrupted" in said.error and "before_the_loop" in said.error
    assert fresh.ok("helper()").plain == "7"


def test_a_cell_that_waits_for_a_stream_ends_at_the_first_interrupt(fresh):
    fresh.ok('let bank = demo::bank()?;\nlet txns = read_kafka(bank.bootstrap()).topic("transactions").json()?;')
    request = fresh.start("loop { txns.collect()?; }")
    fresh.iopub(lambda message: message["msg_type"] == "execute_input")
    time.sleep(1)
    fresh.manager.interrupt_kernel()
    said = fresh.wait(request, within=15)
    assert said.reply["status"] == "error", str(said)
    assert "interrupt" in said.error.lower()
    assert fresh.ok("bank.produced() > 0").plain == "true", "nothing was lost"


def test_an_interrupt_while_nothing_runs_changes_nothing(fresh):
    fresh.ok("let untouched = 9;")
    fresh.manager.interrupt_kernel()
    # It comes on a channel of its own, and must not overtake the cell.
    fresh.iopub(
        lambda message: message["parent_header"].get("msg_type") == "interrupt_request"
        and message["content"].get("execution_state") == "idle"
    )
    assert fresh.ok("untouched").plain == "9"


def test_a_shutdown_leaves_no_process_and_no_file(tmp_path):
    before = temporary_files()
    kernel = Kernel(folder=tmp_path)
    try:
        kernel.ok("let bank = demo::bank()?;")
        processes = kernel.processes()
        assert len(processes) >= 2, "the kernel and the cell process"
    finally:
        kernel.stop()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert not alive, [process.cmdline() for process in alive]
    assert temporary_files() - before == set()


def test_the_files_of_a_killed_kernel_go_when_the_next_one_starts(tmp_path):
    # The connection file is the client's, and no concern of the kernel's.
    def folders():
        return {name for name in temporary_files() if name.startswith("corriente-")}

    before = folders()
    kernel = Kernel(folder=tmp_path)
    kernel.ok("1")
    processes = kernel.processes()
    os.kill(kernel.pid, signal.SIGKILL)
    kernel.until(lambda: not any(map(is_running, processes[1:])), what="the end of the cell process")
    kernel.until(lambda: not kernel.manager.is_alive(), what="the end of the kernel")
    assert folders() - before
    with Kernel(folder=tmp_path):
        assert len(folders() - before) == 1, "its own"
    assert folders() - before == set()
    kernel.client.stop_channels()


def test_a_restart_starts_afresh(fresh):
    fresh.ok("let gone = 1;")
    fresh.client.shutdown(restart=True)
    fresh.until(lambda: not fresh.manager.is_alive(), what="the end of the kernel")
    fresh.manager.restart_kernel(now=True)
    fresh.client.wait_for_ready(timeout=60)
    assert fresh.run("gone").reply["status"] == "error"
    assert fresh.ok("1").plain == "1"


def cell_process(kernel):
    """The child of the kernel that runs the cells: the one with the kernel's own program under its own name, found from
    outside."""
    program = psutil.Process(kernel.pid).exe()

    def runs_it(child):
        try:
            return child.exe() == program and child.cmdline()[0] == program
        except psutil.NoSuchProcess:
            # A compiler that has just ended.
            return False

    cells = [child for child in kernel.processes()[1:] if runs_it(child)]
    assert len(cells) == 1, [process.cmdline() for process in kernel.processes()]
    return cells[0].pid


def test_a_full_stack_is_called_one(fresh):
    fresh.ok("let lost = 1;")
    said = fresh.run("fn deep(n: u64) -> u64 { if n == u64::MAX { 0 } else { 1 + std::hint::black_box(deep(n + 1)) } }\ndeep(0)")
    assert said.reply["status"] == "error" and "stack" in said.error and "lost" in said.error, str(said)
    assert fresh.ok("1 + 1").plain == "2"


@pytest.mark.parametrize(
    ("call", "thread"),
    [
        ("deep(0)", "the cell"),
        ("std::thread::spawn(|| deep(0)).join().is_ok()", "thread"),
        ('std::thread::Builder::new().name("worker".into()).spawn(|| deep(0))?.join().is_ok()', '"worker"'),
        ("std::thread::scope(|scope| scope.spawn(|| deep(0)).join().is_ok())", "thread"),
        ("tokio::task::spawn_blocking(|| deep(0)).await?", "tokio"),
        ("tokio::spawn(async { deep(0) }).await?", "tokio"),
        ("(0..3).map(|n| format!(\"{n}\")).map(|text| deep(text.len() as u64)).sum::<u64>()", "the cell"),
    ],
)
def test_a_full_stack_names_the_thread_and_the_function(kernel, call, thread):
    said = kernel.run("fn deep(n: u64) -> u64 { let held = [n; 64]; if n == u64::MAX { 0 } else { held[3] + std::hint::black_box(deep(n + 1)) } }\n" + call)
    assert said.reply["status"] == "error" and "stack" in said.error, str(said)
    assert "`deep`" in said.error and thread in said.error, said.error
    assert kernel.ok("1 + 1").plain == "2"


def test_a_wrong_address_is_not_called_a_full_stack(fresh):
    said = fresh.run("unsafe { std::ptr::null::<u64>().wrapping_add(1 << 30).read_volatile() }")
    assert "SIGSEGV" in said.error and "stack" not in said.error, str(said)
    assert fresh.ok("1 + 1").plain == "2"


def test_a_folder_of_somebody_else_is_left_alone(tmp_path, monkeypatch):
    notes = tmp_path / "corriente-notes"
    notes.mkdir()
    for name in ("lock", "diary.txt"):
        (notes / name).write_text("mine")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with Kernel(folder=tmp_path) as kernel:
        assert kernel.ok("1").plain == "1"
    assert (notes / "diary.txt").read_text() == "mine"


def test_a_temporary_folder_with_a_long_name_is_explained(tmp_path, monkeypatch):
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("TMPDIR", str(long))
    with Kernel(folder=tmp_path) as kernel:
        said = kernel.run("1")
        assert said.reply["status"] == "error" and "TMPDIR" in said.error and "xxx" in said.error
