"""Runs JupyterLab on 127.0.0.1, with all its folders in the cache, and knows when it really answers."""

import json
import os
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import children
from places import CACHE

USUAL_PORT = 8888
READY_WITHIN = 60.0
# A server asked to end first ends its kernels, and each of those its queries.
STOP_WITHIN = 20.0


class Failed(Exception):
    """JupyterLab did not start; the text has its last lines."""


class PortInUse(Exception):
    """Somebody listens on the port that was asked for."""


def choose_port(wanted):
    """The port asked for, or an error; with none asked for the usual one, or any when that is taken."""
    if wanted:
        if not is_free(wanted):
            raise PortInUse(
                f"Port {wanted} of 127.0.0.1 is in use. Stop the program that listens there, "
                f"or start with another one:  ./install/demo --port {wanted + 1}"
            )
        return wanted
    if is_free(USUAL_PORT):
        return USUAL_PORT
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Lab:
    """A running JupyterLab. Ends with `stop()`."""

    def __init__(self, environment, root, port, token=None):
        self.port, self.token = port, token or secrets.token_hex(24)
        home = CACHE / "jupyter"
        home.mkdir(parents=True, exist_ok=True)
        self.log = home / f"lab-{port}.log"
        command = [environment / "bin" / "jupyter-lab", "--no-browser", "--ip=127.0.0.1", f"--port={port}"]
        command += ["--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}"]
        command += ["--LabApp.extension_manager=readonly", "--LabApp.expose_app_in_browser=True"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.append("--allow-root")
        with open(self.log, "wb") as log:
            self.process = children.start(
                command, env=variables(home, environment, self.token), cwd=root, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def url(self, notebook):
        path, query = urllib.parse.quote(notebook), urllib.parse.urlencode({"token": self.token})
        return f"http://127.0.0.1:{self.port}/lab/tree/{path}?{query}"

    def wait_until_it_answers(self):
        """Returns once the server knows our kernel and serves JupyterLab's page."""
        give_up, problem = time.monotonic() + READY_WITHIN, "no answer yet"
        while time.monotonic() < give_up:
            if self.process.poll() is not None:
                raise Failed(f"JupyterLab ended at once:\n{self.last_lines()}")
            try:
                if "corriente" not in json.loads(self.get("/api/kernelspecs"))["kernelspecs"]:
                    raise Failed("JupyterLab runs but does not list the kernel `corriente`.")
                self.get("/lab")
                return
            except (OSError, ValueError) as error:
                problem = error
            time.sleep(0.1)
        raise Failed(f"JupyterLab did not answer within {READY_WITHIN:.0f} s ({problem}):\n{self.last_lines()}")

    def get(self, path):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"token {self.token}"}
        )
        # A proxy for the world outside must not be asked for this machine.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(request, timeout=10) as answer:
            return answer.read()

    def last_lines(self):
        text = self.log.read_text(errors="replace").replace(self.token, "…")
        return "\n".join(text.splitlines()[-25:])

    def stop(self):
        children.end(self.process, grace=STOP_WITHIN)


def variables(home, environment, token):
    """The user's environment without what would bring in another Jupyter; the token here, where `ps` cannot see it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTHON"))}
    own.update(
        JUPYTER_CONFIG_DIR=str(home / "config"),
        JUPYTER_DATA_DIR=str(home / "data"),
        JUPYTER_RUNTIME_DIR=str(home / "runtime"),
        JUPYTER_PREFER_ENV_PATH="1",
        JUPYTER_TOKEN=token,
        IPYTHONDIR=str(home / "ipython"),
        CORRIENTE_HISTORY=str(home / "history.jsonl"),
        VIRTUAL_ENV=str(environment),
        PATH=os.pathsep.join([str(environment / "bin"), os.environ.get("PATH", os.defpath)]),
    )
    return own
