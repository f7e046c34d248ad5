//! What records are made of: keys, values, headers, times and partitions; and what is written of a row that left. On the
//! embedded broker, or on CORRIENTE_TEST_KAFKA.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connectors::{KafkaSink, KafkaSinkOptions, KafkaSource, RecordForm, ValueForm, create_topic};
use engine::{BatchStep, Crash, OpenSource, Options, OutputMode, Query, QueryOutput, Sink as _, Source, Trigger};
use plan::{Plan, session};
use polars::prelude::*;

use crate::place::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn sink(topic: &str, form: RecordForm) -> KafkaSink {
    KafkaSink::new(KafkaSinkOptions { kafka: options(topic), form, id: topic.to_owned() }).unwrap()
}

/// Key and value of every record of a topic with one partition, as `key=value`; `-` for what is not there.
fn pairs(topic: &str) -> Vec<String> {
    let part = |part: Option<String>| part.unwrap_or_else(|| "-".to_owned());
    committed_in(topic, 1).into_iter().map(|found| format!("{}={}", part(found.key), part(found.value))).collect()
}

fn moments(name: &str, ms: &[Option<i64>]) -> Column {
    let column = Series::new(name.into(), ms).cast(&DataType::Datetime(TimeUnit::Milliseconds, None));
    column.unwrap().into()
}

