//! The sink: each batch once, whoever writes it and however often. On the embedded broker, or on CORRIENTE_TEST_KAFKA.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use connectors::{KafkaOptions, KafkaSink, KafkaSinkOptions, RecordForm, topics};
use engine::{Sink as _, SinkError, Source as _};
use polars::prelude::*;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::place::*;

/// The sink of a query whose id is the topic's name.
fn sink(topic: &str) -> KafkaSink {
    keyed(topic, &[])
}

fn keyed(topic: &str, key: &[&str]) -> KafkaSink {
    let key = key.iter().map(|name| (*name).to_owned()).collect();
    let form = RecordForm { key, ..RecordForm::default() };
    KafkaSink::new(KafkaSinkOptions { kafka: options(topic), form, id: topic.to_owned() }).unwrap()
}

fn rows(x: &[i64]) -> DataFrame {
    df!("x" => x).unwrap()
}

/// Key and value of every record that is committed up to where the topic ends now.
fn committed(topic: &str) -> Vec<(Option<String>, String)> {
    committed_in(topic, 1).into_iter().map(|found| (found.key, found.value.unwrap())).collect()
}

fn values(topic: &str) -> Vec<String> {
    committed(topic).into_iter().map(|(_, value)| value).collect()
}

/// The error, which must come soon.
fn soon<T>(what: impl FnOnce() -> Result<T, SinkError>) -> SinkError {
    let begun = Instant::now();
    let error = what().err().expect("an error");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    error
}

#[test]
fn a_topic_that_is_not_there_is_made_and_what_is_written_is_read_with_the_same_types() {
    let topic = fresh("sunk");
    let utc = DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC));
    let ints = |values: [Option<i64>; 3]| Series::new("".into(), values);
    let rows = DataFrame::new_infer_height(vec![
        ints([Some(1_767_323_045_678), None, Some(-1)]).cast(&utc).unwrap().with_name("at".into()).into(),
        ints([Some(1_767_323_045), None, Some(-1)])
            .cast(&DataType::Datetime(TimeUnit::Microseconds, None))
            .unwrap()
            .with_name("local".into())
            .into(),
        Series::new("".into(), ["1234567890123456789012345678901234.56", "-0.05", "7.00"])
            .cast(&DataType::Decimal(38, 2))
            .unwrap()
            .with_name("amount".into())
            .into(),
        Column::new("x".into(), [Some(1.5), None, Some(-1e300)]),
        Column::new("n".into(), [i64::MIN, 0, i64::MAX]),
        Column::new("text".into(), [Some("a \"b\" \\ \n\t\u{1}\u{7f} ñ 🦀"), None, Some("")]),
        Column::new("flag".into(), [Some(true), None, Some(false)]),
    ])
    .unwrap();
    let mut sink = sink(&topic);
    sink.write(0, &rows).unwrap();
    sink.write(1, &df!("x" => [f64::NAN, f64::INFINITY]).unwrap()).unwrap();
    assert!(topics(&options(&topic)).unwrap().iter().any(|found| found.name == topic));
    let mut source = open(&topic, rows.schema());
    let (start, end) = (source.start().unwrap(), source.latest().unwrap());
    let read = source.read(&start, &end).unwrap();
    assert!(read.dead_letters.is_empty(), "{:?}", read.dead_letters);
    let mut all = DataFrame::empty_with_schema(rows.schema());
    for part in &read.parts {
        all.vstack_mut(&part.rows).unwrap();
    }
    // The partitions' order is not the rows'.
    let sorted = |rows: &DataFrame| rows.sort(["n"], SortMultipleOptions::default()).unwrap();
    let first = all.filter(all.column("n").unwrap().as_materialized_series().is_not_null().as_ref()).unwrap();
    assert!(sorted(&first).equals_missing(&sorted(&rows)), "{first} instead of {rows}");
    let second = all.filter(all.column("n").unwrap().as_materialized_series().is_null().as_ref()).unwrap();
    assert_eq!((second.height(), second.column("x").unwrap().null_count()), (2, 2), "no number is null");
}

