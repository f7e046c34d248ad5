"""rustc alone on a cell's source, linked like a cell: the limit that no kernel can beat without compiling less."""

import os
import subprocess
import sys
import time

from places import TARGET

SOURCE = """#![allow(warnings)]
use corriente::prelude::*;
#[unsafe(no_mangle)]
pub fn cell() -> Result<(), Box<dyn std::error::Error>> {{
    {before}
    {code}
    Ok(())
}}
{items}
"""


def smallest(folder):
    """Seconds of the smallest run that gives a library: what the compiler and its linker cost before there is any source."""
    source = folder / "smallest.rs"
    source.write_text("#![no_std]\n#[panic_handler]\nfn end(_: &core::panic::PanicInfo) -> ! { loop {} }\n")
    command = ["rustc", source, "--edition=2024", "--crate-type=cdylib", "-Cpanic=abort", *linker(), "-o", folder / "smallest.so"]
    seconds, answer = timed(folder, command)
    if answer.returncode != 0:
        sys.exit(f"rustc refused the smallest source:\n{answer.stderr}")
    return seconds


def rustc(folder, code, before="", items=""):
    """Seconds. `before` declares the variables and `items` the functions that the cell has from earlier ones."""
    is_item = code.startswith("fn ")
    shown = code if code.endswith((";", "}")) else f'let _ = format!("{{:?}}", {code});'
    source = folder / "alone.rs"
    source.write_text(SOURCE.format(before=before, code="" if is_item else shown, items=code if is_item else items))
    release = TARGET / "release"
    command = ["rustc", source, "--edition=2024", "--crate-type=cdylib", "-Copt-level=0", "-Cprefer-dynamic"]
    command += [f"--extern=corriente={release / 'libcorriente.so'}", f"-Ldependency={release / 'deps'}"]
    command += [*linker(), "-o", folder / "alone.so"]
    seconds, answer = timed(folder, command)
    if answer.returncode != 0 and "mismatched types" not in answer.stderr:
        sys.exit(f"rustc alone refused a cell's source:\n{source.read_text()}\n{answer.stderr}")
    return seconds


def timed(folder, command):
    began = time.monotonic()
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True, cwd=folder, timeout=120)
    return time.monotonic() - began, answer


def linker():
    """The fastest linker that is there."""
    for name, program in (("mold", "mold"), ("lld", "ld.lld")):
        if any(os.access(os.path.join(folder, program), os.X_OK) for folder in os.get_exec_path()):
            return [f"-Clink-arg=-fuse-ld={name}"]
    return []
