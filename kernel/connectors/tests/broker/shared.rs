//! A topic that several read together, and of which rows are left out: each reads what a source of its own gives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::KafkaSource;
use engine::{Offsets, OpenSource, Options, Query, RowFilter, Sharing, Source, SourceBatch, TopicPartition};
use plan::{Plan, tumbling};
use polars::prelude::*;

use crate::place::{bank_topic, open, options, schema, send, topic_of};

fn way(topic: &str, schema: &SchemaRef) -> OpenSource {
    let (topic, schema) = (topic.to_owned(), schema.clone());
    Arc::new(move |columns| {
        let columns = columns.iter().map(ToString::to_string).collect();
        Ok(Box::new(KafkaSource::open(options(&topic), schema.clone(), Some(columns))?) as Box<dyn Source>)
    })
}

fn names(columns: &[&str]) -> Vec<PlSmallStr> {
    columns.iter().map(|name| PlSmallStr::from_str(name)).collect()
}

fn facts(batch: &SourceBatch) -> Vec<(TopicPartition, DataFrame, Option<i64>)> {
    let part = |part: &engine::PartitionRows| {
        let mut rows = part.rows.clone();
        rows.rechunk_mut();
        (part.partition.clone(), rows, part.newest_ms)
    };
    batch.parts.iter().map(part).collect()
}

#[test]
fn readers_of_one_topic_get_what_sources_of_their_own_give() {
    let (topic, _) = bank_topic("shared", 30_000);
    let schema = schema(&topic);
    let shared = Sharing::default().share(&topic, schema.clone(), way(&topic, &schema));
    let wanted = [names(&["category", "amount"]), names(&["amount", "event_time", "status"]), names(&[])];
    let mut readers: Vec<_> = wanted
        .iter()
        .map(|columns| {
            let (mut source, plain) = (shared(columns).unwrap(), way(&topic, &schema)(columns).unwrap());
            let start = source.start().unwrap();
            (source, plain, start)
        })
        .collect();
    let end = readers[0].0.latest().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    // Each at its own speed.
    let mut turn = 0;
    while readers.iter().any(|(_, _, from)| from.distance_to(&end) > 0) {
        assert!(Instant::now() < deadline, "the readers are at {:?}", readers.iter().map(|r| &r.2).collect::<Vec<_>>());
        turn += 1;
        for (number, (source, plain, from)) in readers.iter_mut().enumerate() {
            if turn % (number + 1) != 0 {
                continue;
            }
            let to = source.available(from, 700 * (number + 1), Duration::from_millis(20)).unwrap().up_to(from, &end);
            let (batch, expected) = (source.read(from, &to).unwrap(), plain.read(from, &to).unwrap());
            assert_eq!(facts(&batch), facts(&expected), "{from:?} to {to:?}");
            assert_eq!(batch.dead_letters, expected.dead_letters);
            *from = to;
        }
    }
}

#[test]
fn rows_that_are_not_needed_are_left_out_and_counted_and_dead_letters_stay() {
    let lines = [
        r#"{"n":1,"t":1000,"s":"yes"}"#,
        r#"{"n":2,"t":5000,"s":"no"}"#,
        "no JSON",
        r#"{"n":"wrong","t":1,"s":"no"}"#,
        r#"{"n":3,"t":3000,"s":"yes"}"#,
        r#"{"n":-4,"t":9000,"s":"no"}"#,
    ];
    let topic = topic_of("leftout", &lines);
    let field = |(name, dtype): (&str, DataType)| Field::new(name.into(), dtype);
    let time = DataType::Datetime(TimeUnit::Milliseconds, None);
    let fields = [("n", DataType::Int64), ("t", time), ("s", DataType::String)];
    let schema: SchemaRef = Arc::new(Schema::from_iter(fields.map(field)));
    let mut source = open(&topic, &schema);
    let (passes, needed) = (vec![col("n").gt(lit(0))], vec![col("s").eq(lit("yes"))]);
    source.filter(&RowFilter { passes, needed, time: Some("t".into()) });
    let end = Offsets::from([(0, 6)]);
    let batch = source.read(&Offsets::from([(0, 0)]), &end).unwrap();
    let rows = &batch.parts[0].rows;
    assert_eq!(rows.column("n").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>(), [1, 3]);
    assert_eq!(batch.dead_letters.iter().map(|dead| dead.offset).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(batch.dead_letters[1].field.as_deref(), Some("n"));
    // Two are left out; of the one that passes the time is told, and not of the other.
    assert_eq!(batch.left_out.iter().map(|left| (left.rows, left.newest)).collect::<Vec<_>>(), [(2, Some(5000))]);
    assert_eq!(batch.rows(), 4);
    let batch = source.read(&Offsets::from([(0, 1)]), &Offsets::from([(0, 2)])).unwrap();
    assert!(batch.parts.is_empty());
    assert_eq!((batch.left_out[0].rows, batch.left_out[0].newest), (1, Some(5000)));
}

#[test]
fn queries_that_share_a_topic_agree_with_a_batch() {
    let (topic, _) = bank_topic("queries", 20_000);
    let schema = schema(&topic);
    let shared = Sharing::default().share(&topic, schema.clone(), way(&topic, &schema));
    let frame = Plan::source(format!("kafka {topic}"), schema.clone()).with_watermark("event_time", "1h").unwrap();
    let totals = [len().alias("n"), col("amount").sum()];
    let approved = frame.filter(col("status").eq(lit("approved"))).unwrap();
    let plans = [
        frame.group_by_dynamic(&col("event_time"), &[col("category")], &tumbling("10s"), &totals).unwrap(),
        approved.group_by_dynamic(&col("event_time"), &[col("category")], &tumbling("10s"), &totals).unwrap(),
        approved.filter(col("amount").gt(lit(100))).unwrap().group_by(&[col("country")], &totals).unwrap(),
    ];
    let queries: Vec<Query> = plans
        .iter()
        .map(|plan| Query::start("shared", plan, Arc::clone(&shared), Options::default()).unwrap())
        .collect();
    send(&topic, &["no JSON at all"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    for (query, plan) in queries.iter().zip(&plans) {
        let expected = engine::collect(plan, &way(&topic, &schema), |_| true).unwrap();
        let end = expected.offsets.1.0;
        while !end.iter().all(|(p, end)| query.status().offsets.get(p).is_some_and(|(_, at)| at >= end)) {
            assert!(Instant::now() < deadline, "{:?}", query.status());
            let _ = query.result().wait(query.status().version, Duration::from_millis(50));
        }
        assert_eq!(query.status().dead_letters, expected.dead_letters.len() as u64);
        assert_eq!(query.status().rows_read, 20_001 - expected.dead_letters.len() as u64, "all are counted");
        let by: Vec<PlSmallStr> = plan.schema().iter_names().take(plan.schema().len() - 2).cloned().collect();
        let sort = |frame: DataFrame| frame.sort(by.clone(), SortMultipleOptions::default()).unwrap();
        assert!(sort(query.result().frame()).equals_missing(&sort(expected.frame)));
    }
    assert!(queries.iter().all(|query| query.status().readers >= 1));
}
