"""A long day: hundreds of cells of every kind, good and bad, interrupted and killed; and two kernels side by side.

The cells are drawn by a seed, which a failure prints; `CORRIENTE_SOAK_SEED` runs the same day again, or another."""

import os
import random
import signal
import time

import psutil
import pytest
from kernel import Kernel, bytes_of_files

# The nightly group runs more.
CELLS = int(os.environ.get("CORRIENTE_SOAK_CELLS", "200"))
SEED = int(os.environ.get("CORRIENTE_SOAK_SEED", "20261129"))
# What a day may leave: files of the session, and memory of the kernel beyond what it has after the first cells.
MOST_MEGABYTES = 50
MOST_GROWTH = 250
WARM = 60


class Day:
    """A kernel, the dice, and what the notebook must know by now."""

    def __init__(self, kernel, seed):
        self.kernel, self.dice = kernel, random.Random(seed)
        self.forget()

    def forget(self):
        """The cell process has ended: statics begin anew, and variables are gone."""
        self.hits, self.kept = 0, None

    def shows(self, code, expect):
        said = self.kernel.ok(code)
        assert said.plain == expect, f"{code}\n{said}"

    def fails(self, code, *words):
        said = self.kernel.run(code)
        assert said.reply["status"] == "error", f"{code}\n{said}"
        missing = [word for word in words if word not in said.error]
        assert not missing and "evcxr" not in said.everything.lower(), f"{missing}\n{code}\n{said}\n{said.error}"
        return said


def good(day, n):
    day.shows(
        *day.dice.choice([
            (f"let v{n} = {n};\nv{n} * 2", str(2 * n)),
            (f'let w{n} = vec!["x"; {n % 7}];\nw{n}.len()', str(n % 7)),
            (f"fn f{n}() -> usize {{ {n} }}\nf{n}()", str(n)),
            (f'df!("a" => [{n}, 2])?.height()', "2"),
            (f"async fn g{n}() -> i32 {{ {n} }}\ng{n}().await", str(n)),
            (f"let t{n} = tokio::spawn(async {{ {n} }});\nt{n}.await?", str(n)),
            (f'let j{n} = serde_json::json!({{"n": {n}}});\nj{n}["n"].as_i64()', f"Some({n})"),
        ])
    )  # fmt: skip


def keeps(day, n):
    if day.kept is None:
        day.kernel.ok(f"let kept = String::from(\"{n}\");")
        day.kept = n
    day.shows("kept", f'"{day.kept}"')


def invalid(day, n):
    day.fails(day.dice.choice(["let x: i32 = \"\";", "nothing_here()", "let = ;", "fn f( {", ":nothing", 'df!("a" => [1])?.nothing();', "!ls", "let y = 1;\n:help", "let r = { let s = String::new(); &s[..] };"]))


def panicking(day, n):
    day.fails(day.dice.choice([f'panic!("number {n}");', "Vec::<i32>::new()[3];", '"x".parse::<i32>()?;', "let none: Option<i32> = None; none.unwrap();", "return Ok(());"]))


def caught(day, n):
    day.shows(f'std::panic::catch_unwind(|| if {n} > 0 {{ panic!("caught") }}).is_err()', "true")


def a_static(day, n):
    if n % 5 == 0:
        day.kernel.ok("use std::sync::atomic::*;\nstatic HITS: AtomicU64 = AtomicU64::new(0);\nfn hit() -> u64 { HITS.fetch_add(1, Ordering::SeqCst) + 1 }")
        day.hits = 0
    elif day.kernel.run("hit();").reply["status"] == "error":
        # Not defined yet.
        return
    else:
        day.hits += 1
    day.hits += 1
    day.shows("hit()", str(day.hits))


def a_macro(day, n):
    scale = day.dice.randint(1, 9)
    day.kernel.ok(f"macro_rules! scale {{ ($x:expr) => {{ $x * {scale} }}; }}\nfn scaled(n: i64) -> i64 {{ scale!(n) }}")
    day.shows(f"scaled({n})", str(n * scale))


def a_made_item(day, n):
    day.kernel.ok(f"macro_rules! point {{ ($name:ident) => {{ #[derive(Debug)] struct $name {{ n: i64 }} }}; }}\npoint!(P{n % 4});")
    day.shows(f"P{n % 4} {{ n: {n} }}", f"P{n % 4} {{ n: {n} }}")


def an_impl(day, n):
    day.kernel.ok("struct Shape { n: i64 }") if day.dice.random() < 0.3 or n < WARM else None
    code = f"impl Shape {{ fn area(&self) -> i64 {{ self.n * {n} }} }}"
    if day.kernel.run(code).reply["status"] == "ok":
        day.shows("Shape { n: 2 }.area()", str(2 * n))


def retyped(day, n):
    kind, value = [("i64", str(n)), ("String", f'"{n}".to_owned()'), ("Vec<u8>", "vec![1]")][n % 3]
    day.kernel.ok(f"struct Row {{ value: {kind} }}")
    day.kernel.ok(f"let row = Row {{ value: {value} }};\nlet rows = vec![1];")
    day.kernel.ok(f"struct Row {{ value: u8, n{n}: u8 }}")
    day.fails("row.value;", "`row`", "defined anew")


def a_closure(day, n):
    said = day.kernel.ok(f"let base{n} = {n};\nlet add{n} = move |x: i64| x + base{n};\nadd{n}(1)")
    assert said.plain == str(n + 1) and "Box<dyn Fn" in said.stderr
    day.shows(f"let boxed: Box<dyn Fn(i64) -> i64> = Box::new(move |x| x * {n});\nboxed(2)", str(2 * n))