#[test]
fn a_new_sink_knows_the_newest_batch_and_does_not_write_it_again() {
    let topic = single("reached");
    let mut first = sink(&topic);
    assert_eq!(first.reached().unwrap(), None);
    for batch in 0..3 {
        first.write(batch, &rows(&[batch as i64])).unwrap();
    }
    first.write(2, &rows(&[2])).unwrap();
    assert_eq!(first.reached().unwrap(), Some(2));
    drop(first);
    let mut second = sink(&topic);
    assert_eq!(second.reached().unwrap(), Some(2));
    second.write(2, &rows(&[2])).unwrap();
    second.write(3, &rows(&[3])).unwrap();
    drop(second);
    // Without having been asked, a sink knows it as well.
    sink(&topic).write(3, &rows(&[3])).unwrap();
    assert_eq!(values(&topic), ["{\"x\":0}", "{\"x\":1}", "{\"x\":2}", "{\"x\":3}"]);
}

#[test]
fn a_batch_without_rows_is_marked_too() {
    let topic = single("empty");
    let mut first = sink(&topic);
    first.write(7, &rows(&[])).unwrap();
    first.write(8, &DataFrame::empty()).unwrap();
    drop(first);
    assert_eq!(sink(&topic).reached().unwrap(), Some(8));
    assert!(values(&topic).is_empty());
}

#[test]
fn of_a_batch_that_fails_nothing_is_read_and_it_can_be_written_later() {
    let topic = single("aborted");
    let mut sink = sink(&topic);
    sink.write(0, &df!("x" => ["before"]).unwrap()).unwrap();
    // More than the 1 MB that a record may have, after so many that some have been sent.
    let mut texts = vec!["no".repeat(500); 5_000];
    texts.push("large".repeat(1 << 20));
    let error = soon(|| sink.write(1, &df!("x" => texts).unwrap()));
    assert_eq!(error.fact, format!("the topic \"{topic}\" cannot be written"));
    assert_eq!(error.detail, "a row is larger than a record may be");
    assert!(!error.retry);
    assert_eq!(values(&topic), ["{\"x\":\"before\"}"]);
    assert_eq!(sink.reached().unwrap(), Some(0));
    sink.write(1, &df!("x" => ["after"]).unwrap()).unwrap();
    assert_eq!(values(&topic), ["{\"x\":\"before\"}", "{\"x\":\"after\"}"]);
}

#[test]
fn a_second_sink_with_the_id_takes_over_and_the_first_is_told() {
    let topic = single("fenced");
    let (mut first, mut second) = (sink(&topic), sink(&topic));
    first.write(0, &rows(&[0])).unwrap();
    assert_eq!(second.reached().unwrap(), Some(0));
    // Twice: the first does not take it back.
    for _ in 0..2 {
        for error in [soon(|| first.write(1, &rows(&[-1]))), soon(|| first.reached())] {
            assert_eq!(error.fact, format!("another query with the id \"{topic}\" has taken over"));
            assert!(error.hint.contains("another id") && !error.retry, "{error}");
        }
    }
    second.write(1, &rows(&[1])).unwrap();
    assert_eq!(values(&topic), ["{\"x\":0}", "{\"x\":1}"]);
    let mut third = sink(&topic);
    assert_eq!(third.reached().unwrap(), Some(1));
    assert!(soon(|| second.write(2, &rows(&[]))).fact.contains("has taken over"), "without rows it is told as well");
}

#[test]
fn sinks_with_other_ids_write_to_one_topic() {
    let topic = single("shared");
    let other = KafkaSinkOptions { kafka: options(&topic), id: format!("{topic}-other"), ..Default::default() };
    let (mut one, mut other) = (sink(&topic), KafkaSink::new(other).unwrap());
    for batch in 0..3 {
        one.write(batch, &rows(&[1])).unwrap();
        other.write(batch, &rows(&[2])).unwrap();
    }
    assert_eq!(values(&topic).len(), 6);
    assert_eq!((one.reached().unwrap(), other.reached().unwrap()), (Some(2), Some(2)));
}

