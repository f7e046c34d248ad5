"""A person edits a cell again and again: what the earlier versions have shown is gone, and takes nothing any more."""

import contextlib
import os
import queue
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from kernel import Kernel
from places import COMMAND
from test_streams import read
from test_without_page import run_as, shown

# The nightly group edits more often.
EDITS = int(os.environ.get("CORRIENTE_EDITS", "20"))
MEBIBYTES, THREADS = 60, 3


@pytest.fixture(scope="module")
def accounts(broker):
    """A topic of card transactions of many accounts, to which nothing is added."""
    words = ["produce", "bank", "--bootstrap", broker, "--topic", "accounts", "--rate", "0", "--count", "200000"]
    subprocess.run([COMMAND, *words], check=True, capture_output=True, timeout=120)
    return read(broker, "accounts")


def edited(n):
    windows = f'group_by_dynamic(col("event_time"), [col("account_id")], tumbling("{10 + n}s"))'
    return f'let spend = accounts.{windows}.agg([len().alias("edit_{n}"), col("amount").sum().alias("total")]);\nspend'


def by_a_program(kernel, n):
    """A client that does not say which cell it is."""
    kernel.ok(edited(n))


def by_a_server(kernel, n):
    """JupyterLab with no page in front."""
    run_as(kernel, edited(n), "cell-1")


def by_a_page(kernel, n):
    """JupyterLab, whose page opens each view, looks at it, and says no goodbye."""
    view = shown(run_as(kernel, edited(n), "cell-1"))
    comm = f"comm-{n}"
    kernel.send("comm_open", {"comm_id": comm, "target_name": "corriente.live", "data": {"version": 1, "view": view}})
    for data in ({"type": "viewport", "first": 0, "rows": 20}, {"type": "credit", "until": 9}):
        kernel.send("comm_msg", {"comm_id": comm, "data": data})
    frame = lambda message: message["msg_type"] == "comm_msg" and message["content"]["data"]["type"] == "frame"  # noqa: E731
    kernel.iopub(lambda message: frame(message) and message["content"]["comm_id"] == comm)
    while True:
        with contextlib.suppress(queue.Empty):
            kernel.client.get_shell_msg(timeout=0)
            continue
        return


def names_of_threads(process):
    names = []
    for thread in process.threads():
        # One may be gone by now.
        with contextlib.suppress(OSError):
            names.append(Path(f"/proc/{process.pid}/task/{thread.id}/comm").read_text().strip())
    return sorted(names)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("edit", [by_a_program, by_a_server, by_a_page], ids=lambda edit: edit.__name__)
def test_editing_a_cell_leaves_nothing_behind(tmp_path, accounts, edit):
    with Kernel(folder=tmp_path) as kernel:
        kernel.ok(f"let accounts = {accounts};")
        for n in range(5):
            edit(kernel, n)
        process = psutil.Process(kernel.cell_process())
        time.sleep(1)
        memory, threads = process.memory_info().rss, names_of_threads(process)
        for n in range(5, 5 + EDITS):
            edit(kernel, n)
        took = lambda: (process.memory_info().rss - memory) >> 20  # noqa: E731
        more = lambda: len(names_of_threads(process)) - len(threads)  # noqa: E731
        end = time.monotonic() + 10
        while more() > THREADS:
            assert time.monotonic() < end, f"threads before: {threads}\nand now: {names_of_threads(process)}"
            time.sleep(0.1)
        # What the variable has, and of what has no cell the two newest.
        assert kernel.ok("streams().len() <= 3").plain == "true"
        print(f"{took()} MiB and {more()} threads more after {EDITS} edits")
        # A program has views of three versions at once, and what they take is not bounded by this.
        assert edit is by_a_program or took() <= MEBIBYTES, f"{took()} MiB more after {EDITS} edits"


def test_what_a_variable_has_started_goes_on(kernel, accounts):
    kernel.ok(f"let kept = {accounts}.group_by([]).agg([len()]);")
    kernel.ok('let query = kept.memory("kept").start()?;')
    first = shown(run_as(kernel, "query", "cell-a"))
    second = shown(run_as(kernel, "query", "cell-a"))
    assert first != second
    assert kernel.ok("query.is_active()").plain == "true"


def test_a_frame_that_two_cells_show_goes_on_with_the_other(kernel, accounts):
    kernel.ok(f"let both = {accounts}.group_by([]).agg([len()]);")
    run_as(kernel, "both", "cell-b")
    run_as(kernel, "both", "cell-c")
    before = kernel.ok("streams().len()").plain
    run_as(kernel, "1 + 1", "cell-b")
    assert kernel.ok("streams().len()").plain == before
    run_as(kernel, "1 + 1", "cell-c")
    kernel.until(lambda: int(kernel.ok("streams().len()").plain) == int(before) - 1, what="the end of the query")
