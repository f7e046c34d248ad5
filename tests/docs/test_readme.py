"""The README speaks of files and commands that exist."""

import re
import subprocess
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
README = (CHECKOUT / "README.md").read_text()

# In code or as a link, and with a slash or a known ending, it is a path of ours. Variables and URLs are not.
CODE = re.findall(r"`([^`\s]+)`", README)
LINKS = re.findall(r"\]\(([^)#]+)\)", README)


def looks_like_a_path(word):
    if word.startswith(("http", "$", "~", "/", "-")) or any(sign in word for sign in "<>*:=(,"):
        return False
    return "/" in word or word.endswith((".md", ".toml", ".lock", ".ipynb", ".png"))


PATHS = sorted({word for word in [*CODE, *LINKS] if looks_like_a_path(word)})


def test_the_readme_names_paths_at_all():
    assert len(PATHS) >= 8, PATHS


def test_every_path_in_the_readme_exists():
    # What git ignores is made by the commands that the README speaks of.
    made = {line.strip("/") for line in (CHECKOUT / ".gitignore").read_text().splitlines()}
    absent = [path for path in PATHS if path.strip("/") not in made and not (CHECKOUT / path).exists()]
    assert not absent, f"README.md names {absent}"


@pytest.mark.parametrize("command", ["install/demo --help", "tests/run --list", "tests/bench --help"])
def test_every_command_in_the_readme_answers(command):
    program, argument = command.split()
    assert program in README
    answer = subprocess.run([CHECKOUT / program, argument], capture_output=True, text=True, timeout=30)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip()
