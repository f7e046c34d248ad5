"""What the machine must have before anything is built, and the one command that installs what is missing."""

import os
import platform
import re
import shutil
import subprocess
import sys

from places import CACHE, TARGET, build_environment

RUST = (1, 95)
BUILD_SPACE_GIB = 8

RUSTUP = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y"

# Need → packages, by the package manager that installs them.
PACKAGES = {
    "apt-get": {"compiler": "build-essential", "python": "python3-venv", "curl": "curl"},
    "dnf": {"compiler": "gcc gcc-c++ make", "python": "python3", "curl": "curl"},
    "brew": {"python": "python"},
}


class Missing(Exception):
    """Something the machine lacks; the text says what, and the command that installs it."""


def check():
    """Raises `Missing` with everything that is missing at once, so that nobody has to come back three times."""
    needs, facts = set(), []
    path = build_environment()["PATH"]

    rust = rust_version(path)
    if shutil.which("rustup", path=path) is None:
        needs.add("rustup")
        facts.append("rustup, the Rust toolchain's manager, is not installed (the kernel compiles cells with it)")
    elif rust is None:
        needs.add("toolchain")
        facts.append("rustup has no toolchain installed")
    elif rust < RUST:
        needs.add("toolchain")
        facts.append(f"Rust is {rust[0]}.{rust[1]}, and {RUST[0]}.{RUST[1]} or newer is needed")

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
    rustc = shutil.which("rustc", path=path)
    if rustc is None:
        return None
    answer = subprocess.run([rustc, "--version"], capture_output=True, text=True)
    found = re.match(r"rustc (\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else None


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
        if "rustup" in needs and shutil.which("curl") is None:
            wanted.add("curl")
        packages = " ".join(PACKAGES[manager][need] for need in sorted(wanted))
        sudo = "" if hasattr(os, "geteuid") and os.geteuid() == 0 else "sudo "
        if packages and manager == "apt-get":
            steps.append(f"{sudo}apt-get update && {sudo}apt-get install -y {packages}")
        elif packages:
            steps.append(f"{sudo}dnf install -y {packages}")
    if "rustup" in needs:
        steps.append(RUSTUP)
    elif "toolchain" in needs:
        steps.append("rustup toolchain install stable && rustup default stable")
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
