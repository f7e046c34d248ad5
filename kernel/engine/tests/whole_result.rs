//! A sink is given the whole result, however many rows that is, and never what a view happens to hold; what does not fit in
//! memory is an error that names the cap.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::time::Duration;

use engine::{BatchStep, MemoryTable, Options, OutputMode, Query, QueryOutput, ROWS_HELD, STREAM_ROWS_HELD, Trigger};
use plan::Plan;
use polars::prelude::*;

mod common;

use common::query::{Kept, crash_after};

const DEADLINE: Duration = Duration::from_secs(60);

/// Every value from 0 on once, over two partitions, in an order that is none.
fn partitions(rows: u64) -> Vec<DataFrame> {
    let half = rows / 2;
    // Odd and not a multiple of five, so that every number comes once.
    let value = |n: u64| (n * 7_919 % rows) as i64;
    let part = |from: u64| df!["v" => (from..from + half).map(value).collect::<Vec<_>>()].unwrap();
    vec![part(0), part(half)]
}

fn source(rows: u64) -> Plan {
    Plan::source("memory rows", partitions(rows)[0].schema().clone())
}

fn options() -> Options {
    Options { trigger: Trigger::AvailableNow, ..Options::default() }
}

fn memory(mode: OutputMode, folder: Option<&Path>) -> QueryOutput {
    let checkpoint = folder.map(Path::to_owned);
    QueryOutput { sink: Box::new(MemoryTable), mode, checkpoint, use_newest_good_state: false }
}

/// A query that has run over everything that is there, or failed.
fn ended(plan: &Plan, rows: u64, options: Options, output: QueryOutput) -> Query {
    let open = common::log::open(partitions(rows), usize::MAX);
    let query = Query::write("test", plan, open, options, output).unwrap();
    assert!(query.await_termination(DEADLINE), "the query has not ended: {:?}", query.status());
    query
}

fn values(frame: &DataFrame) -> Vec<i64> {
    frame.column("v").unwrap().i64().unwrap().into_no_null_iter().collect()
}

#[test]
fn a_sorted_result_that_is_larger_than_a_view_reaches_the_sink_whole() {
    const ROWS: u64 = 400_000;
    const K: usize = 300_000;
    let plan = source(ROWS).top_k(K, &[col("v")], &Default::default()).unwrap();
    let kept = Kept::default();
    let output = QueryOutput { checkpoint: None, ..kept.output(OutputMode::Complete, Path::new("")) };
    let query = ended(&plan, ROWS, options(), output);
    assert_eq!(query.exception(), None);
    let expected: Vec<i64> = (0..ROWS as i64).rev().take(K).collect();
    let (_, last) = kept.batches().pop().unwrap();
    assert!(values(&last) == expected, "the sink has {} rows", last.height());
    assert!(values(&query.frame()) == expected, "the result has {} rows", query.frame().height());
    let status = query.status();
    assert!(status.rows <= STREAM_ROWS_HELD, "{}", status.rows);
    assert_eq!(status.rows as u64 + status.dropped_rows, K as u64, "a view that holds fewer says how many");
    assert_eq!(query.last_progress().unwrap().output_rows, K);
}

#[test]
fn a_table_in_memory_has_every_row_of_a_stream() {
    const ROWS: u64 = STREAM_ROWS_HELD as u64 + 56_000;
    let query = ended(&source(ROWS), ROWS, options(), memory(OutputMode::Append, None));
    let mut rows = values(&query.frame());
    rows.sort_unstable();
    assert!(rows == (0..ROWS as i64).collect::<Vec<_>>(), "{} rows", rows.len());
}

