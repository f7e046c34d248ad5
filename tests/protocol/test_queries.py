"""Queries that a notebook starts: where their rows go, what their handles say, and that a restart goes on where they were."""

import csv
import json
from datetime import UTC, datetime

import pytest
from test_streams import produce, read, send


def payments(count, first=0):
    """One a second, each of three shops."""
    times = range(first, first + count)
    return [json.dumps({"shop": f"shop {n % 3}", "amount": n, "event_time": 1_700_000_000_000 + n * 1000}).encode() for n in times]


def frame(broker, topic):
    cast = 'with_columns([col("event_time").cast(DataType::Datetime(TimeUnit::Milliseconds, None))])'
    return f'{read(broker, topic)}.{cast}.with_watermark("event_time", "5s")'


WINDOWS = 'group_by_dynamic(col("event_time"), [col("shop")], tumbling("10s")).agg([len().alias("n"), col("amount").sum().alias("total")])'


@pytest.fixture(scope="module")
def few(broker):
    """A frame of three payments, as a cell writes it."""
    produce(broker, "few", payments(3))
    return frame(broker, "few")


def expected(count):
    """The windows of ten seconds that the watermark has closed after `count` payments."""
    windows = {}
    for n in range(count):
        key = (f"shop {n % 3}", n // 10 * 10)
        rows, total = windows.get(key, (0, 0))
        windows[key] = (rows + 1, total + n)
    newest = count - 1 - 5
    return {key: value for key, value in windows.items() if key[1] + 10 <= newest}


def rows_of(kernel, broker, topic):
    """The records of a topic that are committed, as our own reader has them."""
    kernel.ok(f"let mut back = {read(broker, topic)}.collect()?;\nlet mut text = Vec::new();\nCsvWriter::new(&mut text).finish(&mut back)?;")
    return list(csv.DictReader(kernel.ok("print!(\"{}\", String::from_utf8(text.clone())?);").stdout.splitlines()))


def test_final_windows_reach_a_topic_once_and_a_restart_goes_on(kernel, broker, tmp_path):
    produce(broker, "sales", payments(60), partitions=1)
    kernel.ok(f"let sales = {frame(broker, 'sales')};")
    start = (
        f'let totals = sales.{WINDOWS}.write_kafka("{broker}", "totals").key("shop")'
        f'.checkpoint("{tmp_path}/totals").trigger(Trigger::AvailableNow).start()?;\ntotals.await_termination()?;'
    )
    kernel.ok(start)
    send(broker, "sales", payments(40, first=60), partitions=1)
    kernel.ok(start)
    kernel.ok(start)
    windows = expected(100)
    found = rows_of(kernel, broker, "totals")
    second = lambda text: int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) - 1_700_000_000  # noqa: E731
    rows = {(row["shop"], second(row["event_time"])): (int(row["n"]), int(row["total"])) for row in found}
    assert len(found) == len(rows), "no window twice"
    assert rows == windows


def test_a_query_says_where_it_is(kernel, broker):
    produce(broker, "told", payments(30), partitions=1)
    kernel.ok(f"let told = {frame(broker, 'told')};")
    kernel.ok('let counted = told.group_by([col("shop")]).agg([len().alias("n")]).memory("counted").trigger(Trigger::AvailableNow).start()?;')
    kernel.ok("counted.await_termination()?;")
    assert "ended, 30 rows read, 3 in the result" in kernel.ok("counted.status()").plain
    assert "input_rows: 30" in kernel.ok("counted.last_progress()").plain
    assert kernel.ok("counted.exception().is_none() && !counted.is_active()").plain == "true"
    assert "AGGREGATE" in kernel.ok('println!("{}", counted.explain())').stdout
    assert kernel.ok('memory_table("counted")?.sort(["shop"], Default::default())?').plain.count("10") >= 3
    shown = kernel.ok("streams()").bundles[0]
    assert "application/vnd.corriente.live+json" in shown and "counted" in shown["text/plain"]
    said = kernel.run('memory_table("nothing")?')
    assert 'no query is called "nothing"' in said.error and "counted" in said.error


