"""Other people's programs that run notebooks and files: what they rely on, they get."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from jupyter_client import BlockingKernelClient
from nbclient import NotebookClient
from runners import notebook

CELLS = ["let amounts = vec![3, 4];", 'println!("{} payments", amounts.len());', "amounts.iter().sum::<i32>()"]
TOUR = sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb"))
JUPYTER = [sys.executable, "-m", "jupyter"]


def outputs(book):
    """The text of each cell's outputs."""
    texts = []
    for cell in book.cells:
        shown = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.get("outputs", [])]
        texts.append("".join(shown))
    return texts


def test_nbclient_runs_a_notebook():
    book = notebook(*CELLS)
    NotebookClient(book, timeout=60).execute()
    assert outputs(book) == ["", "2 payments\n", "7"]


@pytest.mark.parametrize("path", TOUR, ids=lambda path: path.stem)
def test_nbclient_runs_the_notebooks_of_the_tour(tmp_path, path):
    book = nbformat.read(path, as_version=4)
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    data = [output.data for cell in book.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("application/vnd.corriente.live+json" in bundle for bundle in data) >= 3
    assert all("<table" in bundle["text/html"] or "<img" in bundle["text/html"] for bundle in data if "text/html" in bundle)


def test_nbclient_stops_at_an_error():
    book = notebook("let fine = 1;", 'panic!("on purpose");', "fine")
    with pytest.raises(Exception, match="on purpose"):
        NotebookClient(book, timeout=60).execute()
    assert outputs(book)[2] == ""


def test_papermill_runs_a_notebook(tmp_path):
    source, target = tmp_path / "in.ipynb", tmp_path / "out.ipynb"
    nbformat.write(notebook(*CELLS), source)
    papermill.execute_notebook(source, target, progress_bar=False, log_output=False)
    assert outputs(nbformat.read(target, as_version=4)) == ["", "2 payments\n", "7"]


@pytest.mark.parametrize("path", TOUR, ids=lambda path: path.stem)
def test_papermill_runs_the_notebooks_of_the_tour(tmp_path, path):
    target = tmp_path / "out.ipynb"
    papermill.execute_notebook(path, target, progress_bar=False, log_output=False, cwd=tmp_path)
    assert all(cell.metadata.papermill.exception is False for cell in nbformat.read(target, as_version=4).cells)


def test_jupyter_run_runs_a_file(tmp_path):
    source = tmp_path / "payments.rs"
    source.write_text("\n".join(CELLS[:2]))
    answer = subprocess.run(
        [*JUPYTER, "run", "--kernel", "corriente", source], capture_output=True, text=True, timeout=90, stdin=subprocess.DEVNULL
    )
    assert answer.returncode == 0, answer.stderr
    assert "2 payments" in answer.stdout


def test_jupyter_console_runs_what_is_typed():
    answer = subprocess.run(
        [*JUPYTER, "console", "--kernel", "corriente", "--simple-prompt"],
        input='println!("{} typed", 6 * 7);\nexit\n', capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert "42 typed" in answer.stdout, answer.stdout + answer.stderr


def test_a_second_client_sees_the_same_kernel(kernel):
    kernel.ok("let shared = 5;")
    second = BlockingKernelClient(connection_file=kernel.manager.connection_file)
    second.load_connection_file()
    second.start_channels()
    try:
        second.wait_for_ready(timeout=30)
        request = second.execute("shared + 1")
        reply = second.get_shell_msg(timeout=30)
        assert reply["parent_header"]["msg_id"] == request and reply["content"]["status"] == "ok"
        # The first one sees its cell, too.
        seen = kernel.iopub(lambda message: message["msg_type"] == "execute_result")
        assert json.dumps(seen["content"]["data"]) == json.dumps({"text/plain": "6"})
    finally:
        second.stop_channels()
