"""What the benches of the engine have in common: a broker to measure on, and the programs in kernel/connectors/examples."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "kafka"), str(TESTS.parent / "install" / "setup")]

import build  # noqa: E402
import children  # noqa: E402
import cluster  # noqa: E402
from places import CHECKOUT, COMMAND, TARGET, build_environment  # noqa: E402

# A record with what a broker keeps beside it.
BYTES_A_ROW = 400


def built(name):
    """The path of an example's program, newly built with the workspace: alone it would be built with other features."""
    command = [*build.BUILD, "--examples", "--quiet"]
    answer = subprocess.run(command, cwd=CHECKOUT, env=build_environment(), stdin=subprocess.DEVNULL)
    if answer.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {answer.returncode}; the lines above say why.")
    return TARGET / "release" / "examples" / name


@contextlib.contextmanager
def broker(rows):
    """A broker that holds so many rows, and what it is: Apache Kafka where Java and Maven are, the embedded one elsewhere."""
    if shutil.which("java") and shutil.which("mvn"):
        with cluster.Kafka() as kafka:
            yield kafka.bootstrap, f"Apache Kafka {cluster.VERSION}"
        return
    memory = 256 + rows * BYTES_A_ROW // 2**20
    child = children.start(
        [COMMAND, "broker", "--listen", "127.0.0.1:0", "--memory", memory], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    try:
        line = child.stdout.readline()
        if not line.startswith("listening on "):
            sys.exit(f"The embedded broker did not start: {line}")
        yield line.split()[-1], "the embedded broker"
    finally:
        children.end(child)


def run(command, within, **variables):
    """Runs a program whose lines are the bench's; one that fails ends the bench."""
    child = children.start(command, stdin=subprocess.DEVNULL, **variables)
    try:
        code = child.wait(within)
    except subprocess.TimeoutExpired:
        sys.exit(f"{command[0]} is not done after {within} s.")
    finally:
        children.end(child, grace=5.0)
    if code != 0:
        sys.exit(f"{' '.join(str(word) for word in command)} ended with {code}; the lines above say why.")
