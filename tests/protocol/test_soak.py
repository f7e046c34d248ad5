"""A long day: hundreds of cells, good and bad, interrupted and killed; and two kernels side by side."""

import os
import random
import signal
import time

import pytest
from kernel import Kernel, bytes_of_files

CELLS = 300
SEED = 20261125
MOST_MEGABYTES = 50


def good(kernel, n, random):
    code = random.choice([
        (f"let v{n} = {n};\nv{n} * 2", str(2 * n)),
        (f'let w{n} = vec!["x"; {n % 7}];\nw{n}.len()', str(n % 7)),
        (f"fn f{n}() -> usize {{ {n} }}\nf{n}()", str(n)),
        (f'df!("a" => [{n}, 2])?.height()', "2"),
        (f"async fn g{n}() -> i32 {{ {n} }}\ng{n}().await", str(n)),
    ])  # fmt: skip
    assert kernel.ok(code[0]).plain == code[1]


def invalid(kernel, n, random):
    code = random.choice(["let x: i32 = \"\";", "nothing_here()", "let = ;", "fn f( {", ":nothing", 'df!("a" => [1])?.nothing();'])
    assert kernel.run(code).reply["status"] == "error"


def panicking(kernel, n, random):
    code = random.choice([f'panic!("number {n}");', "Vec::<i32>::new()[3];", '"x".parse::<i32>()?;', "let none: Option<i32> = None; none.unwrap();"])
    assert kernel.run(code).reply["status"] == "error"


def interrupted(kernel, n, random):
    request = kernel.start(random.choice(['sleep("60s");', "std::future::pending::<()>().await;"]))
    kernel.iopub(lambda message: message["msg_type"] == "execute_input" and message["parent_header"]["msg_id"] == request)
    # It may still be compiling, when there is nothing to interrupt.
    give_up, said = time.monotonic() + 30, None
    while said is None:
        assert time.monotonic() < give_up
        kernel.manager.interrupt_kernel()
        try:
            said = kernel.wait(request, within=2)
        except AssertionError:
            continue
    assert said.reply["status"] == "error"


def killed(kernel, n, random):
    if random.random() < 0.5:
        assert kernel.run("std::process::abort();").reply["status"] == "error"
    else:
        os.kill(kernel.cell_process(), signal.SIGKILL)
        # A cell that is sent before it is dead would die with it.
        kernel.iopub(lambda message: "ended while no cell was running" in message["content"].get("text", ""))


@pytest.mark.timeout(900)
def test_hundreds_of_cells_leave_a_kernel_that_works(tmp_path):
    dice = random.Random(SEED)
    with Kernel(folder=tmp_path) as kernel:
        folder = kernel.session_folder()
        kernel.ok("let before = 0;")
        first = quickest(kernel)
        for n in range(CELLS):
            kind = dice.choices([good, invalid, panicking, interrupted, killed], weights=[60, 20, 14, 3, 3])[0]
            kind(kernel, n, dice)
        last = quickest(kernel)
        size = bytes_of_files(folder) / 1e6
        print(f"1 + 1: {first:.3f} s at first, {last:.3f} s after {CELLS} cells; {size:.1f} MB of files; ratio {last / first:.2f}")
        assert size <= MOST_MEGABYTES
        assert kernel.ok('println!("{}", 6 * 7);').stdout == "42\n"
    assert not folder.exists()


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
