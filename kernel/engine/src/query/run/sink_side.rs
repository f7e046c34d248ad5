//! The sink's side of a query's thread: the checkpoint, what a start finds in it, and what a batch leaves in the sink and in it.

use std::sync::Arc;

use polars::prelude::DataFrame;

use super::{Halt, QueryThread, Reached};
use crate::change::Changes;
use crate::checkpoint::{Checkpoint, CheckpointError, FoundCheckpoint, Hint, Identity};
use crate::pipeline::{self, OutputMode};
use crate::progress::Progress;
use crate::query::sink_keys::SinkKeys;
use crate::query::{BatchStep, QueryOutput};
use crate::result::State;
use crate::sink::{Sink, SinkError};

/// The table of a saved state that has the result, where all of it is kept.
const RESULT: &str = "result";
/// The table that has the keys of rows, where the sink is told of those that leave.
const KEYS: &str = "keys";

/// The sink and what belongs to it.
pub(super) struct SinkSide {
    sink: Box<dyn Sink>,
    mode: OutputMode,
    identity: Identity,
    pub(super) checkpoint: Option<Checkpoint>,
    /// What the checkpoint had, until the first source is open.
    found: Option<FoundCheckpoint>,
    /// What will be known of the sink's rows, where they may leave it; until the first source is open.
    known: Option<SinkKeys>,
    /// The newest batch that the sink has by its own account.
    reached: Option<u64>,
}

impl QueryThread {
    /// Opens the checkpoint and asks the sink what it has.
    pub(super) fn ready(&self, output: QueryOutput) -> Result<SinkSide, Halt> {
        let QueryOutput { mut sink, mode, checkpoint, use_newest_good_state } = output;
        let known = SinkKeys::new(&self.plan, mode, &sink.keys())?;
        let identity = Identity::new(&self.plan, mode, known.is_some());
        let (checkpoint, found) = match checkpoint {
            Some(folder) => {
                let disk = Arc::clone(&self.options.disk);
                let (checkpoint, found) =
                    Checkpoint::open(disk, &folder, &identity, &self.plan.scans(), use_newest_good_state)?;
                self.result.set_status(|status| status.changed.clone_from(&found.changed));
                (Some(checkpoint), Some(found))
            }
            None => (None, None),
        };
        let reached = self.insist(|| sink.reached())?;
        Ok(SinkSide { sink, mode, identity, checkpoint, found, known, reached })
    }

    /// Has a query go on from what its checkpoint has, unless the sink has more.
    pub(super) fn go_on(&self, out: &mut SinkSide, reached: &mut Reached) -> Result<(), Halt> {
        reached.known = out.known.take();
        if out.mode == OutputMode::Append {
            reached.pipeline.append();
        }
        let (mut damage, mut is_changed) = (None, false);
        if let Some(found) = out.found.take() {
            damage = found.damage;
            let repeats = found.batches.iter().any(|planned| planned.ran.is_some());
            if found.changed.is_some() && repeats && reached.known.is_some() {
                return Err(Halt::Failed(CHANGED_TOO_SOON.to_owned()));
            }
            if found.changed.is_some() && self.table.is_some() {
                return Err(Halt::Failed(CHANGED_WITH_A_TABLE.to_owned()));
            }
            if let Some((after, mut saved)) = found.state {
                reached.batch = after + 1;
                reached.from = saved.facts.offsets.clone();
                self.refill(saved.take(RESULT)?)?;
                let keys = saved.take(KEYS)?;
                if let Some(known) = &mut reached.known {
                    known.restore(keys).map_err(Halt::Failed)?;
                }
                reached.pipeline.restore(saved)?;
            }
            reached.again = found.batches.into();
            if let Some(first) = reached.again.front() {
                reached.from = first.from.clone();
            }
            is_changed = found.changed.is_some();
        }
        self.check_sink(out, reached, damage)?;
        match &out.checkpoint {
            Some(checkpoint) if is_changed => Ok(checkpoint.take_over(&out.identity, &self.plan.scans())?),
            _ => Ok(()),
        }
    }

