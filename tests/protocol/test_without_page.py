"""Notebooks that no page looks at: what is saved has the last tables and charts, and says where their rows come from."""

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time

import pytest
from kafka import KafkaProducer
from runners import LIVE, by_jupyter_execute, by_nbclient, by_papermill, notebook, rows_of, views
from test_streams import create, produce, read

MOST_BYTES = 200_000
ZONE = 'with_columns([col("event_time").cast(DataType::Datetime(TimeUnit::Milliseconds, None))])'


class Numbers:
    """Records that are numbered like their offsets, two hundred a second, for as long as it is entered."""

    def __init__(self, broker, topic):
        create(broker, topic, partitions=1)
        self.producer, self.topic, self.sent, self.ended = KafkaProducer(bootstrap_servers=broker), topic, [], threading.Event()
        self.thread = threading.Thread(target=self.run, name="numbers")

    def run(self):
        while not self.ended.wait(0.005):
            record = {"n": len(self.sent), "half": len(self.sent) / 2, "event_time": round(time.time() * 1000)}
            self.producer.send(self.topic, json.dumps(record).encode(), partition=0)
            self.sent.append(time.time())

    def at(self, moment):
        """How many had been sent at a time."""
        return sum(sent <= moment for sent in self.sent)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.producer.close()


def size(output):
    return len(json.dumps(output, ensure_ascii=False))


def stands_for(output, topic):
    """How many records an output has, as its provenance says; a table's rows must say the same."""
    facts = output["metadata"]["corriente"]
    begin, end = facts["offsets"][topic]["0"]
    assert facts["rows_read"] == end - begin
    assert size(output) <= MOST_BYTES
    return end


@pytest.mark.parametrize("run", [by_nbclient, by_papermill, by_jupyter_execute], ids=lambda run: run.__name__)
def test_what_is_saved_is_what_was_there_at_the_end(broker, tmp_path, run):
    topic = f"saved_{run.__name__}"
    with Numbers(broker, topic) as numbers:
        numbers.producer.flush()
        while not numbers.sent:
            time.sleep(0.01)
        book = notebook(
            f'let frame = {read(broker, topic)}.{ZONE};',
            "frame",
            'display!(frame.chart(line("event_time", "half")));\ndisplay!(frame);',
            'sleep("2s");\nprintln!("{}", std::time::UNIX_EPOCH.elapsed()?.as_millis());',
        )
        book = run(book, tmp_path)
        ended = int(book.cells[-1].outputs[0].text) / 1000
        table, chart, again = views(book)
        assert table.output_type == "display_data", "JupyterLab updates no other"
        for output in (table, again):
            newest = stands_for(output, topic)
            assert int(rows_of(output)[0]["n"]) == newest - 1, "the rows are those that the provenance names"
            assert newest >= numbers.at(ended - 1.5), "the table is not as new as the end of the notebook"
            assert f">{newest - 1}<" in output["data"]["text/html"] and str(newest - 1) in output["data"]["text/plain"]
        assert stands_for(chart, topic) >= numbers.at(ended - 1.5)
        assert "<img" in chart["data"]["text/html"]
        assert len({output["data"][LIVE]["view"] for output in (table, chart, again)}) == 3


HUGE = {
    "columns": {f"column_{n}": n for n in range(1_000)},
    "texts": {f"text_{n}": "é" * 2_000 for n in range(60)},
    "names": {"n" * 1_000 + str(n): n for n in range(200)},
}


def test_each_kind_of_view_is_saved_as_it_is(broker, tmp_path):
    """One notebook, because a kernel takes its time to start; nbclient ends at the first cell that fails."""
    produce(broker, "whole", [json.dumps({"n": n, "text": "x" * 100}).encode() for n in range(60_000)])
    produce(broker, "thirty", [json.dumps({"n": n}).encode() for n in range(30)], partitions=1)
    create(broker, "nothing", partitions=1)
    for name, record in HUGE.items():
        produce(broker, name, [json.dumps(record).encode()] * 30, partitions=1)
    schema = '.schema(Schema::from_iter([("n".into(), DataType::Int64)]))'
    fails = '.map_rows(["n"], |row| { let n = row.get::<i64>("n")?; assert!(n < 7, "seven is too much"); Ok(n) })'
    book = notebook(
        f"{read(broker, 'thirty')}{fails}",
        "1 + 1",
        *[read(broker, name) for name in HUGE],
        f"let (frame, nothing) = ({read(broker, 'thirty')}, {read(broker, 'nothing', schema)});",
        "let begun = std::time::Instant::now();\nfor _ in 0..100 { display!(frame); }\nfor _ in 0..20 { display!(nothing); }",
        'println!("{}", begun.elapsed().as_millis());',
        f'{read(broker, "whole")}.group_by([]).agg([len().alias("count")])',
    )
    book = by_nbclient(book, tmp_path)
    failed, *others, whole = views(book)
    # No cell comes after it that could tell it more.
    assert rows_of(whole) == [{"count": "60000"}]
    assert "seven is too much" in failed["data"]["text/html"] and "seven is too much" in failed["data"]["text/plain"]
    assert failed["data"][LIVE]["snapshot"]["status"]["state"] == "failed"
    for name, output in zip(HUGE, others, strict=False):
        assert size(output) <= MOST_BYTES, name
        assert "kept here: " in output["data"]["text/html"], name
        assert rows_of(output), name
    loop = others[len(HUGE) :]
    assert len(loop) == 120 and all(int(rows_of(output)[0]["n"]) == 29 for output in loop[:100])
    assert int(book.cells[-2].outputs[0].text) < 12_000, "a cell waits for first rows once, not for each view"


