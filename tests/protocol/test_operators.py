"""What a frame can say beyond the first tour, as cells say it: joins, windows, late rows, sketches, records and the picture of a plan."""

import json
import time
from datetime import UTC, datetime

import pytest
from kafka import KafkaConsumer, TopicPartition
from test_queries import frame, payments, rows_of
from test_streams import create, produce, read, send

TIME = 'with_columns([col("at").cast(DataType::Datetime(TimeUnit::Milliseconds, None))])'
START = 1_700_000_000_000
# What the tests' own consumer can read.
PLAIN = '.option("compression.type", "none")'


def table(kernel, expression):
    """The rows of a frame that is collected, as JSON has them."""
    kernel.ok(
        f"let mut found = {expression}.collect()?;\nlet mut text = Vec::new();\n"
        "JsonWriter::new(&mut text).with_json_format(JsonFormat::JsonLines).finish(&mut found)?;"
    )
    lines = kernel.ok('print!("{}", String::from_utf8(text.clone())?);').stdout.splitlines()
    return [json.loads(line) for line in lines if line]


def records(broker, topic, count):
    """The first records of a topic of one partition."""
    consumer = KafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest", consumer_timeout_ms=20_000, isolation_level="read_committed")
    consumer.assign([TopicPartition(topic, 0)])
    found = []
    for record in consumer:
        found.append(record)
        if len(found) == count:
            break
    consumer.close()
    return found


@pytest.fixture(scope="module")
def shops(kernel, broker):
    """Sixty payments, one a second, of three shops, in the variable `shops`."""
    produce(broker, "shops", payments(60), partitions=1)
    kernel.ok(f"let shops = {frame(broker, 'shops')};")


def moments(field, pairs):
    return [json.dumps({"card": card, field: value, "at": START + second * 1000}).encode() for card, value, second in pairs]


def test_rows_of_both_streams_are_there_whether_they_met_or_not(kernel, broker):
    produce(broker, "taps", moments("gate", [("a", 1, 0), ("b", 2, 10)]), partitions=1)
    produce(broker, "fares", moments("cents", [("a", 150, 3), ("c", 90, 20)]), partitions=1)
    kernel.ok(f'let taps = {read(broker, "taps")}.{TIME}.with_watermark("at", "1s");\nlet fares = {read(broker, "fares")}.{TIME};')
    joined = 'taps.join_stream(&fares, [col("card")], [col("card")], JoinType::Full, within("at", "at", "5s"))'
    found = {(row["gate"], row["cents"]) for row in table(kernel, joined)}
    assert found == {(1, 150), (2, None), (None, 90)}


def test_a_payment_has_the_rate_of_its_time(kernel, broker):
    produce(broker, "rates", moments("rate", [("eur", 10, 0), ("eur", 11, 10), ("usd", 7, 5)]), partitions=1)
    produce(broker, "spent", moments("amount", [("eur", 1, 9), ("eur", 2, 10), ("usd", 3, 4)]), partitions=1)
    kernel.ok(f'let rates = {read(broker, "rates")}.{TIME};\nlet spent = {read(broker, "spent")}.{TIME}.with_watermark("at", "1s");')
    found = table(kernel, 'spent.join_asof(&rates, [col("card")], [col("card")], asof("at", "at"))')
    assert {row["amount"]: row["rate"] for row in found} == {1: 10, 2: 11, 3: None}


def test_what_is_joined_of_aggregates_changes_with_them(kernel, broker):
    produce(broker, "charged", moments("cents", [("a", 5, 0), ("a", 7, 1), ("b", 1, 2)]), partitions=1)
    produce(broker, "settled", moments("cents", [("a", 5, 3)]), partitions=1)
    kernel.ok(
        f'let sum_of = |name: &str, cents: StreamFrame| cents.group_by([col("card")]).agg([col("cents").sum().alias(name)]);\n'
        f'let charged = sum_of("charged", {read(broker, "charged")});\nlet settled = sum_of("settled", {read(broker, "settled")});\n'
        'let open = charged.join(&settled, [col("card")], [col("card")], JoinType::Left)'
        '.with_columns([(col("charged") - col("settled").fill_null(lit(0))).alias("open")]);'
    )
    assert {row["card"]: row["open"] for row in table(kernel, "open")} == {"a": 7, "b": 1}
    kernel.ok('let balance = open.group_by([]).agg([col("open").sum(), len().alias("cards")]).memory("balance").start()?;')
    total = 'memory_table("balance")?.column("{}")?.as_materialized_series().sum::<i64>()?'
    balance = f'println!("{{}}/{{}}.", {total.format("open")}, {total.format("cards")});'
    until(kernel, balance, "8/2.")
    send(broker, "settled", moments("cents", [("a", 7, 4), ("b", 1, 5)]), partitions=1)
    until(kernel, balance, "0/2.")
    kernel.ok("balance.stop();")


