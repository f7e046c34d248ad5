//! One time that the calendar does not hold costs its own row and nothing else: no panic, no watermark, no row beside it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use engine::{Clock, LiveResult, ManualClock, Mode, PartitionRows, Pipeline, Status};
use plan::{Plan, Window, hopping, session, tumbling};
use polars::prelude::*;

mod common;

/// Nanoseconds where milliseconds were expected, and the ends of what 64 bits hold.
const BEYOND: [i64; 3] = [1_700_000_000_000_000_000, i64::MAX, i64::MIN];

fn rows(times: &[i64]) -> DataFrame {
    df!["n" => times, "value" => vec![1i64; times.len()]].unwrap()
}

fn windows() -> Vec<Window> {
    vec![
        tumbling("10s"),
        tumbling("10s").offset("-3s"),
        tumbling("10s").closed(ClosedWindow::Both),
        tumbling("1d").offset("6h"),
        tumbling("1w"),
        tumbling("1mo"),
        tumbling("1y"),
        tumbling("1mo").offset("3d"),
        hopping("1h", "10s"),
        hopping("3mo", "1mo"),
        hopping("30d", "1d"),
        session("10s"),
    ]
}

fn zoned() -> Vec<Window> {
    vec![tumbling("1h"), tumbling("1d"), tumbling("1d").offset("1d"), tumbling("1mo"), hopping("2d", "1d")]
}

/// The plan of windows over times that are computed of whole numbers.
fn plan(window: &Window, unit: TimeUnit, zone: Option<TimeZone>, marked: bool) -> Plan {
    let plan = Plan::source("memory rows", rows(&[]).schema().clone());
    let plan = plan.with_columns(&[col("n").cast(DataType::Datetime(unit, zone)).alias("time")]).unwrap();
    let plan = if marked { plan.with_watermark("time", "1s").unwrap() } else { plan };
    plan.group_by_dynamic(&col("time"), &[], window, &[len().alias("rows"), col("value").sum()]).unwrap()
}

/// What a plan makes of batches: the result, how many rows are late and without a time, and the watermark.
fn ran(plan: &Plan, mode: Mode, batches: &[Vec<i64>]) -> (DataFrame, usize, usize, Option<i64>) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline = Pipeline::new(plan, std::slice::from_ref(rows(&[]).schema()), mode, &clock).unwrap();
    pipeline.assign(&(0..1).map(|partition| (partition, 0)).collect());
    let result = LiveResult::new(plan.schema().clone(), Status::default());
    let (mut late, mut timeless) = (0, 0);
    for batch in batches {
        let part = PartitionRows { partition: 0.into(), rows: rows(batch), newest_ms: None };
        let output = pipeline.execute(vec![part]).unwrap_or_else(|error| panic!("{}: {error}", plan.explain()));
        late += output.late;
        timeless += output.timeless;
        result.apply(&output.changes, |_| {}).unwrap();
    }
    let sorted = result.frame().sort(["time"], SortMultipleOptions::default()).unwrap();
    (sorted, late, timeless, pipeline.watermark())
}

#[test]
fn a_time_beyond_the_calendar_is_a_row_without_a_time() {
    for (unit, second) in
        [(TimeUnit::Milliseconds, 1_000), (TimeUnit::Microseconds, 1_000_000), (TimeUnit::Nanoseconds, 1_000_000_000)]
    {
        let berlin = TimeZone::opt_try_new(Some("Europe/Berlin")).unwrap();
        let all = windows().into_iter().map(|window| (window, None));
        for (window, zone) in all.chain(zoned().into_iter().map(|window| (window, berlin.clone()))) {
            for beyond in BEYOND.into_iter().filter(|beyond| *beyond != BEYOND[0] || unit != TimeUnit::Nanoseconds) {
                for (mode, marked) in [(Mode::Stream, true), (Mode::Stream, false), (Mode::Batch, true)] {
                    let plan = plan(&window, unit, zone.clone(), marked);
                    let (good, more) = (vec![0, 5 * second, 20 * second], vec![21 * second, 22 * second]);
                    let with = [good.clone(), vec![beyond], [more.clone(), vec![beyond]].concat()];
                    let (expected, _, _, watermark) = ran(&plan, mode, &[good, vec![], more]);
                    let (found, late, timeless, at) = ran(&plan, mode, &with);
                    let place = format!("{} of {unit:?} {zone:?}, {beyond}, {mode:?}", window.text());
                    assert!(found.equals_missing(&expected), "{place}: {found}{expected}");
                    assert_eq!((late, timeless, at), (0, 2, watermark), "{place}");
                }
            }
        }
    }
}

#[test]
fn the_first_and_the_last_times_of_the_calendar_have_windows() {
    for unit in [TimeUnit::Milliseconds, TimeUnit::Microseconds, TimeUnit::Nanoseconds] {
        let ends = engine::calendar(unit);
        for window in windows() {
            let plan = plan(&window, unit, None, false);
            let (found, _, timeless, _) = ran(&plan, Mode::Stream, &[vec![ends.start, ends.end - 1]]);
            let counted: u32 = found.column("rows").unwrap().u32().unwrap().iter().flatten().sum();
            // In nanoseconds a long window would end where no number is.
            let is_short = unit != TimeUnit::Nanoseconds || window.text().contains("10s");
            assert!(counted as usize + timeless >= 2 && (timeless == 0 || !is_short), "{}: {found}", window.text());
        }
    }
}

#[test]
fn a_reader_is_told_of_times_beyond_the_calendar() {
    let plan = Plan::source("memory rows", rows(&[]).schema().clone());
    let time = col("n").cast(DataType::Datetime(TimeUnit::Milliseconds, None)).alias("time");
    let plan = plan.with_columns(&[time]).unwrap().with_watermark("time", "1s").unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline = Pipeline::new(&plan, std::slice::from_ref(rows(&[]).schema()), Mode::Stream, &clock).unwrap();
    let part = PartitionRows { partition: 0.into(), rows: rows(&[0, i64::MAX]), newest_ms: None };
    let output = pipeline.execute(vec![part]).unwrap();
    assert_eq!(output.changes.rows.column("time").unwrap().null_count(), 1);
    assert_eq!(output.notices, ["\"time\" has times out of range for the calendar: 1 so far, which count as none"]);
}

#[test]
fn a_batch_tells_of_rows_without_a_time_as_well() {
    let rows = rows(&[0, i64::MAX, 1_000]);
    let plan = plan(&tumbling("10s"), TimeUnit::Milliseconds, None, true);
    let collected = engine::collect(&plan, &common::log::open(vec![rows], 2), |_| true).unwrap();
    assert_eq!((collected.timeless, collected.notices.len(), collected.frame.height()), (1, 1, 1));
}
