"""Exactly once on a real Apache Kafka: a query's process is killed at random moments, and no row is lost or doubled.

CORRIENTE_KILLS is how often each test kills, CORRIENTE_SEED repeats the rows and the moments of a run. The Kafka is the one at
CORRIENTE_TEST_KAFKA, as in the Rust tests, or one of our own.
"""

import json
import os
import random
import subprocess
import sys
import time
import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "install" / "setup"))

import cluster  # noqa: E402
from places import TARGET  # noqa: E402

PROGRAM = TARGET / "release" / "examples" / "exactly_once"
KILLS = int(os.environ.get("CORRIENTE_KILLS", "20"))
SEED = int(os.environ.get("CORRIENTE_SEED") or random.SystemRandom().randrange(2**32))
PARTITIONS = 4
# Rows that come with every start: about as many as a process reads before it is killed, so that it is seldom idle.
PORTION = {"kafka": 400, "parquet": 2500}
# How long a process lives, in seconds: from before it is connected to well into its batches. A producer of transactions takes
# longer to connect.
LIVES = {"kafka": (0.02, 1.0), "parquet": (0.02, 0.6)}
# What the last process, which is not killed, may take for all that the others left.
LAST_RUN = 60 + KILLS
READ_WITHIN = 60 + KILLS
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=100)
WINDOW, DELAY = timedelta(seconds=10), timedelta(seconds=2)

pytestmark = pytest.mark.timeout(120 + 5 * KILLS)


@pytest.fixture(scope="module")
def bootstrap():
    given = os.environ.get("CORRIENTE_TEST_KAFKA")
    if given:
        yield given
    else:
        with cluster.Kafka() as kafka:
            yield kafka.bootstrap


class Rows:
    """What is in the source: in the order of time, so that no row is late, and in a partition each by chance."""

    def __init__(self, bootstrap, topic, chance):
        KafkaAdminClient(bootstrap_servers=bootstrap).create_topics([NewTopic(topic, PARTITIONS, 1)])
        # Else a retry of the test's own could double a row.
        self.producer = KafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, linger_ms=5)
        self.topic, self.chance = topic, chance
        self.all, self.newest, self.sent = [], {}, []

    def add(self, count):
        for _ in range(count):
            number = len(self.all)
            row = {"id": number, "key": self.chance.choice("abcde"), "amount": self.chance.randint(-30, 70)}
            at, partition = EPOCH + number * STEP, self.chance.randrange(PARTITIONS)
            value = json.dumps({**row, "event_time": milliseconds(at)}).encode()
            self.sent.append(self.producer.send(self.topic, value, partition=partition))
            self.all.append({**row, "event_time": at})
            self.newest[partition] = at

    def settle(self):
        """Every row is in the topic."""
        self.producer.flush(60)
        for answer in self.sent:
            answer.get(timeout=60)
        self.producer.close()

    def filtered(self):
        return Counter(line({**row, "event_time": text(row["event_time"])}) for row in self.all if row["amount"] > 0)

    def windows(self):
        """The windows that the watermark has closed."""
        totals = {}
        for row in self.all:
            start = EPOCH + (row["event_time"] - EPOCH) // WINDOW * WINDOW
            n, total = totals.get((start, row["key"]), (0, 0))
            totals[start, row["key"]] = (n + 1, total + row["amount"])
        watermark = min(self.newest.values()) - DELAY
        closed = {at: sums for at, sums in totals.items() if at[0] + WINDOW <= watermark}
        return Counter(
            line({"event_time": text(start), "key": key, "n": n, "total": total}) for (start, key), (n, total) in closed.items()
        )