#[test]
fn keys_are_those_of_the_columns_that_were_named() {
    let rows = df!("a" => [Some("u\"1"), None], "b" => [1i64, 2]).unwrap();
    let keys = |key: &[&str]| {
        let topic = single("keys");
        keyed(&topic, key).write(0, &rows).unwrap();
        committed(&topic).into_iter().map(|(key, _)| key).collect::<Vec<_>>()
    };
    assert_eq!(keys(&[]), [None, None]);
    assert_eq!(keys(&["a"]), [Some("u\"1".to_owned()), None]);
    assert_eq!(keys(&["b"]), [Some("1".to_owned()), Some("2".to_owned())]);
    let several = [r#"{"a":"u\"1","b":1}"#, r#"{"a":null,"b":2}"#];
    assert_eq!(keys(&["a", "b"]), several.map(|key| Some(key.to_owned())));
    let error = soon(|| keyed(&fresh("keys"), &["c"]).write(0, &rows));
    assert_eq!(error.detail, "the result has no column \"c\"; it has \"a\", \"b\"");
}

#[test]
fn a_batch_larger_than_the_queue_is_one_transaction() {
    let topic = single("large");
    let x: Vec<i64> = (0..300_000).collect();
    let mut sink = sink(&topic);
    let begun = Instant::now();
    sink.write(0, &rows(&x)).unwrap();
    eprintln!("{:.0} rows/s written", x.len() as f64 / begun.elapsed().as_secs_f64());
    let found = values(&topic);
    assert_eq!(found.len(), x.len());
    assert!(found.iter().zip(&x).all(|(found, x)| *found == format!("{{\"x\":{x}}}")), "in order");
}

#[test]
fn a_bad_address_is_told_at_once_and_an_absent_broker_soon() {
    let at = |bootstrap: &str| {
        let kafka = KafkaOptions { bootstrap: bootstrap.to_owned(), ..options("t") };
        KafkaSink::new(KafkaSinkOptions { kafka, id: "q".to_owned(), ..Default::default() })
    };
    for bad in ["", "localhost", "kafka://localhost:9092"] {
        assert_eq!(soon(|| at(bad)).fact, format!("\"{bad}\" is no Kafka address"));
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut sink = at(&nobody).unwrap();
    for error in [soon(|| sink.reached()), soon(|| sink.write(0, &rows(&[1])))] {
        assert_eq!(error.fact, format!("there is no Kafka broker at {nobody}"));
        assert!(error.retry);
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let error = soon(|| at(&address).unwrap().reached());
    assert!(error.retry && error.to_string().contains(&address), "{error}");
}

#[test]
fn a_name_that_is_no_topics_is_refused_and_a_query_needs_an_id() {
    let error = soon(|| keyed("no topic", &[]).reached());
    assert!(error.fact.contains("the topic \"no topic\"") && !error.retry, "{error}");
    let nameless = KafkaSinkOptions { kafka: options("t"), ..Default::default() };
    assert_eq!(soon(|| KafkaSink::new(nameless)).detail, "the query has no id");
}

#[test]
fn a_secret_is_in_no_error() {
    let topic = single("secret");
    let with = |settings: &[(&str, &str)]| {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let options = KafkaSinkOptions {
            kafka: KafkaOptions { settings, ..options(&topic) },
            id: topic.clone(),
            ..Default::default()
        };
        assert!(!format!("{options:?}").contains("hunter2"));
        KafkaSink::new(options)
    };
    let mut errors = vec![soon(|| with(&[("transactional.id", "mine"), ("sasl.password", "hunter2")]))];
    assert_eq!(errors[0].fact, "the option \"transactional.id\" cannot be set");
    for settings in [
        &[("no.such.password", "hunter2")][..],
        &[("security.protocol", "none"), ("sasl.password", "hunter2")],
        // The broker speaks no SASL.
        &[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "u-hunter2"),
            ("sasl.password", "hunter2"),
        ],
    ] {
        errors.push(soon(|| with(settings).unwrap().reached()));
        errors.push(soon(|| with(settings).unwrap().write(0, &rows(&[1]))));
    }
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
    }
}

#[test]
fn a_mark_that_is_not_the_sinks_own_is_told() {
    let topic = single("foreign");
    let group: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap())
        .set("group.id", format!("corriente-{topic}"))
        .create()
        .unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&topic, 0, Offset::Offset(5)).unwrap();
    group.commit(&offsets, rdkafka::consumer::CommitMode::Sync).unwrap();
    let error = soon(|| sink(&topic).reached());
    assert!(error.detail.contains("has committed the offset 5") && !error.retry, "{error}");
}
