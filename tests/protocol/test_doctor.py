"""`corriente doctor` on machines that are right, and on those where one link of the chain is broken."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from places import COMMAND


def doctor(**variables):
    """Its code, and its lines."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **variables}
    answer = subprocess.run([COMMAND, "doctor"], capture_output=True, text=True, env=environment, timeout=170)
    return answer.returncode, answer.stdout


@pytest.fixture
def broken(tmp_path):
    """A kernel and an extension that can be broken: installed in place, where JUPYTER_PATH leads."""
    subprocess.run([COMMAND, "install", "--in-place", "--prefix", tmp_path, "--name", "broken"], check=True, capture_output=True)
    return tmp_path / "share/jupyter"


def test_everything_is_right_and_a_cell_runs():
    code, said = doctor()
    assert code == 0 and "wrong" not in said, said
    for word in ("compiler", "temporary folder", "memory", "sources", ":dep", "kernel corriente", "JupyterLab extension", "a cell"):
        assert f"ok     {word}: " in said, said


def test_what_is_broken_is_named_with_what_mends_it(broken, tmp_path):
    extension = broken / "labextensions/corriente-live/package.json"
    manifest = json.loads(extension.read_text())
    extension.write_text(json.dumps({**manifest, "version": "0.0.1"}))
    file = broken / "kernels/broken/kernel.json"
    spec = json.loads(file.read_text())
    file.write_text(json.dumps({**spec, "argv": ["/gone/corriente", *spec["argv"][1:]]}))
    long = tmp_path / ("x" * 90)
    long.mkdir()
    code, said = doctor(JUPYTER_PATH=str(broken), TMPDIR=str(long))
    assert code == 1
    wrong = [line for line in said.splitlines() if line.startswith("wrong")]
    assert [line.split(":")[0] for line in wrong] == [
        "wrong  temporary folder", "wrong  kernel broken", "wrong  JupyterLab extension", "wrong  a cell",
    ], said  # fmt: skip
    assert "/gone/corriente" in said and "0.0.1" in said and "export TMPDIR" in said and f"{COMMAND} install" in said


def test_a_machine_without_a_c_compiler_is_told_the_command(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for program in ("sh", "env"):
        (programs / program).symlink_to(shutil.which(program))
    code, said = doctor(PATH=str(programs), HOME=str(tmp_path), JUPYTER_DATA_DIR=str(tmp_path))
    assert code == 1 and "wrong  :dep: there is no C compiler" in said and "gcc" in said, said
