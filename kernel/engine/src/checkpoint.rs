//! A query's folder on disk: what it was asked, which offset range each batch has, which batches are done, and now and then
//! the state, or what changed of it since the state before. A restart reads the newest state with all that it goes with, repeats
//! the batches behind it from the same ranges, and goes on.
//!
//! ```text
//! query.json       the format's version, the plan in words, the output mode
//! source.json      the columns of its scans
//! log              a line a step: planned, ran, committed
//! state/7/         the state after batch 7: facts.json, and a Parquet file a table, or its changes since the state before
//! lock             held by the query that runs
//! ```
//!
//! Every name is given to what is on the disk already, and is on the disk before anything is done that counts on it. States are
//! written by a thread of their own, so that a large one does not hold the query up.

/// Which columns its scans have.
mod columns;
/// Which query it belongs to.
mod identity;
/// Which range each batch has.
mod log;
/// The states on the disk.
mod state;
/// The thread that writes them.
mod writer;

use std::fmt::Display;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plan::Scan;

use crate::disk::{Disk, make_folders, replace_file};
use crate::snapshot::{PendingState, Snapshot};
pub use columns::{ResumedPlan, columns_in_checkpoint, resumed_plan};
pub(crate) use identity::Identity;
use log::Log;
pub(crate) use log::Planned;
use state::{FoundStates, StateFiles};
use writer::StateWriter;

/// The version of the format; another one is refused.
const VERSION: u32 = 5;

/// A checkpoint that is not to be used, told to the notebook's reader.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system refuses something.
    #[error("the checkpoint {path:?} cannot be used: {detail}. Choose a folder that can be written")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        detail: String,
    },
    /// It is another query's.
    #[error(
        "the checkpoint {folder:?} belongs to another query. What was asked then (-) and what is asked now (+):\n{difference}\nGo on with the query as it was, or choose another folder. Only steps after the last one that keeps a state may change, where they use the same columns of it and give the same; of a result that is wanted whole, none"
    )]
    Changed {
        /// The checkpoint.
        folder: PathBuf,
        /// The lines that differ.
        difference: String,
    },
    /// It is another query's, for its sources have other columns.
    #[error(
        "the checkpoint {folder:?} belongs to a query whose source had other columns. What was asked then (-) and what is asked now (+):\n{difference}\nColumns that come from a sample of a topic are others when its newest records are. To go on, read it with those that it had, in the place of the sample:\n{call}"
    )]
    OtherColumns {
        /// The checkpoint.
        folder: PathBuf,
        /// The lines that differ.
        difference: String,
        /// What gives the source its columns.
        call: String,
    },
    /// The query needs columns that its scans do not have in it.
    #[error(
        "the query goes on with the columns that its checkpoint {folder:?} has, and does not go with them: {error}\nA sample of the topic says other columns now: {difference}. To read a new one, name its type with .schema_hints([(\"name\", DataType::String)]), after the steps that keep a state; to begin anew with the columns of the sample, choose another folder"
    )]
    NotItsColumns {
        /// The checkpoint.
        folder: PathBuf,
        /// What the query needs.
        error: String,
        /// What the sample says otherwise.
        difference: String,
    },
    /// It has a format of another version.
    #[error(
        "the checkpoint {folder:?} has the format's version {found}, and this is Corriente for version {VERSION}. Choose another folder, or run the query with the Corriente that made it"
    )]
    Version {
        /// The checkpoint.
        folder: PathBuf,
        /// What it has.
        found: u32,
    },
    /// A file in it is damaged.
    #[error("the checkpoint's file {path:?} is damaged: {detail}. {hint}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
        /// What helps.
        hint: Hint,
    },
    /// What the query holds does not become tables.
    #[error(
        "the state cannot be written into the checkpoint: {detail}. The query goes on from the state before when it is started again"
    )]
    State {
        /// What Polars said.
        detail: String,
    },
    /// Another query uses it.
    #[error("the checkpoint {folder:?} is used by a query that runs. Stop that one first")]
    Busy {
        /// The checkpoint.
        folder: PathBuf,
    },
}

