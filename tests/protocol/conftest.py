"""Kernels for the tests: one shared by those that leave it as it was, and fresh ones for those that break it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "install" / "setup"))

from kernel import Kernel  # noqa: E402
from places import COMMAND  # noqa: E402


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="session", autouse=True)
def history(tmp_path_factory):
    """The file of the cells that were run; like all that a kernel notes, not in the user's own folder."""
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    file = tmp_path_factory.mktemp("history") / "cells.jsonl"
    os.environ["CORRIENTE_HISTORY"] = str(file)
    return file


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """One for a file of tests; a test that may leave it broken takes `fresh`."""
    with Kernel(folder=tmp_path_factory.mktemp("notebooks")) as running:
        yield running


@pytest.fixture
def fresh(tmp_path):
    with Kernel(folder=tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def broker():
    """`host:port` of an embedded broker in a process of its own."""
    process = subprocess.Popen([COMMAND, "broker", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("listening on "), line
        yield line.split()[-1]
    finally:
        process.terminate()
        process.wait(10)
