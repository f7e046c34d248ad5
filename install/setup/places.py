"""Where things are: the checkout, and the one cache folder that everything else goes into.

Every environment variable that the scripts read is named in this file. Nothing here touches the disk.
"""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

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
    cargo_home = Path(environment.get("CARGO_HOME") or Path.home() / ".cargo")
    environment["PATH"] = os.pathsep.join([environment.get("PATH", os.defpath), str(cargo_home / "bin")])
    # These would compile every crate a second time, with other flags than the cells are compiled with.
    for name in ("RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTC_WRAPPER"):
        environment.pop(name, None)
    return environment