/// What helps where a file of a checkpoint is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// An older state.
    State,
    /// The newest state without what the log has of batches behind it.
    Log,
    /// Nothing but a copy, for the log is needed: the sink does not say what it has.
    SinkDoesNotTell,
    /// Nothing but a copy, for the log is needed: the sink has what it said.
    SinkHasMore,
    /// Nothing but a copy.
    Copy,
}

impl Display for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match self {
            Hint::State => {
                return f
                    .write_str("With .use_newest_good_state() the query starts from the newest state that is whole");
            }
            Hint::Log => {
                return f.write_str(
                    "With .use_newest_good_state() the query goes on from the newest state, if the sink can tell that it has \
                     no batch which the log does not know",
                );
            }
            Hint::SinkDoesNotTell => {
                "The newest state alone is not enough, for this sink cannot tell which batches it has: rows could be \
                 written twice. "
            }
            Hint::SinkHasMore => {
                "The newest state alone is not enough, for the sink has batches that the log no longer knows: rows would be \
                 written twice. "
            }
            Hint::Copy => "",
        };
        write!(f, "{why}Put a copy of the whole checkpoint back, or choose another one and another place to write to")
    }
}

/// What a checkpoint had when it was opened.
#[derive(Debug, Default)]
pub(crate) struct FoundCheckpoint {
    /// What is asked otherwise than before, where the query may go on all the same.
    pub(crate) changed: Option<String>,
    /// The newest state, and the batch it was after.
    pub(crate) state: Option<(u64, Snapshot)>,
    /// The batches behind it that are known for certain, in order.
    pub(crate) batches: Vec<Planned>,
    /// Why there may be others, where the query is to go on all the same if the sink has none of them.
    pub(crate) damage: Option<CheckpointError>,
}

/// An open checkpoint.
pub(crate) struct Checkpoint {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    log: Log,
    states: StateWriter,
    /// Held, never read; let go when the last state is written.
    _lock: File,
}