@pytest.mark.usefixtures("shops")
def test_two_streams_that_never_change_are_not_joined_without_a_bound(kernel):
    said = kernel.run('shops.join(&shops, [col("shop")], [col("shop")], JoinType::Inner)')
    assert "kept for ever" in said.error and "join_stream" in said.error, said


def test_a_table_is_read_anew_while_the_query_runs(kernel, broker, tmp_path):
    produce(broker, "bought", moments("amount", [("a", 1, 0)]), partitions=1)
    file = tmp_path / "owners.csv"
    file.write_text("card,owner\na,Ada\n")
    owners = f'refreshed("1ms", || CsvReadOptions::default().try_into_reader_with_file_path(Some("{file}".into()))?.finish())'
    kernel.ok(f"let bought = {read(broker, 'bought')};")
    kernel.ok(f'let owned = bought.join(&{owners}, [col("card")], [col("card")], JoinType::Left).memory("owned").start()?;')
    count = "println!(\"{}\", memory_table(\"owned\")?);"
    until(kernel, count, "Ada")
    file.write_text("card,owner\na,Bea\n")
    send(broker, "bought", moments("amount", [("a", 2, 1)]), partitions=1)
    assert "Ada" in until(kernel, count, "Bea"), "what was joined stays"
    file.write_text("id\n1\n")
    send(broker, "bought", moments("amount", [("a", 3, 2)]), partitions=1)
    said = until(kernel, "println!(\"{}\", owned.status());", 'no column "card" any more')
    assert "3 rows read" in said, "the last good table goes on"
    kernel.ok("owned.stop();")


