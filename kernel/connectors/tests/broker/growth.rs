//! What becomes of a topic while it is read, and between two runs: it gets partitions, it is made again, its records are deleted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::{KafkaOptions, KafkaSource, OnDataLoss, ParquetSink, StartingOffsets, create_topic};
use engine::{
    BatchStep, Crash, OpenSource, Options, OutputMode, Query, QueryOutput, Sharing, Source, State, Status, Trigger,
    collect,
};
use plan::Plan;
use polars::prelude::*;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::place::*;

const DEADLINE: Duration = Duration::from_secs(60);

fn schema() -> SchemaRef {
    Arc::new(Schema::from_iter([("v".into(), DataType::Int64)]))
}

fn sum() -> Plan {
    Plan::source("kafka numbers", schema()).group_by(&[], &[col("v").sum(), len().alias("n")]).unwrap()
}

/// The way to a topic, as a frame has it: shared with all others.
fn way(sharing: &Sharing, topic: &str, on_data_loss: OnDataLoss) -> OpenSource {
    way_of(sharing, KafkaOptions { on_data_loss, ..options(topic) })
}

fn way_of(sharing: &Sharing, options: KafkaOptions) -> OpenSource {
    let (discovery_interval, topic) = (Some(Duration::from_millis(100)), options.topic.clone());
    let options = KafkaOptions { discovery_interval, ..options };
    let open: OpenSource = Arc::new(move |columns| {
        let columns = columns.iter().map(ToString::to_string).collect();
        Ok(Box::new(KafkaSource::open(options.clone(), schema(), Some(columns))?) as Box<dyn Source>)
    });
    sharing.share(&topic, schema(), open)
}

fn numbers(topic: &str, partition: i32, numbers: &[i64]) {
    let value = |number: &i64| format!("{{\"v\":{number}}}");
    send_all(topic, partition, &numbers.iter().map(value).collect::<Vec<_>>());
}

fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap()
}

fn grow(topic: &str, partitions: usize) {
    let wanted = NewPartitions::new(topic, partitions);
    wait_for(admin().create_partitions([&wanted], &AdminOptions::new())).unwrap()[0].clone().unwrap();
}

/// Deletes a topic and makes it again, as soon as the broker lets it.
fn make_again(topic: &str) {
    wait_for(admin().delete_topics(&[topic], &AdminOptions::new())).unwrap()[0].clone().unwrap();
    let end = Instant::now() + DEADLINE;
    while !create_topic(&bootstrap(), topic, 1).is_ok_and(|is_new| is_new) {
        assert!(Instant::now() < end, "the topic cannot be made again");
    }
}

fn delete_up_to(topic: &str, offset: i64) {
    let mut upto = TopicPartitionList::new();
    upto.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    wait_for(admin().delete_records(&upto, &AdminOptions::new())).unwrap();
}

fn options_of(trigger: Trigger) -> Options {
    Options { trigger, ..Options::default() }
}

/// Files, and a checkpoint.
fn output(folder: &Path) -> QueryOutput {
    QueryOutput {
        sink: Box::new(ParquetSink::new(folder.join("out"))),
        mode: OutputMode::Complete,
        checkpoint: Some(folder.join("checkpoint")),
        use_newest_good_state: false,
    }
}

/// A query of all that is there, into files; gives how it ended, and the sums that it wrote, batch by batch.
fn run_once(open: &OpenSource, folder: &Path) -> (Status, Vec<i64>) {
    let options = options_of(Trigger::AvailableNow);
    let query = Query::write("test", &sum(), Arc::clone(open), options, output(folder)).unwrap();
    assert!(query.await_termination(DEADLINE), "{:?}", query.status());
    // A query that wrote nothing has made no folder.
    let files = std::fs::read_dir(folder.join("out")).into_iter().flatten();
    let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let sum = |file| {
        let frame = ParquetReader::new(std::fs::File::open(file).unwrap()).finish().unwrap();
        frame.column("v").unwrap().i64().unwrap().get(0).unwrap()
    };
    (query.status(), files.into_iter().map(sum).collect())
}

fn sum_of(open: &OpenSource) -> i64 {
    let collected = collect(&sum(), open, |_| true).unwrap().frame;
    collected.column("v").unwrap().i64().unwrap().get(0).unwrap()
}

