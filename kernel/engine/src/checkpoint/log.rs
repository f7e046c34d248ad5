//! The log of a checkpoint: a JSON line a step, added at the end. A line that was cut off by a crash is the last one, and
//! says nothing. What a damaged line said is not guessed: the log is trusted as far as no batch can be missing from it.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CheckpointError, Hint, damaged, failed, read, replace};
use crate::disk::{Disk, DiskFile, OpenFile};
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

/// What a log has of the batches behind a state.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// Those that are known for certain, in order.
    pub(super) batches: Vec<Planned>,
    /// A line that cannot be read, whatever it said.
    pub(super) unreadable: Option<CheckpointError>,
    /// Why there may be other batches.
    pub(super) damage: Option<CheckpointError>,
}

pub(super) struct Log {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Open once something is written: until then the file is what it was.
    file: Option<Box<dyn DiskFile>>,
    /// The lines that it had when it was opened, as far as they are trusted.
    found: Vec<Line>,
    /// Where the lines of each batch begin.
    begins: VecDeque<(u64, usize)>,
    length: usize,
}

impl Log {
    /// Opens a log, and changes nothing of it yet. Gives the batches behind the state that is `after` one; `newest` is the newest
    /// that any state was after, so that the log must have it.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        after: Option<u64>,
        newest: Option<u64>,
    ) -> Result<(Log, Behind), CheckpointError> {
        let (lines, mut damage) = lines(path)?;
        let unreadable = damage.as_ref().map(|(_, detail)| damaged(path, detail, Hint::Log));
        let is_cut = damage.as_ref().is_some_and(|(place, _)| *place == lines.len());
        let batches = batches(lines.iter().filter(|line| after.is_none_or(|after| line.batch() > after)));
        let first = after.map_or(0, |after| after + 1);
        // A batch is known for certain when its range is, and it ran before the next one or may be run anew.
        let follow = batches.iter().zip(first..).take_while(|(planned, number)| planned.batch == *number).count();
        let ran = batches.iter().take(follow).take_while(|planned| planned.ran.is_some()).count();
        let known = if is_cut || ran + 1 < follow { ran } else { follow };
        // Each batch that a line or a state speaks of must be among them, or in the state.
        let last = lines.iter().map(Line::batch).max();
        let mentioned = last.map_or(0, |last| (last + 1).saturating_sub(first));
        let has_newest = newest.is_none_or(|newest| lines.iter().any(|line| line.batch() == newest));
        if known as u64 == mentioned && has_newest && !is_cut {
            // Whatever was damaged, no batch is missing.
            damage = None;
        } else if damage.is_none() {
            let missing = first + known as u64;
            damage =
                Some((0, format!("it says too little of batch {}", newest.filter(|_| !has_newest).unwrap_or(missing))));
        }
        let damage = damage.map(|(_, detail)| damaged(path, &detail, Hint::Log));
        let certain = first + known as u64;
        let found = lines.into_iter().filter(|line| line.batch() < certain).collect();
        let behind = Behind { batches: batches.into_iter().take(known).collect(), unreadable, damage };
        let (begins, path) = (VecDeque::new(), path.to_owned());
        Ok((Log { disk, path, file: None, found, begins, length: 0 }, behind))
    }

    pub(super) fn write(&mut self, line: &Line) -> Result<(), CheckpointError> {
        if self.file.is_none() {
            self.begin()?;
        }
        let text = self.noted(line);
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(text.as_bytes()).map_err(failed(self.path.clone()))
    }

    /// Has the lines on the disk, and not only with the operating system.
    pub(super) fn sync(&mut self) -> Result<(), CheckpointError> {
        self.file.as_mut().map_or(Ok(()), |file| file.sync()).map_err(failed(self.path.clone()))
    }

    /// Leaves out the batches up to one.
    pub(super) fn forget(&mut self, upto: u64) -> Result<(), CheckpointError> {
        if self.file.is_none() {
            self.begin()?;
        }
        while self.begins.front().is_some_and(|(batch, _)| *batch <= upto) {
            self.begins.pop_front();
        }
        let first = self.begins.front().map_or(self.length, |(_, begin)| *begin);
        let all = std::fs::read(&self.path).map_err(failed(self.path.clone()))?;
        let rest = all.get(first..).unwrap_or_default();
        self.file = None;
        replace(self.disk.as_ref(), &self.path, rest)?;
        self.begins.iter_mut().for_each(|(_, begin)| *begin -= first);
        self.length = rest.len();
        self.append()
    }

    /// Writes the lines that it had, and nothing else: what was cut off would run into the next line.
    fn begin(&mut self) -> Result<(), CheckpointError> {
        let text: String = std::mem::take(&mut self.found).iter().map(|line| self.noted(line)).collect();
        replace(self.disk.as_ref(), &self.path, text.as_bytes())?;
        self.append()
    }

    fn append(&mut self) -> Result<(), CheckpointError> {
        let file = self.disk.open(&self.path, OpenFile::Append).map_err(failed(self.path.clone()))?;
        self.file = Some(file);
        Ok(())
    }

    /// A line as text, and a note of where it comes to stand.
    fn noted(&mut self, line: &Line) -> String {
        // A line is made of numbers and names: it always becomes text.
        let text = serde_json::to_string(line).map(|text| text + "\n").unwrap_or_default();
        if self.begins.back().is_none_or(|(batch, _)| *batch < line.batch()) {
            self.begins.push_back((line.batch(), self.length));
        }
        self.length += text.len();
        text
    }
}

/// Of a line that cannot be read: how many that can came before it, and what is wrong.
type DamagedLine = (usize, String);

/// The lines that can be read, and one that cannot. Of several it is the last.
fn lines(path: &Path) -> Result<(Vec<Line>, Option<DamagedLine>), CheckpointError> {
    let (mut lines, mut damage) = (Vec::new(), None);
    let text = read(path)?.unwrap_or_default();
    for (number, line) in text.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match serde_json::from_slice(line) {
            Ok(line) => lines.push(line),
            Err(_) if !line.ends_with(b"\n") => {}
            Err(error) => damage = Some((lines.len(), format!("line {}: {error}", number + 1))),
        }
    }
    Ok((lines, damage))
}

fn batches<'a>(lines: impl Iterator<Item = &'a Line>) -> Vec<Planned> {
    let mut batches: BTreeMap<u64, Planned> = BTreeMap::new();
    for line in lines {
        match line.clone() {
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
    batches.into_values().collect()
}
