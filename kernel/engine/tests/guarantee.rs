//! The guarantee: for any cut of the same input into micro-batches and any interleaving of its partitions, the final
//! result equals what Polars gives for the same expressions over the same rows, less the rows that the watermark dropped.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Clock, LiveResult, ManualClock, Mode, PartitionRows, Pipeline, Status};
use plan::{Plan, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

const WINDOW_MS: i64 = 10_000;

#[derive(Clone, Debug)]
struct Row {
    partition: i32,
    time: i64,
    key: Option<String>,
    whole: Option<i64>,
    float: Option<f64>,
    cents: Option<i64>,
}

fn row() -> impl Strategy<Value = Row> {
    let key = prop_oneof![4 => (0..4u8).prop_map(|k| Some(format!("key {k}"))), 1 => Just(Some(String::new())), 1 => Just(None)];
    let whole = prop_oneof![8 => (-1000..1000i64).prop_map(Some), 1 => Just(None), 1 => Just(Some(i64::MAX))];
    let float = prop_oneof![8 => (-1e6..1e6f64).prop_map(Some), 1 => Just(None), 1 => Just(Some(1e-9))];
    let cents = prop_oneof![8 => (-100_000..100_000i64).prop_map(Some), 1 => Just(None)];
    (0..3i32, -30_000..60_000i64, key, whole, float, cents)
        .prop_map(|(partition, time, key, whole, float, cents)| Row { partition, time, key, whole, float, cents })
}

fn frame(rows: &[Row]) -> DataFrame {
    let frame = df![
        "event_time" => rows.iter().map(|r| r.time).collect::<Vec<_>>(),
        "key" => rows.iter().map(|r| r.key.clone()).collect::<Vec<_>>(),
        "whole" => rows.iter().map(|r| r.whole).collect::<Vec<_>>(),
        "float" => rows.iter().map(|r| r.float).collect::<Vec<_>>(),
        "cents" => rows.iter().map(|r| r.cents.map(|c| c as f64 / 100.0)).collect::<Vec<_>>(),
    ];
    frame
        .unwrap()
        .lazy()
        .with_columns([
            col("event_time").cast(DataType::Datetime(TimeUnit::Milliseconds, None)),
            col("cents").cast(DataType::Decimal(38, 2)),
        ])
        .collect()
        .unwrap()
}

fn aggs() -> Vec<Expr> {
    vec![
        len().alias("n"),
        col("whole").count().alias("known"),
        col("whole").sum(),
        col("whole").min().alias("whole min"),
        col("whole").max().alias("whole max"),
        col("whole").mean().alias("whole mean"),
        col("float").sum(),
        (col("float").mean() + lit(1.0)).alias("float mean + 1"),
        col("float").min().alias("float min"),
        col("float").max().alias("float max"),
        col("cents").sum(),
        col("cents").mean().alias("cents mean"),
        col("cents").max().alias("cents max"),
        col("key").min().alias("key min"),
        (col("float") * lit(2.0)).max().alias("twice"),
        (col("whole").max() - col("whole").min()).alias("spread"),
        col("event_time").max().alias("newest"),
    ]
}

fn plan(watermark: Option<i64>, keyed: bool) -> Plan {
    let plan = Plan::source("memory rows", frame(&[]).schema().clone());
    let plan = plan.filter(col("float").is_null().or(col("float").gt(lit(-9e5)))).unwrap();
    let plan = match watermark {
        Some(delay) => plan.with_watermark("event_time", &format!("{delay}ms")).unwrap(),
        None => plan,
    };
    let keys = if keyed { vec![col("key")] } else { vec![] };
    let plan = plan.group_by_dynamic(&col("event_time"), &keys, &tumbling("10s"), &aggs()).unwrap();
    plan.filter(col("n").gt(lit(0))).unwrap().with_columns(&[(col("n") * lit(10)).alias("tenfold")]).unwrap()
}

/// Polars over all rows at once.
fn reference(rows: &[Row], keyed: bool) -> DataFrame {
    let every = Duration::parse("10s");
    let options = DynamicGroupOptions { every, period: every, offset: Duration::parse("0ns"), ..Default::default() };
    let keys = if keyed { vec![col("key")] } else { vec![] };
    let result = frame(rows)
        .lazy()
        .filter(col("float").is_null().or(col("float").gt(lit(-9e5))))
        .sort(["event_time"], SortMultipleOptions::default().with_maintain_order(true))
        .group_by_dynamic(col("event_time"), &keys, options)
        .agg(aggs())
        .filter(col("n").gt(lit(0)))
        .with_columns([(col("n") * lit(10)).alias("tenfold")]);
    sorted(result.collect().unwrap(), keyed)
}

fn sorted(frame: DataFrame, keyed: bool) -> DataFrame {
    let by: Vec<&str> = if keyed { vec!["key", "event_time"] } else { vec!["event_time"] };
    frame.sort(by, SortMultipleOptions::default()).unwrap()
}

/// The rows in micro-batches, partition by partition within each.
fn batches(rows: &[Row], cuts: &[usize]) -> Vec<Vec<Row>> {
    let mut batches = Vec::new();
    let mut rest = rows;
    for cut in cuts {
        let (batch, after) = rest.split_at((*cut).min(rest.len()));
        batches.push(batch.to_vec());
        rest = after;
    }
    batches.push(rest.to_vec());
    batches
}

fn parts(batch: &[Row]) -> Vec<PartitionRows> {
    let mut by_partition: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
    for row in batch {
        by_partition.entry(row.partition).or_default().push(row.clone());
    }
    by_partition
        .into_iter()
        .map(|(partition, rows)| PartitionRows { partition, rows: frame(&rows), newest_ms: None })
        .collect()
}

fn streamed(plan: &Plan, batches: &[Vec<Row>], keyed: bool) -> (DataFrame, usize) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline = Pipeline::new(plan, frame(&[]).schema(), Mode::Stream, &clock).unwrap();
    pipeline.expect(0..3);
    let result = LiveResult::new(plan.schema().clone(), Status::default());
    let mut late = 0;
    for batch in batches {
        let output = pipeline.execute(parts(batch)).unwrap();
        late += output.late;
        result.apply(&output.changes, |_| {}).unwrap();
    }
    (sorted(result.frame(), keyed), late)
}

