"""How long a cell takes, from the request to its reply, against rustc alone on the same source: the ratio is our share. And
what a long day costs: memory and files after 60 and after 300 cells.

The kernel is driven as JupyterLab drives it. Each cell runs once: what a person waits for is the first time.
"""

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "protocol"), str(TESTS.parent / "install" / "setup")]

from alone import rustc, smallest  # noqa: E402
from evcxr import EvcxrKernel, evcxr_jupyter  # noqa: E402
from kernel import Kernel, bytes_of_files  # noqa: E402


@dataclass(frozen=True)
class Cell:
    """A cell, of what kind it is, and what rustc alone must be told of earlier cells."""

    kind: str
    code: str
    before: str = ""
    items: str = ""

    def number(self, n):
        return Cell(self.kind, *(text.replace("#", str(n)) for text in (self.code, self.before, self.items)))


FRAME = 'let frame# = df!("x" => [1i64, 2, 3], "y" => [0.5, 1.5, 2.5])?;'
# One round; `#` is its number, so that every round has names of its own.
ROUND = [
    Cell("plain let", "let a# = #;"),
    Cell("plain let", "let b# = a# + 41;", before="let a# = #;"),
    Cell("print", 'println!("{b#}");', before="let b# = 42;"),
    Cell("item", "fn twice#(x: i32) -> i32 { x * 2 }"),
    Cell("shown", "twice#(b#)", before="let b# = 42;", items="fn twice#(x: i32) -> i32 { x * 2 }"),
    Cell("polars let", FRAME),
    Cell("polars let", 'let sums# = frame#.clone().lazy().group_by([col("x")]).agg([col("y").sum()]).collect()?;', before=FRAME),
    Cell("polars let", 'let big# = frame#.clone().lazy().filter(col("y").gt(lit(1.0))).with_columns([(col("y") * lit(2)).alias("z")]).collect()?;', before=FRAME),
    Cell("shown frame", "sums#", before="let sums# = DataFrame::default();"),
    Cell("compile error", 'let wrong#: i32 = "text";'),
    Cell("after an error", "let d# = 4;"),
    Cell("plain let", 'let words# = vec![String::from("one"), String::from("two")];'),
]  # fmt: skip
ROUNDS = 5
# What the issue asks of a kind, as a multiple of rustc alone.
WANTED = {"plain let": 2.0, "print": 2.0, "item": 2.0, "shown": 2.0, "after an error": 2.0, "polars let": 2.5, "shown frame": 2.5, "compile error": 2.5}
# And as a multiple of the smallest run of rustc on this machine.
WANTED_OF_SMALLEST = {"plain let": 2.5, "polars let": 4.0, "compile error": 2.5}
LINES = 200
MANY = 300
STARTS = 5
# Run all at once on a kernel that has just started; the last one is the first result of polars.
FIRST = ["let first = 1;", FRAME, 'frame#.clone().lazy().group_by([col("x")]).agg([col("y").sum()]).collect()?']


def main():
    with tempfile.TemporaryDirectory(prefix="corriente-cells-") as folder:
        folder = Path(folder)
        first_result(folder)
        with Kernel(folder=folder) as kernel:
            files = kernel.session_folder()
            kernel.ok("1 + 1")
            long_day(kernel, folder, files)
        beside_evcxr(folder)


def first_result(folder):
    """From the start of a kernel: until it is idle, and until the first result of polars with all cells sent at once. The first
    start after a build notes what the later ones read; the median is a later one's.
    """
    starts = [one_start(folder) for _ in range(STARTS)]
    ready, results = median([ready for ready, _ in starts]), [result for _, result in starts]
    last = Cell("polars let", FIRST[-1], before=FRAME).number(0)
    alone, result = rustc(folder, last.code, last.before), median(results)
    report(what="kernel idle", seconds=ready, wanted=1.0)
    report(
        what="first polars result, run all", starts=STARTS, seconds=result, slowest=max(results), rustc_seconds=alone,
        ratio=result / alone, wanted_seconds=4.0,
    )  # fmt: skip