def some_bytes(day, n):
    bytes_ = bytes(day.dice.choices([0, 10, 13, 65, 195, 255, 27], k=40))
    written = "".join(f"\\x{byte:02x}" for byte in bytes_)
    to = day.dice.choice(["stdout", "stderr"])
    said = day.kernel.ok(f'use std::io::Write as _;\nstd::io::{to}().write_all(b"{written}")?;')
    assert said.stream(to) == bytes_.decode("utf-8", "replace"), said


def much(day, n):
    said = day.kernel.ok(f'for n in 0..{n} {{ println!("{{n}}"); }}')
    assert said.stdout.splitlines() == [str(number) for number in range(n)]


def a_child(day, n):
    said = day.kernel.ok(f'std::process::Command::new("echo").arg("{n}").status()?;')
    assert said.stdout == f"{n}\n"


def interrupted(day, n):
    kernel = day.kernel
    request = kernel.start(day.dice.choice(['sleep("60s");', "std::future::pending::<()>().await;", 'std::process::Command::new("sleep").arg("60").status()?; sleep("60s");']))
    kernel.iopub(lambda message: message["msg_type"] == "execute_input" and message["parent_header"]["msg_id"] == request)
    # It may still be compiling, which ends at once too.
    kernel.manager.interrupt_kernel()
    said = kernel.wait(request, within=30)
    assert said.reply["status"] == "error" and said.reply["ename"] in ("Interrupted", "Error"), said


def overflowing(day, n):
    deep = f"fn deep{n}(n: u64) -> u64 {{ if n == u64::MAX {{ 0 }} else {{ 1 + std::hint::black_box(deep{n}(n + 1)) }} }}\n"
    call = day.dice.choice([f"deep{n}(0)", f"std::thread::spawn(|| deep{n}(0)).join().is_ok()", f"tokio::task::spawn_blocking(|| deep{n}(0)).await?"])
    day.fails(deep + call, "stack", f"deep{n}")
    day.forget()


def killed(day, n):
    if day.dice.random() < 0.5:
        day.fails("std::process::abort();", "SIGABRT")
    else:
        os.kill(day.kernel.cell_process(), signal.SIGKILL)
        # A cell that is sent before it is dead would die with it.
        day.kernel.iopub(lambda message: "ended while no cell was running" in message["content"].get("text", ""))
    day.forget()


def a_command(day, n):
    command = day.dice.choice([":vars", ":help", ":type kept", ":restart", ":time 1 + 1"])
    day.kernel.run(command)
    if command == ":restart":
        day.forget()


KINDS = {
    good: 30, keeps: 8, invalid: 12, panicking: 8, caught: 4, a_static: 6, a_macro: 4, a_made_item: 3, an_impl: 5, retyped: 2,
    a_closure: 3, some_bytes: 4, much: 2, a_child: 2, interrupted: 2, overflowing: 1, killed: 2, a_command: 3,
}  # fmt: skip


@pytest.mark.timeout(1800)
def test_hundreds_of_cells_leave_a_kernel_that_works(tmp_path):
    with Kernel(folder=tmp_path) as kernel:
        day, folder = Day(kernel, SEED), kernel.session_folder()
        kernel.ok("let before = 0;")
        first, memory = quickest(kernel), 0
        for n in range(CELLS):
            (kind,) = day.dice.choices(list(KINDS), weights=KINDS.values())
            try:
                kind(day, n)
            except BaseException:
                print(f"seed {SEED}, cell {n}: {kind.__name__}")
                raise
            if n == WARM:
                memory = megabytes(kernel)
        last, grown = quickest(kernel), megabytes(kernel) - memory
        size = bytes_of_files(folder) / 1e6
        print(
            f"1 + 1: {first:.3f} s at first, {last:.3f} s after {CELLS} cells; {size:.1f} MB of files; ratio {last / first:.2f}; "
            f"the kernel grew by {grown:.0f} MB from {memory:.0f}"
        )
        assert size <= MOST_MEGABYTES and grown <= MOST_GROWTH
        assert kernel.ok('println!("{}", 6 * 7);').stdout == "42\n"
    assert not folder.exists()


def megabytes(kernel):
    return psutil.Process(kernel.pid).memory_info().rss / 1e6


def test_two_kernels_do_not_disturb_each_other(tmp_path):
    with Kernel(folder=tmp_path) as one, Kernel(folder=tmp_path) as other:
        one.ok("let mine = 1;\nfn name() -> &'static str { \"one\" }")
        other.ok("let mine = 2;\nfn name() -> &'static str { \"other\" }")
        requests = [(kernel, kernel.start('sleep("500ms");\nprintln!("{} {mine}", name());')) for kernel in (one, other)]
        said = [kernel.wait(request).stdout for kernel, request in requests]
        assert said == ["one 1\n", "other 2\n"]
        os.kill(one.cell_process(), signal.SIGKILL)
        assert other.ok("mine").plain == "2"
        os.kill(one.pid, signal.SIGKILL)
        assert other.ok("mine + 1").plain == "3"


def quickest(kernel):
    times = []
    for _ in range(5):
        began = time.monotonic()
        assert kernel.ok("1 + 1").plain == "2"
        times.append(time.monotonic() - began)
    return min(times)