#[test]
fn a_record_has_the_headers_the_time_and_the_partition_of_its_row() {
    let topic = fresh("made");
    assert!(create_topic(&bootstrap(), &topic, 3).unwrap());
    let mut rows = df!("k" => ["a", "b", "c"], "n" => [Some(1.5), None, Some(-2.0)], "p" => [2i64, 0, 1]).unwrap();
    rows.with_column(moments("at", &[Some(START_MS), None, Some(START_MS + 1)])).unwrap();
    let form = RecordForm {
        key: names(&["k"]),
        json_key: true,
        value: ValueForm::Csv(names(&["k", "n", "at"])),
        headers: vec![("n".to_owned(), col("n")), ("by".to_owned(), lit("us")), ("at".to_owned(), col("at"))],
        timestamp: Some("at".to_owned()),
        partition: Some("p".to_owned()),
    };
    sink(&topic, form).write(0, &rows).unwrap();
    let mut found = committed_in(&topic, 3);
    found.sort_by(|a, b| a.key.cmp(&b.key));
    let keys: Vec<&str> = found.iter().filter_map(|found| found.key.as_deref()).collect();
    assert_eq!(keys, [r#"{"k":"a"}"#, r#"{"k":"b"}"#, r#"{"k":"c"}"#]);
    let values: Vec<&str> = found.iter().filter_map(|found| found.value.as_deref()).collect();
    assert_eq!(values, ["a,1.5,2026-11-23T15:00:00.000Z", "b,,", "c,-2.0,2026-11-23T15:00:00.001Z"]);
    assert_eq!(found.iter().map(|found| found.partition).collect::<Vec<_>>(), [2, 0, 1]);
    let header = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
    let at = Some("2026-11-23T15:00:00.000Z");
    assert_eq!(found[0].headers, [header("n", Some("1.5")), header("by", Some("us")), header("at", at)]);
    assert_eq!(found[1].headers, [header("n", None), header("by", Some("us")), header("at", None)]);
    assert_eq!([found[0].timestamp_ms, found[2].timestamp_ms], [Some(START_MS), Some(START_MS + 1)]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!((now - found[1].timestamp_ms.unwrap()).abs() < 60_000, "without a time it is the time of writing");
}

#[test]
fn a_raw_value_is_as_it_is_and_a_null_is_a_record_without_a_value() {
    let topic = single("raw");
    let rows = df!("k" => [Some("a"), Some("b"), None], "v" => [Some("{not json}"), None, Some("")]).unwrap();
    let form = RecordForm { key: names(&["k"]), value: ValueForm::Raw("v".to_owned()), ..RecordForm::default() };
    sink(&topic, form).write(0, &rows).unwrap();
    assert_eq!(pairs(&topic), ["a={not json}", "b=-", "-="]);
}

#[test]
fn the_partitioner_of_javas_clients_can_be_had_as_an_option() {
    let topic = fresh("murmur");
    assert!(create_topic(&bootstrap(), &topic, 4).unwrap());
    let mut kafka = options(&topic);
    kafka.settings.insert("partitioner".to_owned(), "murmur2_random".to_owned());
    let form = RecordForm { key: names(&["k"]), ..RecordForm::default() };
    let mut sink = KafkaSink::new(KafkaSinkOptions { kafka, form, id: topic.clone() }).unwrap();
    sink.write(0, &df!("k" => ["a", "b", "c", "21", "foobar"]).unwrap()).unwrap();
    let mut found: Vec<(Option<String>, i32)> =
        committed_in(&topic, 4).into_iter().map(|found| (found.key, found.partition)).collect();
    found.sort();
    // What org.apache.kafka.common.utils.Utils.murmur2 gives for these keys, without its sign, modulo 4.
    let expect = [("21", 0), ("a", 0), ("b", 0), ("c", 2), ("foobar", 2)];
    assert_eq!(found, expect.map(|(key, partition)| (Some(key.to_owned()), partition)));
}

#[test]
fn a_partition_that_is_not_there_is_told_and_the_batch_can_be_written_later() {
    let topic = single("beyond");
    let form = RecordForm { partition: Some("p".to_owned()), ..RecordForm::default() };
    let mut sink = sink(&topic, form);
    for wrong in [1i64, -1] {
        let error = sink.write(0, &df!("p" => [0, wrong]).unwrap()).unwrap_err();
        assert_eq!(error.fact, format!("a row is to go into partition {wrong} of the topic \"{topic}\""));
        assert!(error.detail.contains("1 partitions") && !error.retry, "{error}");
    }
    sink.write(0, &df!("p" => [Some(0i64), None]).unwrap()).unwrap();
    assert_eq!(pairs(&topic), ["-={\"p\":0}", "-={\"p\":null}"]);
}

#[test]
fn rows_that_left_are_keys_without_values_in_the_same_transaction() {
    let topic = single("left");
    let form = RecordForm {
        key: names(&["k"]),
        headers: vec![("n".to_owned(), col("n"))],
        partition: Some("p".to_owned()),
        ..RecordForm::default()
    };
    let mut sink = sink(&topic, form);
    assert_eq!(sink.keys(), ["k", "p"]);
    let rows = df!("k" => ["a"], "n" => [1i64], "p" => [0i32]).unwrap();
    let gone = df!("k" => [Some("b"), None], "p" => [0i32, 0]).unwrap();
    for batch in [0, 0] {
        sink.write_changes(batch, &rows, &gone).unwrap();
    }
    sink.write_changes(1, &rows.clear(), &gone).unwrap();
    let expect = ["a={\"k\":\"a\",\"n\":1,\"p\":0}", "b=-", "b=-"];
    assert_eq!(pairs(&topic), expect);
    assert!(committed_in(&topic, 1).iter().skip(1).all(|found| found.headers.is_empty()));
    let far = df!("k" => ["b"], "p" => [9i32]).unwrap();
    assert!(sink.write_changes(2, &rows, &far).unwrap_err().fact.contains("partition 9"));
}

fn input() -> SchemaRef {
    let fields = [
        Field::new("k".into(), DataType::String),
        Field::new("n".into(), DataType::Int64),
        Field::new("at".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
    ];
    Arc::new(Schema::from_iter(fields))
}

/// Runs a query to the end of `from`, with its rows in `to` by `key`; gives its exception.
fn run(plan: &Plan, from: &str, (to, key): (&str, &str), folder: &Path, crash: Option<Crash>) -> Option<String> {
    let source = from.to_owned();
    let open: OpenSource = Arc::new(move |columns| {
        let columns = columns.iter().map(ToString::to_string).collect();
        Ok(Box::new(KafkaSource::open(options(&source), input(), Some(columns))?) as Box<dyn Source>)
    });
    let output = QueryOutput {
        sink: Box::new(sink(to, RecordForm { key: names(&[key]), ..RecordForm::default() })),
        mode: OutputMode::Update,
        checkpoint: Some(folder.to_owned()),
        use_newest_good_state: false,
    };
    let options = Options { trigger: Trigger::AvailableNow, crash, ..Options::default() };
    let query = Query::write("test", plan, open, options, output).unwrap();
    assert!(query.await_termination(Duration::from_secs(60)), "{:?}", query.status());
    query.exception()
}

#[test]
fn a_group_that_no_longer_passes_leaves_a_key_without_a_value_once_whatever_crashes() {
    let plan = Plan::source("kafka rows", input()).group_by(&[col("k")], &[col("n").sum()]).unwrap();
    let plan = plan.filter(col("n").gt(lit(0))).unwrap();
    let steps = [
        None,
        Some(BatchStep::Planned),
        Some(BatchStep::Ran),
        Some(BatchStep::Written),
        Some(BatchStep::Saved),
        Some(BatchStep::Committed),
    ];
    for step in steps {
        let (from, to, folder) = (single("groups"), single("positive"), tempfile::tempdir().unwrap());
        send(&from, &[r#"{"k":"a","n":1}"#, r#"{"k":"b","n":2}"#, r#"{"k":"c","n":-1}"#]);
        assert_eq!(run(&plan, &from, (&to, "k"), folder.path(), None), None);
        send(&from, &[r#"{"k":"a","n":-1}"#, r#"{"k":"b","n":1}"#]);
        if let Some(step) = step {
            let crash: Crash = Arc::new(move |_, after| after == step);
            assert!(run(&plan, &from, (&to, "k"), folder.path(), Some(crash)).is_some(), "{step:?}");
        }
        assert_eq!(run(&plan, &from, (&to, "k"), folder.path(), None), None);
        send(&from, &[r#"{"k":"c","n":-1}"#, r#"{"k":"a","n":5}"#]);
        assert_eq!(run(&plan, &from, (&to, "k"), folder.path(), None), None);
        let mut found = pairs(&to);
        // How rows that came at once were cut into batches decides which comes first.
        found[..2].sort();
        found[2..4].sort();
        let expect = ["a={\"k\":\"a\",\"n\":1}", "b={\"k\":\"b\",\"n\":2}", "a=-", "b={\"k\":\"b\",\"n\":3}"];
        assert_eq!(found[..4], expect, "{step:?}");
        assert_eq!(found[4..], ["a={\"k\":\"a\",\"n\":5}"], "{step:?}: what never was there does not leave");
    }
}

#[test]
fn a_session_that_became_part_of_another_leaves_its_key_to_it() {
    let marked = Plan::source("kafka rows", input()).with_watermark("at", "1h").unwrap();
    let sessions = marked.group_by_dynamic(&col("at"), &[col("k")], &session("10s"), &[col("n").sum()]).unwrap();
    // The key is the session's start: what two rows of the same key would be is another session.
    let plan = sessions.select(&[col("at").alias("k"), col("n")]).unwrap();
    let (from, to, folder) = (single("sessions"), single("starts"), tempfile::tempdir().unwrap());
    send(&from, &[r#"{"k":"a","n":1,"at":"2026-01-01T00:00:00Z"}"#, r#"{"k":"a","n":2,"at":"2026-01-01T00:00:15Z"}"#]);
    assert_eq!(run(&plan, &from, (&to, "k"), folder.path(), None), None);
    send(&from, &[r#"{"k":"a","n":4,"at":"2026-01-01T00:00:08Z"}"#]);
    assert_eq!(run(&plan, &from, (&to, "k"), folder.path(), None), None);
    let (first, second) = ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:15.000Z");
    let value = |at: &str, n: i64| format!("{at}={{\"k\":\"{at}\",\"n\":{n}}}");
    assert_eq!(pairs(&to), [value(first, 1), value(second, 2), value(first, 7), format!("{second}=-")]);
}

#[test]
fn another_key_after_a_restart_is_refused() {
    let plan = Plan::source("kafka rows", input()).group_by(&[col("k")], &[col("n").sum()]).unwrap();
    let plan = plan.filter(col("n").gt(lit(0))).unwrap();
    let plan = plan.select(&[col("k").alias("x"), col("n").alias("k")]).unwrap();
    let (from, to, folder) = (single("renamed"), single("others"), tempfile::tempdir().unwrap());
    send(&from, &[r#"{"k":"a","n":1}"#]);
    assert_eq!(run(&plan, &from, (&to, "k"), folder.path(), None), None);
    let refused = run(&plan, &from, (&to, "x"), folder.path(), None).unwrap();
    assert!(refused.contains("knows rows by k, and the sink by x"), "{refused}");
}
