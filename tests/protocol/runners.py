"""Programs that run a notebook without a page, as a person calls them: each takes a notebook and gives back what it has saved."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
from nbclient import NotebookClient

LIVE = "application/vnd.corriente.live+json"
TRANSLATOR = Path(__file__).resolve().parents[2] / "install" / "papermill"


def notebook(*cells):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata.kernelspec = {"name": "corriente", "display_name": "Rust (Corriente)", "language": "rust"}
    return book


def by_nbclient(book, folder):
    NotebookClient(book, timeout=90, resources={"metadata": {"path": str(folder)}}).execute()
    return book


def by_papermill(book, folder):
    source, target = folder / "in.ipynb", folder / "out.ipynb"
    nbformat.write(book, source)
    papermill.execute_notebook(source, target, progress_bar=False, log_output=False, cwd=folder)
    return nbformat.read(target, as_version=4)


def by_jupyter_execute(book, folder):
    path = folder / "book.ipynb"
    nbformat.write(book, path)
    command([sys.executable, "-m", "jupyter", "execute", "--inplace", path])
    return nbformat.read(path, as_version=4)


def command(words, **environment):
    """Runs a program that must succeed, and gives what it prints."""
    path = os.pathsep.join([str(TRANSLATOR), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    answer = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def views(book):
    """The live views among a notebook's outputs, in their order."""
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if LIVE in output.get("data", {})]


def rows_of(output):
    """The rows that an output has of a table, the newest first, by the names of its columns."""
    table = output["data"][LIVE]["snapshot"]["table"]
    names = [column["name"] for column in table["columns"]]
    return [dict(zip(names, row, strict=True)) for row in table["rows"]]
