//! Joins in queries with a checkpoint: a crash changes nothing of what they give.

use std::time::Duration;

use engine::{BatchStep, Options, OutputMode, Query, Trigger};
use plan::{asof, within};
use polars::prelude::*;
use proptest::prelude::*;

use crate::common::frames::{Frame, join_asof, join_stream};
use crate::common::query::{Kept, crash_after};
use crate::log::{cases, rows, stream};

/// The batches that a query writes, which crashes once and is started again.
fn written((plan, open): &Frame, max_rows: usize, crash_at: Option<u64>) -> Vec<(u64, DataFrame)> {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    for crashes in [true, false] {
        let crash = crash_at.filter(|_| crashes).map(|batch| crash_after(batch, BatchStep::Ran));
        let options =
            Options { max_rows, trigger: Trigger::AvailableNow, snapshot_rows: 10, crash, ..Options::default() };
        let output = kept.output(OutputMode::Append, folder.path());
        let query = Query::write("join", plan, open.clone(), options, output).unwrap();
        assert!(query.await_termination(Duration::from_secs(30)), "{:?}", query.status());
        assert!(crashes || query.exception().is_none(), "{:?}", query.exception());
    }
    kept.batches()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 6, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_query_that_crashes_writes_what_one_writes_that_never_does(
        left in rows(),
        right in rows(),
        kind in 0..7usize,
        max_rows in 4..40usize,
        crash_at in 0..6u64,
    ) {
        let key = [col("key")];
        let kinds = [JoinType::Inner, JoinType::Left, JoinType::Right, JoinType::Full, JoinType::Semi, JoinType::Anti];
        let (left, right) = (stream(&left, false), stream(&right, true));
        let frame = match kinds.get(kind) {
            Some(how) => join_stream(&left, &right, (&key, &key), how, &within("time", "time", "600ms")),
            None => join_asof(&left, &right, (&key, &key), &asof("time", "time").tolerance("900ms")),
        };
        let frame = frame.unwrap();
        let (whole, found) = (written(&frame, max_rows, None), written(&frame, max_rows, Some(crash_at)));
        prop_assert_eq!(whole.len(), found.len());
        for ((batch, ours), (_, theirs)) in found.iter().zip(&whole) {
            prop_assert!(ours.equals_missing(theirs), "batch {}: {}\n{}", batch, ours, theirs);
        }
    }
}