/// Says which rows are late, by the definition and nothing else: a row is late when its window ended at or before the
/// watermark that stood when its batch began.
fn split_late(batches: &[Vec<Row>], delay: i64) -> (Vec<Row>, usize) {
    let passes = |row: &&Row| row.float.is_none_or(|f| f > -9e5);
    let mut newest: BTreeMap<i32, i64> = BTreeMap::new();
    let mut watermark = i64::MIN;
    let (mut kept, mut late) = (Vec::new(), 0);
    for batch in batches {
        for row in batch.iter().filter(passes) {
            if row.time.div_euclid(WINDOW_MS) * WINDOW_MS + WINDOW_MS <= watermark {
                late += 1
            } else {
                kept.push(row.clone())
            }
        }
        for row in batch.iter().filter(passes) {
            newest.entry(row.partition).and_modify(|t| *t = row.time.max(*t)).or_insert(row.time);
        }
        if newest.len() == 3 {
            watermark = watermark.max(newest.values().min().unwrap() - delay);
        }
    }
    (kept, late)
}

fn assert_equal(ours: &DataFrame, polars: &DataFrame) {
    assert_eq!(ours.schema(), polars.schema());
    assert_eq!(ours.height(), polars.height(), "ours: {ours}\npolars: {polars}");
    for (a, b) in ours.columns().iter().zip(polars.columns()) {
        if a.dtype().is_float() {
            for (x, y) in a.f64().unwrap().iter().zip(b.f64().unwrap().iter()) {
                let close = match (x, y) {
                    (Some(x), Some(y)) => {
                        x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1e3)
                    }
                    (x, y) => x == y,
                };
                assert!(close, "{}: {x:?} and {y:?}", a.name());
            }
        } else {
            assert!(a.equals_missing(b), "{}: {a:?} and {b:?}", a.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_equals_polars(
        rows in prop::collection::vec(row(), 0..120),
        cuts in prop::collection::vec(0..40usize, 0..12),
        keyed: bool,
    ) {
        let (ours, late) = streamed(&plan(None, keyed), &batches(&rows, &cuts), keyed);
        prop_assert_eq!(late, 0);
        assert_equal(&ours, &reference(&rows, keyed));
    }

    #[test]
    fn with_a_watermark_only_late_rows_are_missing(
        rows in prop::collection::vec(row(), 0..120),
        cuts in prop::collection::vec(0..40usize, 0..12),
        delay in 1..40_000i64,
    ) {
        let batches = batches(&rows, &cuts);
        let (kept, late) = split_late(&batches, delay);
        let (ours, counted) = streamed(&plan(Some(delay), true), &batches, true);
        prop_assert_eq!(counted, late);
        assert_equal(&ours, &reference(&kept, true));
    }
}

#[test]
fn a_row_that_stops_passing_the_filter_leaves_the_result() {
    let rows = |wholes: &[i64]| -> Vec<Row> {
        wholes
            .iter()
            .map(|w| Row { partition: 0, time: 1, key: None, whole: Some(*w), float: None, cents: None })
            .collect()
    };
    let plan = Plan::source("memory rows", frame(&[]).schema().clone());
    let plan = plan.group_by_dynamic(&col("event_time"), &[], &tumbling("10s"), &[col("whole").sum()]).unwrap();
    let plan = plan.filter(col("whole").gt(lit(10))).unwrap();
    let (result, _) = streamed(&plan, &[rows(&[20])], false);
    assert_eq!(result.height(), 1);
    let (result, _) = streamed(&plan, &[rows(&[20]), rows(&[-15])], false);
    assert_eq!(result.height(), 0);
}