impl Checkpoint {
    /// Opens or makes a checkpoint of a query with these scans. With `forgiving`, a state that is damaged gives way to the newest that is whole, and what is
    /// damaged of the log is told in [`FoundCheckpoint::damage`].
    ///
    /// # Errors
    /// Another query's checkpoint, one in use, a damaged one, or a folder that cannot be written.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        folder: &Path,
        identity: &Identity,
        scans: &[&Scan],
        forgiving: bool,
    ) -> Result<(Checkpoint, FoundCheckpoint), CheckpointError> {
        make_folders(disk.as_ref(), folder).map_err(failed(folder.to_owned()))?;
        let lock = lock(folder)?;
        let (log_path, state_folder) = (folder.join("log"), folder.join("state"));
        let query = folder.join("query.json");
        if !query.exists() && (log_path.exists() || state_folder.exists()) {
            return Err(damaged(&query, &"it is not there, and the rest of the checkpoint is", Hint::Copy));
        }
        if !query.exists() {
            columns::keep(disk.as_ref(), folder, scans)?;
        }
        let changed = identity.check(disk.as_ref(), folder);
        let changed = changed.map_err(|error| columns::explained(error, scans))?;
        if changed.is_none() && !columns::has(folder) {
            // Of an older version, or damaged: the query is the same, and so are its columns.
            columns::keep(disk.as_ref(), folder, scans)?;
        }
        let (states, FoundStates { state, newest }) = StateFiles::open(Arc::clone(&disk), state_folder, forgiving)?;
        let after = state.as_ref().map(|(batch, _)| *batch);
        let (log, behind) = Log::open(Arc::clone(&disk), &log_path, after, newest)?;
        if let Some(damage) = behind.unreadable.or(behind.damage.clone()).filter(|_| !forgiving) {
            return Err(damage);
        }
        let found = FoundCheckpoint { changed, state, batches: behind.batches, damage: behind.damage };
        let states = StateWriter::start(states).map_err(failed(folder.to_owned()))?;
        Ok((Checkpoint { disk, folder: folder.to_owned(), log, states, _lock: lock }, found))
    }

    /// Has the checkpoint be that of a query which goes on with it and was changed.
    ///
    /// # Errors
    /// As for [`Checkpoint::plan`].
    pub(crate) fn take_over(&self, identity: &Identity, scans: &[&Scan]) -> Result<(), CheckpointError> {
        columns::keep(self.disk.as_ref(), &self.folder, scans)?;
        identity.write(self.disk.as_ref(), &self.folder)
    }

    /// Step 1: a batch's range is chosen, and its time.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(crate) fn plan(&mut self, planned: &Planned) -> Result<(), CheckpointError> {
        let Planned { batch, from, to, at, .. } = planned.clone();
        self.log.write(&log::Line::Planned { batch, from, to, at })
    }

    /// Step 3: a batch ran, and the watermark stood so afterwards. What its range is must outlive even a loss of power, for the
    /// sink has it next.
    ///
    /// # Errors
    /// As for [`Checkpoint::plan`].
    pub(crate) fn ran(&mut self, batch: u64, watermark: Option<i64>) -> Result<(), CheckpointError> {
        self.log.write(&log::Line::Ran { batch, watermark })?;
        self.log.sync()
    }

    /// Step 6: a batch is in the sink.
    ///
    /// # Errors
    /// As for [`Checkpoint::plan`].
    pub(crate) fn commit(&mut self, batch: u64) -> Result<(), CheckpointError> {
        self.log.write(&log::Line::Committed { batch })
    }

    /// Whether the next state is to have all, and not only what changed since the one before. Waits for a state that is being
    /// written.
    ///
    /// # Errors
    /// As for [`Checkpoint::settle`].
    pub(crate) fn wants_all(&mut self) -> Result<bool, CheckpointError> {
        self.settle()?;
        Ok(self.states.wants_all())
    }

    /// Step 5: hands over the state after a batch to be written. The states that have all before it are kept back to the last but
    /// one, and the log as far, once it is on the disk.
    ///
    /// # Errors
    /// As for [`Checkpoint::settle`].
    pub(crate) fn snapshot(&mut self, batch: u64, state: PendingState) -> Result<(), CheckpointError> {
        self.settle()?;
        self.states.hand_over(batch, state);
        Ok(())
    }

    /// Whether a state is still being written; the log forgets what one that has been written is enough for.
    ///
    /// # Errors
    /// Why the state could not be written, or the log.
    pub(crate) fn is_writing(&mut self) -> Result<bool, CheckpointError> {
        if let Some(oldest) = self.states.poll()? {
            self.log.forget(oldest)?;
        }
        Ok(self.states.is_busy())
    }

    /// Waits until the state that was handed over is on the disk.
    ///
    /// # Errors
    /// As for [`Checkpoint::is_writing`].
    pub(crate) fn settle(&mut self) -> Result<(), CheckpointError> {
        if let Some(oldest) = self.states.wait()? {
            self.log.forget(oldest)?;
        }
        Ok(())
    }
}

fn lock(folder: &Path) -> Result<File, CheckpointError> {
    let path = folder.join("lock");
    let lock = File::options().create(true).append(true).open(&path).map_err(failed(path))?;
    if lock.try_lock().is_err() {
        return Err(CheckpointError::Busy { folder: folder.to_owned() });
    }
    Ok(lock)
}

/// Reads a file, if it is there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, CheckpointError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(failed(path.to_owned())(error)),
        Err(error) => Err(damaged(path, &error, Hint::Copy)),
    }
}

/// Writes a file so that it is there whole or not at all.
fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    replace_file(disk, path, &path.with_extension("new"), |file| file.write_all(bytes)).map_err(failed(path.to_owned()))
}

fn failed(path: PathBuf) -> impl Fn(std::io::Error) -> CheckpointError {
    move |error| CheckpointError::Io { path: path.clone(), detail: error.to_string() }
}

fn damaged(path: &Path, detail: &dyn Display, hint: Hint) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), detail: detail.to_string(), hint }
}
