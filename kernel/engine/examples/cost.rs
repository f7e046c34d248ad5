//! What a batch costs where it should not depend on what is held: a look-up by the length of the frame, the largest groups by the
//! number of groups, groups of groups and joins of groups by their number, rows by the number of their partitions, overlapping windows by their number.
//! Each case prints one JSON object a line, with the ratio of two runs and the most it should be. `tests/bench cost` runs it.
//!
//! `cost [lookup] [largest] [levels] [joined] [partitions] [hopping]`; without a name all of them.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use engine::{Clock, ManualClock, Mode, PartitionRows, Pipeline, TopicPartition};
use plan::{Plan, hopping};
use polars::prelude::*;
use serde_json::json;

/// Batches that are timed; the one in the middle counts.
const BATCHES: i64 = 41;
/// Batches before them.
const WARM: i64 = 5;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What is measured.
type Case = fn() -> Outcome<()>;

fn main() -> Outcome<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let cases: [(&str, Case); 6] = [
        ("lookup", lookup),
        ("largest", largest),
        ("levels", levels),
        ("joined", joined),
        ("partitions", partitions),
        ("hopping", hopping_windows),
    ];
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    cases.into_iter().filter(|(name, _)| is_wanted(name)).try_for_each(|(_, case)| case())
}

fn say(line: &serde_json::Value) -> Outcome<()> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

/// Rows `numbers` of a stream: row `n` is of the time 10 `n` ms, and of one of `keys` accounts.
fn rows(numbers: std::ops::Range<i64>, keys: i64) -> PolarsResult<DataFrame> {
    let key = |n: i64| n.wrapping_mul(2_654_435_761).rem_euclid(keys);
    let frame = df![
        "time" => numbers.clone().map(|n| n * 10).collect::<Vec<_>>(),
        "account" => numbers.clone().map(|n| format!("account {:07}", key(n))).collect::<Vec<_>>(),
        "amount" => numbers.map(|n| (n * 7 % 1_000) as f64 / 10.0).collect::<Vec<_>>(),
    ]?;
    frame.lazy().with_columns([col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None))]).collect()
}

/// A stream of such rows.
fn stream() -> Outcome<Plan> {
    Ok(Plan::source("memory rows", rows(0..1, 1)?.schema().clone()))
}

fn part(partition: i32, rows: DataFrame) -> PartitionRows {
    PartitionRows { partition: partition.into(), rows, newest_ms: None }
}

fn pipeline(plan: &Plan, partitions: i32) -> Outcome<Pipeline> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline = Pipeline::new(plan, std::slice::from_ref(rows(0..1, 1)?.schema()), Mode::Stream, &clock)?;
    pipeline.assign(&(0..partitions).map(|partition| (partition, 0)).collect());
    Ok(pipeline)
}

/// The milliseconds that a batch takes, the middle of many.
fn timed(pipeline: &mut Pipeline, batch: impl Fn(i64) -> PolarsResult<Vec<PartitionRows>>) -> Outcome<f64> {
    let mut spent = Vec::new();
    for number in 0..WARM + BATCHES {
        let parts = batch(number)?;
        let begun = Instant::now();
        black_box(pipeline.execute(parts)?);
        if number >= WARM {
            spent.push(begun.elapsed().as_secs_f64() * 1e3);
        }
    }
    spent.sort_by(f64::total_cmp);
    Ok(spent[spent.len() / 2])
}

/// 100 rows looked up in frames of a thousand rows and of a million.
fn lookup() -> Outcome<()> {
    for how in [JoinType::Inner, JoinType::Left, JoinType::Semi, JoinType::Anti] {
        let mut costs = BTreeMap::new();
        for height in [1_000i64, 1_000_000] {
            let table = df![
                "id" => (0..height).map(|n| format!("account {n:07}")).collect::<Vec<_>>(),
                "name" => (0..height).map(|n| format!("the name of {n}")).collect::<Vec<_>>(),
            ]?;
            let plan = stream()?.join(table, &[col("account")], &[col("id")], &how)?;
            let mut pipeline = pipeline(&plan, 1)?;
            let batch = |number: i64| Ok(vec![part(0, rows(number * 100..number * 100 + 100, height)?)]);
            costs.insert(height, timed(&mut pipeline, batch)?);
        }
        let ratio = costs[&1_000_000] / costs[&1_000];
        say(&json!({
            "case": format!("look-up, {how}"), "rows_a_batch": 100, "ms_in_1000": rounded(costs[&1_000]),
            "ms_in_1000000": rounded(costs[&1_000_000]), "ratio": rounded(ratio), "wanted_ratio_at_most": 3.0,
        }))?;
    }
    Ok(())
}

