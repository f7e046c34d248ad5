"""What install/demo tells a person whose machine lacks something, and what it does with their notebooks."""

import json
import shutil
import socket
import subprocess

import build
import lab
import machine
import notebooks
import pytest
from places import CHECKOUT, PINNED, build_environment, other_name_of_the_pinned


@pytest.fixture
def debian(monkeypatch):
    monkeypatch.setattr(machine.platform, "system", lambda: "Linux")
    monkeypatch.setattr(machine.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(machine.shutil, "which", lambda program, path=None: "/usr/bin/apt-get" if program == "apt-get" else None)


@pytest.fixture
def fedora(monkeypatch, debian):
    monkeypatch.setattr(machine.shutil, "which", lambda program, path=None: "/usr/bin/dnf" if program == "dnf" else None)


@pytest.fixture
def mac(monkeypatch):
    monkeypatch.setattr(machine.platform, "system", lambda: "Darwin")


def test_debian_gets_one_command(debian):
    command = machine.cure({"rustup", "compiler", "python"})
    assert command.startswith("sudo apt-get update && sudo apt-get install -y build-essential curl python3-venv && curl ")
    assert "\n" not in command and command.endswith(f"-y --profile minimal --default-toolchain {PINNED}")


def test_fedora_gets_one_command(fedora):
    assert machine.cure({"compiler"}) == "sudo dnf install -y gcc gcc-c++ make"


def test_macos_gets_one_command(mac):
    assert machine.cure({"compiler", "rustup"}).startswith("xcode-select --install && curl ")


def test_the_pinned_toolchain_is_fetched_by_rustup(debian):
    assert machine.cure({"toolchain"}) == f"rustup toolchain install {PINNED} --profile minimal"


def test_the_sources_of_the_library_come_from_where_the_compiler_came(debian, monkeypatch):
    assert machine.cure({"sources"}) == "sudo apt-get update && sudo apt-get install -y rust-src"
    monkeypatch.setattr(machine.shutil, "which", lambda program, path=None: f"/usr/bin/{program}")
    assert machine.cure({"sources"}) == "rustup component add rust-src"


def test_missing_sources_are_fetched_by_rustup_or_told(monkeypatch):
    monkeypatch.setattr(machine, "has_sources", lambda path: False)
    monkeypatch.setattr(machine, "fetch_sources", lambda path: True)
    machine.check()
    monkeypatch.setattr(machine, "fetch_sources", lambda path: False)
    with pytest.raises(machine.Missing, match="rust-src"):
        machine.check()


def test_everything_missing_is_told_at_once(debian, monkeypatch):
    monkeypatch.setattr(machine, "rust_version", lambda path: None)
    monkeypatch.setattr(machine, "has_venv", lambda: False)
    with pytest.raises(machine.Missing) as told:
        machine.check()
    for word in ("Rust 1.95", "C compiler", "virtual environments", "Install it with"):
        assert word in str(told.value)


def test_an_old_rust_is_named(debian, monkeypatch):
    monkeypatch.setattr(machine, "rust_version", lambda path: (1, 70))
    monkeypatch.setattr(machine, "build_environment", lambda: {"PATH": "/usr/bin"})
    monkeypatch.setattr(machine.shutil, "which", lambda program, path=None: f"/usr/bin/{program}")
    with pytest.raises(machine.Missing, match="Rust is 1.70, and 1.95 or newer"):
        machine.check()


def test_a_rust_without_rustup_serves(tmp_path, monkeypatch):
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], cwd=CHECKOUT, capture_output=True, text=True).stdout.strip()
    for program in ("cargo", "rustc"):
        (tmp_path / program).symlink_to(f"{sysroot}/bin/{program}")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "none"))
    assert shutil.which("rustup") is None
    assert machine.rust_version(build_environment()["PATH"]) >= machine.RUST
    machine.check()


def test_an_old_rust_of_the_system_does_not_stand_before_rustups(tmp_path, monkeypatch):
    for folder in ("system", "cargo/bin"):
        (tmp_path / folder).mkdir(parents=True)
    for program in ("system/rustc", "cargo/bin/rustc", "cargo/bin/rustup"):
        (tmp_path / program).write_text("#!/bin/sh\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("CARGO_HOME", str(tmp_path / "cargo"))
    monkeypatch.setenv("PATH", str(tmp_path / "system"))
    assert shutil.which("rustc", path=build_environment()["PATH"]) == str(tmp_path / "cargo/bin/rustc")


@pytest.mark.parametrize(
    "names, expect",
    [("stable-x nightly-x", "stable-x"), (f"stable-x {PINNED}-x", None), ("nightly-x", None), ("", None)],
)
def test_a_toolchain_that_is_the_pinned_one_under_another_name_is_used(tmp_path, names, expect):
    (tmp_path / "rustup").write_text(
        f"""#!/bin/sh
[ "$1" = toolchain ] && printf '%s (default)\\n' {names} && exit
[ "$2" = stable-x ] && echo "rustc {PINNED} (1234)"
"""
    )
    (tmp_path / "rustup").chmod(0o755)
    assert other_name_of_the_pinned(f"{tmp_path}:/usr/bin:/bin") == expect


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(notebooks, "CHECKOUT", tmp_path)
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01.ipynb").write_text("first")
    return tmp_path


def test_a_notebook_is_copied_and_follows_the_checkout_until_it_is_edited(checkout):
    mine = checkout / "mine"
    assert notebooks.lay_out(mine) == []
    (checkout / "notebooks" / "01.ipynb").write_text("second")
    assert notebooks.lay_out(mine) == []
    assert (mine / "01.ipynb").read_text() == "second"
    (mine / "01.ipynb").write_text("edited")
    assert notebooks.lay_out(mine) == []
    (checkout / "notebooks" / "01.ipynb").write_text("third")
    assert notebooks.lay_out(mine) == ["01.ipynb"]
    assert (mine / "01.ipynb").read_text() == "edited"
    assert notebooks.lay_out(mine) == [], "told once, not at every start"


def test_a_deleted_notebook_comes_back(checkout):
    mine = checkout / "mine"
    notebooks.lay_out(mine)
    (mine / "01.ipynb").unlink()
    notebooks.lay_out(mine)
    assert (mine / "01.ipynb").read_text() == "first"
    assert json.loads((mine / notebooks.RECORD).read_text())


def test_a_taken_port_is_refused_when_it_was_asked_for_and_avoided_when_not(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(lab.PortInUse, match=f"Port {port} .*in use"):
            lab.choose_port(port)
        monkeypatch.setattr(lab, "USUAL_PORT", port)
        assert lab.choose_port(None) not in (None, port)


def test_a_build_without_a_terminal_prints_lines_while_cargo_says_nothing(monkeypatch, capsys):
    script = "printf '   Building [=> ] 3/9: polars-ops\\r' >&2; sleep 1; printf 'error: no space\\n' >&2"
    monkeypatch.setattr(build, "LINE_EVERY", 0.2)
    child = subprocess.Popen(["sh", "-c", script], stderr=subprocess.PIPE)
    rest = build.follow_progress(child)
    child.wait()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 4 and all("crate 3 of 9" in line and line.endswith("polars-ops") for line in lines), lines
    assert rest == "error: no space"