def one_start(folder):
    began = time.monotonic()
    with Kernel(folder=folder) as kernel:
        ready = time.monotonic() - began
        requests = [kernel.client.execute(code.replace("#", "0")) for code in FIRST]
        kernel.shell(lambda message: message["parent_header"].get("msg_id") == requests[-1], within=60)
        return ready, time.monotonic() - began


def long_day(kernel, folder, files):
    times, done = {}, 0
    for n in range(ROUNDS):
        for cell in (cell.number(n) for cell in ROUND):
            ours = timed(kernel, cell)
            alone = rustc(folder, cell.code, cell.before, cell.items)
            times.setdefault(cell.kind, []).append((ours, alone, smallest(folder)))
            done += 1
    for kind, rows in times.items():
        ours, alone, least = (median(column) for column in zip(*rows))
        report(what=kind, cells=len(rows), seconds=ours, rustc_seconds=alone, ratio=ours / alone, wanted_ratio=WANTED[kind])
        if kind in WANTED_OF_SMALLEST:
            report(what=f"{kind}, x the smallest run", seconds=least, ratio=ours / least, wanted_ratio=WANTED_OF_SMALLEST[kind])
    long_cell(kernel, folder)
    early = memory(kernel, done, files)
    for n in range(done, MANY):
        timed(kernel, ROUND[n % len(ROUND)].number(f"0{n // len(ROUND)}"))
    late = memory(kernel, MANY, files)
    report(what="growth of the kernel", from_cells=done, to_cells=MANY, mebibytes=late - early, ratio=late / early)
    report(what="plain let, after all", seconds=min(timed(kernel, Cell("plain let", f"let end{n} = 1;")) for n in range(5)))


def long_cell(kernel, folder):
    """A cell of many lines, each with a macro to look into."""
    lines = "\n".join(f'let line{n} = format!("{{}} of {{:?}}", {n}, "{n}");' for n in range(LINES))
    cell = Cell("many lines", lines)
    ours, alone = timed(kernel, cell), rustc(folder, lines)
    report(what=f"{LINES} lines of format!", seconds=ours, rustc_seconds=alone, ratio=ours / alone, wanted_ratio=2.0)


def timed(kernel, cell):
    began = time.monotonic()
    said = kernel.run(cell.code)
    seconds = time.monotonic() - began
    assert said.reply["status"] == ("error" if cell.kind == "compile error" else "ok"), f"{cell.code}\n{said.error}\n{said}"
    return seconds


def memory(kernel, cells, files):
    """Reports each process's; returns the kernel's, in MiB."""
    report(what="files", cells=cells, megabytes=bytes_of_files(files) / 1e6, wanted=50)
    mine = 0.0
    for process in kernel.processes():
        try:
            name, mebibytes = process.name(), process.memory_info().rss / 2**20
        except psutil.NoSuchProcess:
            continue
        is_kernel = process.pid == kernel.pid
        report(what="memory", cells=cells, process="kernel" if is_kernel else f"cell process ({name})", mebibytes=mebibytes)
        mine = mebibytes if is_kernel else mine
    return mine


def beside_evcxr(folder):
    """The cells without polars in evcxr's own kernel, where it is installed, and in ours, in turn."""
    program = evcxr_jupyter()
    if program is None:
        return report(what="beside evcxr_jupyter", skipped="it is not installed; `cargo install --locked evcxr_jupyter` brings it")
    plain = [cell for cell in ROUND if "frame" not in cell.code and "sums" not in cell.code]
    with Kernel(folder=folder) as ours, EvcxrKernel(program, folder) as theirs:
        for kernel in (ours, theirs):
            kernel.run("1 + 1")
        times = {}
        for n in range(3):
            for cell in (cell.number(n) for cell in plain):
                times.setdefault(cell.kind, []).append((timed(ours, cell), timed(theirs, cell)))
    for kind, pairs in times.items():
        mine, evcxr = (median(column) for column in zip(*pairs))
        report(what="beside evcxr_jupyter", kind=kind, seconds=mine, evcxr_seconds=evcxr, ratio=mine / evcxr)


def median(values):
    return sorted(values)[len(values) // 2]


def report(**facts):
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in facts.items()}), flush=True)


if __name__ == "__main__":
    main()