def until(kernel, cell, words):
    """Runs a cell until it prints something."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        said = kernel.ok(cell).stdout
        if words in said:
            return said
    raise AssertionError(f"never {words!r}: {said}")


@pytest.mark.usefixtures("shops")
def test_windows_take_polars_options(kernel):
    window = 'tumbling("20s").offset("5s").closed(ClosedWindow::Right).label(Label::Right).include_boundaries()'
    found = table(kernel, f'shops.group_by_dynamic(col("event_time"), [], {window}).agg([len().alias("n")])')
    assert [row["n"] for row in found] == [6, 20, 20, 14]
    assert all(row["event_time"] == row["_upper_boundary"] for row in found)
    assert "Right" in kernel.ok(f'println!("{{}}", shops.group_by_dynamic(col("event_time"), [], {window}).agg([len()]).explain());').stdout


@pytest.mark.usefixtures("shops")
def test_a_sketch_is_within_its_bound_and_says_it(kernel):
    asked = 'shops.group_by([]).agg([approx_quantile(col("amount"), 0.5).alias("half"), col("amount").approx_n_unique().alias("distinct")])'
    (row,) = table(kernel, asked)
    assert abs(row["half"] - 29.5) <= 0.5 + 0.01 * 30
    assert row["distinct"] == 60
    words = kernel.ok(f'println!("{{}}", {asked}.explain());').stdout
    assert "1 %" in words and "0.8 %" in words
    assert "PlanError" in kernel.run('shops.group_by([]).agg([approx_quantile(col("shop"), 0.5)])').error


def test_a_row_that_is_late_is_a_row_of_late_rows(kernel, broker, tmp_path):
    produce(broker, "slow", payments(60), partitions=1)
    kernel.ok(f"let slow = {frame(broker, 'slow')};")
    windows = 'slow.group_by_dynamic(col("event_time"), [], tumbling("10s")).agg([len().alias("n")])'
    start = (
        f'let late = {windows}.late_rows().write_kafka("{broker}", "late").checkpoint("{tmp_path}/late")'
        ".trigger(Trigger::AvailableNow).start()?;\nlate.await_termination()?;"
    )
    kernel.ok(start)
    send(broker, "slow", payments(1, first=3), partitions=1)
    kernel.ok(start)
    assert [row["amount"] for row in rows_of(kernel, broker, "late")] == ["3"]
    said = kernel.run('slow.select([col("amount")]).late_rows()')
    assert "PlanError" in said.error


@pytest.mark.usefixtures("shops")
def test_rows_can_be_counted_by_the_time_they_are_worked_on(kernel, broker):
    kernel.ok(f'let worked = {read(broker, "shops")}.select([col("amount")]).with_processing_time("worked").with_watermark("worked", "0s");')
    kernel.ok(
        'let ticks = worked.group_by_dynamic(col("worked"), [], tumbling("100ms")).agg([len().alias("n")])'
        '.memory("ticks").output_mode(OutputMode::Append).start()?;'
    )
    # The window closes as the clock goes on, though no further row comes.
    until(kernel, 'println!("{:?}", memory_table("ticks")?.column("n")?.as_materialized_series().sum::<u32>()?);', "60")
    kernel.ok("ticks.stop();")
    (row,) = table(kernel, "worked.limit(1)")
    since = datetime.now(UTC) - datetime.fromisoformat(row["worked"]).replace(tzinfo=UTC)
    assert -1 < since.total_seconds() < 120


@pytest.mark.usefixtures("shops")
def test_a_record_is_what_the_writer_says(kernel, broker):
    create(broker, "sent", partitions=1)
    kernel.ok(
        f'let sent = shops.filter(col("amount").lt(lit(2))).write_kafka("{broker}", "sent").key("shop").value("amount").csv()'
        f'.header("rule", lit("small")).header("twice", col("amount") * lit(2)).timestamp("event_time"){PLAIN}'
        ".trigger(Trigger::AvailableNow).start()?;\nsent.await_termination()?;"
    )
    first, second = records(broker, "sent", 2)
    assert (first.key, first.value, first.timestamp) == (b"shop 0", b"0", START)
    assert second.headers == [("rule", b"small"), ("twice", b"2")]


@pytest.mark.usefixtures("shops")
def test_a_key_that_leaves_the_result_has_no_value_any_more(kernel, broker):
    create(broker, "kept", partitions=1)
    kernel.ok(
        'let few = shops.group_by([col("shop")]).agg([len().alias("n")]).filter(col("n").lt_eq(lit(20)));\n'
        f'let kept = few.write_kafka("{broker}", "kept").key("shop").output_mode(OutputMode::Update){PLAIN}.start()?;'
    )
    first = records(broker, "kept", 3)
    assert {record.key for record in first} == {b"shop 0", b"shop 1", b"shop 2"} and all(record.value for record in first)
    send(broker, "shops", payments(1, first=60), partitions=1)
    gone = records(broker, "kept", 4)[3]
    assert (gone.key, gone.value) == (b"shop 0", None)
    kernel.ok("kept.stop();")


@pytest.mark.usefixtures("shops")
def test_the_plan_of_a_frame_is_a_picture(kernel):
    asked = 'shops.filter(col("amount").gt(lit(1))).group_by([col("shop")]).agg([len().alias("<b>n</b>")])'
    bundle = kernel.ok(f"{asked}.show_graph()").bundles[0]
    shown = bundle["image/svg+xml"] if "image/svg+xml" in bundle else bundle["text/html"]
    assert "<svg" in shown and "<title" in shown and "<b>" not in shown
    assert "AGGREGATE" in bundle["text/plain"] and "FILTER" in bundle["text/plain"]


@pytest.mark.usefixtures("shops")
def test_queries_over_one_topic_share_what_they_read(kernel):
    kernel.ok(
        'let one = shops.select([col("amount")]).memory("one").start()?;\n'
        'let two = shops.group_by([col("shop")]).agg([len()]).memory("two").start()?;'
    )
    until(kernel, 'println!("{}", two.status());', "3 in the result")
    bundle = kernel.ok("streams()").bundles[0]
    assert "readers" in bundle["text/html"]
    kernel.ok("one.stop();\ntwo.stop();")
