"""A kernel started as JupyterLab starts it, for tests: run a cell, get everything that it said, or see what arrived.

One thread. Every wait has a deadline, and a failed wait prints the messages that did arrive.
"""

import contextlib
import os
import queue
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from jupyter_client.manager import KernelManager

START_WITHIN = 60.0
ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def is_running(process):
    """Whether a process still does something; one whose parent does not ask for its end stays as a zombie."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@dataclass
class Said:
    """What one cell said: its reply, its outputs, and all its messages in order."""

    reply: dict = field(default_factory=dict)
    messages: list = field(default_factory=list)

    def contents(self, *kinds):
        return [message["content"] for message in self.messages if message["msg_type"] in kinds]

    def stream(self, name):
        return "".join(content["text"] for content in self.contents("stream") if content["name"] == name)

    @property
    def stdout(self):
        return self.stream("stdout")

    @property
    def stderr(self):
        return self.stream("stderr")

    @property
    def bundles(self):
        return [content["data"] for content in self.contents("execute_result", "display_data")]

    @property
    def plain(self):
        return "\n".join(bundle.get("text/plain", "") for bundle in self.bundles)

    @property
    def error(self):
        """The error as a person reads it, without colours; empty when there was none."""
        texts = [
            "\n".join([content["ename"], content["evalue"], *content["traceback"]]) for content in self.contents("error")
        ]
        return ANSI.sub("", "\n".join(texts))

    @property
    def everything(self):
        return "\n".join([self.stdout, ANSI.sub("", self.stderr), self.plain, self.error])

    def __str__(self):
        lines = [f"  {message['msg_type']}: {str(message['content'])[:300]}" for message in self.messages]
        return "\n".join(["what arrived:", *lines, f"  reply: {str(self.reply)[:300]}"])


class Kernel:
    """A running kernel and the client that talks to it."""

    def __init__(self, folder=None, name="corriente", before=(), **connection):
        """`before` are words in front of the command that the kernelspec names; `connection` is what the connection file says."""
        self.manager = KernelManager(kernel_name=name, **connection)
        self.manager.kernel_spec.argv[:0] = [str(word) for word in before]
        self.manager.start_kernel(cwd=folder)
        self.client = self.manager.client()
        self.client.start_channels()
        try:
            self.client.wait_for_ready(timeout=START_WITHIN)
        except RuntimeError:
            self.stop()
            raise

    @property
    def pid(self):
        return self.manager.provisioner.pid

    def run(self, code, within=60.0, **options):
        """Runs a cell to its end."""
        return self.wait(self.client.execute(code, **options), within)

    def ok(self, code, within=60.0):
        """Runs a cell that must succeed."""
        said = self.run(code, within)
        assert said.reply.get("status") == "ok", f"{code!r} failed\n{said.error}\n{said}"
        return said

    def start(self, code):
        """Starts a cell and returns its id for `wait`."""
        return self.client.execute(code)

    def wait(self, request, within=60.0):
        """Collects the messages of one request until its reply and its idle have come."""
        said, give_up, idle = Said(), time.monotonic() + within, False
        while not (idle and said.reply):
            left = give_up - time.monotonic()
            assert left > 0, f"not finished after {within:.0f} s; {said}"
            with contextlib.suppress(queue.Empty):
                message = self.client.get_iopub_msg(timeout=min(left, 0.2))
                if message["parent_header"].get("msg_id") == request:
                    said.messages.append(message)
                    idle = idle or message["content"].get("execution_state") == "idle"
            if not said.reply:
                with contextlib.suppress(queue.Empty):
                    message = self.client.get_shell_msg(timeout=0)
                    if message["parent_header"].get("msg_id") == request:
                        said.reply = message["content"]
        return said

    def iopub(self, wanted, within=20.0):
        """The next iopub message for which `wanted(message)` is true."""
        return self.next_message(self.client.get_iopub_msg, wanted, within)

    def shell(self, wanted, within=20.0):
        return self.next_message(self.client.get_shell_msg, wanted, within)

    def next_message(self, receive, wanted, within):
        give_up, seen = time.monotonic() + within, []
        while time.monotonic() < give_up:
            with contextlib.suppress(queue.Empty):
                message = receive(timeout=0.2)
                if wanted(message):
                    return message
                seen.append(f"  {message['msg_type']}: {str(message['content'])[:200]}")
        raise AssertionError(f"nothing fitting within {within:.0f} s; what arrived:\n" + "\n".join(seen))

    def send(self, kind, content, buffers=None):
        """Sends any shell message and returns its id."""
        message = self.client.session.msg(kind, content)
        self.client.session.send(self.client.shell_channel.socket, message, buffers=buffers)
        return message["header"]["msg_id"]

    def until(self, condition, within=20.0, what="the condition"):
        """Waits for something outside the protocol."""
        give_up = time.monotonic() + within
        while not condition():
            assert time.monotonic() < give_up, f"{what} has not come within {within:.0f} s"
            time.sleep(0.05)

    def cell_process(self):
        """The id of the process that cells run in, as a cell sees it."""
        return int(self.ok('println!("{}", std::process::id());').stdout)

    def processes(self):
        """The kernel's process and everything below it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            kernel = psutil.Process(self.pid)
            return [kernel, *kernel.children(recursive=True)]
        return []

    def session_folder(self):
        """Where the kernel keeps its files: the cell process has it in its environment."""
        children = psutil.Process(self.pid).children(recursive=True)
        return next(Path(child.environ()["CORRIENTE_SESSION"]) for child in children if "CORRIENTE_SESSION" in child.environ())

    def stop(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def bytes_of_files(folder):
    """What the files below a folder hold, without what links lead to."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def temporary_files():
    """What lies in the temporary folder now."""
    return set(os.listdir(os.environ.get("TMPDIR", "/tmp")))
