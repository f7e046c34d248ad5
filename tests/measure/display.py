"""What a person sees of a live notebook: time to the first frame, frames a second, event to pixel.

The limit is what the page can draw at all, counted in the same page by requestAnimationFrame, and never more than the
30 frames a second that a view sends.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "browser"))

from page import Demo, Notebook, browser  # noqa: E402

NAME = "01-live-transactions.ipynb"
SECONDS = 10
MOST_FRAMES = 30

# The frames that the view drew that drew most.
FRAMES = "Math.max(0, ...[...document.querySelectorAll('.corriente-live')].map(view => Number(view.dataset.frame || 0)))"

# Looks at every animation frame for so many seconds: the lags of the frames that were new, and how often it looked.
WATCH = """async ([view, seconds]) => {
  const lags = []; let looks = 0, last = view.dataset.frame;
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    looks += 1;
    if (view.dataset.frame !== last) { last = view.dataset.frame; lags.push(Number(view.dataset.lagMs)); }
  }
  return {lags, looks};
}"""


def main():
    with tempfile.TemporaryDirectory(prefix="corriente-display-") as folder, sync_playwright() as playwright:
        began = time.monotonic()
        demo = Demo(folder)
        try:
            report(what="demo answers", seconds=demo.seconds_to_start)
            chromium = browser(playwright)
            notebook = Notebook(chromium, demo, NAME)
            run_all(notebook, began)
            for kind in ("table", "chart"):
                measure(notebook, kind)
            memory(demo)
            chromium.close()
        finally:
            demo.stop()


def run_all(notebook, demo_began):
    """From "run all" on a kernel that has just started: the first frame of any view, and the end of the last cell."""
    began = time.monotonic()
    notebook.page.evaluate("void (window.ran = jupyterapp.commands.execute('notebook:run-all-cells').then(() => true))")
    notebook.poll(lambda: notebook.page.evaluate(FRAMES), lambda frames: frames > 0, 60, "first frame")
    now = time.monotonic()
    report(what="first live frame", seconds=now - began, seconds_since_start=now - demo_began)
    notebook.page.evaluate("window.ran")
    report(what="run all", seconds=time.monotonic() - began, errors=notebook.errors())


def memory(demo):
    """The kernel and the cell process with the notebook's queries running."""
    for process in psutil.Process(demo.process.pid).children(recursive=True):
        if process.name() == "corriente":
            kernel = "kernel" in process.cmdline()[1:2] and process.parent().name() != "corriente"
            report(what="memory", process="kernel" if kernel else "cell process", mebibytes=process.memory_info().rss / 2**20)


def measure(notebook, kind):
    view = notebook.show(kind)
    notebook.wait_until_it_ticks(view, within=20)
    seen = notebook.page.evaluate(WATCH, [view.element_handle(), SECONDS])
    lags, frames = sorted(lag for lag in seen["lags"] if lag == lag), len(seen["lags"]) / SECONDS
    limit = min(MOST_FRAMES, seen["looks"] / SECONDS)
    report(
        what=kind, frames_per_second=frames, limit_frames_per_second=limit, ratio=frames / limit,
        lag_ms_p50=share(lags, 0.5), lag_ms_p95=share(lags, 0.95), lag_ms_most=share(lags, 1.0),
    )  # fmt: skip


def share(values, part):
    return values[min(int(len(values) * part), len(values) - 1)] if values else None


def report(**facts):
    print(json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in facts.items()}), flush=True)


if __name__ == "__main__":
    main()
