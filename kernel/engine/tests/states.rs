//! What a checkpoint's states have: the first everything, each later one only what its batches changed; and a restart from
//! them goes on as if there had been none.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use engine::{Clock, ManualClock, Mode, Offsets, PhysicalPlan, Pipeline, Snapshot, Source};
use plan::{Plan, asof, hopping, session, tumbling, within};
use polars::prelude::*;

use common::frames::{Frame, join_asof, join_stream};

mod common;

/// Rows of a log, and how many of them come with the first batch and with each that follows.
const ROWS: i64 = 3_000;
const FIRST: i64 = 2_970;
const NEXT: i64 = 10;

/// Row `n` is of the time `n` ms, with a key that comes three times in a row.
fn log() -> DataFrame {
    let numbers = || 0..ROWS;
    let rows = df![
        "time" => numbers().collect::<Vec<_>>(),
        "key" => numbers().map(|n| format!("key {}", n / 3)).collect::<Vec<_>>(),
        "value" => numbers().map(|n| n * 7 % 13).collect::<Vec<_>>(),
    ];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    rows.unwrap().lazy().with_columns([time]).collect().unwrap()
}

/// A stream whose watermark does not come far enough to close anything.
fn stream(name: &str) -> Frame {
    let plan = Plan::source(name, log().schema().clone()).with_watermark("time", "1h").unwrap();
    (plan, common::log::open(vec![log()], usize::MAX))
}

fn frames() -> Vec<(&'static str, Frame)> {
    let (rows, open) = stream("memory a");
    let of = |plan: Plan| (plan, open.clone());
    let (time, key) = (col("time"), [col("key")]);
    let counted = [len().alias("n"), col("value").sum()];
    let listed = [col("value").alias("all"), len().alias("n")];
    let groups = rows.group_by(&key, &counted).unwrap();
    let joined = |how| {
        let (left, right) = (stream("memory a"), stream("memory b"));
        join_stream(&left, &right, (&key, &key), &how, &within("time", "time", "1h")).unwrap()
    };
    let nearest = asof("time", "time").tolerance("1h");
    vec![
        ("merged groups", of(groups.clone())),
        ("kept rows", of(rows.group_by(&key, &listed).unwrap())),
        ("kept rows in windows", of(rows.group_by_dynamic(&time, &key, &hopping("1h", "30m"), &listed).unwrap())),
        ("sessions", of(rows.group_by_dynamic(&time, &key, &session("5m"), &counted).unwrap())),
        ("aggregate of aggregate", {
            let windows = rows.group_by_dynamic(&time, &key, &tumbling("10m"), &counted).unwrap();
            of(windows.group_by(&key, &[col("n").max()]).unwrap())
        }),
        ("groups that come and go", {
            let by = [(col("value") % lit(400)).alias("by")];
            of(groups.group_by(&by, &[len().alias("keys"), col("value").max(), col("n").sum()]).unwrap())
        }),
        ("groups of kept rows", {
            let kept = rows.group_by(&key, &listed).unwrap();
            of(kept.group_by(&[col("n")], &[len().alias("keys")]).unwrap())
        }),
        ("groups of sessions", {
            let sessions = rows.group_by_dynamic(&time, &key, &session("5m"), &counted).unwrap();
            of(sessions.group_by(&[col("n")], &[col("value").min()]).unwrap())
        }),
        ("largest rows", of(rows.top_k(500, &[col("value"), col("time")], &SortMultipleOptions::default()).unwrap())),
        (
            "largest groups",
            of(groups.top_k(500, &[col("value"), col("key")], &SortMultipleOptions::default()).unwrap()),
        ),
        ("unique", of(rows.unique(Some(&["key"])).unwrap())),
        ("inner join", joined(JoinType::Inner)),
        ("full join", joined(JoinType::Full)),
        ("as-of join", join_asof(&stream("memory a"), &stream("memory b"), (&key, &key), &nearest).unwrap()),
    ]
}

struct Run {
    source: Box<dyn Source>,
    plan: Plan,
    at: Offsets,
}

impl Run {
    fn pipeline(&self) -> Pipeline {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let mut pipeline = Pipeline::new(&self.plan, &self.source.lanes(), Mode::Stream, &clock).unwrap();
        pipeline.assign(&self.at);
        pipeline
    }

    /// Has pipelines take in the next rows of each partition; gives what came of it.
    fn batch(&mut self, rows: i64, pipelines: &mut [&mut Pipeline]) -> Vec<Vec<String>> {
        let to: Offsets = self.at.0.iter().map(|(partition, at)| (partition.clone(), at + rows)).collect();
        let mut run = |pipeline: &mut &mut Pipeline| {
            let parts = self.source.read(&self.at, &to).unwrap().parts;
            let changes = pipeline.execute(parts).unwrap().changes;
            let mut lines: Vec<String> = (0..changes.rows.height())
                .map(|row| format!("{} {:?}", changes.ids[row], changes.rows.get_row(row).unwrap().0))
                .collect();
            lines.extend(changes.deletes.iter().map(|id| format!("{id} is gone")));
            lines.sort_unstable();
            lines
        };
        let all = pipelines.iter_mut().map(&mut run).collect();
        self.at = to;
        all
    }
}

fn rows_of(saved: &Snapshot) -> usize {
    saved.frames.values().chain(saved.changes.values().flatten()).map(DataFrame::height).sum()
}

#[test]
fn a_state_has_only_what_changed_whatever_the_operator_keeps() {
    for (name, (plan, open)) in frames() {
        let mut source = open(&PhysicalPlan::of(&plan).source_columns()).unwrap();
        let mut run = Run { at: source.start().unwrap(), source, plan };
        let mut pipeline = run.pipeline();
        run.batch(FIRST, &mut [&mut pipeline]);
        let mut saved = pipeline.snapshot(true).unwrap();
        assert!(rows_of(&saved) > 400, "{name}: the first has everything, {}", rows_of(&saved));
        for batch in 0..2 {
            run.batch(NEXT, &mut [&mut pipeline]);
            let later = pipeline.snapshot(false).unwrap();
            // A row of each input may be in several tables; what is there beside it does not grow with what came before.
            assert!(rows_of(&later) <= 100, "{name}: {} rows after batch {batch}", rows_of(&later));
            saved.go_on(later);
        }
        let nothing = pipeline.snapshot(false).unwrap();
        assert!(rows_of(&nothing) <= 4, "{name}: {} rows for nothing", rows_of(&nothing));
        saved.go_on(nothing);
        let mut restored = run.pipeline();
        restored.restore(saved).unwrap();
        let [ours, theirs] = run.batch(NEXT, &mut [&mut restored, &mut pipeline]).try_into().unwrap();
        assert_eq!(ours, theirs, "{name}");
    }
}
