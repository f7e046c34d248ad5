"""How long a cell takes, from the request to its reply, against rustc alone on the same source: the ratio is our share.

The kernel is driven as JupyterLab drives it. Each cell runs once: what a person waits for is the first time.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "protocol"), str(TESTS.parent / "install" / "setup")]

from kernel import Kernel  # noqa: E402
from places import TARGET  # noqa: E402

# What kind of cell it is, and its text.
CELLS = [
    ("first let", "let a = 1;"),
    ("plain let", "let b = a + 41;"),
    ("print", 'println!("{b}");'),
    ("item", "fn twice(x: i32) -> i32 { x * 2 }"),
    ("plain let", "let c = twice(b);"),
    ("shown", "twice(c)"),
    ("polars let", 'let frame = df!("x" => [1i64, 2, 3], "y" => [0.5, 1.5, 2.5])?;'),
    ("shown", "frame"),
    ("polars let", 'let sums = frame.clone().lazy().group_by([col("x")]).agg([col("y").sum()]).collect()?;'),
    ("polars let", 'let big = frame.clone().lazy().filter(col("y").gt(lit(1.0))).with_columns([(col("y") * lit(2)).alias("z")]).collect()?;'),
    ("shown", "big"),
    ("print", 'println!("{}", sums.height());'),
    ("compile error", 'let wrong: i32 = "text";'),
    ("after an error", "let d = 4;"),
    ("plain let", "let words = vec![String::from(\"one\"), String::from(\"two\")];"),
    ("shown", "words.len()"),
]  # fmt: skip

# The same source as a crate of its own, linked like a cell. What a cell names from earlier cells it declares itself.
ALONE = """#![allow(warnings)]
use corriente::prelude::*;
#[unsafe(no_mangle)]
pub fn cell() -> Result<(), Box<dyn std::error::Error>> {{
    {before}
    {code}
    Ok(())
}}
fn twice(x: i32) -> i32 {{ x * 2 }}
"""
BEFORE = {
    "b": "let b = 42;",
    "a ": "let a = 1;",
    "(c": "let c = 84;",
    "frame": 'let frame = DataFrame::default();',
    "big": "let big = DataFrame::default();",
    "sums.": "let sums = DataFrame::default();",
    "words.": "let words = vec![String::new()];",
}  # fmt: skip


def main():
    with tempfile.TemporaryDirectory(prefix="corriente-cells-") as folder:
        began = time.monotonic()
        with Kernel(folder=folder) as kernel:
            report(what="kernel ready", seconds=time.monotonic() - began)
            times = {}
            for number, (kind, code) in enumerate(CELLS):
                began = time.monotonic()
                said = kernel.run(code)
                ours = time.monotonic() - began
                expected = "error" if kind == "compile error" else "ok"
                assert said.reply["status"] == expected, f"{code}\n{said}"
                alone = rustc(Path(folder), code)
                times.setdefault(kind, []).append((ours, alone))
                report(what="cell", number=number, kind=kind, seconds=ours, rustc_seconds=alone, ratio=ours / alone)
            for kind, pairs in times.items():
                ours, alone = (sum(column) / len(pairs) for column in zip(*pairs))
                report(what="kind", kind=kind, cells=len(pairs), seconds=ours, rustc_seconds=alone, ratio=ours / alone)
            memory(kernel)


def rustc(folder, code):
    """Seconds that the compiler alone takes: the limit that no kernel can beat without compiling less."""
    before = " ".join(line for name, line in BEFORE.items() if name in code and not code.startswith(f"let {name.strip()}"))
    shown = code if code.endswith((";", "}")) else f"let _ = format!(\"{{:?}}\", {code});"
    source = folder / "alone.rs"
    source.write_text(ALONE.format(before=before, code="" if code.startswith("fn ") else shown))
    release = TARGET / "release"
    command = ["rustc", source, "--edition=2024", "--crate-type=cdylib", "-Copt-level=0", "-Cprefer-dynamic"]
    command += [f"--extern=corriente={release / 'libcorriente.so'}", f"-Ldependency={release / 'deps'}"]
    command += [*linker(), "-o", folder / "alone.so"]
    began = time.monotonic()
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=folder, timeout=120)
    seconds = time.monotonic() - began
    if answer.returncode != 0 and "mismatched types" not in answer.stderr:
        sys.exit(f"rustc alone refused a cell's source:\n{source.read_text()}\n{answer.stderr}")
    return seconds


def linker():
    """The fastest linker that is there, as the kernel chooses it."""
    for name in ("mold", "lld"):
        program = "mold" if name == "mold" else "ld.lld"
        if any(os.access(Path(folder) / program, os.X_OK) for folder in os.get_exec_path()):
            return [f"-Clink-arg=-fuse-ld={name}"]
    return []


def memory(kernel):
    for process in kernel.processes():
        try:
            name, size = process.name(), process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        report(what="memory", process=name, main=process.pid == kernel.pid, mebibytes=size / 2**20)


def report(**facts):
    print(json.dumps({key: round(value, 4) if isinstance(value, float) else value for key, value in facts.items()}), flush=True)


if __name__ == "__main__":
    main()