/// Batches of 100 rows over a million groups: aggregated alone, and with the first ten or all in order.
fn largest() -> Outcome<()> {
    const GROUPS: i64 = 1_000_000;
    let groups = stream()?.group_by(&[col("account")], &[len().alias("n"), col("amount").sum()])?;
    let by = [col("amount")];
    let plans = [
        ("aggregation", groups.clone(), None),
        ("top_k(10)", groups.top_k(10, &by, &SortMultipleOptions::default())?, Some(3.0)),
        (
            "the smallest 10",
            groups.top_k(10, &by, &SortMultipleOptions::default().with_order_descending(true))?,
            Some(3.0),
        ),
        (
            "an aggregation of the same kind",
            groups.group_by(&[(col("n") % lit(4)).alias("by")], &[len().alias("accounts"), col("amount").sum()])?,
            Some(5.0),
        ),
        ("sort", groups.sort(&[col("account")], &SortMultipleOptions::default())?, None),
    ];
    let mut plain = None;
    for (name, plan, wanted) in plans {
        let mut pipeline = pipeline(&plan, 1)?;
        for first in (0..GROUPS).step_by(100_000) {
            pipeline.execute(vec![part(0, rows(first..first + 100_000, GROUPS)?)])?;
        }
        // Groups that lie anywhere among all.
        let batch = |number: i64| Ok(vec![part(0, rows(number * 7_919..number * 7_919 + 100, GROUPS)?)]);
        let ms = timed(&mut pipeline, batch)?;
        let ratio = ms / *plain.get_or_insert(ms);
        say(&json!({
            "case": format!("{name} over 1,000,000 groups"), "rows_a_batch": 100, "ms_a_batch": rounded(ms),
            "ratio": rounded(ratio), "wanted_ratio_at_most": wanted,
        }))?;
    }
    Ok(())
}

/// Batches of 100 rows that change groups, of which a few groups are made: of a thousand groups and of a million. Beside it, with
/// an aggregate for which all rows are kept.
fn levels() -> Outcome<()> {
    let amount = || col("amount");
    let accounts = stream()?.group_by(&[col("account")], &[len().alias("n"), amount().sum()])?;
    let accounts = accounts.filter(amount().gt_eq(lit(0.0)))?;
    let aggs = vec![
        len().alias("accounts"),
        amount().sum().alias("total"),
        amount().std(1).alias("std"),
        amount().max().alias("most"),
        amount().median().alias("middle"),
    ];
    let kept = aggs.iter().cloned().chain([amount().first().alias("first")]).collect();
    for (name, aggs, wanted) in [("groups of groups", aggs, Some(3.0)), ("groups of groups that are kept", kept, None)]
    {
        let plan = accounts.group_by(&[(col("n") % lit(4)).alias("by")], &aggs)?;
        let mut costs = Vec::new();
        for groups in [1_000i64, 1_000_000] {
            let mut pipeline = pipeline(&plan, 1)?;
            let step = groups.min(100_000);
            for first in (0..groups).step_by(step as usize) {
                pipeline.execute(vec![part(0, rows(first..first + step, groups)?)])?;
            }
            let batch = |number: i64| Ok(vec![part(0, rows(number * 7_919..number * 7_919 + 100, groups)?)]);
            costs.push(timed(&mut pipeline, batch)?);
        }
        say(&json!({
            "case": format!("{name}, of 1,000 and of 1,000,000"), "rows_a_batch": 100, "ms_of_1000": rounded(costs[0]),
            "ms_of_1000000": rounded(costs[1]), "ratio": rounded(costs[1] / costs[0]), "wanted_ratio_at_most": wanted,
        }))?;
    }
    Ok(())
}

