//! The sink's side of a query's thread: the checkpoint, what a start finds in it, and what a batch leaves in the sink and in it.

use polars::prelude::DataFrame;

use super::whole::Whole;
use super::{Halt, Reached, Run};
use crate::change::Changes;
use crate::checkpoint::{Checkpoint, Found, Identity};
use crate::operator::columns::ROW;
use crate::pipeline::{self, OutputMode};
use crate::progress::Progress;
use crate::query::known::Known;
use crate::query::{Output, Step};
use crate::result::State;
use crate::saved::Saved;
use crate::sink::{Sink, SinkError};

/// The table of a saved state that has the result, where all of it is wanted.
const RESULT: &str = "result";
/// The table that has the keys of rows, where the sink is told of those that leave.
const KEYS: &str = "keys";

/// The sink and what belongs to it.
pub(super) struct Out {
    sink: Box<dyn Sink>,
    mode: OutputMode,
    identity: Identity,
    pub(super) checkpoint: Option<Checkpoint>,
    /// What the checkpoint had, until the first source is open.
    found: Option<Found>,
    /// What will be known of the sink's rows, where they may leave it; until the first source is open.
    known: Option<Known>,
    /// The newest batch that the sink has by its own account.
    reached: Option<u64>,
    /// The result in the states, where all of it is wanted.
    whole: Whole,
}

impl Run {
    /// Opens the checkpoint and asks the sink what it has.
    pub(super) fn ready(&self, output: Output) -> Result<Out, Halt> {
        let Output { mut sink, mode, checkpoint, use_newest_good_state } = output;
        let known = Known::new(&self.plan, mode, &sink.keys())?;
        let identity = Identity::new(&self.plan, mode, known.is_some());
        let (checkpoint, found) = match checkpoint {
            Some(folder) => {
                let (checkpoint, found) = Checkpoint::open(&folder, &identity, use_newest_good_state)?;
                self.result.set_status(|status| status.changed.clone_from(&found.changed));
                (Some(checkpoint), Some(found))
            }
            None => (None, None),
        };
        let reached = self.insist(|| sink.reached())?;
        Ok(Out { sink, mode, identity, checkpoint, found, known, reached, whole: Whole::default() })
    }

    /// Has a query go on from what its checkpoint has, unless the sink has more.
    pub(super) fn go_on(&self, out: &mut Out, reached: &mut Reached) -> Result<(), Halt> {
        reached.known = out.known.take();
        if out.mode == OutputMode::Append {
            reached.pipeline.append();
        }
        if let Some(found) = out.found.take() {
            let repeats = found.batches.iter().any(|planned| planned.ran.is_some());
            if found.changed.is_some() && repeats && reached.known.is_some() {
                return Err(Halt::Failed(CHANGED_TOO_SOON.to_owned()));
            }
            if let Some((after, mut saved)) = found.state {
                reached.batch = after + 1;
                reached.from = saved.facts.offsets.clone();
                if let Some(rows) = saved.take(RESULT)? {
                    out.whole = Whole::restored(&self.refill(rows)?);
                }
                let keys = saved.take(KEYS)?;
                if let Some(known) = &mut reached.known {
                    known.restore(keys).map_err(Halt::Failed)?;
                }
                reached.pipeline.restore(saved)?;
            }
            if let (Some(_), Some(checkpoint)) = (&found.changed, &out.checkpoint) {
                checkpoint.take_over(&out.identity)?;
            }
            reached.again = found.batches.into();
        }
        let known = reached.again.back().map(|planned| planned.batch).or(reached.batch.checked_sub(1));
        match out.reached.filter(|newest| known.is_none_or(|known| *newest > known)) {
            Some(newest) => Err(Halt::Failed(unknown_batches(newest, out.checkpoint.is_some()))),
            None => Ok(()),
        }
    }

