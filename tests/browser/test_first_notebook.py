"""The first notebook as a person meets it: run all, watch, reload, shut down, share. The tests build on each other."""

import subprocess
import sys
import time

import nbformat
import pytest
from page import Notebook

NAME = "01-live-transactions.ipynb"
RUN_WITHIN = 60
FRAMES_IN_TEN_SECONDS = 50
# Long, for a machine that is shared; `tests/bench display` says how long it takes.
TICKS_AFTER_RELOAD_WITHIN = 30


@pytest.fixture(scope="module")
def notebook(chromium, demo):
    opened = Notebook(chromium, demo, NAME)
    yield opened
    opened.close()


def test_run_all_ends_without_an_error(notebook, demo):
    seconds = notebook.run_all()
    print(f"demo ready after {demo.seconds_to_start:.1f} s, run all took {seconds:.1f} s")
    assert notebook.errors() == []
    assert all(cell["count"] for cell in notebook.cells()), "every cell has run"
    assert seconds <= RUN_WITHIN


@pytest.mark.parametrize("kind", ["table", "chart"])
def test_it_is_live(notebook, picture, kind):
    view = notebook.show(kind)
    notebook.wait_until_it_ticks(view, within=20)
    frames = notebook.frames_in(view, seconds=10)
    print(f"{kind}: {frames:.0f} frames in 10 s, lag {notebook.number(view, 'lag-ms'):.0f} ms")
    picture(notebook.page, f"live-{kind}")
    assert view.get_attribute("data-state") == "live"
    assert frames >= FRAMES_IN_TEN_SECONDS
    assert notebook.number(view, "rows") > 0


def test_after_a_reload_both_tick_again(notebook):
    notebook.save()
    notebook.reload()
    loaded = time.monotonic()
    for kind in ("table", "chart"):
        view = notebook.show(kind)
        notebook.wait_until_it_ticks(view, within=TICKS_AFTER_RELOAD_WITHIN)
        seconds = time.monotonic() - loaded
        print(f"{kind}: live {seconds:.1f} s after the reloaded page was there")
        assert view.get_attribute("data-state") == "live"


def test_with_the_kernel_shut_down_the_last_table_and_picture_stay(notebook, demo, chromium, picture):
    for kind in ("table", "chart"):
        notebook.wait_until_it_ticks(notebook.show(kind), within=20)
    # The page stores the last picture in the notebook now and then; after a few seconds what is saved is recent.
    notebook.page.wait_for_timeout(6_000)
    notebook.save()
    demo.end_sessions()
    reopened = Notebook(chromium, demo, NAME)
    try:
        for kind, wanted in (("table", "text"), ("chart", "picture")):
            view = reopened.show(kind)
            reopened.poll(lambda: view.get_attribute("data-state"), lambda state: state == "static", 20, f"static {kind}")
            if wanted == "text":
                assert any(character.isdigit() for character in view.inner_text())
            else:
                assert view.locator("img, svg").count() > 0
        picture(reopened.page, "without-kernel")
        assert reopened.errors() == []
    finally:
        reopened.close()


def test_the_saved_notebook_is_a_page_for_those_without_jupyter(demo, tmp_path):
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--output-dir", tmp_path, demo.folder / NAME]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    html = (tmp_path / NAME).with_suffix(".html").read_text()
    assert "<td" in html and "groceries" in html.lower()
    assert "data:image/png;base64," in html
    # And where it came from is in the file.
    saved = nbformat.read(demo.folder / NAME, as_version=4)
    outputs = [output for cell in saved.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("corriente" in output.get("metadata", {}) for output in outputs)


def test_no_script_of_the_page_failed(notebook):
    assert notebook.problems == []