/// Batches of 100 rows that change groups, which are joined with the groups of another stream: a thousand of each and a million.
fn joined() -> Outcome<()> {
    let groups =
        |name: &str| stream()?.group_by(&[col("account")], &[col("amount").sum().alias(name)]).map_err(Into::into);
    let (spent, paid): (Outcome<Plan>, Outcome<Plan>) = (groups("spent"), groups("paid"));
    let on = [col("account")];
    let plan = spent?.join_changing(&paid?, &on, &on, &JoinType::Full)?;
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let lanes = [(); 2].map(|()| rows(0..1, 1).map(|rows| rows.schema().clone()));
    let [left, right] = lanes;
    let lanes = [left?, right?];
    let of = |scan: u32, rows: DataFrame| PartitionRows {
        partition: TopicPartition { scan, ..0.into() },
        rows,
        newest_ms: None,
    };
    let mut costs = Vec::new();
    for groups in [1_000i64, 1_000_000] {
        let mut pipeline = Pipeline::new(&plan, &lanes, Mode::Stream, &clock)?;
        let step = groups.min(100_000);
        for first in (0..groups).step_by(step as usize) {
            let rows = || rows(first..first + step, groups);
            pipeline.execute(vec![of(0, rows()?), of(1, rows()?)])?;
        }
        let batch = |number: i64| Ok(vec![of(0, rows(number * 7_919..number * 7_919 + 100, groups)?)]);
        costs.push(timed(&mut pipeline, batch)?);
    }
    say(&json!({
        "case": "a join of groups, of 1,000 and of 1,000,000", "rows_a_batch": 100, "ms_of_1000": rounded(costs[0]),
        "ms_of_1000000": rounded(costs[1]), "ratio": rounded(costs[1] / costs[0]), "wanted_ratio_at_most": 3.0,
    }))
}

/// As many rows from one partition and from 128, with steps before the watermark.
fn partitions() -> Outcome<()> {
    let plan = stream()?
        .filter(col("amount").gt_eq(lit(0.0)))?
        .with_columns(&[(col("amount") * lit(2.0)).alias("double")])?
        .with_watermark("time", "10s")?
        .group_by(&[col("account")], &[len().alias("n"), col("double").sum()])?;
    let mut costs = Vec::new();
    for count in [1i32, 128] {
        let each = 384 / i64::from(count);
        let batch = |number: i64| {
            let first = |partition: i32| number * 384 + i64::from(partition) * each;
            let of = |partition: i32| Ok(part(partition, rows(first(partition)..first(partition) + each, 100)?));
            (0..count).map(of).collect::<PolarsResult<Vec<_>>>()
        };
        costs.push(timed(&mut pipeline(&plan, count)?, batch)?);
    }
    say(&json!({
        "case": "128 partitions of 3 rows against one of 384", "ms_of_one": rounded(costs[0]), "ms_of_128": rounded(costs[1]),
        "ratio": rounded(costs[1] / costs[0]), "wanted_ratio_at_most": 4.0,
    }))
}

/// Windows of a day every ten seconds beside those of a minute: rows that are final, and rows that change.
fn hopping_windows() -> Outcome<()> {
    for (append, mode) in [(true, "append"), (false, "update")] {
        for (height, keys) in [(1_000i64, 10), (100_000, 10), (100_000, 1_000)] {
            // What is sent in update mode is a row for each window and key that was touched: 17 million of a thousand keys.
            if !append && keys > 10 {
                continue;
            }
            let mut costs = Vec::new();
            for period in ["1m", "1d"] {
                let plan = stream()?.with_watermark("time", "10s")?.group_by_dynamic(
                    &col("time"),
                    &[col("account")],
                    &hopping(period, "10s"),
                    &[len().alias("n"), col("amount").sum(), col("amount").mean().alias("mean")],
                )?;
                let mut pipeline = pipeline(&plan, 1)?;
                if append {
                    pipeline.append();
                }
                begin_peak();
                let (mut spent, mut given) = (Vec::new(), 0);
                for number in 0..if height > 1_000 { 3 } else { 11 } {
                    let parts = vec![part(0, rows(number * height..(number + 1) * height, keys)?)];
                    let begun = Instant::now();
                    given += black_box(pipeline.execute(parts)?).changes.rows.height();
                    spent.push(begun.elapsed().as_secs_f64() * 1e3);
                }
                spent.sort_by(f64::total_cmp);
                costs.push((spent[spent.len() / 2], peak_mb(), given));
            }
            let [(short, _, _), (long, mb, given)] = costs[..] else { continue };
            say(&json!({
                "case": format!("hopping(\"1d\", \"10s\") against hopping(\"1m\", \"10s\"), {mode}"), "rows_a_batch": height,
                "keys": keys, "ms_of_a_minute": rounded(short), "ms_of_a_day": rounded(long), "rows_given": given,
                "peak_mb": mb, "wanted_mb_at_most": 500, "ratio": rounded(long / short), "wanted_ratio_at_most": append.then_some(3.0),
            }))?;
        }
    }
    Ok(())
}

/// Has [`peak_mb`] look at what comes from now on.
fn begin_peak() {
    // Where that cannot be, the peak is that of the whole process, which is no less.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// The most memory that this process had, all that it is made of included; where there is no /proc, nothing.
fn peak_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? / 1024)
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
