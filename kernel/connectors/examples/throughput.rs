//! How many rows a second Corriente's query takes in, beside a hand-written loop over the same topic, and what a batch
//! costs by the number of keys held. `tests/bench throughput` fills the topic and calls this once a case, because Polars
//! takes its number of threads from the environment once a process.
//!
//! `throughput rows BOOTSTRAP TOPIC category|account THREADS`, `throughput keys COUNT…`, or `throughput states COUNT`; prints a line
//! of JSON a case.
#![allow(missing_docs, clippy::print_stdout)]

mod sides;

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use engine::{Clock, ForeachBatch, Mode, PartitionRows, Pipeline, Sink, SystemClock};
use plan::{Moment, Plan, StateFunction};
use polars::prelude::{
    BooleanChunked, Column, DataFrame, DataType, NamedFrom as _, PlSmallStr, PolarsResult, Schema, SchemaRef, Series,
    col, len,
};
use serde_json::json;

use sides::by_hand::{Groups, read_all};
use sides::corriente::{Frame, frame};
use sides::{Failure, Group, Key};

/// Of so many runs the best counts.
const ROUNDS: usize = 3;
/// What was promised, as a part of what the hand-written loop does.
const BY_CATEGORY: f64 = 0.7;
const BY_ACCOUNT: f64 = 0.6;
/// What a batch over the most keys may cost, as a multiple of one over the fewest.
const BY_KEYS: f64 = 2.0;
/// Sums of floats may differ by so much, relative to them.
const SAME: f64 = 1e-9;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["rows", bootstrap, topic, key, threads] => rows(bootstrap, topic, Key::named(key)?, threads.parse()?),
        ["keys", ref counts @ ..] if !counts.is_empty() => {
            keys(&counts.iter().map(|count| count.parse()).collect::<Result<Vec<_>, _>>()?)
        }
        ["states", count] => states(count.parse()?),
        _ => Err("throughput rows BOOTSTRAP TOPIC category|account THREADS, keys COUNT…, or states COUNT".into()),
    }
}

fn rows(bootstrap: &str, topic: &str, key: Key, threads: usize) -> Result<(), Failure> {
    let frame = frame(bootstrap, topic, key)?;
    let folder = tempfile::tempdir()?;
    let (mut by_hand, mut corriente) = (Spent::MOST, Spent::MOST);
    let (mut groups, mut read) = (Groups::default(), 0);
    // In turn, so that a machine that is slow for a while is so for both. Each is timed from nothing until all is closed:
    // what librdkafka takes to open and to close a consumer, a tenth of a second, is in both.
    for round in 0..ROUNDS {
        drop(std::mem::take(&mut groups));
        let meter = Meter::start();
        groups = read_all(bootstrap, topic, key, threads)?;
        by_hand = by_hand.best(meter.spent());
        let meter = Meter::start();
        let status = frame.write_all(counting(), &folder.path().join(round.to_string()))?;
        corriente = corriente.best(meter.spent());
        if status.late_rows > 0 {
            return Err(format!("{} rows were late, and none is: {status:?}", status.late_rows).into());
        }
        read = status.rows_read + status.dead_letters;
    }
    compare(&groups, &collect_all(&frame, &folder.path().join("compared"))?)?;
    let (case, wanted) = match key {
        Key::Category => ("by category", BY_CATEGORY),
        Key::Account => ("by account", BY_ACCOUNT),
    };
    let per_second = |spent: &Spent| (read as f64 / spent.seconds).round();
    let cpu_ns = |spent: &Spent| spent.cpu_seconds.map(|seconds| (seconds / read as f64 * 1e9).round());
    let cpu_ratio = by_hand.cpu_seconds.zip(corriente.cpu_seconds).map(|(by_hand, ours)| rounded(by_hand / ours));
    let line = json!({
        "case": case, "threads": threads, "cores": std::thread::available_parallelism()?.get(), "rows": read, "groups": groups.len(), "malformed": groups.malformed,
        "hand_written_rows_per_second": per_second(&by_hand), "corriente_rows_per_second": per_second(&corriente),
        "ratio": rounded(by_hand.seconds / corriente.seconds), "wanted_ratio": wanted,
        "hand_written_cpu_ns_a_row": cpu_ns(&by_hand), "corriente_cpu_ns_a_row": cpu_ns(&corriente),
        "cpu_ratio": cpu_ratio,
    });
    println!("{line}");
    Ok(())
}

/// A sink that only counts what comes.
fn counting() -> Box<dyn Sink> {
    let mut written = 0;
    Box::new(ForeachBatch::new(move |rows: DataFrame, _| {
        written += rows.height();
        black_box(written);
        Ok(())
    }))
}