/// Waits until a query that is only looked at has a sum, or has failed.
fn until(query: &Query, what: &str, done: impl Fn(i64, &Status) -> bool) {
    let end = Instant::now() + DEADLINE;
    loop {
        let (status, frame) = (query.status(), query.result().frame());
        let sum = frame.column("v").unwrap().i64().unwrap().iter().next().flatten().unwrap_or_default();
        if done(sum, &status) {
            return;
        }
        assert!(Instant::now() < end, "{what}: {sum}, {status:?}");
        let _ = query.result().wait(status.version, Duration::from_millis(50));
    }
}

#[test]
fn a_partition_that_appears_is_read_by_a_running_query_and_by_frames_made_anew() {
    let topic = topic_of("grows", &[r#"{"v":1}"#, r#"{"v":10}"#]);
    let sharing = Sharing::default();
    let open = way(&sharing, &topic, OnDataLoss::Fail);
    let query = Query::start("test", &sum(), Arc::clone(&open), options_of(Trigger::Continuous)).unwrap();
    until(&query, "the first partition", |sum, _| sum == 11);
    grow(&topic, 3);
    numbers(&topic, 2, &[100]);
    assert_eq!(sum_of(&open), 111, "a frame over the same source");
    assert_eq!(sum_of(&way(&sharing, &topic, OnDataLoss::Fail)), 111, "a frame made anew");
    until(&query, "the third partition", |sum, _| sum == 111);
    numbers(&topic, 1, &[1000]);
    numbers(&topic, 0, &[10_000]);
    until(&query, "all partitions", |sum, _| sum == 11_111);
    let read: Vec<(i32, (i64, i64))> =
        query.status().offsets.iter().map(|(at, range)| (at.partition, *range)).collect();
    assert_eq!(read, [(0, (0, 3)), (1, (0, 1)), (2, (0, 1))]);
}

#[test]
fn a_partition_that_appears_between_two_runs_is_read_from_its_beginning() {
    let (topic, folder) = (topic_of("between", &[r#"{"v":1}"#]), tempfile::tempdir().unwrap());
    let open = || way(&Sharing::default(), &topic, OnDataLoss::Fail);
    assert_eq!(run_once(&open(), folder.path()).1, [1]);
    grow(&topic, 2);
    numbers(&topic, 1, &[100]);
    let (status, sums) = run_once(&open(), folder.path());
    assert_eq!((status.state, sums), (State::Ended, vec![1, 101]));
    let (status, sums) = run_once(&open(), folder.path());
    assert_eq!((status.state, sums), (State::Ended, vec![1, 101]), "nothing new");
}

#[test]
fn a_topic_made_again_under_a_running_query_ends_it_and_is_never_mixed() {
    let topic = topic_of("again", &[r#"{"v":1}"#, r#"{"v":2}"#, r#"{"v":4}"#]);
    let sharing = Sharing::default();
    let open = way(&sharing, &topic, OnDataLoss::Fail);
    let query = Query::start("test", &sum(), Arc::clone(&open), options_of(Trigger::Continuous)).unwrap();
    until(&query, "the first topic", |sum, _| sum == 7);
    make_again(&topic);
    numbers(&topic, 0, &[100, 200, 400, 800, 1600]);
    assert_eq!(sum_of(&way(&sharing, &topic, OnDataLoss::Fail)), 3100, "of the new topic alone");
    until(&query, "the end", |_, status| matches!(status.state, State::Failed(_)));
    let told = query.exception().unwrap();
    // It may look in the moment in which there is none.
    let was_away = told.contains("has no topic") && told.contains("It was deleted, or made again");
    let is_other = told.contains("is not the one that was read before")
        && told.contains(&format!("{topic} [0] was read up to offset 3"))
        && told.contains("on_data_loss");
    assert!(was_away || is_other, "{told}");
    assert_eq!(sum_of(&open), 3100);
}

#[test]
fn a_checkpoint_of_a_topic_that_was_made_again_is_refused_unless_told_otherwise() {
    for again in [1, 4] {
        let values: Vec<i64> = (0..again).map(|n| 100 << n).collect();
        let (topic, folder) =
            (topic_of("checkpoint", &[r#"{"v":1}"#, r#"{"v":2}"#, r#"{"v":4}"#]), tempfile::tempdir().unwrap());
        assert_eq!(run_once(&way(&Sharing::default(), &topic, OnDataLoss::Fail), folder.path()).1, [7]);
        make_again(&topic);
        numbers(&topic, 0, &values);
        let (status, sums) = run_once(&way(&Sharing::default(), &topic, OnDataLoss::Fail), folder.path());
        let State::Failed(told) = status.state else { panic!("{status:?}") };
        assert!(told.contains("read up to offset 3"), "{told}");
        assert_eq!(sums, [7]);
        let (status, sums) = run_once(&way(&Sharing::default(), &topic, OnDataLoss::Earliest), folder.path());
        assert_eq!((&status.state, sums), (&State::Ended, vec![7, 7 + values.iter().sum::<i64>()]));
        assert!(status.notes()[0].contains("records are gone that were not read"), "{:?}", status.notes());
    }
}

#[test]
fn a_batch_that_is_to_be_repeated_of_a_topic_that_was_made_again_is_told_as_lost() {
    for step in [BatchStep::Planned, BatchStep::Ran, BatchStep::Committed] {
        let (topic, folder) = (topic_of("repeated", &[r#"{"v":1}"#, r#"{"v":2}"#]), tempfile::tempdir().unwrap());
        let open = |loss| way(&Sharing::default(), &topic, loss);
        let crash: Crash = Arc::new(move |_, after| after == step);
        let options = Options { crash: Some(crash), ..options_of(Trigger::AvailableNow) };
        let query = Query::write("test", &sum(), open(OnDataLoss::Fail), options, output(folder.path())).unwrap();
        assert!(query.await_termination(DEADLINE) && query.exception().is_some(), "{:?}", query.status());
        drop(query);
        make_again(&topic);
        numbers(&topic, 0, &[100]);
        let (status, _) = run_once(&open(OnDataLoss::Fail), folder.path());
        let State::Failed(told) = status.state else { panic!("{step:?}: {status:?}") };
        assert!(told.contains(&format!("{topic} [0] was read up to offset")), "{step:?}: {told}");
        let (status, sums) = run_once(&open(OnDataLoss::Earliest), folder.path());
        assert_eq!((&status.state, sums.last()), (&State::Ended, Some(&100)), "{step:?}: {:?}", status.notes());
        assert!(status.notes()[0].contains("records are gone that were not read"), "{step:?}: {:?}", status.notes());
    }
}

#[test]
fn a_query_that_begins_with_what_comes_from_now_on_goes_on_there_although_nothing_came() {
    let (topic, folder) = (topic_of("latest", &[r#"{"v":1}"#]), tempfile::tempdir().unwrap());
    let open = || way_of(&Sharing::default(), KafkaOptions { start: StartingOffsets::Latest, ..options(&topic) });
    let (status, sums) = run_once(&open(), folder.path());
    assert_eq!((status.state, sums.last()), (State::Ended, Some(&0)));
    numbers(&topic, 0, &[10]);
    assert_eq!(run_once(&open(), folder.path()).1.last(), Some(&10));
    // Likewise after a loss.
    let latest = |loss| way(&Sharing::default(), &topic, loss);
    make_again(&topic);
    numbers(&topic, 0, &[100]);
    assert_eq!(run_once(&latest(OnDataLoss::Latest), folder.path()).1.last(), Some(&10));
    numbers(&topic, 0, &[1000]);
    assert_eq!(run_once(&latest(OnDataLoss::Latest), folder.path()).1.last(), Some(&1010));
}

#[test]
fn records_that_were_deleted_between_two_runs_are_missed_loudly() {
    let (topic, folder) = (topic_of("deleted", &[r#"{"v":1}"#]), tempfile::tempdir().unwrap());
    let open = |loss| way(&Sharing::default(), &topic, loss);
    assert_eq!(run_once(&open(OnDataLoss::Fail), folder.path()).1, [1]);
    numbers(&topic, 0, &[10, 100, 1000]);
    delete_up_to(&topic, 3);
    let (status, sums) = run_once(&open(OnDataLoss::Fail), folder.path());
    let State::Failed(told) = status.state else { panic!("{status:?}") };
    assert!(
        told.contains("[0] was read up to offset 1, and the 2 records from here to offset 2 were deleted"),
        "{told}"
    );
    assert_eq!(sums, [1]);
    let (status, sums) = run_once(&open(OnDataLoss::Earliest), folder.path());
    assert_eq!((&status.state, sums), (&State::Ended, vec![1, 1001]));
    assert_eq!(status.notes().len(), 1);
}