def updates(said):
    return [message for message in said.messages if message["msg_type"] == "update_display_data"]


def shown(said):
    """The name under which the only view of a cell can be updated."""
    (content,) = [content for content in said.contents("display_data") if LIVE in content["data"]]
    assert content["transient"]["display_id"] == content["data"][LIVE]["view"]
    return content["transient"]["display_id"]


def of(messages, display_id):
    return [message for message in messages if message["content"]["transient"]["display_id"] == display_id]


def quiet(kernel, seconds):
    """What comes on iopub within a time, when no cell runs."""
    seen, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(queue.Empty):
            seen.append(kernel.client.get_iopub_msg(timeout=0.1))
    return [message["msg_type"] for message in seen]


def test_updates_are_few_and_come_only_while_a_cell_runs(kernel, broker):
    with Numbers(broker, "few_updates"):
        kernel.ok(f"let many = {read(broker, 'few_updates')};")
        view = shown(kernel.ok("many"))
        assert quiet(kernel, 1.5) == [], "a server keeps what nobody fetches"
        said = kernel.ok('sleep("3s");')
        # Two a second, and one at the end.
        assert 3 <= len(of(updates(said), view)) <= 8
        assert all(message["parent_header"]["msg_id"] == said.messages[0]["parent_header"]["msg_id"] for message in updates(said))
    kernel.ok('sleep("1s");')
    said = kernel.ok('sleep("2s");')
    assert of(updates(said), view) == [], "nothing has changed"


def test_a_view_that_a_page_has_opened_is_the_pages_to_keep(kernel, broker):
    with Numbers(broker, "opened"):
        kernel.ok(f"let opened = {read(broker, 'opened')};")
        held, other = shown(kernel.ok("opened")), shown(kernel.ok("opened"))
        kernel.send("comm_open", {"comm_id": "page", "target_name": "corriente.live", "data": {"version": 1, "view": held}})
        said = kernel.ok('sleep("2s");')
        assert of(updates(said), held) == []
        assert of(updates(said), other)


def run_as(kernel, code, cell):
    """Runs a cell as JupyterLab does, which says which one it is."""
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False, "stop_on_error": True}
    message = kernel.client.session.msg("execute_request", content, metadata={"cellId": cell})
    kernel.client.session.send(kernel.client.shell_channel.socket, message)
    return kernel.wait(message["header"]["msg_id"])


def test_what_an_earlier_run_of_a_cell_has_shown_is_updated_no_more(kernel, broker):
    with Numbers(broker, "again"):
        kernel.ok(f"let again = {read(broker, 'again')};")
        first, second = shown(run_as(kernel, "again", "cell-1")), shown(run_as(kernel, "again", "cell-2"))
        third = shown(run_as(kernel, "again", "cell-1"))
        said = kernel.ok('sleep("2s");')
        assert of(updates(said), first) == []
        assert of(updates(said), second) and of(updates(said), third)


def test_the_stop_button_does_not_wait_for_a_view(kernel, broker):
    records = [json.dumps({"n": n, "text": "x" * 300}).encode() for n in range(100_000)]
    produce(broker, "stopped", records)
    kernel.ok(f"let stopped = {read(broker, 'stopped')};")
    request = kernel.start('display!(stopped);\nsleep("20s");')
    kernel.iopub(lambda message: message["msg_type"] == "display_data")
    kernel.manager.interrupt_kernel()
    begun = time.monotonic()
    said = kernel.wait(request)
    assert said.reply["ename"] == "Interrupted" and time.monotonic() - begun < 2


def test_a_console_shows_the_first_rows(broker):
    produce(broker, "console", [json.dumps({"n": n, "word": "typed"}).encode() for n in range(30)], partitions=1)
    answer = subprocess.run(
        [sys.executable, "-m", "jupyter", "console", "--kernel", "corriente", "--simple-prompt"],
        input=f"{read(broker, 'console')}\nexit\n", capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert "shape: (20, 2)" in answer.stdout and "typed" in answer.stdout, answer.stdout + answer.stderr
