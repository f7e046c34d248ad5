"""The kernel as `corriente install` leaves it: whole in its own folder, for whoever may read it, and gone when it is uninstalled."""

import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from kernel import Kernel
from places import CHECKOUT, COMMAND, TARGET

CELL = 'let frame = df!("amount" => [20, 22])?;\nframe.column("amount")?.i32()?.sum()'
ROOT = os.geteuid() == 0
# Everybody can reach it; the temporary folder of the tests is ours alone.
SHARED = "/var/tmp"


def call(*words, ok=True, command=COMMAND, **variables):
    answer = subprocess.run([command, *map(str, words)], capture_output=True, text=True, env={**os.environ, **variables})
    assert (answer.returncode == 0) == ok, f"{words} ended with {answer.returncode}:\n{answer.stdout}{answer.stderr}"
    return answer.stdout + answer.stderr


@pytest.fixture(scope="module")
def prefix():
    """An installation that everybody can read."""
    with tempfile.TemporaryDirectory(prefix="ci-", dir=SHARED) as folder:
        os.chmod(folder, 0o755)
        call("install", "--prefix", folder, "--name", "installed")
        yield Path(folder)


@pytest.fixture
def listed(prefix, monkeypatch):
    """Has Jupyter look there."""
    monkeypatch.setenv("JUPYTER_PATH", str(prefix / "share" / "jupyter"))
    return prefix