def test_a_function_sees_every_batch_and_its_panic_ends_its_query_only(kernel, broker):
    produce(broker, "seen", payments(20), partitions=1)
    kernel.ok(f"let seen = {frame(broker, 'seen')};")
    kernel.ok(
        "use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};\nlet rows = Arc::new(AtomicUsize::new(0));\nlet adds = rows.clone();\n"
        "let adding = seen.foreach_batch(move |batch, _| { adds.fetch_add(batch.height(), Ordering::SeqCst); Ok(()) }).trigger(Trigger::AvailableNow).start()?;\n"
        "adding.await_termination()?;"
    )
    assert kernel.ok("rows.load(Ordering::SeqCst)").plain == "20"
    kernel.ok('let falling = seen.foreach_batch(|_, n| panic!("batch {n} is too much")).start()?;')
    said = kernel.run("falling.await_termination()?;")
    assert "the function of foreach_batch failed in batch 0" in said.error and "batch 0 is too much" in said.error
    assert kernel.ok("1 + 1").plain == "2"


def test_rows_reach_parquet_files(kernel, broker, tmp_path):
    produce(broker, "kept", payments(25), partitions=2)
    kernel.ok(f"let kept = {frame(broker, 'kept')};")
    kernel.ok(f'let to_files = kept.write_parquet("{tmp_path}/files").checkpoint("{tmp_path}/cp").trigger(Trigger::AvailableNow).start()?;\nto_files.await_termination()?;')
    files = f'LazyFrame::scan_parquet(PlRefPath::new("{tmp_path}/files/*.parquet"), Default::default())?'
    assert kernel.ok(f'{files}.select([col("amount").sum()]).collect()?').plain.count(str(sum(range(25)))) == 1


def test_streams_are_united_and_joined(kernel, broker):
    produce(broker, "shops", payments(30), partitions=1)
    produce(broker, "online", payments(20, first=10), partitions=1)
    kernel.ok(f"let shops = {frame(broker, 'shops')};\nlet online = {frame(broker, 'online')};")
    bare = '.with_columns([col("event_time").cast(DataType::Datetime(TimeUnit::Milliseconds, None))])'
    kernel.ok(f"let all = {read(broker, 'shops')}.union([&{read(broker, 'online')}]){bare};")
    assert kernel.ok("all.collect()?.height()").plain == "50"
    joined = 'shops.join_stream(&online, [col("shop")], [col("shop")], JoinType::Inner, within("event_time", "event_time", "0ms".replace("0", "1")))'
    kernel.ok(f"let pairs = {joined}.collect()?;")
    assert kernel.ok("pairs.height()").plain == "20"
    assert kernel.ok('println!("{:?}", pairs.get_column_names());').stdout.strip() == '["shop", "amount", "event_time", "amount_right", "event_time_right"]'
    said = kernel.run("shops.union([&online])")
    assert "union: a frame has a watermark already" in said.error


def test_sql_gives_the_frame_that_the_words_give(kernel, broker):
    produce(broker, "asked", payments(60), partitions=1)
    kernel.ok(f'let asked = {frame(broker, "asked")};\nregister("asked", &asked);')
    kernel.ok("let by_sql = sql(\"SELECT shop, tumbling(event_time, '10s') AS start, COUNT(*) AS n FROM asked GROUP BY shop, start\")?;")
    words = 'asked.group_by_dynamic(col("event_time"), [col("shop")], tumbling("10s")).agg([len().alias("n")]).rename(["event_time"], ["start"])'
    assert kernel.ok(f"by_sql.explain() == {words}.explain()").plain == "true"
    assert kernel.ok('by_sql.collect()?.column("n")?.u32()?.sum()').plain == "Some(60)"
    kernel.ok('register("owners", &df!["shop" => ["shop 0", "shop 1"], "owner" => ["Ada", "Ben"]]?);')
    kernel.ok('let owned = asked.sql("SELECT o.owner, COUNT(*) AS n FROM self s JOIN owners o ON s.shop = o.shop GROUP BY o.owner ORDER BY o.owner LIMIT 5")?;')
    assert kernel.ok("owned.collect()?.height()").plain == "2"
    for query, word in [
        ("SELECT * FROM askd", 'did you mean "asked"'),
        ("SELECT * FROM asked ORDER BY amount", "LIMIT 10"),
        ("SELECT shop, SUM(amount) FROM asked", "GROUP BY"),
        ("SELEC * FROM asked", "sql: "),
    ]:
        said = kernel.run(f'sql("{query}")?')
        assert said.reply["status"] == "error" and word in said.error, f"{query}:\n{said.error}"
    said = kernel.run('register("number", &7)')
    assert "cannot be registered for SQL" in said.error and "a stream or a DataFrame is wanted here" in said.error


