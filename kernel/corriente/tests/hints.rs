//! The columns of a topic: those of a sample, with some put right.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../engine/tests/common/log.rs"]
mod log;

use broker::{Broker, Config};
use corriente::prelude::*;

/// A topic with these records, as they are written here.
fn write(broker: &Broker, topic: &str, records: &[&str]) {
    connectors::create_topic(&broker.bootstrap(), topic, 1).unwrap();
    let rows = df!["value" => records].unwrap();
    let schema = rows.schema().clone();
    let records = StreamFrame::from_source("memory records", schema, log::open(vec![rows], usize::MAX));
    let writer = records.write_kafka(broker.bootstrap(), topic);
    writer.raw("value").trigger(Trigger::AvailableNow).start().unwrap().await_termination().unwrap();
}

#[test]
fn one_column_is_put_right_and_the_others_are_as_the_sample_says() {
    let broker = Broker::start(Config::default()).unwrap();
    write(&broker, "prices", &[r#"{"id":"a","amount":1}"#, r#"{"id":"b","amount":2}"#]);
    let sampled = read_kafka(broker.bootstrap()).topic("prices").json().unwrap();
    let money = DataType::Decimal(38, 2);
    let hints = [("amount", money.clone()), ("note", DataType::String)];
    let hinted = read_kafka(broker.bootstrap()).topic("prices").schema_hints(hints).json().unwrap();
    write(&broker, "prices", &[r#"{"id":"c","amount":2.5,"note":"n"}"#]);
    assert_eq!(sampled.schema().get("amount"), Some(&DataType::Int64));
    assert_eq!(sampled.collect().unwrap().height(), 2, "a fraction is a dead letter there");
    let schema = hinted.schema();
    let expected = [("id", DataType::String), ("amount", money), ("note", DataType::String)];
    assert_eq!(*schema, expected.map(|(name, dtype)| (PlSmallStr::from(name), dtype)).into_iter().collect());
    let rows = hinted.collect().unwrap();
    let amounts = rows.column("amount").unwrap().cast(&DataType::String).unwrap();
    assert_eq!(amounts.str().unwrap().iter().flatten().collect::<Vec<_>>(), ["1.00", "2.00", "2.50"]);
    assert_eq!(rows.column("note").unwrap().str().unwrap().iter().collect::<Vec<_>>(), [None, None, Some("n")]);

    let query = sampled.memory("prices").trigger(Trigger::AvailableNow).start().unwrap();
    query.await_termination().unwrap();
    let told = query.status().to_string();
    assert!(told.contains("1 dead letters") && told.contains("a fraction in \"amount\""), "{told}");
    assert!(told.contains(".schema_hints([(\"amount\", DataType::Decimal(38, 1))])"), "{told}");
}
