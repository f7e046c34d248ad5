//! A query's folder on disk: what it was asked, which offset range each batch has, which batches are done, and now and then
//! the state, or what changed of it since the state before. A restart reads the newest state with all that it goes with, repeats
//! the batches behind it from the same ranges, and goes on.
//!
//! ```text
//! query.json       the format's version, the plan in words, the output mode
//! log              a line a step: planned, ran, committed
//! state/7/         the state after batch 7: facts.json, and a Parquet file a table, or its changes since the state before
//! lock             held by the query that runs
//! ```

mod identity;
mod log;
mod state;

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::saved::Saved;
pub(crate) use identity::Identity;
use log::Log;
pub(crate) use log::Planned;
use state::States;

/// The version of the format; another one is refused.
const VERSION: u32 = 4;

/// A checkpoint that is not to be used, told to the notebook's reader.
#[derive(Debug, thiserror::Error)]
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
    #[error(
        "the checkpoint's file {path:?} is damaged: {detail}. With .use_newest_good_state() the query starts from the newest state that is whole"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Another query uses it.
    #[error("the checkpoint {folder:?} is used by a query that runs. Stop that one first")]
    Busy {
        /// The checkpoint.
        folder: PathBuf,
    },
}

/// What a checkpoint had when it was opened.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// What is asked otherwise than before, where the query may go on all the same.
    pub(crate) changed: Option<String>,
    /// The newest state, and the batch it was after.
    pub(crate) state: Option<(u64, Saved)>,
    /// The batches behind it, in order.
    pub(crate) batches: Vec<Planned>,
}

/// An open checkpoint.
pub(crate) struct Checkpoint {
    folder: PathBuf,
    log: Log,
    states: States,
    /// Held, never read.
    _lock: File,
}

impl Checkpoint {
    /// Opens or makes a checkpoint. With `forgiving`, a state that is damaged gives way to the newest that is whole.
    ///
    /// # Errors
    /// Another query's checkpoint, one in use, a damaged one, or a folder that cannot be written.
    pub(crate) fn open(
        folder: &Path,
        identity: &Identity,
        forgiving: bool,
    ) -> Result<(Checkpoint, Found), CheckpointError> {
        let io = |path: &Path| failed(path.to_owned());
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        let lock_path = folder.join("lock");
        let lock = File::options().create(true).append(true).open(&lock_path).map_err(io(&lock_path))?;
        if lock.try_lock().is_err() {
            return Err(CheckpointError::Busy { folder: folder.to_owned() });
        }
        let changed = identity.check(folder)?;
        let (states, state) = States::open(folder.join("state"), forgiving)?;
        let (log, batches) = Log::open(&folder.join("log"), state.as_ref().map(|(batch, _)| *batch))?;
        Ok((Checkpoint { folder: folder.to_owned(), log, states, _lock: lock }, Found { changed, state, batches }))
    }

    /// Has the checkpoint be that of a query which goes on with it and was changed.
    ///
    /// # Errors
    /// As for [`Checkpoint::plan`].
    pub(crate) fn take_over(&self, identity: &Identity) -> Result<(), CheckpointError> {
        identity.write(&self.folder)
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

    /// Whether the next state is to have all, and not only what changed since the one before.
    pub(crate) fn wants_all(&self) -> bool {
        self.states.wants_all()
    }

    /// Step 5: writes the state after a batch. The states that have all before it are kept back to the last but one, and the log
    /// as far.
    ///
    /// # Errors
    /// As for [`Checkpoint::plan`].
    pub(crate) fn snapshot(&mut self, batch: u64, saved: &mut Saved) -> Result<(), CheckpointError> {
        self.states.write(batch, saved)?;
        if let Some(oldest) = self.states.forget()? {
            self.log.forget(oldest)?;
        }
        Ok(())
    }
}

/// Writes a file so that it is there whole or not at all.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CheckpointError> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, path)).map_err(failed(path.to_owned()))
}

fn failed(path: PathBuf) -> impl Fn(std::io::Error) -> CheckpointError {
    move |error| CheckpointError::Io { path: path.clone(), detail: error.to_string() }
}

fn corrupt(path: &Path, detail: &dyn std::fmt::Display) -> CheckpointError {
    CheckpointError::Corrupt { path: path.to_owned(), detail: detail.to_string() }
}
