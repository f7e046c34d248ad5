//! What a reader is told of records beside the dead letters, by the source itself and by a query's status.

use std::sync::Arc;
use std::time::Duration;

use connectors::{KafkaOptions, KafkaSource};
use engine::{OpenSource, Options, Query, Sharing, Source, Trigger};
use plan::Plan;
use polars::prelude::*;

use crate::place::*;

/// A topic whose sample has one field, and the records that came after it.
fn topic() -> (String, SchemaRef) {
    let topic = topic_of("notices", &[r#"{"amount":1}"#, r#"{"amount":2}"#]);
    let schema = schema(&topic);
    assert_eq!(schema.get("amount"), Some(&DataType::Int64));
    send(&topic, &[r#"{"amount":3,"note":"x"}"#, r#"{"amount":2.25}"#, r#"{"amount":4.0,"note":"y"}"#]);
    (topic, schema)
}

fn sampled(topic: &str) -> KafkaOptions {
    KafkaOptions { sampled: true, ..options(topic) }
}

#[test]
fn a_source_tells_of_new_fields_and_of_fractions_once_each() {
    let (topic, schema) = topic();
    let mut source = KafkaSource::open(sampled(&topic), schema.clone(), None).unwrap();
    for _ in 0..2 {
        let read = read_all(&mut source, 100);
        assert_eq!((read.rows(), read.dead.len()), (4, 1), "4.0 is a whole number");
        let told = source.notices();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("2 records have a field \"note\""), "{told:?}");
        assert!(told[0].contains("partition 0 at offset 2") && told[0].contains("schema_hints"), "{told:?}");
        assert!(told[1].starts_with("1 record has a fraction in \"amount\""), "{told:?}");
        assert!(told[1].contains("offset 3") && told[1].contains("DataType::Decimal(38, 2)"), "{told:?}");
    }
    // Who names the columns leaves others out on purpose.
    let mut named = KafkaSource::open(options(&topic), schema, None).unwrap();
    read_all(&mut named, 100);
    assert!(named.notices().iter().all(|notice| !notice.contains("note")));
}

#[test]
fn a_querys_status_has_the_notices() {
    let (topic, schema) = topic();
    let plan = Plan::source(format!("kafka {topic}"), schema.clone());
    let plan = plan.group_by(&[], &[col("amount").sum()]).unwrap();
    let all = schema.clone();
    let open: OpenSource = Arc::new(move |columns: &[PlSmallStr]| {
        let columns = columns.iter().map(ToString::to_string).collect();
        Ok(Box::new(KafkaSource::open(sampled(&topic), schema.clone(), Some(columns))?) as Box<dyn Source>)
    });
    let open = Sharing::default().share("notices", all, open);
    let options = Options { trigger: Trigger::AvailableNow, ..Options::default() };
    let query = Query::start("notices", &plan, open, options).unwrap();
    assert!(query.await_termination(Duration::from_secs(30)), "{:?}", query.status());
    let status = query.status();
    assert_eq!((status.rows_read, status.dead_letters), (4, 1), "{status:?}");
    assert_eq!(status.notices.len(), 2, "{status:?}");
    assert_eq!(query.result().frame().column("amount").unwrap().i64().unwrap().get(0), Some(10));
}

#[test]
fn accounts_beyond_64_bits_stay_apart() {
    let accounts = |numbers: &[&str]| {
        let records: Vec<String> = numbers.iter().map(|number| format!("{{\"account\":{number}}}")).collect();
        let topic = topic_of("accounts", &records.iter().map(String::as_str).collect::<Vec<_>>());
        let schema = schema(&topic);
        let read = read_all(&mut open(&topic, &schema), 100);
        assert!(read.dead.is_empty(), "{:?}", read.dead);
        let rows = read.partition(0).unwrap();
        let texts = rows.column("account").unwrap().cast(&DataType::String).unwrap();
        let texts: Vec<String> = texts.str().unwrap().iter().flatten().map(str::to_owned).collect();
        assert_eq!(texts, numbers, "{:?}", schema.get("account"));
    };
    accounts(&["9223372036854775808", "9223372036854775809"]);
    accounts(&["18446744073709551616", "18446744073709551617", "-3"]);
    let (one, other) = ("1".repeat(45), format!("{}2", "1".repeat(44)));
    accounts(&[&one, &other]);
}

#[test]
fn a_time_out_of_range_is_a_dead_letter() {
    let topic = topic_of("range", &[r#"{"at":1795446245123}"#, r#"{"at":1795446245123000000}"#]);
    let schema = Schema::from_iter([("at".into(), DataType::Datetime(TimeUnit::Milliseconds, None))]).into();
    let read = read_all(&mut open(&topic, &schema), 100);
    assert_eq!(read.rows(), 1);
    let reasons: Vec<&str> = read.dead.iter().map(|dead| dead.reason.as_str()).collect();
    assert!(reasons.len() == 1 && reasons[0].starts_with("time out of range: field \"at\""), "{reasons:?}");
}
