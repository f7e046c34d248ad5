"""tests/run: runs the groups asked for, one after the other, and ends with `N passed, N failed, N skipped`."""

import argparse
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "install" / "setup"))

import build  # noqa: E402
import children  # noqa: E402
import environment  # noqa: E402
import machine  # noqa: E402
from counts import Counts  # noqa: E402
from groups import GROUPS, chosen  # noqa: E402
from leftovers import adopt_orphans, end_leftovers  # noqa: E402

PROBLEMS = (machine.Missing, build.Failed, environment.Failed)


def main():
    wishes = read_arguments()
    if wishes.list:
        for group in GROUPS:
            print(f"{group.name:10} {group.about}")
        return
    if sys.version_info < (3, 10):
        # install/demo is content with less; the tools of the tests are not.
        sys.exit("The tests need Python 3.10 or newer. Name one:  CORRIENTE_PYTHON=python3.11 ./tests/run")
    children.stop_on_signals()
    adopt_orphans()
    try:
        total = run_all(chosen(wishes.groups))
    except children.Stopped:
        end_leftovers()
        sys.exit("Stopped.")
    print(total, flush=True)
    sys.exit(1 if total.failed else 0)


def run_all(groups):
    total, lines = Counts(), []
    for group in groups:
        print(f"\n=== {group.name}: {group.about}", flush=True)
        started = time.monotonic()
        counts = run_one(group)
        lines.append(f"{group.name:10} {time.monotonic() - started:6.0f} s   {counts}")
        total += counts
    print("\n" + "\n".join(lines) + "\n")
    return total


def run_one(group):
    missing = group.missing()
    if missing is not None:
        print(missing, flush=True)
        # Elsewhere a missing tool is a fact of the machine; where CI runs it would be a test that silently went away.
        return Counts(failed=1) if in_ci() else Counts(skipped=1)
    try:
        counts = group.run()
    except PROBLEMS as problem:
        print(problem, flush=True)
        counts = Counts(failed=1)
    left = end_leftovers()
    if left:
        print(f"{group.name} left processes behind, which have been ended:\n" + "\n".join(left), flush=True)
        counts += Counts(failed=1)
    return counts


def in_ci():
    return os.environ.get("CI", "").lower() in ("true", "1", "yes")


def read_arguments():
    parser = argparse.ArgumentParser(prog="tests/run", description="Runs the tests of the groups named, or of all that usually run.")
    parser.add_argument("groups", nargs="*", metavar="group", help="names from --list")
    parser.add_argument("--list", action="store_true", help="name the groups and what each tests")
    wishes = parser.parse_args()
    unknown = set(wishes.groups) - {group.name for group in GROUPS}
    if unknown:
        parser.error(f"there is no group {', '.join(sorted(unknown))}; --list names them")
    return wishes


if __name__ == "__main__":
    main()
