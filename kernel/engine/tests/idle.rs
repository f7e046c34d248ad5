//! Time that goes on without rows: partitions that fall idle, and the time of processing. What waits for it comes out in a batch
//! without rows, and after a crash as it came out before.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{
    BatchStep, Clock, Crash, ManualClock, Mode, Offsets, Options, OutputMode, PartitionRows, Pipeline, Query, Trigger,
    collect,
};
use plan::{Moment, Plan, StateFunction, session, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

mod common;
#[path = "idle/driven.rs"]
mod driven;

use common::query::{Kept, STEPS, crash_after};
use driven::{Driven, Log, frame, values};

const DEADLINE: Duration = Duration::from_secs(20);

fn source() -> Plan {
    Plan::source("memory times", frame(&[]).schema().clone())
}

fn windows() -> Plan {
    let marked = source().with_watermark("time", "1ms").unwrap();
    marked.group_by_dynamic(&col("time"), &[], &tumbling("10ms"), &[len().alias("n")]).unwrap()
}

/// Two partitions, one of which falls idle; gives the windows that came out, and the batches in which rows were read.
fn with_an_idle_partition(crash: Option<Crash>) -> (Vec<(i64, i64)>, usize) {
    let (plan, log, folder) = (windows(), Log::of(&[(0, &[5]), (1, &[5])]), tempfile::tempdir().unwrap());
    let mut driven = Driven::start(&plan, &log, folder.path(), crash);
    driven.until("the first batch", |driven| driven.batches() >= 1);
    driven.clock.advance(Duration::from_secs(20));
    log.add(&[(0, &[100])]);
    driven.until("the second batch", |driven| driven.batches() >= 2);
    driven.clock.advance(Duration::from_secs(15));
    driven.until("the batch without rows", |driven| driven.batches() >= 3);
    let early = driven.values("time", "n").len();
    log.add(&[(0, &[200]), (1, &[200])]);
    driven.until("the last window", |driven| driven.values("time", "n").len() >= 2);
    driven.query.stop();
    (driven.values("time", "n"), early)
}

#[test]
fn windows_come_out_without_rows_when_a_partition_falls_idle() {
    let (windows, early) = with_an_idle_partition(None);
    assert_eq!(early, 1, "the first window came out before any other row");
    assert_eq!(windows, [(0, 2), (100, 1)]);
}

#[test]
fn a_crash_in_a_batch_without_rows_changes_nothing() {
    for step in STEPS {
        let (windows, _) = with_an_idle_partition(Some(crash_after(2, step)));
        assert_eq!(windows, [(0, 2), (100, 1)], "after {step:?}");
    }
}

#[test]
fn catching_up_makes_no_row_late_whatever_the_pause() {
    let (plan, log, folder) = (windows(), Log::of(&[(0, &[5]), (1, &[5])]), tempfile::tempdir().unwrap());
    let mut driven = Driven::start(&plan, &log, folder.path(), None);
    driven.until("the first batch", |driven| driven.batches() >= 1);
    log.withhold(Some(1));
    log.add(&[(1, &[6, 7, 90])]);
    driven.clock.advance(Duration::from_secs(31));
    log.add(&[(0, &[100])]);
    driven.until("the batch of partition 0 alone", |driven| driven.query.status().rows_read == 3);
    driven.clock.advance(Duration::from_secs(31));
    log.add(&[(0, &[200])]);
    driven.until("another", |driven| driven.query.status().rows_read == 4);
    log.withhold(None);
    log.add(&[(0, &[300]), (1, &[300])]);
    driven.until("the backlog", |driven| driven.query.status().rows_read == 9);
    driven.until("the windows", |driven| driven.values("time", "n").len() >= 4);
    driven.query.stop();
    assert_eq!(driven.query.status().late_rows, 0);
    assert_eq!(driven.values("time", "n"), [(0, 4), (90, 1), (100, 1), (200, 1)]);
}

#[test]
fn a_partition_that_appears_is_read_and_holds_the_watermark_back() {
    let (plan, log, folder) = (windows(), Log::of(&[(0, &[5])]), tempfile::tempdir().unwrap());
    let mut driven = Driven::start(&plan, &log, folder.path(), None);
    driven.until("the first batch", |driven| driven.batches() >= 1);
    log.add(&[(1, &[7])]);
    driven.clock.advance(Duration::from_secs(6));
    driven.until("the new partition", |driven| driven.query.status().rows_read == 2);
    log.add(&[(0, &[100])]);
    driven.until("a row that closes nothing yet", |driven| driven.query.status().rows_read == 3);
    assert_eq!(driven.values("time", "n"), []);
    log.add(&[(1, &[100])]);
    driven.until("the window", |driven| !driven.values("time", "n").is_empty());
    driven.query.stop();
    assert_eq!(driven.values("time", "n"), [(0, 2)]);
}

/// What a query that ends by itself writes, from a log, with the state of the runs before it.
fn run_to_its_end(log: &Arc<Log>, kept: &Kept, folder: &std::path::Path, trigger: Trigger) -> Vec<(i64, i64)> {
    let options = Options { trigger, clock: Arc::<ManualClock>::default(), ..Options::default() };
    let query = Query::write("test", &windows(), log.open(), options, kept.output(OutputMode::Append, folder)).unwrap();
    assert!(query.await_termination(DEADLINE), "{:?}", query.status());
    assert_eq!(query.exception(), None);
    values(kept, "time", "n")
}

#[test]
fn a_run_that_ends_closes_what_its_data_closes() {
    for trigger in [Trigger::AvailableNow, Trigger::Once] {
        let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
        let log = Log::of(&[(0, &[5, 42, 100]), (1, &[]), (2, &[15])]);
        assert_eq!(run_to_its_end(&log, &kept, folder.path(), trigger), [(0, 1), (10, 1), (40, 1)], "{trigger:?}");
        assert_eq!(run_to_its_end(&log, &kept, folder.path(), trigger).len(), 3, "{trigger:?}: nothing new");
        log.add(&[(1, &[130]), (3, &[111])]);
        assert_eq!(run_to_its_end(&log, &kept, folder.path(), trigger)[3..], [(100, 1), (110, 1)], "{trigger:?}");
    }
}

#[test]
fn a_clock_that_runs_ahead_makes_no_other_row_late() {
    let day = 86_400_000;
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let log = Log::of(&[(0, &[5, 3 * day])]);
    run_to_its_end(&log, &kept, folder.path(), Trigger::AvailableNow);
    log.add(&[(0, &[7, 40, 60])]);
    assert_eq!(run_to_its_end(&log, &kept, folder.path(), Trigger::AvailableNow), [(0, 2), (40, 1)]);
}

#[test]
fn a_partition_without_times_is_told_to_hold_the_watermark_back() {
    let clock = Arc::<ManualClock>::default();
    let mut pipeline = pipeline(&clock);
    let nulls = frame(&[1, 2])
        .lazy()
        .with_column(lit(NULL).cast(DataType::Datetime(TimeUnit::Milliseconds, None)).alias("time"));
    let nulls = PartitionRows { partition: 1.into(), rows: nulls.collect().unwrap(), newest_ms: None };
    let times = PartitionRows { partition: 0.into(), rows: frame(&[5, 100]), newest_ms: None };
    let told = pipeline.execute(vec![times, nulls]).unwrap().held_back.unwrap();
    assert!(told.contains("none of the 2 rows") && told.contains("[1]"), "{told}");
    assert_eq!(take(&mut pipeline, &[(1, &[100])]), 1);
    assert!(pipeline.execute(Vec::new()).unwrap().held_back.is_none());
}

fn pipeline(clock: &Arc<ManualClock>) -> Pipeline {
    let clock: Arc<dyn Clock> = clock.clone();
    let mut pipeline =
        Pipeline::new(&windows(), std::slice::from_ref(frame(&[]).schema()), Mode::Stream, &clock).unwrap();
    pipeline.assign(&(0..2).map(|partition| (partition, 0)).collect());
    pipeline.append();
    pipeline
}

fn take(pipeline: &mut Pipeline, rows: &[(i32, &[i64])]) -> usize {
    let part = |(partition, times): &(i32, &[i64])| PartitionRows {
        partition: (*partition).into(),
        rows: frame(times),
        newest_ms: None,
    };
    pipeline.execute(rows.iter().map(part).collect()).unwrap().changes.rows.height()
}

#[test]
fn event_time_stands_still_where_all_partitions_are_idle() {
    let clock = Arc::<ManualClock>::default();
    let mut pipeline = pipeline(&clock);
    assert_eq!(take(&mut pipeline, &[(0, &[5, 100]), (1, &[5])]), 0);
    assert!(!pipeline.is_due(0));
    clock.advance(Duration::from_secs(31));
    assert!(!pipeline.is_due(0), "nobody knows how far event time has come");
    assert_eq!(take(&mut pipeline, &[]), 0);
    let ends = Offsets::from([(0, 2), (1, 1)]);
    pipeline.ends(&ends, &ends);
    assert_eq!(take(&mut pipeline, &[(0, &[101])]), 1, "one partition goes on without the other");
    assert!(!pipeline.is_due(0), "nothing waits any more");
}

/// A batch: seconds on the clock before it, and the times of each partition's rows.
type Turn = (u64, Vec<(i32, i64)>);

/// What a batch was given, the watermark after it, and what came of it.
type Ran = (Vec<(i32, i64)>, Option<i64>, DataFrame);

fn parts(rows: &[(i32, i64)]) -> Vec<PartitionRows> {
    let mut parts: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    rows.iter().for_each(|(partition, time)| parts.entry(*partition).or_default().push(*time));
    parts
        .into_iter()
        .map(|(partition, times)| PartitionRows { partition: partition.into(), rows: frame(&times), newest_ms: None })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: common::cases_or(300), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever fell idle and whenever: each window comes out once, with the rows that were not late, and a query that repeats the
    /// batches from any of them on, at another time of day, gives the same.
    #[test]
    fn windows_come_out_once_and_are_repeated_as_they_were(
        turns in prop::collection::vec((0..25u64, prop::collection::vec((0..3i32, 0..400i64), 0..6)), 1..25),
        from in 0..25usize,
        sessions: bool,
    ) {
        let window = if sessions { session("15ms") } else { tumbling("10ms") };
        let marked = source().with_watermark("time", "1ms").unwrap();
        let plan = marked.group_by_dynamic(&col("time"), &[], &window, &[len().alias("n")]).unwrap();
        let clock = Arc::<ManualClock>::default();
        let begin = |clock: Arc<dyn Clock>| {
            let mut pipeline = Pipeline::new(&plan, std::slice::from_ref(frame(&[]).schema()), Mode::Stream, &clock).unwrap();
            pipeline.append();
            pipeline
        };
        let mut pipeline = begin(clock.clone());
        pipeline.assign(&(0..3).map(|partition| (partition, 0)).collect());
        let mut batches: Vec<Ran> = Vec::new();
        let (mut saved, mut late, mut empty) = (None, 0, 0);
        let turns: Vec<Turn> = turns;
        for (seconds, rows) in &turns {
            clock.advance(Duration::from_secs(*seconds));
            if pipeline.wants_ends(0) {
                let ends = Offsets::from([(0, 0), (1, 0), (2, 0)]);
                pipeline.ends(&ends, &ends);
            }
            let due = pipeline.is_due(0);
            for (rows, alone) in due.then(|| (Vec::new(), true)).into_iter().chain([(rows.clone(), false)]) {
                if batches.len() == from {
                    saved = Some(pipeline.snapshot(true).unwrap());
                }
                let output = pipeline.execute(parts(&rows)).unwrap();
                prop_assert!(!alone || output.changes.rows.height() > 0, "it was due");
                late += output.late;
                empty += usize::from(alone);
                batches.push((rows, pipeline.watermark(), output.changes.rows));
            }
            prop_assert!(!pipeline.is_due(0), "what waited has come out");
        }
        let far = pipeline.execute(parts(&[(0, 9_000), (1, 9_000), (2, 9_000)])).unwrap();
        let all = batches.iter().fold(far.changes.rows.clone(), |all, (_, _, rows)| all.vstack(rows).unwrap());
        let given = all.column("n").unwrap().u32().unwrap().iter().flatten().sum::<u32>() as usize;
        let rows: usize = turns.iter().map(|(_, rows)| rows.len()).sum();
        prop_assert_eq!(given + late, rows, "after {} batches without rows", empty);
        if !sessions {
            let starts = all.column("time").unwrap().n_unique().unwrap();
            prop_assert_eq!(starts, all.height(), "a window comes out once");
        }
        if let Some(saved) = saved {
            let later = Arc::<ManualClock>::default();
            later.advance(Duration::from_secs(1_000_000));
            let mut again = begin(later);
            again.restore(saved).unwrap();
            for (rows, watermark, before) in &batches[from..] {
                let output = again.repeat(parts(rows), *watermark).unwrap();
                prop_assert!(output.changes.rows.equals_missing(before));
            }
        }
    }
}

#[test]
fn a_source_that_was_away_makes_no_partition_idle() {
    let clock = Arc::<ManualClock>::default();
    let mut pipeline = pipeline(&clock);
    assert_eq!(take(&mut pipeline, &[(0, &[5]), (1, &[5])]), 0);
    clock.advance(Duration::from_secs(3600));
    pipeline.wake();
    assert_eq!(take(&mut pipeline, &[(0, &[900])]), 0, "the other partition's rows are still to come");
    assert_eq!(take(&mut pipeline, &[(1, &[7, 901])]), 1);
}

fn stamped() -> Plan {
    source().with_processing_time("arrived").unwrap()
}

fn by_clock() -> Plan {
    let marked = stamped().with_watermark("arrived", "0s").unwrap();
    marked.group_by_dynamic(&col("arrived"), &[], &tumbling("10s"), &[len().alias("n")]).unwrap()
}

/// Five rows in the first ten seconds; gives the windows of the time of processing.
fn by_the_clock(crash: Option<Crash>) -> Vec<(i64, i64)> {
    let (plan, log, folder) = (by_clock(), Log::of(&[(0, &[1, 2]), (1, &[3])]), tempfile::tempdir().unwrap());
    let mut driven = Driven::start(&plan, &log, folder.path(), crash);
    driven.until("the first batch", |driven| driven.batches() >= 1);
    driven.clock.advance(Duration::from_secs(4));
    log.add(&[(0, &[4, 5])]);
    driven.until("the second batch", |driven| driven.batches() >= 2);
    driven.clock.advance(Duration::from_secs(6));
    driven.until("the window", |driven| !driven.values("arrived", "n").is_empty());
    driven.query.stop();
    driven.values("arrived", "n")
}

#[test]
fn windows_of_the_time_of_processing_close_as_the_clock_goes_on() {
    assert_eq!(by_the_clock(None), [(0, 5)]);
    for (batch, step) in (0..3).flat_map(|batch| STEPS.map(|step| (batch, step))) {
        assert_eq!(by_the_clock(Some(crash_after(batch, step))), [(0, 5)], "after {step:?} of batch {batch}");
    }
}

#[test]
fn a_batch_that_is_repeated_has_the_time_of_processing_that_it_had() {
    for step in STEPS {
        let (plan, log, folder) = (stamped(), Log::of(&[(0, &[1])]), tempfile::tempdir().unwrap());
        let mut driven = Driven::start(&plan, &log, folder.path(), Some(crash_after(1, step)));
        driven.pause = Duration::from_secs(60);
        driven.until("the first batch", |driven| driven.batches() >= 1);
        driven.clock.advance(Duration::from_millis(7));
        log.add(&[(0, &[2])]);
        driven.until("the crash", |driven| driven.clock.now() > Duration::from_secs(1));
        driven.until("the second batch", |driven| driven.batches() >= 2);
        log.add(&[(0, &[3])]);
        driven.until("the third batch", |driven| driven.batches() >= 3);
        driven.query.stop();
        let values = driven.values("arrived", "time");
        assert_eq!(values, [(0, 1), (7, 2), (60_007, 3)], "after {step:?}");
    }
}

#[test]
fn a_function_with_a_state_is_called_as_the_clock_goes_on() {
    let function = StateFunction::new(|seen: &mut u32, rows: DataFrame, moment: &mut Moment| {
        *seen += rows.height() as u32;
        if moment.timed_out() {
            moment.forget();
            return df!["n" => [*seen]];
        }
        moment.set_timeout_ms(moment.watermark_ms().unwrap_or(0) + 5_000);
        df!["n" => Vec::<u32>::new()]
    });
    let marked = stamped().with_watermark("arrived", "0s").unwrap();
    let plan = marked.with_state(&[], function).unwrap();
    let (log, folder) = (Log::of(&[(0, &[1, 2]), (1, &[3])]), tempfile::tempdir().unwrap());
    let mut driven = Driven::start(&plan, &log, folder.path(), None);
    driven.until("the first batch", |driven| driven.batches() >= 1);
    driven.clock.advance(Duration::from_secs(6));
    driven.until("the call", |driven| !driven.values("n", "n").is_empty());
    driven.query.stop();
    assert_eq!(driven.values("n", "n"), [(3, 3)]);
    let progress = driven.query.last_progress().unwrap();
    assert_eq!((progress.input_rows, progress.output_rows), (0, 1));
}

#[test]
fn a_batch_query_has_the_time_of_its_call() {
    let log = Log::of(&[(0, &[1, 2]), (1, &[3])]);
    let rows = collect(&stamped(), &log.open(), |_| true).unwrap().frame;
    let arrived = rows.column("arrived").unwrap();
    assert_eq!(arrived.dtype(), &DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)));
    let times = arrived.to_physical_repr().i64().unwrap().clone();
    let now = engine::SystemClock::default().since_epoch_ms();
    assert!(times.min() == times.max() && (now - 60_000..=now).contains(&times.max().unwrap()), "{rows}");
}