def spec(prefix, name="installed"):
    return json.loads((prefix / "share/jupyter/kernels" / name / "kernel.json").read_text())


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def without(*folders):
    """Words in front of a command that runs it where these folders are empty; skips where the machine does not let us."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("only root may hide folders from a process (unshare --mount)")
    hide = " && ".join(f"mount -t tmpfs none '{folder}'" for folder in folders if Path(folder).exists())
    return ["unshare", "--mount", "sh", "-c", f'{hide} && exec "$@"', "sh"]


def home():
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo"), Path(os.environ.get("RUSTUP_HOME") or Path.home() / ".rustup")


def test_it_needs_neither_the_checkout_nor_the_cache_nor_rust(listed, tmp_path):
    argv = spec(listed)["argv"]
    assert Path(argv[0]).is_relative_to(listed) and not Path(argv[0]).is_symlink()
    with Kernel(tmp_path, "installed", before=without(TARGET, CHECKOUT, *home())) as kernel:
        assert "42" in kernel.ok(CELL, within=120).plain
        assert kernel.ok("let kept = vec![1.5]; kept").plain == "[1.5]"
        kernel.client.complete("frame.hei", 9)
        found = kernel.shell(lambda message: message["msg_type"] == "complete_reply")["content"]["matches"]
        assert "height" in " ".join(found), "completion reads the sources"


@pytest.mark.skipif(not ROOT, reason="only root may run a kernel as another user")
def test_another_user_runs_it(listed):
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="ch-", dir=SHARED) as folder:
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        become = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        own = [f"HOME={folder}", f"TMPDIR={folder}", "PATH=/usr/bin:/bin"]
        # Where sockets are files that the other user makes, the connection file has to be readable for it.
        shared = Path(folder) / "connection"
        shared.mkdir(mode=0o777)
        command = [*become, "env", "-u", "CARGO_HOME", "-u", "RUSTUP_HOME", "-u", "CORRIENTE_HISTORY", *own]
        with Kernel(folder, "installed", before=[*readable(shared), *command]) as kernel:
            assert "42" in kernel.ok(CELL, within=120).plain
            assert kernel.ok('println!("{}", std::env::var("HOME")?);').stdout.strip() == folder


def readable(folder):
    """Words in front of a command that give the last word, a connection file, to everybody."""
    script = 'for last; do :; done; cp "$last" "$0/file.json"; chmod 644 "$0/file.json"; chmod 755 "$0"; i=$(($# - 1)); exec "${@:1:$i}" "$0/file.json"'
    return ["bash", "-c", script, folder]


def test_a_second_name_stands_beside_it_and_each_goes_alone(prefix):
    before = files(prefix)
    said = call("install", "--prefix", prefix, "--name", "installed-too", "--display-name", "Second")
    assert spec(prefix, "installed-too")["display_name"] == "Second"
    assert spec(prefix, "installed-too")["argv"][0] == spec(prefix)["argv"][0], "one build is copied once"
    assert "Second" in said
    told = call("uninstall", "--prefix", prefix, "--name", "installed-too")
    assert files(prefix) == before
    assert "installed-too" in told and "extension" not in told, told


def test_uninstall_takes_what_is_ours_and_says_so():
    with tempfile.TemporaryDirectory(prefix="ci-") as folder:
        folder = Path(folder)
        theirs = folder / "share/jupyter/kernels/python3/kernel.json"
        theirs.parent.mkdir(parents=True)
        theirs.write_text('{"argv": ["python"]}')
        before = files(folder)
        call("install", "--prefix", folder)
        note = folder / "share/jupyter/labextensions/corriente-live/notes.txt"
        note.write_text("mine")
        told = call("uninstall", "--prefix", folder, command=folder / "bin/corriente")
        for word in ("kernels/corriente", "labextensions/corriente-live", "share/corriente/", "bin/corriente"):
            assert word in told, told
        assert note.read_text() == "mine", "a file of somebody else's is left"
        shutil.rmtree(note.parent.parent)
        assert files(folder) - before <= {"bin"}
        assert "there is no kernel corriente" in call("uninstall", "--prefix", folder)


def test_a_kernel_that_runs_keeps_its_files(tmp_path, monkeypatch):
    with tempfile.TemporaryDirectory(prefix="ci-") as folder:
        monkeypatch.setenv("JUPYTER_PATH", f"{folder}/share/jupyter")
        call("install", "--prefix", folder, "--name", "running")
        with Kernel(tmp_path, "running") as kernel:
            kernel.ok("let before = 1;", within=120)
            assert "from which a kernel runs" in call("uninstall", "--prefix", folder, "--name", "running")
            assert kernel.ok("before + 1").plain == "2"
            assert kernel.ok(":restart\n").reply["status"] == "ok"
            assert kernel.ok("1 + 1").plain == "2"
        assert "removed" in call("uninstall", "--prefix", folder, "--name", "running")
        assert not list(Path(folder).glob("share/corriente*"))


def test_folders_of_others_are_left_and_named(tmp_path):
    for theirs, text in (
        ("kernels/corriente/kernel.json", '{"argv": ["python"]}'),
        ("labextensions/corriente-live/package.json", '{"name": "other"}'),
    ):
        file = tmp_path / "share/jupyter" / theirs
        file.parent.mkdir(parents=True)
        file.write_text(text)
        told = call("install", "--prefix", tmp_path, ok=False)
        assert str(file.parent) in told and "left as it is" in told
        assert file.read_text() == text and files(file.parent) == {file.name}
        shutil.rmtree(file.parent)
    assert not list(tmp_path.glob("share/corriente*")), "nothing was copied before that was seen"


@pytest.mark.skipif(not ROOT, reason="only root may mount a small disk")
def test_a_full_disk_is_told_with_what_is_needed(tmp_path):
    script = f"mount -t tmpfs -o size=50m none '{tmp_path}' && '{COMMAND}' install --prefix '{tmp_path}'; code=$?; ls '{tmp_path}/share/corriente'; exit $code"
    answer = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True)
    assert answer.returncode == 1 and "needs" in answer.stderr and "free" in answer.stderr, answer.stderr
    assert answer.stdout.split() == ["lock"], "nothing is left but the lock"


@pytest.mark.skipif(ROOT, reason="root may write anywhere but on a disk that nobody may write to")
def test_a_folder_that_may_not_be_written_to_is_told(tmp_path):
    tmp_path.chmod(0o555)
    assert "--user" in call("install", "--prefix", tmp_path, ok=False)


def test_papermill_has_its_translator_and_loses_it_again(tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    # papermill itself is taken from the tests' own environment.
    load = "import papermill; print(papermill.translators.papermill_translators.find_translator('any', 'rust').__name__)"
    path = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    called = ["--in-place", "--prefix", venv]
    said = call("install", *called)
    assert "papermill's translator" in said and "There is no Jupyter there yet" in said
    answer = subprocess.run([venv / "bin/python", "-c", load], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert answer.stdout.strip() == "RustTranslator", answer.stderr
    assert "papermill's translator" in call("uninstall", "--prefix", venv)
    assert not list(venv.rglob("*corriente*"))


def test_no_python_is_told_where_the_active_one_is_wanted(tmp_path):
    assert "--prefix" in call("install", "--sys-prefix", ok=False, PATH=str(tmp_path))


def test_the_active_python_is_where_sys_prefix_goes(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python").write_text(f"#!/bin/sh\necho {programs}/python\necho {tmp_path}\n")
    (programs / "python").chmod(0o755)
    call("install", "--in-place", "--sys-prefix", PATH=f"{programs}:{os.environ['PATH']}")
    assert spec(tmp_path, "corriente")["argv"][0] == str(COMMAND)