/// What a run took.
struct Spent {
    seconds: f64,
    /// Of all threads together, librdkafka's and Polars' among them.
    cpu_seconds: Option<f64>,
}

impl Spent {
    const MOST: Spent = Spent { seconds: f64::MAX, cpu_seconds: None };

    fn best(self, other: Spent) -> Spent {
        if other.seconds < self.seconds { other } else { self }
    }
}

struct Meter {
    begun: Instant,
    cpu_seconds: Option<f64>,
}

impl Meter {
    fn start() -> Meter {
        Meter { cpu_seconds: cpu_seconds(), begun: Instant::now() }
    }

    fn spent(&self) -> Spent {
        let seconds = self.begun.elapsed().as_secs_f64();
        Spent { seconds, cpu_seconds: cpu_seconds().zip(self.cpu_seconds).map(|(now, before)| now - before) }
    }
}

/// What this process has had of the processors, to a hundredth of a second; where there is no /proc, nothing.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name, in parentheses, may hold spaces; the times are the 14th and 15th of all.
    let times = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
    Some(times.map(|ticks| ticks.parse().unwrap_or(0.0)).sum::<f64>() / 100.0)
}

type Compared = HashMap<(i64, String), (u64, [f64; 3])>;

/// Runs the query once more, and keeps the newest of each group: count, and sum, mean and largest.
fn collect_all(frame: &Frame, checkpoint: &Path) -> Result<Compared, Failure> {
    let groups = Arc::new(Mutex::new(Compared::new()));
    let kept = Arc::clone(&groups);
    let keep = move |rows: DataFrame, _| {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = |name: &str| -> PolarsResult<Series> {
            rows.column(name)?.as_materialized_series().cast(&DataType::Float64)
        };
        let starts = rows.column("event_time")?.cast(&DataType::Int64)?;
        let counts = rows.column("count")?.cast(&DataType::UInt64)?;
        let numbers = [number("sum")?, number("mean")?, number("largest")?];
        for row in 0..rows.height() {
            let start = starts.i64()?.get(row).ok_or("a window without a start")?;
            let key = rows.columns()[0].str()?.get(row).ok_or("a group without a key")?.to_owned();
            let mut three = [f64::NAN; 3];
            for (value, column) in three.iter_mut().zip(&numbers) {
                *value = column.f64()?.get(row).unwrap_or(f64::NAN);
            }
            kept.insert((start, key), (counts.u64()?.get(row).unwrap_or_default(), three));
        }
        Ok(())
    };
    frame.write_all(Box::new(ForeachBatch::new(keep)), checkpoint)?;
    let mut groups = groups.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut groups))
}

/// A bench of two programs that do not do the same is worth nothing.
fn compare(by_hand: &Groups, corriente: &Compared) -> Result<(), Failure> {
    if by_hand.len() != corriente.len() {
        return Err(format!("by hand there are {} groups, in Corriente {}", by_hand.len(), corriente.len()).into());
    }
    let same = |one: f64, other: f64| (one - other).abs() <= SAME * one.abs().max(other.abs());
    for (start, window) in &by_hand.windows {
        for (key, group @ Group { count, sum, largest }) in window {
            let found = corriente.get(&(*start, key.to_string()));
            let [their_sum, their_mean, their_largest] = found.map_or([f64::NAN; 3], |(_, numbers)| *numbers);
            let agree = found.is_some_and(|(theirs, _)| theirs == count)
                && same(*sum, their_sum)
                && same(group.mean(), their_mean)
                && same(*largest, their_largest);
            if !agree {
                return Err(format!("{key} at {start}: by hand {group:?}, in Corriente {found:?}").into());
            }
        }
    }
    Ok(())
}

/// What a batch costs over a state of so many keys, from the fewest to the most.
fn keys(counts: &[usize]) -> Result<(), Failure> {
    // All are kept to the end, so that none gives its memory to the next.
    let mut held = Vec::new();
    let mut fewest = None;
    for count in counts {
        let (pipeline, seconds, bytes) = cost(*count)?;
        held.push(pipeline);
        let ratio = seconds / *fewest.get_or_insert(seconds);
        let line = json!({
            "case": "cost per batch by keys", "keys": count, "rows_a_batch": BATCH,
            "ms_a_batch": rounded(seconds * 1e3), "bytes_a_key": bytes.map(|bytes| (bytes as f64 / *count as f64).round()),
            "ratio": rounded(ratio), "wanted_ratio_at_most": BY_KEYS,
        });
        println!("{line}");
    }
    Ok(())
}

