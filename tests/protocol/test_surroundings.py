"""Machines that are full, closed or odd: the kernel says in a sentence what is wrong and what mends it."""

import fcntl
import json
import os
import resource
import subprocess
import time

import psutil
import pytest
from kernel import Kernel

ROOT = os.geteuid() == 0
mounts = pytest.mark.skipif(not ROOT, reason="only root may mount a file system (unshare --mount)")


def on(folder, options, then='exec "$@"'):
    """Words in front of a command that run it with its temporary folder on a file system of its own."""
    mount = f"mount -t tmpfs -o {options} none '{folder}'"
    return ["unshare", "--mount", "sh", "-c", f"{mount} && export TMPDIR='{folder}' && {then}", "sh"]


@mounts
def test_a_temporary_folder_without_programs_is_explained(tmp_path):
    with Kernel(tmp_path, before=on(tmp_path, "noexec")) as kernel:
        said = kernel.run("1")
        assert said.reply["status"] == "error" and "noexec" in said.error and "TMPDIR" in said.error


@mounts
def test_a_disk_that_is_full_at_the_start_is_explained(tmp_path):
    fill = 'dd if=/dev/zero of="$TMPDIR/rest" bs=64k status=none; exec "$@"'
    with Kernel(tmp_path, before=on(tmp_path, "size=1m", fill)) as kernel:
        said = kernel.run("1")
        assert said.reply["status"] == "error" and "TMPDIR" in said.error and "space" in said.error, said.error


@mounts
def test_a_disk_that_gets_full_stops_a_cell_and_not_the_kernel(tmp_path):
    with Kernel(tmp_path, before=on(tmp_path, "size=40m")) as kernel:
        kernel.ok("let kept = 1;")
        kernel.ok('std::fs::write(std::env::temp_dir().join("rest"), vec![0u8; 60 << 20]).is_err();')
        said = kernel.run("let next = 2;")
        assert said.reply["status"] == "error" and "space" in said.everything, str(said)
        assert "temporary folder" in said.everything and "full" in said.everything, str(said)
        subprocess.run(["nsenter", "--mount", f"--target={kernel.pid}", "rm", str(tmp_path / "rest")], check=True)
        assert kernel.ok("kept + 1").plain == "2", "room again, and nothing was lost"


@mounts
def test_output_that_fills_the_disk_is_said_to_be_lost(tmp_path):
    with Kernel(tmp_path, before=on(tmp_path, "size=20m")) as kernel:
        said = kernel.run('for _ in 0..60 { println!("{}", "x".repeat(1 << 20)); }')
        assert said.reply["status"] == "ok", str(said)[:2000]
        assert "not kept" in said.everything


def test_sockets_that_are_files_are_served(tmp_path):
    name = tmp_path / "s"
    with Kernel(tmp_path, transport="ipc", ip=str(name)) as kernel:
        assert kernel.ok("40 + 2").plain == "42"
        sockets = list(tmp_path.glob("s-*"))
        assert len(sockets) == 5 and all(socket.stat().st_mode & 0o077 == 0 for socket in sockets)


def test_a_history_that_is_locked_keeps_no_cell_waiting(tmp_path, monkeypatch):
    file = tmp_path / "cells.jsonl"
    monkeypatch.setenv("CORRIENTE_HISTORY", str(file))
    with open(file, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with Kernel(tmp_path) as kernel:
            began = time.monotonic()
            assert kernel.ok("1 + 1").plain == "2"
            kernel.client.history(hist_access_type="tail", n=5)
            reply = kernel.shell(lambda message: message["msg_type"] == "history_reply")
            assert reply["content"]["history"] == [[0, 1, "1 + 1"]]
            assert time.monotonic() - began < 60
            fcntl.flock(held, fcntl.LOCK_UN)
            kernel.ok("2 + 2")
            kernel.until(lambda: len(file.read_text().splitlines()) == 3, what="both cells in the file")
    assert [json.loads(line)["session"] for line in file.read_text().splitlines()] == [1, 1, 1]


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux changes the limits of a process that runs")
@pytest.mark.parametrize("code", ["1 + 1", ":restart"])
def test_a_kernel_without_free_descriptors_says_so_and_goes_on_when_it_has_some(fresh, code):
    fresh.ok("1")
    usual = resource.prlimit(fresh.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(fresh.pid, resource.RLIMIT_NOFILE, (psutil.Process(fresh.pid).num_fds(), usual[1]))
    try:
        said = fresh.run(code)
        assert "open files" in said.everything and (code == ":restart" or "ulimit -n" in said.error), str(said)
    finally:
        resource.prlimit(fresh.pid, resource.RLIMIT_NOFILE, usual)
    assert fresh.ok("2 + 2").plain == "4"
