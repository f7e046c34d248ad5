"""Child processes that never outlive us: each in a group of its own, ended as a group."""

import os
import signal
import subprocess


class Stopped(Exception):
    """Ctrl-C, SIGTERM or SIGHUP asked us to stop."""


def stop_on_signals():
    """Turns the first request to end into an exception, so that `finally` clauses run; they are not disturbed by more."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number, _frame):
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(signal.Signals(number).name)

    # Also where a shell has told its background jobs to ignore Ctrl-C.
    for number in numbers:
        signal.signal(number, stop)


def start(command, **options):
    return subprocess.Popen([str(word) for word in command], start_new_session=True, **options)


def end(child, grace=20.0):
    """Asks the child's group to end, and makes it end when it has not after `grace` seconds."""
    if child.poll() is None:
        signal_group(child, signal.SIGTERM)
        try:
            child.wait(grace)
        except subprocess.TimeoutExpired:
            pass
    signal_group(child, signal.SIGKILL)
    child.wait()


def signal_group(child, number):
    try:
        os.killpg(child.pid, number)
    except (ProcessLookupError, PermissionError):
        # The whole group is gone already; macOS answers EPERM when only zombies are left of it.
        pass