#[test]
fn a_table_in_memory_has_every_group_and_so_has_a_whole_result() {
    const ROWS: u64 = ROWS_HELD as u64 + 100_002;
    let plan = source(ROWS).group_by(&[col("v")], &[len().alias("n")]).unwrap();
    let kept = Kept::default();
    let whole = QueryOutput { checkpoint: None, ..kept.output(OutputMode::Complete, Path::new("")) };
    for output in [memory(OutputMode::Update, None), whole] {
        let query = ended(&plan, ROWS, Options { max_rows: 400_000, ..options() }, output);
        assert_eq!(query.exception(), None);
        let mut rows = values(&query.frame());
        rows.sort_unstable();
        assert!(rows == (0..ROWS as i64).collect::<Vec<_>>(), "{} groups", rows.len());
    }
    assert_eq!(kept.batches().pop().unwrap().1.height() as u64, ROWS);
}

#[test]
fn every_group_of_a_sorted_aggregation_is_written_in_its_order() {
    const ROWS: u64 = ROWS_HELD as u64 + 100_002;
    let groups = source(ROWS).group_by(&[col("v")], &[len().alias("n")]).unwrap();
    let descending = SortMultipleOptions::default().with_order_descending(true);
    for (options, first) in [(SortMultipleOptions::default(), 0), (descending, ROWS as i64 - 1)] {
        let kept = Kept::default();
        let whole = QueryOutput { checkpoint: None, ..kept.output(OutputMode::Complete, Path::new("")) };
        let plan = groups.sort(&[col("v")], &options).unwrap();
        let query = ended(&plan, ROWS, Options { max_rows: 400_000, ..self::options() }, whole);
        assert_eq!(query.exception(), None);
        let expected: Vec<i64> = (0..ROWS as i64).map(|v| (v - first).abs()).collect();
        let (_, last) = kept.batches().pop().unwrap();
        assert!(values(&last) == expected, "the sink has {} rows", last.height());
        assert!(values(&query.frame()) == expected, "the result has {} rows", query.frame().height());
    }
}

#[test]
fn a_result_that_does_not_fit_in_memory_is_an_error_that_names_the_cap() {
    const ROWS: u64 = 50_000;
    let options = Options { max_result_bytes: 100_000, max_rows: 4_000, ..options() };
    let query = ended(&source(ROWS), ROWS, options, memory(OutputMode::Append, None));
    let error = query.exception().unwrap();
    assert!(error.contains("does not fit in memory") && error.contains("the cap is 100000 bytes"), "{error}");
    assert!(error.contains(".max_result_bytes("), "{error}");
}

#[test]
fn a_table_in_memory_is_whole_after_a_restart() {
    const ROWS: u64 = 30_000;
    let groups = source(ROWS).group_by(&[(col("v") % lit(7_000)).alias("v")], &[len().alias("n")]).unwrap();
    for (plan, mode) in [(source(ROWS), OutputMode::Append), (groups, OutputMode::Update)] {
        let sorted = |query: &Query| query.frame().sort(["v"], SortMultipleOptions::default()).unwrap();
        let wanted = sorted(&ended(&plan, ROWS, options(), memory(mode, None)));
        for batch in 0..5 {
            let folder = tempfile::tempdir().unwrap();
            let each = Options { max_rows: 6_000, snapshot_rows: 9_000, ..options() };
            let crash = Options { crash: Some(crash_after(batch, BatchStep::Committed)), ..each.clone() };
            assert!(ended(&plan, ROWS, crash, memory(mode, Some(folder.path()))).exception().is_some());
            let again = ended(&plan, ROWS, each, memory(mode, Some(folder.path())));
            assert_eq!(again.exception(), None);
            assert!(sorted(&again).equals(&wanted), "after batch {batch}: {}", again.frame());
        }
    }
}

#[test]
fn a_checkpoint_without_the_result_is_no_beginning_of_a_table() {
    const ROWS: u64 = 2_000;
    let plan = source(ROWS).group_by(&[col("v")], &[len().alias("n")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::default();
    assert_eq!(ended(&plan, ROWS, options(), kept.output(OutputMode::Update, folder.path())).exception(), None);
    let refused = ended(&plan, ROWS, options(), memory(OutputMode::Update, Some(folder.path()))).exception().unwrap();
    assert!(refused.contains("has no rows of the result"), "{refused}");
}
