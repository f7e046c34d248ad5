//! Time that goes on without rows, over a broker: what a partition that fell idle held back comes out, exactly once, and so do
//! windows of the time of processing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use connectors::{KafkaSink, KafkaSinkOptions, KafkaSource, RecordForm, create_topic};
use engine::{BatchStep, Crash, ManualClock, OpenSource, Options, OutputMode, Query, QueryOutput, Source};
use plan::{Plan, tumbling};
use polars::prelude::*;

use crate::place::*;

const DEADLINE: Duration = Duration::from_secs(60);

fn input() -> SchemaRef {
    Arc::new(Schema::from_iter([Field::new("at".into(), DataType::Datetime(TimeUnit::Milliseconds, None))]))
}

/// A topic with two partitions.
fn double(name: &str) -> String {
    let topic = fresh(name);
    assert!(create_topic(&bootstrap(), &topic, 2).unwrap());
    topic
}

/// Writes rows with these times to a partition.
fn send_to(topic: &str, partition: i32, times: &[i64]) {
    let value = |time: &i64| format!("{{\"at\":{time}}}");
    send_all(topic, partition, &times.iter().map(value).collect::<Vec<_>>());
}

fn start(plan: &Plan, from: &str, to: &str, clock: &Arc<ManualClock>, folder: &Path, crash: Option<Crash>) -> Query {
    let source = from.to_owned();
    let open: OpenSource = Arc::new(move |columns| {
        let columns = columns.iter().map(ToString::to_string).collect();
        Ok(Box::new(KafkaSource::open(options(&source), input(), Some(columns))?) as Box<dyn Source>)
    });
    let form = RecordForm::default();
    let sink = KafkaSink::new(KafkaSinkOptions { kafka: options(to), form, id: to.to_owned() }).unwrap();
    let output = QueryOutput {
        sink: Box::new(sink),
        mode: OutputMode::Append,
        checkpoint: Some(folder.to_owned()),
        use_newest_good_state: false,
    };
    let options = Options { clock: clock.clone(), crash, ..Options::default() };
    Query::write("test", plan, open, options, output).unwrap()
}

fn until(query: &Query, what: &str, done: impl Fn(&Query) -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done(query) {
        assert!(Instant::now() < end, "{what}: {:?} {:?}", query.status(), query.last_progress());
        let _ = query.result().wait(query.status().version, Duration::from_millis(20));
    }
}

/// Rows of batches that are done.
fn read(query: &Query) -> usize {
    query.recent_progress().iter().map(|progress| progress.input_rows).sum()
}

fn counts(topic: &str) -> Vec<String> {
    committed_in(topic, 1).into_iter().filter_map(|found| found.value).collect()
}

#[test]
fn a_window_that_an_idle_partition_held_back_is_written_once_whatever_crashes() {
    let marked = Plan::source("kafka rows", input()).with_watermark("at", "1ms").unwrap();
    let windows = marked.group_by_dynamic(&col("at"), &[], &tumbling("10ms"), &[len().alias("n")]).unwrap();
    let plan = windows.select(&[col("n")]).unwrap();
    for step in
        [None, Some(BatchStep::Ran), Some(BatchStep::Written), Some(BatchStep::Saved), Some(BatchStep::Committed)]
    {
        let (from, to, folder) = (double("idle"), single("closed"), tempfile::tempdir().unwrap());
        let clock = Arc::<ManualClock>::default();
        send_to(&from, 0, &[5]);
        send_to(&from, 1, &[6]);
        let armed = Arc::<AtomicBool>::default();
        let crash: Option<Crash> = step.map(|step| -> Crash {
            let armed = Arc::clone(&armed);
            Arc::new(move |_, after| after == step && armed.load(Ordering::SeqCst))
        });
        let mut query = start(&plan, &from, &to, &clock, folder.path(), crash);
        until(&query, "two rows", |query| read(query) == 2);
        clock.advance(Duration::from_secs(20));
        send_to(&from, 0, &[100]);
        until(&query, "a third row", |query| read(query) == 3);
        armed.store(true, Ordering::SeqCst);
        clock.advance(Duration::from_secs(15));
        match step {
            None => until(&query, "the window", |query| query.last_progress().is_some_and(|p| p.output_rows == 1)),
            Some(_) => {
                until(&query, "the crash", |query| query.exception().is_some());
                query = start(&plan, &from, &to, &clock, folder.path(), None);
            }
        }
        send_to(&from, 1, &[8, 300]);
        send_to(&from, 0, &[300]);
        until(&query, "the last rows", |query| query.status().watermark_ms == Some(299));
        query.stop();
        assert_eq!(query.exception(), None);
        assert_eq!(counts(&to), [r#"{"n":2}"#, r#"{"n":1}"#], "after {step:?}: the row of the time 8 came too late");
    }
}

#[test]
fn windows_of_the_time_of_processing_are_written_as_the_clock_goes_on() {
    let seen = Plan::source("kafka rows", input()).with_processing_time("arrived").unwrap();
    let seen = seen.with_watermark("arrived", "0s").unwrap();
    let plan = seen.group_by_dynamic(&col("arrived"), &[], &tumbling("10s"), &[len().alias("n")]).unwrap();
    let (from, to, folder) = (double("arriving"), single("rate"), tempfile::tempdir().unwrap());
    let clock = Arc::<ManualClock>::default();
    send_to(&from, 0, &[1, 2, 3]);
    send_to(&from, 1, &[4]);
    let mut query = start(&plan, &from, &to, &clock, folder.path(), None);
    until(&query, "four rows", |query| query.status().rows_read == 4);
    clock.advance(Duration::from_secs(11));
    until(&query, "the window", |query| query.last_progress().is_some_and(|progress| progress.output_rows == 1));
    query.stop();
    assert_eq!(counts(&to).len(), 1);
    assert!(counts(&to)[0].contains("\"n\":4"), "{:?}", counts(&to));
}
