//! Several frames as one: every row once, whatever the cut; offsets and watermarks of all of them.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use engine::{Offsets, OpenSource, PartitionRows, Source, SourceBatch, SourceError, TopicPartition, collect};
use plan::{Plan, tumbling};
use polars::prelude::*;

use common::frames::union;

/// A fixed log of one partition: `rows` numbers, a second apart.
struct Numbers {
    name: &'static str,
    rows: i64,
    columns: Vec<PlSmallStr>,
}

fn schema() -> SchemaRef {
    let fields = [
        Field::new("time".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
        Field::new("name".into(), DataType::String),
        Field::new("value".into(), DataType::Int64),
        Field::new("unused".into(), DataType::Int64),
    ];
    Arc::new(Schema::from_iter(fields))
}

impl Source for Numbers {
    fn schema(&self) -> SchemaRef {
        Arc::new(schema().iter_fields().filter(|field| self.columns.contains(field.name())).collect())
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, 0)]))
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, self.rows)]))
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, _: Duration) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, (from.0[&TopicPartition::from(0)] + max_rows as i64).min(self.rows))]))
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let numbers: Vec<i64> = (from.0[&TopicPartition::from(0)]..to.0[&TopicPartition::from(0)]).collect();
        let frame = df![
            "time" => numbers.iter().map(|n| n * 1000).collect::<Vec<_>>(),
            "name" => vec![self.name; numbers.len()],
            "value" => numbers.clone(),
            "unused" => numbers,
        ];
        let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
        let rows = frame.unwrap().lazy().with_columns([time]).collect().unwrap();
        let reads_unused = self.columns.iter().any(|name| name == "unused");
        assert!(self.name != "a" || !reads_unused, "what nobody uses is not read");
        let rows = rows.select(self.columns.iter().cloned()).unwrap();
        Ok(SourceBatch {
            parts: vec![PartitionRows { partition: 0.into(), rows, newest_ms: None }],
            dead_letters: Vec::new(),
            ..SourceBatch::default()
        })
    }
}

fn numbers(name: &'static str, rows: i64) -> (Plan, OpenSource) {
    let open: OpenSource =
        Arc::new(move |columns| Ok(Box::new(Numbers { name, rows, columns: columns.to_vec() }) as Box<dyn Source>));
    (Plan::source(name, schema()), open)
}

#[test]
fn every_row_of_every_frame_is_there_once() {
    let (a, open_a) = numbers("a", 1000);
    let (b, open_b) = numbers("b", 10);
    let b = b.filter(col("value").lt(lit(5))).unwrap();
    // The same columns in another order.
    let b = b.select(&[col("value"), col("unused"), col("name"), col("time")]).unwrap();
    let (plan, open) = union(&[(a, open_a), (b, open_b)]).unwrap();
    let plan = plan.with_watermark("time", "1s").unwrap();
    let aggs = [len().alias("n"), col("value").sum()];
    let plan = plan.group_by_dynamic(&col("time"), &[col("name")], &tumbling("1h"), &aggs).unwrap();
    let collected = collect(&plan, &open, |_| true).unwrap();
    let expected = df!["name" => ["a", "b"], "n" => [1000u32, 5], "value" => [499_500i64, 10]].unwrap();
    assert!(collected.frame.drop("time").unwrap().equals(&expected), "{}", collected.frame);
    assert_eq!(plan.title(), "a + b by name, every 1h");
    let largest = |k| plan.top_k(k, &[col("name")], &SortMultipleOptions::default()).unwrap();
    assert_eq!(largest(3).title(), "a + b by name, every 1h, first 3");
    let sorted = plan.sort(&[col("name")], &SortMultipleOptions::default()).unwrap();
    assert_eq!(sorted.title(), "a + b by name, every 1h, sorted");
    assert_eq!(collected.offsets.1.0.values().copied().collect::<Vec<_>>(), [1000, 10]);
}

#[test]
fn a_union_of_unions_has_every_row_once_too() {
    let named = |name, rows| {
        let (plan, open) = numbers(name, rows);
        (plan.select(&[col("time"), col("name"), col("value")]).unwrap(), open)
    };
    let inner = union(&[named("b", 20), named("c", 30), named("d", 40)]).unwrap();
    let (plan, open) = union(&[named("a", 10), inner, named("e", 50)]).unwrap();
    let plan = plan.group_by(&[col("name")], &[len().alias("n"), col("value").max()]).unwrap();
    let collected = collect(&plan, &open, |_| true).unwrap();
    let expected =
        df!["name" => ["a", "b", "c", "d", "e"], "n" => [10u32, 20, 30, 40, 50], "value" => [9i64, 19, 29, 39, 49]];
    assert!(collected.frame.equals(&expected.unwrap()), "{}", collected.frame);
    assert_eq!(collected.offsets.1.0.len(), 5, "each partition is one of the whole");
}

#[test]
fn what_does_not_fit_is_refused_with_the_way_to_do_it() {
    let (a, open) = numbers("a", 1);
    let marked = a.with_watermark("time", "1s").unwrap();
    let refused = |other: Plan| union(&[(a.clone(), open.clone()), (other, open.clone())]).err().unwrap().to_string();
    assert!(refused(marked).contains("a watermark already. Union the rows first"));
    let other = a.with_columns(&[col("value").cast(DataType::String)]).unwrap();
    assert!(refused(other).contains("the columns differ"));
    let zoned = a.with_columns(&[col("time").dt().convert_time_zone(TimeZone::UTC)]);
    let zoned = zoned.or_else(|_| {
        a.with_columns(&[col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)))])
    });
    let mixed = refused(zoned.unwrap());
    assert!(mixed.contains("\"time\" is of two zones") && mixed.contains("convert_time_zone"), "{mixed}");
    assert!(union(&[]).is_err());
}

#[test]
fn rows_are_counted_although_nothing_of_them_is_read() {
    let (plan, open) = union(&[numbers("a", 30), numbers("b", 12)]).unwrap();
    let collected = collect(&plan.group_by(&[], &[len().alias("n")]).unwrap(), &open, |_| true).unwrap();
    assert_eq!(collected.frame, df!["n" => [42u32]].unwrap());
}
