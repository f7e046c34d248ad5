//! A person's own function that fails, in a query: the error names the row, and the key where there is one.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use engine::{
    ForeachBatch, Offsets, OpenSource, PartitionRows, Sink, Source, SourceBatch, SourceError, TopicPartition, collect,
};
use plan::{Moment, Plan, Row, RowFunction, StateFunction};
use polars::prelude::*;

/// Ten payments of three shops, one every second, in batches of four.
struct Log;

fn rows() -> DataFrame {
    let frame = df![
        "event_time" => (0..10i64).map(|n| n * 1000).collect::<Vec<_>>(),
        "shop" => (0..10).map(|n| format!("shop {}", n % 3)).collect::<Vec<_>>(),
        "amount" => (0..10i64).collect::<Vec<_>>(),
    ];
    let time = col("event_time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.unwrap().lazy().with_columns([time]).collect().unwrap()
}

impl Source for Log {
    fn schema(&self) -> SchemaRef {
        rows().schema().clone()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, 0)]))
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, 10)]))
    }

    fn available(&mut self, from: &Offsets, _: usize, _: Duration) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, (from.0[&TopicPartition::from(0)] + 4).min(10))]))
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let rows = rows().slice(
            from.0[&TopicPartition::from(0)],
            (to.0[&TopicPartition::from(0)] - from.0[&TopicPartition::from(0)]) as usize,
        );
        Ok(SourceBatch {
            parts: vec![PartitionRows { partition: 0.into(), rows, newest_ms: None }],
            dead_letters: Vec::new(),
            ..SourceBatch::default()
        })
    }
}

fn payments() -> Plan {
    Plan::source("memory payments", rows().schema().clone())
}

fn collected(plan: &Plan) -> Result<DataFrame, String> {
    let open: OpenSource = Arc::new(|_| Ok(Box::new(Log) as Box<dyn Source>));
    collect(plan, &open, |_| true).map(|collected| collected.frame).map_err(|error| error.to_string())
}

#[track_caller]
fn fails(plan: &Plan, words: &[&str]) {
    let error = collected(plan).unwrap_err();
    for word in words {
        assert!(error.contains(word), "\"{word}\" is not in: {error}");
    }
}

#[test]
fn rows_are_mapped_one_by_one() {
    let function =
        RowFunction::new(|row: &Row<'_>| Ok(format!("{}: {}", row.get::<String>("shop")?, row.get::<i64>("amount")?)));
    let plan = payments().filter(col("amount").gt(lit(7))).unwrap().map_rows(&["text"], function).unwrap();
    let found = collected(&plan.select(&[col("text")]).unwrap()).unwrap();
    assert!(found.equals(&df!["text" => ["shop 2: 8", "shop 0: 9"]].unwrap()), "{found}");
}

#[test]
fn rows_of_an_aggregation_are_mapped_as_they_are_in_the_end() {
    let total = payments().group_by(&[col("shop")], &[col("amount").sum()]).unwrap();
    let plan =
        total.map_rows(&["cents"], RowFunction::new(|row: &Row<'_>| Ok(row.get::<i64>("amount")? * 100))).unwrap();
    let found = collected(&plan).unwrap();
    let expected =
        df!["shop" => ["shop 0", "shop 1", "shop 2"], "amount" => [18i64, 12, 15], "cents" => [1800i64, 1200, 1500]];
    assert!(found.equals(&expected.unwrap()), "{found}");
}

#[test]
fn a_query_of_a_failing_function_names_the_row() {
    let row = "amount: 6}";
    let of_rows = RowFunction::new(|row: &Row<'_>| {
        assert!(row.get::<i64>("amount")? != 6, "six");
        Ok(true)
    });
    fails(&payments().map_rows(&["ok"], of_rows).unwrap(), &["map_rows panicked: six", "shop: \"shop 0\"", row]);
    let of_batches = payments().map_batches(|rows| {
        assert!(!rows.column("amount")?.i64()?.iter().any(|amount| amount == Some(6)), "six");
        Ok(rows)
    });
    fails(&of_batches.unwrap(), &["map_batches panicked: six", "shop: \"shop 0\"", row]);
}

#[test]
fn a_query_of_a_failing_state_names_the_key() {
    let function = StateFunction::new(|total: &mut i64, rows: DataFrame, _: &mut Moment| {
        *total += rows.column("amount")?.i64()?.sum().unwrap_or(0);
        assert!(*total < 10, "ten");
        Ok(rows)
    });
    let plan = payments()
        .with_state(&[col("shop").str().to_uppercase(), (col("amount") % lit(1)).alias("zero")], function)
        .unwrap();
    fails(&plan, &["with_state panicked: ten", "new rows begin with", "The key is {shop: \"SHOP 1\", zero: 0}"]);
}

#[test]
fn a_failing_function_of_written_batches_shows_how_the_batch_begins() {
    let mut sink = ForeachBatch::new(|_: DataFrame, batch: u64| panic!("batch {batch} is too much"));
    let error = sink.write(3, &rows()).unwrap_err().to_string();
    for word in [
        "foreach_batch failed in batch 3",
        "panicked: batch 3 is too much",
        "10 rows and begins with {",
        "shop: \"shop 0\", amount: 0}",
    ] {
        assert!(error.contains(word), "\"{word}\" is not in: {error}");
    }
}