class Victim:
    """The query's process; what it prints goes to a file, since nobody reads while it is waited for."""

    def __init__(self, arguments, folder, until):
        self.out, self.err = folder / "out", folder / "err"
        with open(self.out, "wb") as out, open(self.err, "wb") as err:
            command = [str(word) for word in (PROGRAM, "run", *arguments, until)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(30)

    def step(self):
        """The last step of a batch that it told of."""
        # The last line may be cut off.
        lines = self.out.read_text().split("\n")[:-1]
        return lines[-1].split()[1] if lines else "before the first"

    def batches(self):
        return self.out.read_text().count("Committed")

    def said(self):
        return f"{self.err.read_text()[-4000:]}\nafter {self.out.read_text()[-200:]!r}"


def check(bootstrap, folder, sink, plan):
    chance = random.Random(f"{SEED} {sink} {plan}")
    name = f"{plan}-{uuid.uuid4().hex[:8]}"
    rows = Rows(bootstrap, f"source-{name}", chance)
    target = f"sink-{name}" if sink == "kafka" else folder / "sink"
    arguments = [bootstrap, rows.topic, plan, sink, target, folder / "checkpoint"]
    steps, batches, begun = Counter(), 0, time.monotonic()
    for _ in range(KILLS):
        # They arrive while it runs.
        rows.add(PORTION[sink])
        with Victim(arguments, folder, "killed") as victim:
            # The moment of the kill is what is tried; no order hangs on this.
            time.sleep(chance.uniform(*LIVES[sink]))
            assert victim.process.poll() is None, f"it ended by itself, seed {SEED}: {victim.said()}"
        steps[victim.step()] += 1
        batches += victim.batches()
    rows.settle()
    killing = time.monotonic() - begun
    with Victim(arguments, folder, "end") as last:
        try:
            code = last.process.wait(LAST_RUN)
        except subprocess.TimeoutExpired:
            code = f"nothing in {LAST_RUN} s"
        assert code == 0, f"the last run ended with {code}, seed {SEED}: {last.said()}"
        batches += last.batches()
    found = committed(bootstrap, target) if sink == "kafka" else stored(target)
    wanted = rows.filtered() if plan == "rows" else rows.windows()
    lost, extra = wanted - found, found - wanted
    doubled = Counter({row: times for row, times in extra.items() if row in wanted})
    report = (
        f"{sink} {plan}, seed {SEED}: {KILLS} kills in {killing:.0f} s, {time.monotonic() - begun:.0f} s in all; "
        f"{len(rows.all)} rows read, {wanted.total()} wanted, {found.total()} found, {batches} batches committed; "
        f"{lost.total()} lost, {doubled.total()} doubled, {(extra - doubled).total()} that should not be. "
        f"Killed after: {', '.join(f'{step} {times}' for step, times in steps.most_common())}"
    )
    print(report)
    assert not lost and not extra, f"{report}\nlost: {some(lost)}\ndoubled: {some(doubled)}\nwrong: {some(extra - doubled)}"
    assert steps.total() > steps["before the first"] or KILLS == 0, f"no kill fell into a batch. {report}"


def committed(bootstrap, topic):
    """How often each row is in the topic, for who reads what is committed."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", enable_auto_commit=False)
    places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    # With this isolation, the end is where the oldest open transaction begins.
    ends, found, give_up = consumer.end_offsets(places), Counter(), time.monotonic() + READ_WITHIN
    while any(consumer.position(place) < ends[place] for place in places):
        assert time.monotonic() < give_up, f"{found.total()} rows came of {topic}, and no end"
        for records in consumer.poll(timeout_ms=500).values():
            found.update(line(json.loads(record.value)) for record in records)
    consumer.close()
    return found


def stored(folder):
    """How often each row is in a folder's files."""
    said = subprocess.run([PROGRAM, "dump", folder], stdout=subprocess.PIPE, check=True, text=True, timeout=READ_WITHIN)
    return Counter(line(json.loads(row)) for row in said.stdout.splitlines())


def line(row):
    return json.dumps(row, sort_keys=True)


def text(at):
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"


def milliseconds(at):
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def some(rows):
    shown = [f"{row} × {times}" for row, times in sorted(rows.items())[:20]]
    return "\n  ".join(["", *shown, f"… {len(rows)} in all"]) if shown else "none"


@pytest.mark.parametrize("sink", ["kafka", "parquet"])
def test_after_kills_at_any_moment_every_row_is_in_the_sink_once(bootstrap, tmp_path, sink):
    check(bootstrap, tmp_path, sink, "rows")


@pytest.mark.parametrize("sink", ["kafka", "parquet"])
def test_after_kills_at_any_moment_every_closed_window_is_in_the_sink_once_and_no_open_one(bootstrap, tmp_path, sink):
    check(bootstrap, tmp_path, sink, "windows")
