//! States in a checkpoint: a folder each, made under another name and renamed when it is whole and on the disk; one that is to
//! go is renamed before it is removed. A table is there whole, or as what changed of it since the state before. The facts say
//! which, and hold the hash of every table's file.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::prelude::{DataFrame, ParquetReader, ParquetWriter, SerReader as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{CheckpointError, Hint, damaged, failed};
use crate::disk::{Disk, DiskFile, OpenFile, make_folders};
use crate::snapshot::{Facts, Snapshot};

/// So many states may say what changed before one has all: a start reads them all.
const MOST_IN_A_CHAIN: usize = 64;

#[derive(Serialize, Deserialize)]
struct Contents {
    facts: Facts,
    tables: BTreeMap<String, TableFile>,
    /// The state before, which this one goes with.
    after: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct TableFile {
    /// Of its file; a table without columns has none.
    hash: Option<String>,
    /// Whether it is what changed since the state before.
    changes: bool,
}

impl TableFile {
    fn file(&self, name: &str) -> String {
        format!("{name}{}.parquet", if self.changes { ".changes" } else { "" })
    }
}

/// The states of a checkpoint.
pub(super) struct StateFiles {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// In order.
    known: Vec<StateSize>,
}

#[derive(Clone, Copy, Debug)]
struct StateSize {
    batch: u64,
    after: Option<u64>,
    bytes: u64,
}

/// What the folder had when it was opened.
pub(super) struct FoundStates {
    /// The newest that is used, and the batch that it is after.
    pub(super) state: Option<(u64, Snapshot)>,
    /// The newest batch that any was after, whole or not.
    pub(super) newest: Option<u64>,
}

impl StateFiles {
    /// Opens the folder, and finds the newest state. With `forgiving`, the newest that is whole: newer ones are removed.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        folder: PathBuf,
        forgiving: bool,
    ) -> Result<(StateFiles, FoundStates), CheckpointError> {
        make_folders(disk.as_ref(), &folder).map_err(failed(folder.clone()))?;
        let mut states = StateFiles { disk, known: Vec::new(), folder };
        states.clear_away()?;
        let mut batches = states.batches()?;
        let newest = batches.last().copied();
        let state = loop {
            let Some(batch) = batches.last().copied() else { break None };
            match states.read(batch) {
                Ok(saved) => break Some((batch, saved)),
                Err(CheckpointError::Damaged { .. }) if forgiving => states.remove(batch)?,
                Err(error) => return Err(error),
            }
            batches.pop();
        };
        for batch in batches {
            // What cannot be read goes with nothing.
            match states.contents(batch) {
                Ok(Contents { after, .. }) => {
                    let bytes = states.bytes(batch)?;
                    states.known.push(StateSize { batch, after, bytes });
                }
                Err(_) => states.remove(batch)?,
            }
        }
        Ok((states, FoundStates { state, newest }))
    }

    /// Whether the next state is to have all, and not only what changed.
    pub(super) fn wants_all(&self) -> bool {
        let changes = self.known.iter().rev().take_while(|state| state.after.is_some());
        let (count, bytes) = changes.fold((0, 0), |(count, bytes), state| (count + 1, bytes + state.bytes));
        let all = self.known.iter().rev().nth(count).map(|state| state.bytes);
        count >= MOST_IN_A_CHAIN || all.is_none_or(|all| bytes >= all)
    }

