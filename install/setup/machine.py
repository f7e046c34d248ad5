"""What the machine must have before anything is built, and the one command that installs what is missing."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from places import CACHE, CHECKOUT, PINNED, TARGET, build_environment

# The oldest compiler that does where there is no rustup.
RUST = (1, 95)
BUILD_SPACE_GIB = 8

RUSTUP = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"

# Need → packages, by the package manager that installs them.
PACKAGES = {
    "apt-get": {"compiler": "build-essential", "python": "python3-venv", "curl": "curl", "sources": "rust-src"},
    "dnf": {"compiler": "gcc gcc-c++ make", "python": "python3", "curl": "curl", "sources": "rust-src"},
    "brew": {"python": "python"},
}


class Missing(Exception):
    """Something the machine lacks; the text says what, and the command that installs it."""


def check():
    """Raises `Missing` with everything that is missing at once, so that nobody has to come back three times."""
    needs, facts = set(), []
    path = build_environment()["PATH"]

    rust, has_rustup = rust_version(path), shutil.which("rustup", path=path) is not None
    if rust is None and has_rustup:
        needs.add("toolchain")
        facts.append(f"rustup has not fetched Rust {PINNED}, with which Corriente and its cells are compiled")
    elif rust is None:
        needs.add("rustup")
        facts.append(f"Rust {RUST[0]}.{RUST[1]} is not installed, with which Corriente and its cells are compiled")
    elif rust < RUST:
        needs.add("toolchain" if has_rustup else "rustup")
        facts.append(f"Rust is {rust[0]}.{rust[1]}, and {RUST[0]}.{RUST[1]} or newer is needed")
    elif not has_sources(path) and not (has_rustup and fetch_sources(path)):
        needs.add("sources")
        facts.append("the sources of Rust's standard library (rust-src) are missing, from which the kernel knows the types of variables")

    absent = [program for program in ("cc", "c++", "make") if not has_program(program, path)]
    if absent:
        needs.add("compiler")
        facts.append(f"a C compiler is needed for the Kafka client; not found: {', '.join(absent)}")
    if not has_venv():
        needs.add("python")
        facts.append(f"{sys.executable} cannot make virtual environments (modules venv and ensurepip)")
    if facts:
        lines = "\n".join(f"  - {fact}" for fact in facts)
        raise Missing(f"This machine lacks something that Corriente needs:\n{lines}\n\nInstall it with:\n\n  {cure(needs)}\n")
    check_space()


def rust_version(path):
    """Of the compiler that cargo will use here; None when there is none. Nothing is fetched to find out."""
    environment = {**build_environment(), "PATH": path, "RUSTUP_AUTO_INSTALL": "0"}
    if any(shutil.which(program, path=path) is None for program in ("rustc", "cargo")):
        return None
    answer = subprocess.run(["rustc", "--version"], cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    found = re.match(r"rustc (\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else None


def has_sources(path):
    environment = {**build_environment(), "PATH": path}
    answer = subprocess.run(["rustc", "--print", "sysroot"], cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    return (Path(answer.stdout.strip()) / "lib/rustlib/src/rust/library/core").exists()


def fetch_sources(path):
    """rustup brings them for the compiler that it has brought; some megabytes."""
    print("Fetching the sources of Rust's standard library by rustup", flush=True)
    environment = {**build_environment(), "PATH": path}
    subprocess.run(["rustup", "component", "add", "rust-src"], cwd=CHECKOUT, env=environment)
    return has_sources(path)


def has_program(program, path):
    if shutil.which(program, path=path) is None:
        return False
    if platform.system() != "Darwin":
        return True
    # macOS has stand-ins of these that only offer to install the real ones.
    return subprocess.run(["xcode-select", "-p"], capture_output=True).returncode == 0


def has_venv():
    probe = "import venv, ensurepip"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0


def cure(needs):
    """The one command line, for the package manager that this machine has."""
    steps = []
    if platform.system() == "Darwin":
        if "compiler" in needs:
            steps.append("xcode-select --install")
        if "python" in needs:
            steps.append("brew install " + PACKAGES["brew"]["python"])
    else:
        manager = "dnf" if shutil.which("dnf") and not shutil.which("apt-get") else "apt-get"
        wanted = {need for need in needs if need in ("compiler", "python")}
        if "sources" in needs and shutil.which("rustup") is None:
            wanted.add("sources")
        if "rustup" in needs and shutil.which("curl") is None:
            wanted.add("curl")
        packages = " ".join(PACKAGES[manager][need] for need in sorted(wanted))
        sudo = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
        if packages and manager == "apt-get":
            steps.append(f"{sudo}apt-get update && {sudo}apt-get install -y {packages}")
        elif packages:
            steps.append(f"{sudo}dnf install -y {packages}")
    if "rustup" in needs:
        steps.append(f"{RUSTUP} --profile minimal --default-toolchain {PINNED}")
    elif "toolchain" in needs:
        steps.append(f"rustup toolchain install {PINNED} --profile minimal")
    elif "sources" in needs and shutil.which("rustup"):
        steps.append("rustup component add rust-src")
    return " && ".join(steps)


def check_space():
    """A first build on a full disk fails late and badly, so it is refused at the start."""
    if (TARGET / "release" / "corriente").exists():
        return
    folder = TARGET
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / 2**30
    if free < BUILD_SPACE_GIB:
        raise Missing(
            f"The first build needs about {BUILD_SPACE_GIB} GiB in {CACHE}, and {free:.1f} GiB are free there.\n"
            "Free some space, or name another folder:  CORRIENTE_CACHE=/some/where ./install/demo"
        )