#[test]
fn a_log_of_an_older_version_says_no_time_and_goes_on() {
    let (log, folder) = (Log::of(&[(0, &[1, 2]), (1, &[3])]), tempfile::tempdir().unwrap());
    let kept = Kept::default();
    let run = |crash: Option<Crash>| {
        let options = Options { trigger: Trigger::AvailableNow, crash, ..Options::default() };
        let output = kept.output(OutputMode::Append, folder.path());
        let query = Query::write("test", &source(), log.open(), options, output).unwrap();
        assert!(query.await_termination(DEADLINE));
        query.exception()
    };
    assert!(run(Some(Arc::new(|_, step| step == BatchStep::Read))).is_some());
    let path = folder.path().join("log");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert!(line["planned"].as_object_mut().unwrap().remove("at").is_some(), "{text}");
    std::fs::write(&path, format!("{line}\n")).unwrap();
    assert_eq!(run(None), None);
    assert_eq!(values(&kept, "time", "time").len(), 3);
}

#[test]
fn only_a_watermark_of_the_time_of_processing_may_have_no_delay() {
    let refused = |plan: Result<Plan, plan::PlanError>| plan.unwrap_err().to_string();
    assert!(refused(source().with_watermark("time", "0s")).contains("above zero"));
    assert!(refused(stamped().with_watermark("time", "0s")).contains("above zero"));
    assert!(stamped().rename(&["arrived"], &["seen"]).unwrap().with_watermark("seen", "0s").is_ok());
    assert!(refused(source().with_processing_time("time")).contains("already"));
    assert!(refused(windows().with_processing_time("arrived")).contains("before they are aggregated"));
    assert!(stamped().explain().contains("PROCESSING TIME AS \"arrived\""));
}
