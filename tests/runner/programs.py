"""Runs one test program with a deadline, shows what it prints, and gives back its output and its code."""

import os
import subprocess
import threading

import children
from places import CHECKOUT, build_environment

TIMED_OUT = -1


def run(command, minutes, keep_output=False, **variables):
    """(code, output); the output is empty unless it is kept. Everything is shown as it comes in either case."""
    words = [str(word) for word in command]
    print("$ " + " ".join(words), flush=True)
    child = children.start(
        words, cwd=CHECKOUT, env={**build_environment(), **variables}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if keep_output else None,
    )  # fmt: skip
    expired = threading.Event()

    def expire():
        expired.set()
        children.end(child, grace=5.0)

    deadline = threading.Timer(minutes * 60, expire)
    deadline.daemon = True
    deadline.start()
    try:
        output = show(child.stdout) if keep_output else ""
        code = child.wait()
    finally:
        deadline.cancel()
        children.end(child, grace=5.0)
    if expired.is_set():
        print(f"Out of time: {words[0]} ran longer than {minutes} minutes and was ended.", flush=True)
        code = TIMED_OUT
    return code, output


def show(stream):
    kept = []
    while chunk := os.read(stream.fileno(), 65536):
        text = chunk.decode(errors="replace")
        print(text, end="", flush=True)
        kept.append(text)
    return "".join(kept)
