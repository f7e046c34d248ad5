"""One demo and one Chromium for all tests of the folder."""

import os
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parent))

from page import Demo, browser  # noqa: E402


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(240))


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    running = Demo(tmp_path_factory.mktemp("notebooks"))
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        program = browser(playwright)
        yield program
        program.close()


@pytest.fixture
def picture(request):
    """Saves a screenshot when CORRIENTE_PICTURES names a folder for them."""

    def take(page, name):
        folder = os.environ.get("CORRIENTE_PICTURES")
        if folder:
            # The file browser is not what a picture of a notebook is about.
            page.evaluate("jupyterapp.shell.leftCollapsed || jupyterapp.commands.execute('application:toggle-left-area')")
            page.wait_for_timeout(1_500)
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=Path(folder) / f"{name}.png")

    return take
