"""tests/bench NAME: measures one thing, prints one JSON object a line, each with the ratio to a limit of the same run."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "install" / "setup"))

import build  # noqa: E402
import children  # noqa: E402
import environment  # noqa: E402
import machine  # noqa: E402
from places import CHECKOUT  # noqa: E402

HERE = Path(__file__).resolve().parent

# Name → (the script that measures it, what it measures against what).
BENCHES = {
    "cells": ("cells.py", "the time of a cell, from request to reply, against rustc alone on the same source"),
    "throughput": ("throughput.py", "rows a second of a query, against a hand-written loop over the same topic"),
    "latency": ("latency.py", "newest event to updated result, against a hand-written loop at the same load"),
    "idle": ("idle.py", "the time on the cores of a query when nothing comes, against a bare consumer that polls"),
    "cost": ("cost.py", "a batch where what is held should not matter, against one where little is held"),
    "display": ("display.py", "frames a second and event to pixel, against the frames the page can draw at all"),
}


def main():
    wishes = read_arguments()
    script, _ = BENCHES[wishes.name]
    children.stop_on_signals()
    try:
        machine.check()
        build.build()
        python = environment.environment("tests", CHECKOUT / "tests" / "requirements.txt")
        environment.install_kernel(python)
    except (machine.Missing, build.Failed, environment.Failed) as problem:
        sys.exit(str(problem))
    variables = {**os.environ, "CORRIENTE_BENCH_ROWS": str(wishes.rows or "")}
    sys.exit(subprocess.run([python / "bin" / "python", "-B", HERE / script], env=variables).returncode)


def read_arguments():
    about = "\n".join(f"  {name:10} {text}" for name, (_, text) in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="tests/bench", description=f"Measures one thing:\n{about}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=BENCHES, metavar="NAME")
    parser.add_argument("--rows", type=int, metavar="N", help="how much input; each has its own default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
