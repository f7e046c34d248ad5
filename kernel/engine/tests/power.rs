//! A loss of power at any step that a checkpoint takes on the disk: afterwards the query goes on, every row is in the sink
//! once, and no batch that the sink has is cut otherwise under the same number.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::{Disk, LocalDisk, Options, OutputMode, Query, Trigger};
use plan::Plan;
use polars::prelude::*;

mod common;

use common::disk::{FailingDisk, LOSSES, Lie, Loss};
use common::query::{Kept, keyed};

const DEADLINE: Duration = Duration::from_secs(30);
/// Rows in each of two partitions.
const ROWS: i64 = 60;

fn rows(from: i64) -> DataFrame {
    keyed(from, ROWS)
}

fn source() -> Plan {
    Plan::source("memory rows", rows(0).schema().clone())
}

/// Runs a query until it has read what is there, or the power is lost; gives why it failed.
fn run(
    plan: &Plan,
    mode: OutputMode,
    kept: &Kept,
    folder: &Path,
    disk: Arc<dyn Disk>,
    max_rows: usize,
) -> Option<String> {
    let open = common::log::open(vec![rows(0), rows(1_000)], usize::MAX);
    let options =
        Options { max_rows, trigger: Trigger::AvailableNow, snapshot_rows: max_rows, disk, ..Options::default() };
    let query = Query::write("power", plan, open, options, kept.output(mode, folder)).unwrap();
    assert!(query.await_termination(DEADLINE), "the query has not ended: {:?}", query.status());
    query.exception()
}

/// What a sink has once it has taken in batch after batch: the newest row of each key.
fn newest(kept: &Kept, key: &str) -> BTreeMap<i64, String> {
    let mut newest = BTreeMap::new();
    for (_, rows) in kept.batches() {
        let keys = rows.column(key).unwrap().i64().unwrap().clone();
        for (row, key) in keys.iter().enumerate() {
            newest.insert(key.unwrap(), format!("{:?}", rows.get(row).unwrap()));
        }
    }
    newest
}

/// A query, and what tells its rows apart.
struct Case {
    plan: Plan,
    mode: OutputMode,
    key: &'static str,
}

fn cases() -> [Case; 2] {
    let groups = source().group_by(&[col("k")], &[len().alias("n"), col("v").sum()]).unwrap();
    [
        Case { plan: source(), mode: OutputMode::Append, key: "v" },
        Case { plan: groups, mode: OutputMode::Update, key: "k" },
    ]
}

impl Case {
    fn expected(&self) -> BTreeMap<i64, String> {
        let (whole, folder) = (Kept::default(), tempfile::tempdir().unwrap());
        assert_eq!(run(&self.plan, self.mode, &whole, folder.path(), Arc::new(LocalDisk), 20), None);
        newest(&whole, self.key)
    }

    /// Loses power at a step, and starts again. Says whether there was such a step, or what is wrong afterwards.
    fn lose_power(&self, loss: Loss, lie: Lie, step: usize, expected: &BTreeMap<i64, String>) -> Result<bool, String> {
        let Case { plan, mode, key } = self;
        let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
        let (disk, checkpoint) = (FailingDisk::new(folder.path(), step, lie), folder.path().join("a/checkpoint"));
        let failed = run(plan, *mode, &kept, &checkpoint, Arc::new(disk.clone()), 20);
        if !disk.is_off() {
            return failed.map_or(Ok(false), Err);
        }
        let said = failed.unwrap_or_default();
        assert!(said.contains("there is no power"), "step {step}: {said}");
        disk.lose_power(loss);
        let before = kept.batches();
        // What is planned anew is cut otherwise.
        if let Some(why) = run(plan, *mode, &kept, &checkpoint, Arc::new(disk), 26) {
            return Err(why);
        }
        let after = kept.batches();
        for ((number, ours), (_, theirs)) in before.iter().zip(&after) {
            if !ours.equals(theirs) {
                return Err(format!("batch {number} was {ours}, and is {theirs}"));
            }
        }
        if newest(&kept, key) != *expected {
            return Err("the sink has other rows".to_owned());
        }
        let rows: usize = after.iter().map(|(_, rows)| rows.height()).sum();
        if *mode == OutputMode::Append && rows as i64 != 2 * ROWS {
            return Err(format!("the sink has {rows} rows"));
        }
        Ok(true)
    }
}

#[test]
fn a_loss_of_power_at_any_step_of_a_checkpoint_changes_nothing() {
    for case in cases() {
        let expected = case.expected();
        for loss in LOSSES {
            let lost = |step| {
                let lost = case.lose_power(loss, Lie::None, step, &expected);
                lost.unwrap_or_else(|why| panic!("{loss:?} at step {step}: {why}"))
            };
            let steps = (0..).take_while(|step| lost(*step)).count();
            assert!(steps > 60, "{steps} steps");
        }
    }
}

#[test]
fn a_disk_that_only_says_that_it_syncs_is_found_out() {
    for case in cases() {
        let expected = case.expected();
        for (lie, loss) in [(Lie::Files, Loss::All), (Lie::Files, Loss::Half), (Lie::Folders, Loss::All)] {
            let found = (0..200).find_map(|step| case.lose_power(loss, lie, step, &expected).err());
            assert!(found.is_some(), "{lie:?}, {loss:?}");
        }
    }
}
