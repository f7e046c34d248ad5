"""Stop means stop: within two seconds, nothing runs afterwards, and the variables stay."""

import time

import psutil
import pytest
from kernel import Kernel, is_running


def stop(kernel, request, within=2.0):
    """Presses stop; the cell must end in time."""
    began = time.monotonic()
    kernel.manager.interrupt_kernel()
    said = kernel.wait(request, within=30)
    took = time.monotonic() - began
    assert took < within, f"{took:.1f} s; {said}"
    assert said.reply["status"] == "error" and said.reply["ename"] == "Interrupted", str(said)
    return said


def commands(kernel):
    """What runs below the kernel."""
    found = []
    for process in kernel.processes()[1:]:
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.NoSuchProcess:
            pass
    return found


def long_to_compile(lines=3000):
    """A cell that the compiler needs many seconds for, and the analyzer few."""
    functions = "\n".join(f"    pub fn f{n}(v: &[u64]) -> Vec<String> {{ v.iter().map(|x| format!(\"{{x}} {n}\")).collect() }}" for n in range(lines))
    return f"mod long {{\n{functions}\n}}\n"


def test_a_cell_that_is_compiled_stops_and_nothing_of_it_runs(fresh, tmp_path):
    fresh.ok("let kept = 11;")
    mark = tmp_path / "ran"
    request = fresh.start(long_to_compile() + f'std::fs::write("{mark}", "")?;\nlet late = 1;')
    fresh.until(lambda: any("rustc" in line and "ctx" in line and str(tmp_path) not in line for line in commands(fresh)), within=30)
    time.sleep(1.5)
    said = stop(fresh, request)
    assert said.stdout == ""
    assert fresh.ok("kept").plain == "11"
    time.sleep(2)
    assert not mark.exists()
    assert "late" in fresh.run("late").error
    assert fresh.ok("let more = kept + 1;\nmore").plain == "12"


def slow_crate(folder, seconds=40):
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text('[package]\nname = "slow"\nversion = "0.1.0"\nedition = "2024"\nbuild = "build.rs"\n')
    (folder / "build.rs").write_text(f'fn main() {{ std::process::Command::new("sleep").arg("{seconds}.25").status().unwrap(); }}')
    (folder / "src" / "lib.rs").write_text("pub fn answer() -> i32 { 42 }")


@pytest.mark.parametrize("presses", [1, 2, 3])
def test_a_crate_that_is_built_stops_with_all_that_builds_it(fresh, tmp_path, presses):
    slow_crate(tmp_path / "slow")
    fresh.ok("let kept = 12;")
    request = fresh.start(f':dep slow = {{ path = "{tmp_path}/slow" }}\nprintln!("it ran");')
    fresh.until(lambda: any("sleep 40.25" in line for line in commands(fresh)), within=60, what="the build script")
    for _ in range(presses - 1):
        fresh.manager.interrupt_kernel()
    said = stop(fresh, request)
    assert "it ran" not in said.stdout and "Interrupt once more" not in said.stderr
    fresh.until(lambda: not any("sleep 40.25" in line or "cargo" in line for line in commands(fresh)), within=2, what="the end of the build")
    assert fresh.ok("kept").plain == "12"
    (tmp_path / "slow" / "build.rs").write_text("fn main() {}")
    assert fresh.ok(f':dep slow = {{ path = "{tmp_path}/slow" }}\nslow::answer()', within=120).plain == "42"


@pytest.mark.parametrize(
    "code",
    [
        'std::process::Command::new("sleep").arg("41.5").status()?;',
        'std::process::Command::new("sh").args(["-c", "sleep 41.5; echo on"]).status()?;',
        """std::process::Command::new("sh").args(["-c", "trap '' INT TERM; while true; do sleep 41.5; done"]).output()?;""",
        'let mut child = std::process::Command::new("sleep").arg("41.5").spawn()?;\nchild.wait()?;',
    ],
)
def test_what_a_cell_waits_for_ends_with_it(kernel, code):
    kernel.ok("let kept = 13;")
    request = kernel.start(code + '\nprintln!("it went on");')
    kernel.until(lambda: any("sleep 41.5" in line for line in commands(kernel)), within=20)
    said = stop(kernel, request)
    assert "it went on" not in said.stdout
    kernel.until(lambda: not any("41.5" in line for line in commands(kernel)), within=2)
    assert kernel.ok("kept").plain == "13"