    /// Refuses to go on where the sink has batches, or may have, that would be cut otherwise now.
    fn check_sink(&self, out: &SinkSide, reached: &Reached, damage: Option<CheckpointError>) -> Result<(), Halt> {
        let known = reached.again.back().map(|planned| planned.batch).or(reached.batch.checked_sub(1));
        let more = out.reached.filter(|newest| known.is_none_or(|known| *newest > known));
        if let Some(CheckpointError::Damaged { path, detail, .. }) = damage {
            let hint = match more {
                _ if !out.sink.tells_batches() => Hint::SinkDoesNotTell,
                Some(_) => Hint::SinkHasMore,
                None => return Ok(()),
            };
            return Err(CheckpointError::Damaged { path, detail, hint }.into());
        }
        more.map_or(Ok(()), |newest| Err(Halt::Failed(unknown_batches(newest, out.checkpoint.is_some()))))
    }

    /// Puts back the whole result that a state had, where it is kept.
    fn refill(&self, rows: Option<DataFrame>) -> Result<(), Halt> {
        let Some(table) = &self.table else { return Ok(()) };
        let rows = rows.ok_or_else(|| Halt::Failed(NO_RESULT.to_owned()))?;
        self.result.apply(&table.restore(rows)?, |_| {})?;
        Ok(table.fits()?)
    }

    /// Takes in what a batch led to, and gives it to the sink, unless that is known to have it.
    pub(super) fn hand_on(
        &self,
        out: &mut SinkSide,
        reached: &mut Reached,
        output: pipeline::BatchOutput,
        committed: bool,
        progress: &mut Progress,
    ) -> Result<(), Halt> {
        let pipeline::BatchOutput { changes, closed, .. } = output;
        let gone = reached.known.as_mut().map(|known| known.change(&changes, &closed)).transpose()?;
        if let Some(table) = &self.table {
            table.apply(&changes)?;
            table.fits()?;
        }
        if committed { Ok(()) } else { self.write(out, changes, &gone.unwrap_or_default(), progress) }
    }

    fn write(
        &self,
        out: &mut SinkSide,
        changes: Changes,
        gone: &DataFrame,
        progress: &mut Progress,
    ) -> Result<(), Halt> {
        if let (OutputMode::Complete, Some(table)) = (out.mode, &self.table) {
            progress.output_rows = table.height();
        }
        if out.reached.is_some_and(|reached| progress.batch <= reached) {
            return Ok(());
        }
        let rows = match (out.mode, &self.table) {
            (OutputMode::Complete, Some(table)) => table.frame(),
            _ => changes.rows,
        };
        self.insist(|| out.sink.write_changes(progress.batch, &rows, gone))
    }

    /// Asks a sink until it answers, or says that it never will.
    fn insist<T>(&self, mut ask: impl FnMut() -> Result<T, SinkError>) -> Result<T, Halt> {
        loop {
            match ask() {
                Ok(answer) => {
                    self.result.set_status(|status| {
                        if matches!(status.state, State::Waiting(_)) {
                            status.state = State::Running;
                        }
                    });
                    return Ok(answer);
                }
                Err(error) if error.retry => {
                    let text = error.to_string();
                    self.result.set_status(|status| status.state = State::Waiting(text));
                    if self.pause(self.options.retry_after) {
                        return Err(Halt::Stopped);
                    }
                }
                Err(error) => return Err(Halt::Failed(error.to_string())),
            }
        }
    }

