//! Rows that a source leaves out because a plan drops them anyway change nothing: not the result, not the watermark, not
//! which rows are late.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;

use engine::{Clock, LeftOut, LiveResult, ManualClock, Mode, PartitionRows, PhysicalPlan, Pipeline, RowFilter, Status};
use plan::{Plan, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
struct Row {
    partition: i32,
    time: Option<i64>,
    key: Option<u8>,
    value: i64,
}

fn row() -> impl Strategy<Value = Row> {
    let time = prop_oneof![12 => (0..60_000i64).prop_map(Some), 1 => Just(None)];
    let key = prop_oneof![5 => (0..3u8).prop_map(Some), 1 => Just(None)];
    (0..2i32, time, key, -5..6i64).prop_map(|(partition, time, key, value)| Row { partition, time, key, value })
}

fn frame(rows: &[Row]) -> DataFrame {
    let name = |row: &Row| row.key.map(|key| ["a", "b", "c"][key as usize]);
    let frame = df![
        "time" => rows.iter().map(|row| row.time).collect::<Vec<_>>(),
        "key" => rows.iter().map(name).collect::<Vec<_>>(),
        "value" => rows.iter().map(|row| row.value).collect::<Vec<_>>(),
    ];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.unwrap().lazy().with_columns([time]).collect().unwrap()
}

fn source() -> Plan {
    Plan::source("log rows", frame(&[]).schema().clone())
}

/// A random plan: what stands before the watermark, what right behind it, and how it ends.
#[derive(Clone, Debug)]
struct Shape {
    first: Option<i64>,
    renames: bool,
    adds: bool,
    before: Option<i64>,
    behind: Option<bool>,
    computed: Option<i64>,
    ends: u8,
}

fn shape() -> impl Strategy<Value = Shape> {
    let maybe = || prop::option::of(-4..4i64);
    (maybe(), any::<bool>(), any::<bool>(), maybe(), prop::option::of(any::<bool>()), maybe(), 0..3u8).prop_map(
        |(first, renames, adds, before, behind, computed, ends)| Shape {
            first,
            renames,
            adds,
            before,
            behind,
            computed,
            ends,
        },
    )
}

impl Shape {
    fn plan(&self) -> Plan {
        let mut plan = source();
        let (mut time, mut value) = ("time", "value");
        if let Some(n) = self.first {
            plan = plan.filter(col("value").gt(lit(n))).unwrap();
        }
        if self.renames {
            (time, value) = ("at", "v");
            plan = plan.select(&[col("value").alias("v"), col("key"), col("time").alias("at")]).unwrap();
        }
        if self.adds {
            plan = plan.with_columns(&[(col(value) * lit(2)).alias("twice")]).unwrap();
        }
        if let Some(n) = self.before {
            plan = plan.filter(col(value).neq(lit(n))).unwrap();
        }
        plan = plan.with_watermark(time, "5s").unwrap();
        if let Some(is) = self.behind {
            plan = plan.filter(if is { col("key").eq(lit("a")) } else { col("key").neq(lit("b")) }).unwrap();
        }
        if let Some(n) = self.computed.filter(|_| self.adds) {
            plan = plan.filter(col("twice").lt(lit(n))).unwrap();
        }
        let aggs = [len().alias("n"), col(value).sum().alias("sum")];
        match self.ends {
            0 => plan.group_by_dynamic(&col(time), &[col("key")], &tumbling("4s"), &aggs).unwrap(),
            1 => plan.unique(Some(&[value])).unwrap(),
            _ => plan.select(&[col(value)]).unwrap(),
        }
    }
}

/// What a source gives that leaves out all that it may.
fn narrowed(part: &PartitionRows, filter: &RowFilter) -> (PartitionRows, LeftOut) {
    let all = |exprs: &[Expr]| exprs.iter().cloned().fold(lit(true), |all, one| all.and(one)).fill_null(lit(false));
    let kept = part.rows.clone().lazy().filter(all(&filter.passes)).filter(all(&filter.needed)).collect().unwrap();
    let mut left =
        LeftOut { partition: part.partition.clone(), rows: part.rows.height() - kept.height(), newest: None };
    if let Some(time) = &filter.time {
        let timed = part.rows.clone().lazy().filter(all(&filter.passes)).filter(all(&filter.needed).not());
        let timed = timed.select([col(time.clone())]).collect().unwrap();
        left.newest = timed.column(time).unwrap().to_physical_repr().i64().unwrap().max();
    }
    (PartitionRows { partition: part.partition.clone(), rows: kept, newest_ms: None }, left)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: common::cases_or(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_changes_when_rows_are_left_out(
        rows in prop::collection::vec(row(), 0..120),
        cuts in prop::collection::vec(1..40usize, 1..6),
        leaves in prop::collection::vec(any::<bool>(), 8),
        shape in shape(),
    ) {
        let plan = shape.plan();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let begin = || {
            let mut pipeline = Pipeline::new(&plan, std::slice::from_ref(frame(&[]).schema()), Mode::Stream, &clock).unwrap();
            pipeline.assign(&(0..2).map(|partition| (partition, 0)).collect());
            (pipeline, LiveResult::new(plan.schema().clone(), Status::default()))
        };
        let (mut plain, plain_result) = begin();
        let (mut pushed, pushed_result) = begin();
        let filter = PhysicalPlan::of(&plan).row_filter();
        let mut rest = rows.as_slice();
        for (number, cut) in cuts.iter().chain([&usize::MAX]).enumerate() {
            let (batch, after) = rest.split_at((*cut).min(rest.len()));
            rest = after;
            let part = |partition: i32| {
                let rows: Vec<Row> = batch.iter().filter(|row| row.partition == partition).cloned().collect();
                PartitionRows { partition: partition.into(), rows: frame(&rows), newest_ms: None }
            };
            let output = plain.execute(vec![part(0), part(1)]).unwrap();
            plain_result.apply(&output.changes, |_| {}).unwrap();
            // A source may leave rows out now and not then.
            let (mut parts, mut left_out) = (Vec::new(), Vec::new());
            for part in [part(0), part(1)] {
                match filter.as_ref().filter(|_| leaves[number % leaves.len()]) {
                    Some(filter) => {
                        let (part, left) = narrowed(&part, filter);
                        parts.push(part);
                        left_out.push(left);
                    }
                    None => parts.push(part),
                }
            }
            pushed.left_out(&left_out);
            let output_pushed = pushed.execute(parts).unwrap();
            pushed_result.apply(&output_pushed.changes, |_| {}).unwrap();
            prop_assert_eq!(plain.watermark(), pushed.watermark());
            prop_assert_eq!((output.late, output.timeless), (output_pushed.late, output_pushed.timeless));
        }
        prop_assert!(plain_result.frame().equals_missing(&pushed_result.frame()), "{}", PhysicalPlan::of(&plan).explain());
    }
}

fn words(exprs: &[Expr]) -> Vec<String> {
    exprs.iter().map(|expr| format!("{expr:?}")).collect()
}

#[test]
fn a_filter_goes_down_to_the_source_under_its_names() {
    let plan = source().select(&[col("value").alias("v"), col("key"), (col("value") + lit(1)).alias("more")]).unwrap();
    let plan = plan.filter(col("v").gt(lit(1)).and(col("key").eq(lit("a")))).unwrap();
    let filter = PhysicalPlan::of(&plan).row_filter().unwrap();
    let expected = col("value").gt(lit(1)).and(col("key").eq(lit("a")));
    assert_eq!(words(&filter.passes), words(&[expected]));
    let more = PhysicalPlan::of(&plan.filter(col("more").gt(lit(1))).unwrap());
    assert!(more.row_filter().unwrap().passes.len() == 1);
    assert_ne!(plan.explain(), PhysicalPlan::of(&plan).explain());
    assert_eq!(more.schema(), plan.schema());
}

#[test]
fn a_filter_stays_above_what_counts_or_sees_rows() {
    let passes = || col("value").gt(lit(1));
    let filter = |plan: &Plan| PhysicalPlan::of(plan).row_filter();
    let none = |plan: Plan| assert_eq!(filter(&plan.filter(passes()).unwrap()), None, "{}", plan.explain());
    none(source().limit(5).unwrap());
    none(source().unique(Some(&["value"])).unwrap());
    none(source().map_batches(Ok).unwrap());
    none(source().with_columns(&[(col("value") * lit(2)).alias("value")]).unwrap());
    // The watermark sees all rows; the source tells the newest time of those that it leaves out.
    let marked = source().with_watermark("time", "1s").unwrap().filter(passes()).unwrap();
    let filter = filter(&marked).unwrap();
    assert_eq!((filter.passes.len(), words(&filter.needed)), (0, words(&[passes()])));
    assert_eq!(filter.time.as_deref(), Some("time"));
    // Its time is made of the row here, and the source cannot tell it.
    let later = (col("time") + lit(Duration::parse("1s"))).alias("time");
    let made = source().with_columns(&[later]).unwrap().with_watermark("time", "1s").unwrap();
    none(made);
}
