"""JupyterLab as install/demo opens it, driven in a real Chromium: run all, look at live views, save, close.

One thread. Every wait has a deadline and says what the page showed instead.
"""

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

# The notebook's model, not the page: cells that are scrolled away may have no elements.
OUTPUTS = """() => {
  const cells = jupyterapp.shell.currentWidget.content.widgets.filter(cell => cell.model.type === 'code');
  return cells.map(cell => ({source: cell.model.sharedModel.getSource(), count: cell.model.executionCount,
                             outputs: cell.model.outputs.toJSON()}));
}"""

# Begins anew behind the last cell, and does nothing while the notebook is not open yet.
SCROLL_TO = """n => {
  const book = window.jupyterapp?.shell?.currentWidget?.content;
  if (book?.scrollToItem && book.widgets?.length) { book.scrollToItem(n % book.widgets.length); }
}"""

# Null when the kernel of the notebook in front is there and has nothing to do.
KERNEL_STATE = """() => {
  const session = window.jupyterapp?.shell?.currentWidget?.sessionContext;
  const kernel = session?.session?.kernel;
  return session?.isReady && kernel?.connectionStatus === 'connected' && kernel?.status === 'idle'
    ? null : `session ${session?.isReady}, kernel ${kernel?.connectionStatus} ${kernel?.status}`;
}"""


class Demo:
    """`install/demo --no-browser` as a person starts it, from its first line to a clean end."""

    def __init__(self, folder):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.token, self.folder, self.said = secrets.token_hex(8), Path(folder), []
        command = [CHECKOUT / "install" / "demo", "--no-browser", "--port", str(self.port), "--token", self.token]
        began = time.monotonic()
        self.process = subprocess.Popen(
            [*command, "--dir", folder], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            self.url = self.wait_for_the_address()
        except BaseException:
            self.stop()
            raise
        self.seconds_to_start = time.monotonic() - began

    def wait_for_the_address(self):
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if line.startswith("http://"):
                return line.strip()
        raise AssertionError("install/demo ended without an address; it said:\n" + "\n".join(self.said))

    def address(self, notebook):
        path = urllib.parse.quote(notebook)
        return f"http://127.0.0.1:{self.port}/lab/tree/{path}?token={self.token}&reset"

    def write(self, name, *cells):
        """Puts a notebook of these code cells where the demo's notebooks are."""
        code = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
        notebook = {
            "nbformat": 4, "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "corriente", "display_name": "Rust (Corriente)", "language": "rust"}},
            "cells": [{**code, "id": f"cell-{n}", "source": source} for n, source in enumerate(cells)],
        }  # fmt: skip
        (self.folder / name).write_text(json.dumps(notebook))

    def ask(self, path, method="GET"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", method=method, headers={"Authorization": f"token {self.token}"}
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=30) as answer:
            body = answer.read()
        return json.loads(body) if body else None

    def end_sessions(self):
        """Shuts down every kernel, as the running panel's button does."""
        for session in self.ask("/api/sessions"):
            self.ask(f"/api/sessions/{session['id']}", method="DELETE")

    def stop(self):
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def browser(playwright):
    """The Chromium of this machine, as headless as it gets."""
    program = os.environ.get("CORRIENTE_CHROMIUM") or shutil.which("chromium")
    arguments = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    return playwright.chromium.launch(executable_path=program, args=arguments)


class Notebook:
    """A notebook open in a page of its own."""

    def __init__(self, chromium, demo, name, **options):
        self.page = chromium.new_page(viewport={"width": 1280, "height": 900}, **options)
        self.problems = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.open(demo.address(name))

    def open(self, address):
        self.page.goto(address)
        self.wait_until_ready()

    def reload(self):
        """Returns when the browser has loaded the page; JupyterLab then still opens the notebook."""
        self.page.reload()

    def wait_until_ready(self, within=60):
        there = "window.jupyterapp && document.querySelector('.jp-Notebook .jp-Cell')"
        self.page.wait_for_function(there, timeout=within * 1000)
        self.page.evaluate("jupyterapp.restored")
        self.poll(lambda: self.page.evaluate(KERNEL_STATE), lambda state: state is None, within, "idle kernel")

    def poll(self, look, good, within, what):
        """Looks until what is seen is good; returns it, or fails and shows it."""
        give_up = time.monotonic() + within
        while not good(seen := look()):
            assert time.monotonic() < give_up, f"no {what} within {within} s; seen: {seen}"
            self.page.wait_for_timeout(50)
        return seen

    def run_all(self, within=120):
        """Runs every cell; returns the seconds it took. An error in a cell is the caller's to look for."""
        began = time.monotonic()
        self.page.set_default_timeout(within * 1000)
        self.page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
        seconds = time.monotonic() - began
        assert seconds < within, f"the cells took {seconds:.0f} s"
        return seconds

    def cells(self):
        return self.page.evaluate(OUTPUTS)

    def errors(self):
        found = [output for cell in self.cells() for output in cell["outputs"] if output["output_type"] == "error"]
        return [f"{error['ename']}: {error['evalue']}" for error in found]

    def printed(self):
        """What the cells wrote to standard output."""
        outputs = [output for cell in self.cells() for output in cell["outputs"] if output.get("name") == "stdout"]
        return "".join("".join(output["text"]) for output in outputs)

    def views(self, kind, state=None):
        selector = f'.corriente-live[data-kind="{kind}"]' + (f'[data-state="{state}"]' if state else "")
        return self.page.locator(selector)

    def show(self, kind, nth=0, within=20):
        """Scrolls to the nth view of a kind, wherever in the notebook it is; returns its element."""
        found = self.views(kind)
        give_up, cell = time.monotonic() + within, 0
        while found.count() <= nth:
            assert time.monotonic() < give_up, f"{found.count()} live views of kind {kind} in the page, {nth + 1} wanted"
            # A notebook renders the cells near the screen; walking down makes it render all.
            cell += 1
            self.page.evaluate(SCROLL_TO, cell)
            self.page.wait_for_timeout(100)
        view = found.nth(nth)
        view.scroll_into_view_if_needed()
        return view

    def number(self, view, name):
        text = view.get_attribute(f"data-{name}")
        return float(text) if text not in (None, "") else 0.0

    def frames_in(self, view, seconds):
        """How many frames a view drew in so many seconds."""
        before = self.number(view, "frame")
        self.page.wait_for_timeout(seconds * 1000)
        return self.number(view, "frame") - before

    def wait_until_it_ticks(self, view, within):
        before = self.number(view, "frame")
        return self.poll(lambda: self.number(view, "frame"), lambda now: now >= before + 2, within, "new frames")

    def save(self):
        self.page.evaluate("jupyterapp.commands.execute('docmanager:save')")

    def close(self):
        self.page.close()