    /// Writes down that the sink has a batch, and hands over the state where that is due.
    pub(super) fn keep(
        &self,
        out: &mut SinkSide,
        reached: &mut Reached,
        batch: u64,
        committed: bool,
    ) -> Result<(), Halt> {
        self.step(batch, BatchStep::Written)?;
        if let Some(checkpoint) = &mut out.checkpoint {
            let is_writing = checkpoint.is_writing()?;
            let (rows, since) = reached.unsaved;
            let every = self.options.snapshot_rows;
            let is_due = rows >= every || self.clock.now().saturating_sub(since) > self.options.snapshot_every;
            // One that is being written is waited for only where a restart would have too much to repeat.
            if is_due && (!is_writing || rows >= every.saturating_mul(MOST_UNSAVED)) {
                self.snapshot(reached, out)?;
            }
        }
        self.step(batch, BatchStep::Saved)?;
        if let Some(checkpoint) = out.checkpoint.as_mut().filter(|_| !committed) {
            checkpoint.commit(batch)?;
        }
        self.step(batch, BatchStep::Committed)
    }

    fn snapshot(&self, reached: &mut Reached, out: &mut SinkSide) -> Result<(), Halt> {
        let Some(after) = reached.batch.checked_sub(1) else { return Ok(()) };
        let Some(checkpoint) = &mut out.checkpoint else { return Ok(()) };
        let all = checkpoint.wants_all()?;
        let mut state = reached.pipeline.freeze(all)?;
        state.facts.offsets = reached.from.clone();
        if let Some(table) = &self.table {
            state.add(RESULT.to_owned(), all, table.freeze(all)?);
        }
        if let Some(known) = &mut reached.known {
            state.add(KEYS.to_owned(), all, known.freeze(all)?);
        }
        checkpoint.snapshot(after, state)?;
        reached.unsaved = (0, self.clock.now());
        Ok(())
    }

    /// Hears whether a state that is written beside could be.
    pub(super) fn hear(&self, out: &mut SinkSide) -> Result<(), Halt> {
        match &mut out.checkpoint {
            Some(checkpoint) => Ok(checkpoint.is_writing().map(drop)?),
            None => Ok(()),
        }
    }

    /// Writes the state of a query that ends as it should, and waits until it is on the disk.
    pub(super) fn save(&self, reached: &mut Option<Reached>, out: Option<&mut SinkSide>) -> Result<(), Halt> {
        let (Some(reached), Some(out)) = (reached, out) else { return Ok(()) };
        if reached.unsaved.0 > 0 && !reached.within {
            self.snapshot(reached, out)?;
        }
        out.checkpoint.as_mut().map_or(Ok(()), |checkpoint| Ok(checkpoint.settle()?))
    }
}

/// So many times the rows after which a state is due may come before one that is being written is waited for.
const MOST_UNSAVED: usize = 4;

/// Why a query does not start that was changed: which rows its sink has was made by what it was.
const CHANGED_TOO_SOON: &str = "the query was changed, and did not end as it should before: the sink may have rows of batches \
    that are in no state yet, and would never be told when they leave. Start the query once as it was, and stop it; then change it";

/// Why a query does not start that was changed and keeps its result.
const CHANGED_WITH_A_TABLE: &str = "the query was changed, and the rows of its result that the checkpoint has are those of what \
    it was. Choose another checkpoint, or go on with the query as it was";

/// Why a query does not start that keeps its result, over a checkpoint of one that did not.
const NO_RESULT: &str = "the checkpoint has no rows of the result, for the query that wrote it kept none, and what this one \
    keeps would begin in the middle. Choose another checkpoint";

/// Why a query does not start that knows less than its sink: it would number other rows like those that are there.
fn unknown_batches(reached: u64, has_checkpoint: bool) -> String {
    let (why, hint) = if has_checkpoint {
        (
            "its checkpoint knows of none so new: it was deleted, or is an older copy",
            "Put the checkpoint back, or choose another one and another place to write to",
        )
    } else {
        ("it has no checkpoint to go on from", "Start it with .checkpoint(\"…\"), and write to another place")
    };
    format!("the sink has batches of this query up to {reached}, and {why}. {hint}")
}