    /// Puts back the result that a state had; gives the rows' identities.
    fn refill(&self, mut rows: DataFrame) -> Result<Vec<u64>, Halt> {
        let ids: Vec<u64> = rows.drop_in_place(ROW)?.u64()?.iter().map(Option::unwrap_or_default).collect();
        self.result.apply(&Changes { ids: ids.clone(), rows, deletes: Vec::new() }, |_| {})?;
        Ok(ids)
    }

    /// Takes in what a batch led to, and gives it to the sink, unless that is known to have it.
    pub(super) fn hand_on(
        &self,
        out: &mut Out,
        reached: &mut Reached,
        output: pipeline::Output,
        committed: bool,
        progress: &mut Progress,
    ) -> Result<(), Halt> {
        let pipeline::Output { changes, closed, .. } = output;
        let gone = reached.known.as_mut().map(|known| known.change(&changes, &closed)).transpose()?;
        if out.mode == OutputMode::Complete && out.checkpoint.is_some() {
            out.whole.change(&changes.ids);
        }
        if committed { Ok(()) } else { self.write(out, changes, &gone.unwrap_or_default(), progress) }
    }

    fn write(&self, out: &mut Out, changes: Changes, gone: &DataFrame, progress: &mut Progress) -> Result<(), Halt> {
        let rows: DataFrame = match out.mode {
            OutputMode::Append | OutputMode::Update => changes.rows,
            OutputMode::Complete => self.result.frame(),
        };
        progress.output_rows = rows.height();
        if out.reached.is_none_or(|reached| progress.batch > reached) {
            self.insist(|| out.sink.write_changes(progress.batch, &rows, gone))?;
        }
        Ok(())
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

    /// Writes down that the sink has a batch, and the state where that is due.
    pub(super) fn keep(&self, out: &mut Out, reached: &mut Reached, batch: u64, committed: bool) -> Result<(), Halt> {
        self.step(batch, Step::Written)?;
        let (rows, since) = reached.unsaved;
        let due = self.clock.now().saturating_sub(since) > self.options.snapshot_every;
        if out.checkpoint.is_some() && (rows >= self.options.snapshot_rows || due) {
            self.snapshot(reached, out)?;
        }
        self.step(batch, Step::Saved)?;
        if let Some(checkpoint) = out.checkpoint.as_mut().filter(|_| !committed) {
            checkpoint.commit(batch)?;
        }
        self.step(batch, Step::Committed)
    }

    fn snapshot(&self, reached: &mut Reached, out: &mut Out) -> Result<(), Halt> {
        let Some(after) = reached.batch.checked_sub(1) else { return Ok(()) };
        let Some(checkpoint) = &mut out.checkpoint else { return Ok(()) };
        let all = checkpoint.wants_all();
        let mut saved: Saved = reached.pipeline.snapshot(all)?;
        saved.facts.offsets = reached.from.clone();
        let mut tables = Vec::new();
        if out.mode == OutputMode::Complete {
            let (ids, rows) = self.result.identified();
            tables.push((RESULT, out.whole.save(all, ids, rows)?));
        }
        if let Some(known) = &mut reached.known {
            tables.push((KEYS, known.save(all)?));
        }
        for (name, table) in tables {
            match all {
                true => drop(saved.frames.insert(name.to_owned(), table)),
                false => drop(saved.changes.insert(name.to_owned(), vec![table])),
            }
        }
        checkpoint.snapshot(after, &mut saved)?;
        reached.unsaved = (0, self.clock.now());
        Ok(())
    }

    /// Writes the state of a query that ends as it should. Where that fails, the next start repeats batches.
    pub(super) fn save(&self, reached: &mut Option<Reached>, out: Option<&mut Out>) {
        if let (Some(reached), Some(out)) = (reached, out)
            && reached.unsaved.0 > 0
            && !reached.within
        {
            let _ = self.snapshot(reached, out);
        }
    }
}

/// Why a query does not start that was changed: which rows its sink has was made by what it was.
const CHANGED_TOO_SOON: &str = "the query was changed, and did not end as it should before: the sink may have rows of batches \
    that are in no state yet, and would never be told when they leave. Start the query once as it was, and stop it; then change it";

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
