"""Private virtual environments in the cache folder, one for each set of requirements, with our kernel installed.

An environment is complete when its stamp exists; the stamp is written last, so an interrupted one is finished or
made anew by the next run. Two runs at a time wait for each other.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys

import children
from places import CACHE, CHECKOUT, COMMAND

STAMP = "corriente-ready"
PAGE = {
    # The news dialog of a JupyterLab that a person did not install would be in the way of the first notebook.
    "disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True},
    # Looking for extensions to compile takes the server two seconds of each page load, and there are none.
    "buildAvailable": False,
    "buildCheck": False,
}


class Failed(Exception):
    """The environment could not be made; what pip said has been printed."""


def environment(name, requirements):
    """The folder of a virtual environment in which everything in the file `requirements` is installed."""
    folder = CACHE / f"{name}-{fingerprint(requirements)}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with only_one_at_a_time():
        if not (folder / STAMP).exists():
            make(folder, requirements)
    return folder


def fingerprint(requirements):
    # The contents and the Python, not the path: another checkout with the same pins shares the environment.
    parts = [sys.version, os.path.realpath(sys.executable)]
    parts += [path.read_text() for path in with_included(requirements)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def with_included(requirements):
    """The file itself and the files that it takes in with `-r`."""
    yield requirements
    for line in requirements.read_text().splitlines():
        if line.startswith("-r "):
            yield from with_included((requirements.parent / line[3:].strip()).resolve())


def make(folder, requirements):
    print(f"Installing {requirements.relative_to(CHECKOUT)} into {folder}", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    call([sys.executable, "-m", "venv", folder])
    python = folder / "bin" / "python"
    call([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", requirements])
    (folder / STAMP).write_text("complete\n")


def call(command):
    variables = {**os.environ, "PIP_CACHE_DIR": str(CACHE / "pip")}
    for variable in ("PYTHONHOME", "PYTHONPATH", "PIP_USER", "PIP_TARGET", "PIP_PREFIX"):
        variables.pop(variable, None)
    child = children.start(command, env=variables, stdin=subprocess.DEVNULL)
    try:
        code = child.wait()
    finally:
        children.end(child, grace=5.0)
    if code != 0:
        raise Failed(f"{' '.join(str(word) for word in command)} ended with {code}; the lines above say why.")


def install_kernel(folder):
    """Puts the kernelspec and the labextension of the command just built into the environment, and the page's settings."""
    settings = folder / "etc" / "jupyter" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(json.dumps(PAGE, indent=2))
    # Both are in the cache folder and go together, so there is no need of a copy.
    call_quietly([COMMAND, "install", "--in-place", "--prefix", folder])


def call_quietly(command):
    answer = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if answer.returncode != 0:
        raise Failed(f"{' '.join(str(word) for word in command)} failed:\n{answer.stdout}{answer.stderr}")


@contextlib.contextmanager
def only_one_at_a_time():
    with open(CACHE / "setup.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another set-up that is running", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