def test_a_function_sees_every_row_and_names_the_one_it_fails_on(kernel, broker):
    produce(broker, "each", payments(20), partitions=1)
    kernel.ok(f"let each = {frame(broker, 'each')};")
    kernel.ok('let twice = each.map_rows(["twice", "what"], |row| Ok((row.get::<i64>("amount")? * 2, row.get::<String>("shop")?)));')
    assert kernel.ok('twice.collect()?.column("twice")?.i64()?.sum()').plain == "Some(380)"
    fails = 'each.map_rows(["same"], |row| { let n = row.get::<i64>("amount")?; assert!(n != 7, "seven is too much"); Ok(n) })'
    said = kernel.run(f"{fails}.collect()?")
    assert "map_rows panicked: seven is too much" in said.error and "amount: 7" in said.error, said.error
    kernel.ok(f'let falls = {fails}.memory("falls").start()?;')
    said = kernel.run("falls.await_termination()?;")
    assert "map_rows panicked: seven is too much" in said.error and 'shop: "shop 1", amount: 7' in said.error, said.error
    said = kernel.run('each.map_rows(["when"], |row| Ok(std::time::Instant::now()))')
    assert "a number, bool, String or &str" in said.error, said.error


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (f"{WINDOWS}.write_kafka(\"127.0.0.1:1\", \"t\").key(\"nothing\")", ['cannot have the key "nothing"', '"shop", "event_time", "n", "total"']),
        (f"{WINDOWS}.write_kafka(\"127.0.0.1:1\", \"t\").timestamp(\"n\")", ['the time "n"', "it is no time"]),
        (f"{WINDOWS}.write_kafka(\"127.0.0.1:1\", \"t\").header(\"h\", col(\"n\").sum())", ['the header "h"', "needs more than one row"]),
        (f"{WINDOWS}.write_kafka(\"127.0.0.1:1\", \"t\").raw(\"shop\").csv()", ['.raw("shop") and .csv() are both there']),
        (f"{WINDOWS}.write_kafka(\"127.0.0.1:1\", \"t\").json_key()", ["no key", ".key("]),
        (f"{WINDOWS}.write_parquet(\"/tmp/never\").key(\"shop\")", [".key(…) is for records in Kafka", ".write_kafka(…)"]),
        ('write_parquet("/tmp/never").output_mode(OutputMode::Complete)', ["output mode Complete does not go with this query", "OutputMode::Append"]),
        ('group_by([col("shop")]).agg([len()]).write_parquet("/tmp/never").output_mode(OutputMode::Append)', ["no row of them is final", "OutputMode::Update"]),
        ('write_kafka("nobody", "topic")', ["host:port"]),
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_is_refused_when_it_is_started(kernel, few, query, words):
    said = kernel.run(f"{few}.{query}.start()?")
    missing = [word for word in words if word not in said.error]
    assert not missing, f"{missing} not in:\n{said.error}"


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ('unique(Some(&["nothing"]))', ['unique: there is no column "nothing"']),
        ('group_by([col("shop")]).agg([len()]).limit(3)', ["limit: the rows of an aggregation change", "collect()"]),
        ('group_by_dynamic(col("event_time"), [], hopping("1s", "10s")).agg([len()])', ["hopping", "shorter than the step"]),
        ('group_by_dynamic(col("event_time"), [], session("soon")).agg([len()])', ['"soon" is not a duration']),
        ('with_columns([col("amount").sum().over([col("shop")])?])', ["needs more than one row"]),
        ('rename(["amount"], ["shop"])', ["rename", "shop"]),
    ],
)
def test_a_frame_that_cannot_be_streamed_is_refused_when_it_is_made(kernel, few, use, words):
    said = kernel.run(f"{few}.{use}")
    missing = [word for word in words if word not in said.error]
    assert said.reply["status"] == "error" and not missing, f"{missing} not in:\n{said.error}"