/// Rows a second through a person's own function with a state for each of so many keys: the rule of the notebooks, which
/// gives the third of a key's rows in a row that are large, and every one after it.
fn states(count: usize) -> Result<(), Failure> {
    let function = StateFunction::new(|large: &mut u32, rows: DataFrame, _: &mut Moment| {
        let physical = rows.column("amount")?.to_physical_repr();
        let alarm: Vec<bool> = physical
            .i128()?
            .iter()
            .map(|amount| {
                *large = if amount > Some(900_000) { *large + 1 } else { 0 };
                *large >= 3
            })
            .collect();
        rows.filter(&BooleanChunked::new("alarm".into(), alarm))
    });
    let schema = keyed_schema();
    let plan = Plan::source("memory", schema.clone()).with_state(&[col("account_id")], function)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut pipeline = Pipeline::new(&plan, std::slice::from_ref(&schema), Mode::Stream, &clock)?;
    let mut best = f64::MAX;
    for round in 0..BATCHES {
        let rows =
            batch((round * STATES_BATCH..(round + 1) * STATES_BATCH).map(|n| n.wrapping_mul(7_368_787) % count))?;
        let begun = Instant::now();
        black_box(pipeline.execute(rows)?);
        best = best.min(begun.elapsed().as_secs_f64());
    }
    let line = json!({
        "case": "with_state", "keys": count, "rows_a_batch": STATES_BATCH,
        "rows_per_second": (STATES_BATCH as f64 / best).round(), "wanted_rows_per_second": WITH_STATE,
    });
    println!("{line}");
    Ok(())
}

/// Rows a batch of a function with states.
const STATES_BATCH: usize = 20_000;
/// What such a function is to reach with a thousand keys and more.
const WITH_STATE: u32 = 200_000;

/// Rows a batch.
const BATCH: usize = 10_000;
/// Batches that are timed; the one in the middle counts.
const BATCHES: usize = 41;
/// Rows in one go while the state is filled.
const FILL: usize = 100_000;

/// A pipeline that holds so many keys, the seconds a batch takes it, and the bytes its state takes.
fn cost(count: usize) -> Result<(Pipeline, f64, Option<usize>), Failure> {
    let schema = keyed_schema();
    let amount = || col("amount");
    let plan = Plan::source("memory", schema.clone()).group_by(
        &[col("account_id")],
        &[
            len().alias("count"),
            amount().sum().alias("sum"),
            amount().mean().alias("mean"),
            amount().max().alias("largest"),
        ],
    )?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let before = resident();
    let mut pipeline = Pipeline::new(&plan, std::slice::from_ref(&schema), Mode::Stream, &clock)?;
    for from in (0..count).step_by(FILL) {
        pipeline.execute(batch(from..(from + FILL).min(count))?)?;
    }
    let bytes = resident().zip(before).map(|(now, before)| now.saturating_sub(before));
    // Each batch has as many keys, spread over all there are.
    let spread = |n: usize| n.wrapping_mul(7_368_787) % count;
    let mut seconds = Vec::new();
    for round in 0..BATCHES {
        let rows = batch((round * BATCH..(round + 1) * BATCH).map(spread))?;
        let begun = Instant::now();
        black_box(pipeline.execute(rows)?);
        seconds.push(begun.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok((pipeline, seconds[BATCHES / 2], bytes))
}

fn keyed_schema() -> SchemaRef {
    let columns = [("account_id", DataType::String), ("amount", DataType::Decimal(38, 2))];
    Arc::new(columns.into_iter().map(|(name, dtype)| (PlSmallStr::from(name), dtype)).collect::<Schema>())
}

fn batch(keys: impl Iterator<Item = usize>) -> PolarsResult<Vec<PartitionRows>> {
    let keys: Vec<usize> = keys.collect();
    let names: Vec<String> = keys.iter().map(|key| format!("acc-{key:08}")).collect();
    let amounts: Vec<i64> = keys.iter().map(|key| (key % 10_000) as i64).collect();
    let amounts = Series::new("amount".into(), amounts).cast(&DataType::Decimal(38, 2))?;
    let columns = vec![Column::new("account_id".into(), names), amounts.into()];
    Ok(vec![PartitionRows { partition: 0.into(), rows: DataFrame::new(keys.len(), columns)?, newest_ms: None }])
}

/// Bytes of memory that this process has; where there is no /proc, nothing.
fn resident() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(pages.split_whitespace().nth(1)?.parse::<usize>().ok()? * 4_096)
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
