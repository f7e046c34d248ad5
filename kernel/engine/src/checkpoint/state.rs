//! States in a checkpoint: a folder each, made under another name and renamed when it is whole. The facts hold the hash of
//! every table's file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use polars::prelude::{DataFrame, ParquetReader, ParquetWriter, SerReader as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{CheckpointError, corrupt, failed};
use crate::saved::{Facts, Saved};

#[derive(Serialize, Deserialize)]
struct Contents {
    facts: Facts,
    /// The hash of each table's file; a table without columns has no file.
    tables: BTreeMap<String, Option<String>>,
}

/// Writes the state after a batch.
pub(super) fn write(folder: &Path, batch: u64, saved: &mut Saved) -> Result<(), CheckpointError> {
    let new = folder.join(format!("{batch}.new"));
    let io = |path: &Path| failed(path.to_owned());
    if new.exists() {
        std::fs::remove_dir_all(&new).map_err(io(&new))?;
    }
    std::fs::create_dir_all(&new).map_err(io(&new))?;
    let mut tables = BTreeMap::new();
    for (name, frame) in &mut saved.frames {
        if frame.width() == 0 {
            tables.insert(name.clone(), None);
            continue;
        }
        let path = new.join(format!("{name}.parquet"));
        let file = File::create(&path).map_err(io(&path))?;
        ParquetWriter::new(file).finish(frame).map_err(|error| corrupt(&path, &error))?;
        tables.insert(name.clone(), Some(hash(&path)?));
    }
    let contents = Contents { facts: saved.facts.clone(), tables };
    let path = new.join("facts.json");
    let text = serde_json::to_vec(&contents).map_err(|error| corrupt(&path, &error))?;
    std::fs::write(&path, text).map_err(io(&path))?;
    let whole = folder.join(batch.to_string());
    if whole.exists() {
        std::fs::remove_dir_all(&whole).map_err(io(&whole))?;
    }
    std::fs::rename(&new, &whole).map_err(io(&whole))
}

/// The newest state and the batch it is after. With `forgiving`, the newest that is whole.
pub(super) fn newest(folder: &Path, forgiving: bool) -> Result<Option<(u64, Saved)>, CheckpointError> {
    for batch in batches(folder)?.into_iter().rev() {
        match read(&folder.join(batch.to_string())) {
            Ok(saved) => return Ok(Some((batch, saved))),
            Err(CheckpointError::Corrupt { .. }) if forgiving => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Removes all but the two newest; gives the older of them where there are two.
pub(super) fn keep_two(folder: &Path) -> Result<Option<u64>, CheckpointError> {
    let batches = batches(folder)?;
    let Some(oldest) = batches.len().checked_sub(2).map(|at| batches[at]) else { return Ok(None) };
    for batch in batches.into_iter().filter(|batch| *batch < oldest) {
        let path = folder.join(batch.to_string());
        std::fs::remove_dir_all(&path).map_err(failed(path))?;
    }
    Ok(Some(oldest))
}

fn batches(folder: &Path) -> Result<Vec<u64>, CheckpointError> {
    let entries = std::fs::read_dir(folder).map_err(failed(folder.to_owned()))?;
    let mut batches: Vec<u64> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    batches.sort_unstable();
    Ok(batches)
}

fn read(folder: &Path) -> Result<Saved, CheckpointError> {
    let path = folder.join("facts.json");
    let text = std::fs::read(&path).map_err(|error| corrupt(&path, &error))?;
    let contents: Contents = serde_json::from_slice(&text).map_err(|error| corrupt(&path, &error))?;
    let mut frames = BTreeMap::new();
    for (name, wanted) in contents.tables {
        let frame = match wanted {
            None => DataFrame::default(),
            Some(wanted) => {
                let path: PathBuf = folder.join(format!("{name}.parquet"));
                if hash(&path)? != wanted {
                    return Err(corrupt(&path, &"it is not what was written"));
                }
                let file = File::open(&path).map_err(|error| corrupt(&path, &error))?;
                ParquetReader::new(file).finish().map_err(|error| corrupt(&path, &error))?
            }
        };
        frames.insert(name, frame);
    }
    Ok(Saved { facts: contents.facts, frames })
}

fn hash(path: &Path) -> Result<String, CheckpointError> {
    let bytes = std::fs::read(path).map_err(|error| corrupt(path, &error))?;
    Ok(Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}