    /// Writes the state after a batch.
    pub(super) fn write(&mut self, batch: u64, saved: &mut Snapshot) -> Result<(), CheckpointError> {
        let new = self.folder.join(format!("{batch}.new"));
        let io = |path: &Path| failed(path.to_owned());
        self.disk.remove(&new).map_err(io(&new))?;
        self.disk.make_folder(&new).map_err(io(&new))?;
        let mut tables = BTreeMap::new();
        let whole = saved.frames.iter_mut().map(|(name, frame)| (name, frame, false));
        let changes = saved.changes.iter_mut().flat_map(|(name, all)| all.iter_mut().map(move |one| (name, one, true)));
        for (name, frame, changes) in whole.chain(changes) {
            let mut table = TableFile { hash: None, changes };
            if frame.width() > 0 {
                table.hash = Some(self.write_table(&new.join(table.file(name)), frame)?);
            }
            tables.insert(name.clone(), table);
        }
        let newest = self.known.last().map(|state| state.batch);
        let after = newest.filter(|_| tables.values().any(|table| table.changes));
        let contents = Contents { facts: saved.facts.clone(), tables, after };
        let path = new.join("facts.json");
        let text =
            serde_json::to_vec(&contents).map_err(|error| CheckpointError::State { detail: error.to_string() })?;
        let written = self.disk.open(&path, OpenFile::New).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync()
        });
        written.and_then(|()| self.disk.sync_folder(&new)).map_err(io(&new))?;
        let whole = self.folder.join(batch.to_string());
        if whole.exists() {
            self.remove(batch)?;
        }
        self.disk.rename(&new, &whole).and_then(|()| self.disk.sync_folder(&self.folder)).map_err(io(&whole))?;
        self.known.retain(|state| state.batch < batch);
        self.known.push(StateSize { batch, after, bytes: self.bytes(batch)? });
        Ok(())
    }

    /// Writes a table's file; gives its hash.
    fn write_table(&self, path: &Path, frame: &mut DataFrame) -> Result<String, CheckpointError> {
        let file = self.disk.open(path, OpenFile::New).map_err(failed(path.to_owned()))?;
        let mut hashed = Hashed { file, hash: Sha256::new() };
        ParquetWriter::new(&mut hashed)
            .finish(frame)
            .map_err(|error| CheckpointError::Io { path: path.to_owned(), detail: error.to_string() })?;
        hashed.file.sync().map_err(failed(path.to_owned()))?;
        Ok(hex::encode(hashed.hash.finalize()))
    }

    /// Removes the states before the last but one that has all; gives that one where there are two.
    pub(super) fn forget(&mut self) -> Result<Option<u64>, CheckpointError> {
        let all = self.known.iter().rev().filter(|state| state.after.is_none());
        let Some(oldest) = all.map(|state| state.batch).nth(1) else { return Ok(None) };
        while let Some(state) = self.known.first().filter(|state| state.batch < oldest) {
            self.remove(state.batch)?;
            self.known.remove(0);
        }
        Ok(Some(oldest))
    }

    /// Takes a state away: all of it or nothing, for half of one would be taken for a damaged one.
    fn remove(&self, batch: u64) -> Result<(), CheckpointError> {
        let (path, old) = (self.folder.join(batch.to_string()), self.folder.join(format!("{batch}.old")));
        let removed = self.disk.remove(&old).and_then(|()| self.disk.rename(&path, &old));
        let removed = removed.and_then(|()| self.disk.sync_folder(&self.folder)).and_then(|()| self.disk.remove(&old));
        removed.map_err(failed(path))
    }

    /// Removes what a crash left of states that were being written or removed.
    fn clear_away(&self) -> Result<(), CheckpointError> {
        let entries = std::fs::read_dir(&self.folder).map_err(failed(self.folder.clone()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|extension| extension == "new" || extension == "old") {
                self.disk.remove(&path).map_err(failed(path))?;
            }
        }
        Ok(())
    }

    fn batches(&self) -> Result<Vec<u64>, CheckpointError> {
        let entries = std::fs::read_dir(&self.folder).map_err(failed(self.folder.clone()))?;
        let mut batches: Vec<u64> =
            entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
        batches.sort_unstable();
        Ok(batches)
    }

    /// What a state takes on the disk.
    fn bytes(&self, batch: u64) -> Result<u64, CheckpointError> {
        let path = self.folder.join(batch.to_string());
        let entries = std::fs::read_dir(&path).map_err(failed(path))?;
        Ok(entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum())
    }

    fn contents(&self, batch: u64) -> Result<Contents, CheckpointError> {
        let path = self.folder.join(batch.to_string()).join("facts.json");
        let text = std::fs::read(&path).map_err(|error| corrupt_state(&path, &error))?;
        serde_json::from_slice(&text).map_err(|error| corrupt_state(&path, &error))
    }

    /// A state, with all that it goes with.
    fn read(&self, batch: u64) -> Result<Snapshot, CheckpointError> {
        let newest = self.contents(batch)?;
        let mut saved = Snapshot { facts: newest.facts.clone(), ..Snapshot::default() };
        // Tables that are still to be found whole.
        let mut wanted: Vec<String> = newest.tables.keys().cloned().collect();
        let (mut at, mut contents) = (batch, newest);
        loop {
            let folder = self.folder.join(at.to_string());
            let mut further = Vec::new();
            for name in wanted {
                let missing = || corrupt_state(&folder.join("facts.json"), &format!("it has no table \"{name}\""));
                let table = contents.tables.get(&name).ok_or_else(missing)?;
                let frame = read_table(&folder.join(table.file(&name)), table.hash.as_deref())?;
                if table.changes {
                    saved.changes.entry(name.clone()).or_default().insert(0, frame);
                    further.push(name);
                } else {
                    saved.frames.insert(name, frame);
                }
            }
            if further.is_empty() {
                return Ok(saved);
            }
            let no_end = || corrupt_state(&folder.join("facts.json"), &"it names no state before it");
            at = contents.after.filter(|after| *after < at).ok_or_else(no_end)?;
            contents = self.contents(at)?;
            wanted = further;
        }
    }
}

fn read_table(path: &Path, hash: Option<&str>) -> Result<DataFrame, CheckpointError> {
    let Some(hash) = hash else { return Ok(DataFrame::default()) };
    let bytes = std::fs::read(path).map_err(|error| corrupt_state(path, &error))?;
    if hex::encode(Sha256::digest(&bytes)) != hash {
        return Err(corrupt_state(path, &"it is not what was written"));
    }
    ParquetReader::new(Cursor::new(bytes)).finish().map_err(|error| corrupt_state(path, &error))
}

/// A file whose hash is made as it is written.
struct Hashed {
    file: Box<dyn DiskFile>,
    hash: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

fn corrupt_state(path: &Path, detail: &dyn std::fmt::Display) -> CheckpointError {
    damaged(path, detail, Hint::State)
}
