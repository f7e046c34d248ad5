//! The log of a checkpoint: a JSON line a step, added at the end. A line that was cut off by a crash is the last one, and
//! says nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{CheckpointError, corrupt, failed, write_whole};
use crate::position::Offsets;

/// A batch that was begun.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Planned {
    /// Its number.
    pub(crate) batch: u64,
    /// Where its range begins.
    pub(crate) from: Offsets,
    /// Where its range ends.
    pub(crate) to: Offsets,
    /// When it was planned, in milliseconds since the epoch; older logs do not say it.
    pub(crate) at: Option<i64>,
    /// The watermark after it, if it ran.
    pub(crate) ran: Option<Option<i64>>,
    /// Whether it is in the sink.
    pub(crate) committed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line {
    Planned {
        batch: u64,
        from: Offsets,
        to: Offsets,
        #[serde(default)]
        at: Option<i64>,
    },
    Ran {
        batch: u64,
        watermark: Option<i64>,
    },
    Committed {
        batch: u64,
    },
}

impl Line {
    fn batch(&self) -> u64 {
        match self {
            Line::Planned { batch, .. } | Line::Ran { batch, .. } | Line::Committed { batch } => *batch,
        }
    }
}

pub(super) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens or makes a log; gives the batches behind the one that the state is after.
    pub(super) fn open(path: &Path, after: Option<u64>) -> Result<(Log, Vec<Planned>), CheckpointError> {
        let lines = read(path)?;
        // What was cut off would run into the next line.
        let text = written(&lines);
        if path.exists() {
            write_whole(path, text.as_bytes())?;
        }
        let file = File::options().create(true).append(true).open(path).map_err(failed(path.to_owned()))?;
        let mut batches: BTreeMap<u64, Planned> = BTreeMap::new();
        for line in lines.into_iter().filter(|line| after.is_none_or(|after| line.batch() > after)) {
            match line {
                Line::Planned { batch, from, to, at } => {
                    batches.insert(batch, Planned { batch, from, to, at, ran: None, committed: false });
                }
                Line::Ran { batch, watermark } => {
                    batches.entry(batch).and_modify(|planned| planned.ran = Some(watermark));
                }
                Line::Committed { batch } => {
                    batches.entry(batch).and_modify(|planned| planned.committed = true);
                }
            }
        }
        Ok((Log { path: path.to_owned(), file }, batches.into_values().collect()))
    }

    pub(super) fn write(&mut self, line: &Line) -> Result<(), CheckpointError> {
        let text = written(std::slice::from_ref(line));
        self.file.write_all(text.as_bytes()).map_err(failed(self.path.clone()))
    }

    /// Has the lines on the disk, and not only with the operating system.
    pub(super) fn sync(&mut self) -> Result<(), CheckpointError> {
        self.file.sync_data().map_err(failed(self.path.clone()))
    }

    /// Leaves out the batches up to one.
    pub(super) fn forget(&mut self, upto: u64) -> Result<(), CheckpointError> {
        let lines: Vec<Line> = read(&self.path)?.into_iter().filter(|line| line.batch() > upto).collect();
        write_whole(&self.path, written(&lines).as_bytes())?;
        self.file = File::options().append(true).open(&self.path).map_err(failed(self.path.clone()))?;
        Ok(())
    }
}

fn read(path: &Path) -> Result<Vec<Line>, CheckpointError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(path.to_owned())(error)),
    };
    let mut lines = Vec::new();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            Err(_) if !line.ends_with('\n') => {}
            Err(error) => return Err(corrupt(path, &format!("line {}: {error}", number + 1))),
        }
    }
    Ok(lines)
}

fn written(lines: &[Line]) -> String {
    // A line is made of numbers and names: it always becomes text.
    lines.iter().filter_map(|line| serde_json::to_string(line).ok()).map(|line| line + "\n").collect()
}
