"""install/demo by itself: a second start, a taken port, a clean end."""

import subprocess
import time

import psutil
from page import CHECKOUT, Demo

SECOND_START_WITHIN = 10


def test_a_second_start_is_quick_and_ends_cleanly(demo, tmp_path):
    again = Demo(tmp_path)
    try:
        children = psutil.Process(again.process.pid).children(recursive=True)
        assert again.seconds_to_start <= SECOND_START_WITHIN, "\n".join(again.said)
        assert any("01-live-transactions" in path.name for path in tmp_path.iterdir())
    finally:
        code = again.stop()
    assert code == 0
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_a_taken_port_is_told_at_once(demo):
    began = time.monotonic()
    answer = subprocess.run(
        [CHECKOUT / "install" / "demo", "--no-browser", "--port", str(demo.port)], capture_output=True, text=True, timeout=60
    )
    assert answer.returncode != 0
    assert f"Port {demo.port}" in answer.stderr and "in use" in answer.stderr
    assert time.monotonic() - began < 5


def test_an_edited_notebook_is_never_overwritten(demo, tmp_path):
    mine = tmp_path / "01-live-transactions.ipynb"
    mine.write_text("mine")
    Demo(tmp_path).stop()
    assert mine.read_text() == "mine"
