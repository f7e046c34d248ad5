"""Where things are: the checkout, and the one cache folder that everything else goes into.

Every environment variable that the scripts read is named in this file. Nothing here writes to the disk.
"""

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

# The compiler that rustup is to use.
PINNED = re.search(r'^channel = "(.+)"$', (CHECKOUT / "rust-toolchain.toml").read_text(), re.MULTILINE)[1]

# The one folder outside the checkout.
CACHE = Path(os.environ.get("CORRIENTE_CACHE") or Path.home() / ".cache" / "corriente").expanduser().absolute()

# What cargo builds. Outside the checkout, so that several checkouts share polars, which takes minutes.
TARGET = Path(os.environ.get("CORRIENTE_TARGET") or CACHE / "target").expanduser().absolute()

COMMAND = TARGET / "release" / "corriente"

# The notebooks a person works on are copies: the checkout stays as it was cloned.
WORKING_NOTEBOOKS = CHECKOUT / ".corriente" / "notebooks"

FIRST_NOTEBOOK = "01-live-transactions.ipynb"


def build_environment():
    """The environment for cargo: the user's own, the target folder ours, and rustup's programs found."""
    environment = dict(os.environ)
    environment["CARGO_TARGET_DIR"] = str(TARGET)
    programs = str(Path(environment.get("CARGO_HOME") or Path.home() / ".cargo") / "bin")
    path = environment.get("PATH", os.defpath)
    first = shutil.which("rustc", path=path)
    if shutil.which("rustup", path=programs) and first and os.path.dirname(first) != programs:
        # A compiler of the system's must not stand in front of the one that rustup has for this checkout.
        environment["PATH"] = os.pathsep.join([programs, path])
    else:
        environment["PATH"] = os.pathsep.join([path, programs])
    # These would compile every crate a second time, with other flags or another compiler than the cells are compiled with.
    for name in ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER", "RUSTC", "RUSTUP_TOOLCHAIN"):
        environment.pop(name, None)
    if alias := other_name_of_the_pinned(environment["PATH"]):
        environment["RUSTUP_TOOLCHAIN"] = alias
    return environment


@functools.lru_cache(maxsize=None)
def other_name_of_the_pinned(path):
    """rustup's name for a toolchain that is the pinned one, where it has none of the pinned name; so nothing is fetched twice."""
    rustup = shutil.which("rustup", path=path)
    if rustup is None:
        return None

    def ask(*words):
        environment = {**os.environ, "PATH": path, "RUSTUP_AUTO_INSTALL": "0"}
        return subprocess.run([rustup, *words], env=environment, capture_output=True, text=True).stdout

    names = [line.split()[0] for line in ask("toolchain", "list").splitlines() if line.strip()]
    if any(name == PINNED or name.startswith(f"{PINNED}-") for name in names):
        return None
    stable = (name for name in names if name.startswith("stable"))
    return next((name for name in stable if ask("run", name, "rustc", "--version").startswith(f"rustc {PINNED} ")), None)
