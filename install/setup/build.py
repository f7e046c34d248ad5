"""Builds the workspace, and shows how far it is: cargo's own bar on a terminal, a line at least every ten seconds elsewhere.

Cargo itself decides what is stale, so an interrupted build resumes and a second one takes a second or less.
"""

import os
import re
import selectors
import subprocess
import sys
import time

import children
import machine
from places import CACHE, CHECKOUT, COMMAND, TARGET, build_environment

BUILD = ["cargo", "build", "--release", "--workspace", "--locked"]
LINE_EVERY = 10.0
STEP = re.compile(r"\s*(?:Building|Compiling).*?\]\s*(\d+)/(\d+)(?::\s*(.*))?")


class Failed(Exception):
    """The build failed; what cargo said has been printed."""


def build():
    """Returns the path of the command `corriente`, newly built or known to be up to date."""
    environment = build_environment()
    if sys.stderr.isatty():
        run(environment, stderr=None, follow=lambda child: None)
    else:
        # Cargo draws its bar for us too, and we turn it into lines.
        environment.update(
            CARGO_TERM_PROGRESS_WHEN="always", CARGO_TERM_PROGRESS_WIDTH="120", CARGO_TERM_COLOR="never"
        )
        run(environment, stderr=subprocess.PIPE, follow=follow_progress)
    return COMMAND


def run(environment, stderr, follow):
    child = children.start(BUILD, cwd=CHECKOUT, env=environment, stdin=subprocess.DEVNULL, stderr=stderr)
    try:
        rest = follow(child)
        code = child.wait()
    finally:
        children.end(child, grace=5.0)
    if code != 0:
        raise Failed((rest or "") + f"\nThe build failed ({' '.join(BUILD)} ended with {code}).")


def follow_progress(child):
    """Prints `crate n of m` now and then; returns what else cargo said last, for the case that it fails."""
    started, line_due, kept, step, pending = time.monotonic(), 0.0, [], None, b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stderr, selectors.EVENT_READ)
        while True:
            # Cargo says nothing while one large crate compiles, and that takes minutes.
            if selector.select(timeout=max(0.0, line_due - time.monotonic()) if step else None):
                chunk = os.read(child.stderr.fileno(), 65536)
                if not chunk:
                    return "\n".join(kept)
                *lines, pending = re.split(rb"[\r\n]", pending + chunk)
                for raw in lines:
                    text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", raw.decode(errors="replace"))
                    if found := STEP.match(text):
                        step = found
                    elif text.strip():
                        kept = (kept + [text])[-400:]
            if step and time.monotonic() >= line_due:
                print(progress_line(step, time.monotonic() - started), flush=True)
                line_due = time.monotonic() + LINE_EVERY


def progress_line(step, seconds):
    minutes, seconds = divmod(int(seconds), 60)
    return f"  crate {step[1]} of {step[2]} · {minutes}:{seconds:02} · {shorten((step[3] or '').strip())}"


def shorten(text, width=70):
    return text if len(text) <= width else text[: width - 1] + "…"


def main():
    children.stop_on_signals()
    try:
        machine.check()
        print(f"Building into {TARGET} (everything we keep outside the checkout is in {CACHE})", flush=True)
        print(build())
    except (machine.Missing, Failed) as problem:
        sys.exit(str(problem))
    except children.Stopped:
        sys.exit("Stopped. The next run goes on from here.")


if __name__ == "__main__":
    main()
