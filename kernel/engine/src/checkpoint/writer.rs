//! The thread that writes states: one at a time, in the order in which they were handed over. The query's thread asks it now
//! and then how it came out, and waits for it only where the next state needs the one before.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::CheckpointError;
use super::state::StateFiles;
use crate::alone::Alone;
use crate::snapshot::PendingState;

/// A handle to the thread; dropping it waits until the last state is written.
pub(super) struct StateWriter {
    states: Option<Sender<(u64, PendingState)>>,
    outcomes: Receiver<Result<WrittenFiles, CheckpointError>>,
    thread: Option<JoinHandle<()>>,
    is_busy: bool,
    wants_all: bool,
}

/// What is there once a state is on the disk.
struct WrittenFiles {
    /// The batch up to which the log is no longer needed.
    oldest: Option<u64>,
    wants_all: bool,
}

impl StateWriter {
    /// Starts the thread.
    pub(super) fn start(mut states: StateFiles) -> io::Result<StateWriter> {
        let wants_all = states.wants_all();
        let (sender, handed_over) = channel::<(u64, PendingState)>();
        let (done, outcomes) = channel();
        let run = move || {
            let _alone = Alone::beside();
            for (batch, state) in handed_over {
                let written = catch_unwind(AssertUnwindSafe(|| write(&mut states, batch, state)));
                let written = written.unwrap_or_else(|panic| {
                    Err(CheckpointError::State { detail: plan::panic_message(panic.as_ref()) })
                });
                let failed = written.is_err();
                if done.send(written).is_err() || failed {
                    // What comes next says only what changed since the state that is not there.
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("checkpoint".to_owned()).spawn(run)?;
        Ok(StateWriter { states: Some(sender), outcomes, thread: Some(thread), is_busy: false, wants_all })
    }

    /// Has a state written. The one before must have been.
    pub(super) fn hand_over(&mut self, batch: u64, state: PendingState) {
        // A thread that has ended is found out when it is asked how it came out.
        self.is_busy = true;
        if let Some(states) = &self.states {
            drop(states.send((batch, state)));
        }
    }

    /// Whether the next state is to have all.
    pub(super) fn wants_all(&self) -> bool {
        self.wants_all
    }

    /// Whether a state is being written, as far as is known.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy
    }

    /// Takes notice of a state that has been written; gives the batch up to which the log is no longer needed.
    pub(super) fn poll(&mut self) -> Result<Option<u64>, CheckpointError> {
        if !self.is_busy {
            return Ok(None);
        }
        match self.outcomes.try_recv() {
            Ok(outcome) => self.done(outcome),
            Err(std::sync::mpsc::TryRecvError::Empty) => Ok(None),
            Err(std::sync::mpsc::TryRecvError::Disconnected) => Err(ended()),
        }
    }

    /// Waits until the state that was handed over is written; gives what [`StateWriter::poll`] does.
    pub(super) fn wait(&mut self) -> Result<Option<u64>, CheckpointError> {
        if !self.is_busy {
            return Ok(None);
        }
        match self.outcomes.recv() {
            Ok(outcome) => self.done(outcome),
            Err(_) => Err(ended()),
        }
    }

    fn done(&mut self, outcome: Result<WrittenFiles, CheckpointError>) -> Result<Option<u64>, CheckpointError> {
        self.is_busy = false;
        let WrittenFiles { oldest, wants_all } = outcome?;
        self.wants_all = wants_all;
        Ok(oldest)
    }
}

impl Drop for StateWriter {
    fn drop(&mut self) {
        drop(self.states.take());
        if let Some(thread) = self.thread.take() {
            // It guards itself against panics, so that there is nothing to hear from it.
            let _ = thread.join();
        }
    }
}

fn write(states: &mut StateFiles, batch: u64, state: PendingState) -> Result<WrittenFiles, CheckpointError> {
    let mut saved = state.tables().map_err(|error| CheckpointError::State { detail: error.to_string() })?;
    states.write(batch, &mut saved)?;
    let oldest = states.forget()?;
    Ok(WrittenFiles { oldest, wants_all: states.wants_all() })
}

fn ended() -> CheckpointError {
    CheckpointError::State { detail: "the thread that writes it has ended".to_owned() }
}
