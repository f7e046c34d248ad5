//! A state is written beside the query: batches go on meanwhile, what a restart needs stays until it is on the disk, and a query
//! that ends waits for it.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use engine::{Disk, DiskFile, LocalDisk, OpenFile, Options, OutputMode, Query, State, Trigger};
use plan::Plan;
use polars::prelude::*;

mod common;

use common::query::{Kept, keyed};

const DEADLINE: Duration = Duration::from_secs(30);
/// Rows in each of two partitions: six batches.
const ROWS: i64 = 60;

fn rows(from: i64) -> DataFrame {
    keyed(from, ROWS)
}

/// A disk on which no state can be written until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let closed = self.0.1.wait_timeout_while(self.0.0.lock().unwrap(), DEADLINE, |is_open| !*is_open).unwrap();
        assert!(!closed.1.timed_out(), "nobody has opened the gate");
    }
}

impl Disk for Gate {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        if path.extension().is_some_and(|extension| extension == "new") {
            self.pass();
        }
        LocalDisk.make_folder(path)
    }

    fn open(&self, path: &Path, how: OpenFile) -> io::Result<Box<dyn DiskFile>> {
        LocalDisk.open(path, how)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        LocalDisk.remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        LocalDisk.sync_folder(path)
    }
}

#[test]
fn a_state_that_is_being_written_does_not_hold_the_query_up() {
    let source = Plan::source("memory rows", rows(0).schema().clone());
    let plan = source.group_by(&[col("k")], &[len().alias("n"), col("v").sum()]).unwrap();
    let (kept, folder, gate) = (Kept::default(), tempfile::tempdir().unwrap(), Gate::default());
    let options = || Options {
        max_rows: 20,
        trigger: Trigger::AvailableNow,
        // Due after the second batch, and never so overdue that it would be waited for.
        snapshot_rows: 30,
        disk: Arc::new(gate.clone()),
        ..Options::default()
    };
    let open = || common::log::open(vec![rows(0), rows(1_000)], usize::MAX);
    let output = || kept.output(OutputMode::Update, folder.path());
    let query = Query::write("beside", &plan, open(), options(), output()).unwrap();
    let end = Instant::now() + DEADLINE;
    while kept.batches().len() < 6 {
        assert!(Instant::now() < end, "the query stands still at {:?}", query.last_progress());
        let _ = query.result().wait(query.status().version, Duration::from_millis(10));
    }
    let states = folder.path().join("state");
    assert_eq!(std::fs::read_dir(&states).unwrap().count(), 0, "no state can be there yet");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("{\"planned\":{\"batch\":0,"), "the log is all that a restart has: {log}");
    assert_eq!(query.status().state, State::Running, "a query that ends waits for its state");
    gate.open();
    assert!(query.await_termination(DEADLINE), "{:?}", query.status());
    assert_eq!(query.exception(), None);
    assert!(states.join("5/facts.json").exists());
    drop(query);
    // It goes on from there, and repeats nothing.
    let again = Query::write("beside", &plan, open(), options(), output()).unwrap();
    assert!(again.await_termination(DEADLINE), "{:?}", again.status());
    assert!(again.exception().is_none() && again.recent_progress().is_empty() && kept.has_each_once());
}
