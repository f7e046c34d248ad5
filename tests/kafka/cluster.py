"""A real Apache Kafka of one node, for tests: fetched by Maven once into the cache, data in a temporary folder.

As a program it starts one, prints `listening on HOST:PORT` and stays in front:  python3 tests/kafka/cluster.py
"""

import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "install" / "setup"))

import children  # noqa: E402
from places import CACHE  # noqa: E402

HERE = Path(__file__).resolve().parent
VERSION = "4.4.0"
READY_WITHIN = 60.0

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
num.partitions=4
auto.create.topics.enable=false
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
"""


class Failed(Exception):
    """Kafka could not be fetched or did not start; the text has what it said."""


def libraries():
    """The folder with Kafka's jars. A folder is complete or absent: it gets its name last."""
    folder = CACHE / f"kafka-{VERSION}"
    if not folder.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE, prefix="kafka-") as fresh:
            command = ["mvn", "-B", "-q", "-ntp", "-f", HERE / "pom.xml", f"-Dmaven.repo.local={CACHE / 'maven'}"]
            command += ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={fresh}/libs"]
            run(command, within=600)
            (Path(fresh) / "libs").rename(folder)
    return folder


def run(command, within):
    words = [str(word) for word in command]
    answer = subprocess.run(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=within
    )
    if answer.returncode != 0:
        raise Failed(f"{' '.join(words[:4])} … ended with {answer.returncode}:\n{answer.stdout[-4000:]}")
    return answer.stdout


class Kafka:
    """A running broker: `with Kafka() as kafka: kafka.bootstrap`."""

    def __enter__(self):
        self.process = None
        self.folder = tempfile.TemporaryDirectory(prefix="corriente-kafka-")
        try:
            self.start(Path(self.folder.name))
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, folder):
        jars, (port, controller) = libraries(), free_ports(2)
        settings = folder / "server.properties"
        settings.write_text(PROPERTIES.format(port=port, controller=controller, data=folder / "data"))
        java = ["java", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{jars}/*", f"-Dlog4j2.configurationFile={HERE / 'log4j2.yaml'}"]
        identity = run([*java, "kafka.tools.StorageTool", "random-uuid"], within=60).split()[-1]
        run([*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", identity, "-c", settings], within=60)
        self.log = folder / "kafka.log"
        with open(self.log, "wb") as log:
            self.process = children.start(
                [*java, "kafka.Kafka", settings], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        self.bootstrap = f"127.0.0.1:{port}"
        self.wait_until_it_answers(port)

    def wait_until_it_answers(self, port):
        give_up = time.monotonic() + READY_WITHIN
        while not answers(port):
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise Failed(f"Kafka is not there after {READY_WITHIN:.0f} s:\n{self.log.read_text()[-4000:]}")
            time.sleep(0.1)

    def __exit__(self, *_):
        if self.process is not None:
            children.end(self.process)
        self.folder.cleanup()


def free_ports(count):
    # All held at once, so that they differ.
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def answers(port):
    """Whether a Metadata request gets an answer that names a broker; the open port alone comes a little too early."""
    # Header: api 3 (Metadata), version 1, correlation 7, client "t"; body: all topics.
    body = struct.pack(">hhih1si", 3, 1, 7, 1, b"t", -1)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(struct.pack(">i", len(body)) + body)
            answer = connection.recv(4096)
    except OSError:
        return False
    # Length, correlation, then the array of brokers with its count.
    return len(answer) >= 12 and struct.unpack(">iii", answer[:12])[1:] > (7, 0)


def main():
    children.stop_on_signals()
    try:
        with Kafka() as kafka:
            print(f"listening on {kafka.bootstrap}", flush=True)
            kafka.process.wait()
            raise Failed(f"Kafka has ended:\n{kafka.log.read_text()[-4000:]}")
    except Failed as problem:
        sys.exit(str(problem))
    except children.Stopped:
        pass


if __name__ == "__main__":
    main()