def test_a_child_of_another_cell_goes_on(fresh):
    fresh.ok('let mut server = std::process::Command::new("sleep").arg("42.5").spawn()?;')
    time.sleep(0.1)
    stop(fresh, started(fresh, 'std::process::Command::new("sleep").arg("41.5").status()?;', "sleep 41.5"))
    assert any("42.5" in line for line in commands(fresh))
    assert fresh.ok("server.try_wait()?.is_none()").plain == "true"


def started(kernel, code, process):
    request = kernel.start(code)
    kernel.until(lambda: any(process in line for line in commands(kernel)), within=20)
    return request


def test_a_loop_that_prints_stops_at_once_and_keeps_the_variables(kernel):
    kernel.ok("let kept = 14;")
    for code in ('loop { println!("on"); std::thread::sleep(std::time::Duration::from_millis(20)); }', "loop { display!(1); std::thread::sleep(std::time::Duration::from_millis(20)); }"):
        request = kernel.start(code)
        kernel.iopub(lambda message: message["msg_type"] in ("stream", "display_data"))
        stop(kernel, request)
    assert kernel.ok("kept").plain == "14"


def test_the_second_press_ends_the_children_of_a_cell_too(fresh):
    fresh.ok("let lost = 1;")
    request = started(
        fresh,
        'std::process::Command::new("setsid").args(["sleep", "43.5"]).spawn()?;\n'
        'std::process::Command::new("sleep").arg("44.5").spawn()?;\nloop { std::hint::spin_loop(); }',
        "sleep 44.5",
    )
    time.sleep(0.5)
    fresh.manager.interrupt_kernel()
    time.sleep(0.3)
    stop(fresh, request)
    fresh.until(lambda: not any("sleep" in " ".join(p.info["cmdline"] or []) and ("43.5" in str(p.info["cmdline"]) or "44.5" in str(p.info["cmdline"])) for p in psutil.process_iter(["cmdline"])), within=3)
    assert fresh.ok("1 + 1").plain == "2"


@pytest.mark.parametrize("ends", ["std::process::abort();", "std::process::exit(0);"])
def test_children_end_with_the_process_of_their_cell(fresh, ends):
    fresh.run(f'std::process::Command::new("sleep").arg("45.5").spawn()?;\n{ends}')
    fresh.until(lambda: not any("45.5" in str(p.info["cmdline"]) for p in psutil.process_iter(["cmdline"])), within=3)


def test_a_cell_that_waits_for_the_kernel_to_start_is_answered_at_once(tmp_path):
    with Kernel(folder=tmp_path) as kernel:
        request = kernel.start("1 + 1")
        kernel.iopub(lambda message: message["msg_type"] == "execute_input")
        began = time.monotonic()
        kernel.manager.interrupt_kernel()
        said = kernel.wait(request)
        assert time.monotonic() - began < 2
        # Where the kernel was quicker, the cell has run.
        assert said.reply["status"] == "ok" or said.reply["ename"] == "Interrupted"
        assert kernel.ok("2 + 2").plain == "4"


def test_a_shutdown_during_a_build_is_at_once(tmp_path):
    slow_crate(tmp_path / "slow")
    kernel = Kernel(folder=tmp_path)
    try:
        kernel.ok("1")
        started(kernel, f':dep slow = {{ path = "{tmp_path}/slow" }}', "sleep 40.25")
        processes = kernel.processes()
        began = time.monotonic()
        kernel.client.shutdown()
        kernel.until(lambda: not kernel.manager.is_alive(), within=10, what="the end of the kernel")
        assert time.monotonic() - began < 4
        kernel.until(lambda: not any(map(is_running, processes)), within=3, what="the end of what it started")
    finally:
        kernel.stop()
