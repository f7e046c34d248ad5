//! A loss of power at any step that a query takes on the disk, in its checkpoint and in its folder of Parquet files:
//! afterwards every row is there once.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connectors::ParquetSink;
use engine::{Disk, Options, OutputMode, Query, QueryOutput, State, Trigger};
use plan::Plan;
use polars::prelude::*;

#[allow(dead_code)]
#[path = "../../engine/tests/common/disk.rs"]
mod disk;
#[allow(dead_code)]
#[path = "../../engine/tests/common/log.rs"]
mod log;

use disk::{FailingDisk, LOSSES, Lie, Loss};

const DEADLINE: Duration = Duration::from_secs(30);
/// Rows in each of two partitions.
const ROWS: i64 = 60;

fn rows(from: i64) -> DataFrame {
    df!["v" => (from..from + ROWS).collect::<Vec<i64>>()].unwrap()
}

/// Runs a query until it has read what is there, or there is no power; gives why it failed.
fn run(folder: &Path, disk: &FailingDisk, max_rows: usize) -> Option<String> {
    let plan = Plan::source("memory rows", rows(0).schema().clone());
    let open = log::open(vec![rows(0), rows(1_000)], usize::MAX);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = Options {
        max_rows,
        trigger: Trigger::AvailableNow,
        snapshot_rows: 2 * max_rows,
        retry_after: Duration::from_millis(1),
        disk: Arc::clone(&shared),
        ..Options::default()
    };
    let output = QueryOutput {
        sink: Box::new(ParquetSink::on_disk(shared, folder.join("out"))),
        mode: OutputMode::Append,
        checkpoint: Some(folder.join("checkpoint")),
        use_newest_good_state: false,
    };
    let query = Query::write("power", &plan, open, options, output).unwrap();
    let end = std::time::Instant::now() + DEADLINE;
    while !query.await_termination(Duration::from_millis(5)) {
        if disk.is_off() && matches!(query.status().state, State::Waiting(_)) {
            // As it waits for a disk that has room again.
            return Some("it waits".to_owned());
        }
        assert!(std::time::Instant::now() < end, "the query has not ended: {:?}", query.status());
    }
    query.exception()
}

/// All values in a folder's files, sorted, or which file is not whole.
fn values(folder: &Path) -> Result<Vec<i64>, String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let frame = ParquetReader::new(std::fs::File::open(&path).unwrap()).finish();
        let frame = frame.map_err(|error| format!("{path:?}: {error}"))?;
        all.extend(frame.column("v").unwrap().i64().unwrap().into_no_null_iter());
    }
    all.sort_unstable();
    Ok(all)
}

/// Loses power at a step, and starts again. Says whether there was such a step, or what is wrong afterwards.
fn lose_power(loss: Loss, lie: Lie, step: usize) -> Result<bool, String> {
    let expected: Vec<i64> = (0..ROWS).chain(1_000..1_000 + ROWS).collect();
    let folder = tempfile::tempdir().unwrap();
    let disk = FailingDisk::new(folder.path(), step, lie);
    let mut failed = run(folder.path(), &disk, 20);
    let was_off = disk.is_off();
    if was_off {
        assert!(failed.is_some(), "step {step}");
        disk.lose_power(loss);
        failed = run(folder.path(), &disk, 26);
    }
    match failed {
        Some(why) => Err(why),
        None if values(&folder.path().join("out"))? != expected => Err("the files have other rows".to_owned()),
        None => Ok(was_off),
    }
}

#[test]
fn a_loss_of_power_at_any_step_leaves_every_row_in_the_files_once() {
    for loss in LOSSES {
        let lost =
            |step| lose_power(loss, Lie::None, step).unwrap_or_else(|why| panic!("{loss:?} at step {step}: {why}"));
        let steps = (0..).take_while(|step| lost(*step)).count();
        assert!(steps > 60, "{steps} steps");
    }
}

#[test]
fn a_disk_that_only_says_that_it_syncs_is_found_out() {
    // Of a disk that syncs no folder the checkpoint is lost together with the files, so that nothing is wrong.
    for (lie, loss) in [(Lie::Files, Loss::All), (Lie::Files, Loss::Half)] {
        let found = (0..200).find_map(|step| lose_power(loss, lie, step).err());
        assert!(found.is_some(), "{lie:?}, {loss:?}");
    }
}
