"""Finds the processes that a group of tests left behind, also those that cut loose from their parents.

On Linux we become the parent of every orphan below us, so nothing can hide. Elsewhere only the groups themselves
are ended.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
# What is on its way out when its test ends is not left behind.
GRACE = 3.0


def adopt_orphans():
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_leftovers():
    """Ends every process below us and returns a line about each that had to be ended."""
    if sys.platform != "linux":
        return []
    give_up = time.monotonic() + GRACE
    while (below := descendants()) and time.monotonic() < give_up:
        bury()
        time.sleep(0.1)
    left = [f"  {pid}: {command_line(pid)}" for pid in below]
    for pid in below:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    give_up = time.monotonic() + GRACE
    while descendants() and time.monotonic() < give_up:
        bury()
        time.sleep(0.05)
    return left


def descendants():
    children = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name stands in parentheses and may hold anything; the parent is the second word after it.
            pid, parent = int(status.parent.name), int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        children.setdefault(parent, []).append(pid)
    found, todo = [], [os.getpid()]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def bury():
    """Takes the exit status of adopted processes that have ended. No child of our own runs at this moment."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:200]
    except OSError:
        return "(gone)"
