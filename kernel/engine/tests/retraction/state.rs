//! What an aggregation of rows that change keeps, and which ones cannot subtract.

use std::sync::Arc;

use engine::{Clock, ManualClock, Mode, PartitionRows, PhysicalPlan, Pipeline, approx_quantile};
use plan::{Plan, session};
use polars::prelude::*;

use super::{runs, subtractions};

fn rows(keys: std::ops::Range<i64>, of: i64) -> DataFrame {
    let values: Vec<i64> = keys.clone().map(|key| key * of % 1_009).collect();
    df!["k" => keys.collect::<Vec<_>>(), "v" => values].unwrap()
}

fn source() -> Plan {
    Plan::source("memory rows", rows(0..0, 0).schema().clone())
}

fn totals() -> Plan {
    source().group_by(&[col("k")], &[col("v").sum(), col("v").max().alias("most")]).unwrap()
}

/// The tables of the last operator.
fn last_tables(pipeline: &mut Pipeline) -> Vec<DataFrame> {
    let frames = pipeline.snapshot(true).unwrap().frames;
    let stage = |name: &str| name.split('-').next().unwrap().parse::<usize>().unwrap();
    let last = frames.keys().map(|name| stage(name)).max().unwrap();
    frames.into_iter().filter(|(name, _)| stage(name) == last).map(|(_, frame)| frame).collect()
}

#[test]
fn what_is_kept_grows_with_the_groups_and_not_with_the_rows() {
    let aggs =
        [len().alias("n"), col("v").sum(), col("v").cast(DataType::Float64).var(1).alias("var"), col("most").mean()];
    let plan = totals().filter(col("most").gt(lit(3))).unwrap();
    let plan = plan.group_by(&[(col("k") % lit(7)).alias("by")], &aggs).unwrap();
    assert_eq!(subtractions(&plan), 1);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline =
        Pipeline::new(&plan, std::slice::from_ref(rows(0..0, 0).schema()), Mode::Stream, &clock).unwrap();
    let mut sizes = Vec::new();
    for (number, keys) in [1_000, 30_000, 60_000].into_iter().enumerate() {
        let rows = rows(0..keys, number as i64 + 5);
        pipeline.execute(vec![PartitionRows { partition: 0.into(), rows, newest_ms: None }]).unwrap();
        let tables = last_tables(&mut pipeline);
        assert!(tables.iter().all(|table| table.height() <= 7), "{tables:?}");
        sizes.push(tables.iter().map(DataFrame::estimated_size).sum::<usize>());
    }
    assert!(sizes[2] < 2 * sizes[0] && sizes[2] < 10_000, "{sizes:?}");
}

#[test]
fn a_plan_says_that_it_subtracts_and_why_it_cannot() {
    let over = |plan: &Plan, agg: Expr| runs(&plan.group_by(&[(col("k") % lit(3)).alias("by")], &[agg]).unwrap());
    let plain = over(&totals(), col("v").sum());
    assert!(plain.contains("SUBTRACTING ROWS THAT CHANGE") && !plain.contains("KEEPING"), "{plain}");
    let extremes = over(&totals(), col("v").min());
    assert!(
        extremes.contains("SUBTRACTING ROWS THAT CHANGE KEEPING VALUES OF [col(\"v\")], AT MOST 2 GiB"),
        "{extremes}"
    );
    assert_eq!(subtractions(&totals()), 0);
    let because = |text: String, why: &str| {
        assert!(text.contains(&format!("KEEPING ROWS, AT MOST 2 GiB, BECAUSE {why}")), "{text}");
        assert!(!text.contains("SUBTRACTING"), "{text}");
    };
    because(over(&totals(), col("v").first()), "first and last of rows that change");
    because(over(&totals(), col("v").approx_n_unique()), "a sketch of rows that change cannot forget");
    because(over(&totals(), approx_quantile(col("v"), 0.5)), "a sketch of rows that change cannot forget");
    because(over(&totals(), col("v")), "`col(\"v\")`");
    let still = df!["k" => [1i64], "name" => ["one"]].unwrap();
    let looked_up = totals().join(still, &[col("k")], &[col("k")], &JoinType::Left).unwrap();
    because(
        over(&looked_up, col("v").sum()),
        "the frame that rows which change are looked up in may be another one later",
    );
    let function = |column: Column| Ok(column);
    let called = col("v").map(function, |_, field| Ok(field.clone()));
    let mapped = totals().with_columns(&[called.clone().alias("v")]).unwrap();
    because(over(&mapped, col("v").sum()), "the function in ");
    because(over(&totals(), called.sum()), "the function in ");
}

#[test]
fn what_does_not_know_its_old_rows_keeps_them() {
    let rows = df!["t" => [0i64], "v" => [1i64]].unwrap().lazy();
    let rows = rows.with_columns([col("t").cast(DataType::Datetime(TimeUnit::Milliseconds, None))]).collect().unwrap();
    let source = Plan::source("memory rows", rows.schema().clone()).with_watermark("t", "1s").unwrap();
    let sessions = source.group_by_dynamic(&col("t"), &[], &session("1s"), &[col("v").sum()]).unwrap();
    assert_eq!(subtractions(&sessions.group_by(&[], &[col("v").max()]).unwrap()), 1);
    let lists = source.group_by(&[col("v")], &[col("t").alias("all"), len().alias("n")]).unwrap();
    assert_eq!(subtractions(&lists.group_by(&[col("n")], &[col("v").max()]).unwrap()), 1);
}

#[test]
fn the_state_of_an_aggregation_that_subtracts_is_another_one() {
    let fingerprint = |plan: &Plan| PhysicalPlan::of(plan).state_fingerprint();
    let by = [(col("k") % lit(3)).alias("by")];
    let once = source().group_by(&by, &[col("v").sum()]).unwrap();
    let twice = totals().group_by(&by, &[col("v").sum()]).unwrap();
    let kept = totals().group_by(&by, &[col("v").sum(), col("v").first().alias("first")]).unwrap();
    let all = [&once, &twice, &kept].map(fingerprint);
    assert!(all[0] != all[1] && all[1] != all[2], "{all:?}");
    assert!(PhysicalPlan::of(&twice).explain_state().contains("KEEPS OF ROWS THAT CHANGE Sum"));
}
