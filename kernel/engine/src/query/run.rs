//! What a query's thread does. It owns the pipeline, and with [`SinkSide`] the sink and the checkpoint; the life of a batch is in
//! [`QueryThread::batch`], in the order that makes a repeat safe.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plan::Plan;

use super::facts::BatchFacts;
use super::sink_keys::SinkKeys;
use super::{BatchStep, OpenSource, Options, QueryOutput, RECENT, Trigger};
use crate::checkpoint::{Checkpoint, CheckpointError, Planned};
use crate::clock::Clock;
use crate::physical::PhysicalPlan;
use crate::pipeline::{Mode, Pipeline};
use crate::position::{Offsets, TopicPartition};
use crate::progress::Progress;
use crate::result::{LiveResult, ResultTable, ResultTooLarge, State};
use crate::source::{Resumed, Source, SourceBatch, SourceError};
use sink_side::SinkSide;

mod sink_side;

/// A small batch may take this part of a core's time.
const PAUSES_PER_BATCH: u32 = 4;
/// How often a screen is drawn anew.
const A_FRAME: Duration = Duration::from_millis(33);

/// What the thread is given.
pub(super) struct QueryThread {
    pub(super) plan: Plan,
    pub(super) open: OpenSource,
    pub(super) options: Options,
    pub(super) result: LiveResult,
    /// The whole result, where it is kept for the sink.
    pub(super) table: Option<ResultTable>,
    pub(super) recent: Arc<Mutex<VecDeque<Progress>>>,
    pub(super) stopped: Receiver<()>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Why a run came to a halt.
enum Halt {
    Stopped,
    Unwatched,
    Done,
    Source(SourceError),
    Failed(String),
}

impl From<polars::prelude::PolarsError> for Halt {
    fn from(error: polars::prelude::PolarsError) -> Halt {
        Halt::Failed(error.to_string())
    }
}

impl From<ResultTooLarge> for Halt {
    fn from(error: ResultTooLarge) -> Halt {
        Halt::Failed(error.to_string())
    }
}

impl From<CheckpointError> for Halt {
    fn from(error: CheckpointError) -> Halt {
        Halt::Failed(error.to_string())
    }
}

impl From<Halt> for State {
    fn from(halt: Halt) -> State {
        match halt {
            Halt::Stopped | Halt::Done => State::Ended,
            Halt::Unwatched => State::Suspended,
            Halt::Source(error) if error.retry => State::Waiting(error.to_string()),
            Halt::Source(error) => State::Failed(error.to_string()),
            Halt::Failed(message) => State::Failed(message),
        }
    }
}

/// How far a query has come; it outlives a source that was away.
struct Reached {
    pipeline: Pipeline,
    /// What the sink has, where rows may leave it.
    known: Option<SinkKeys>,
    /// Where the next batch begins.
    from: Offsets,
    /// The number of the next batch.
    batch: u64,
    /// Batches to run again before any new one.
    again: VecDeque<Planned>,
    /// Where a query that takes what is there ends.
    end: Option<Offsets>,
    /// When the source was last asked which partitions there are.
    discovered: Duration,
    /// Rows since the state was written, and when that was.
    unsaved: (usize, Duration),
    /// Whether the pipeline has a batch that is not in the sink yet.
    within: bool,
    /// Whether no batch of the checkpoint says where the next one begins, and a restart would begin elsewhere.
    is_unnoted: bool,
}

impl QueryThread {
    pub(super) fn guarded(self, output: Option<QueryOutput>) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run(output))) {
            let message =
                format!("the query stopped because of a fault in it: {}", plan::panic_message(panic.as_ref()));
            self.result.set_status(|status| status.state = State::Failed(message));
        }
    }

    fn run(&self, output: Option<QueryOutput>) {
        let mut out = match output.map(|output| self.ready(output)).transpose() {
            Ok(out) => out,
            Err(halt) => return self.result.set_status(|status| status.state = halt.into()),
        };
        let physical = PhysicalPlan::of(&self.plan);
        let (columns, filter) = (physical.source_columns(), physical.row_filter());
        let mut reached: Option<Reached> = None;
        loop {
            let halt = match (self.open)(&columns) {
                Ok(mut source) => {
                    if let Some(filter) = &filter {
                        source.filter(filter);
                    }
                    self.read(source, &mut reached, out.as_mut())
                }
                Err(error) => Halt::Source(error),
            };
            let mut state = State::from(halt);
            if state == State::Ended
                // The next start needs not repeat what is done.
                && let Err(halt) = self.save(&mut reached, out.as_mut())
            {
                state = halt.into();
            }
            let ended = !matches!(state, State::Suspended | State::Waiting(_));
            if ended {
                // Who starts the query again when this one has ended finds the checkpoint free.
                drop(out.take());
            }
            self.result.set_status(|status| status.state = state.clone());
            match state {
                State::Suspended => {
                    while !self.result.wait_watched(Duration::from_millis(200)) {
                        if self.is_stopped() {
                            break;
                        }
                    }
                }
                State::Waiting(_) => {
                    if self.pause(self.options.retry_after) {
                        break;
                    }
                }
                _ => return,
            }
        }
        drop(out);
        self.result.set_status(|status| status.state = State::Ended);
    }

    /// Reads batch after batch. A source that comes back goes on with the state and the offsets that were reached.
    fn read(
        &self,
        mut source: Box<dyn Source>,
        progress: &mut Option<Reached>,
        mut out: Option<&mut SinkSide>,
    ) -> Halt {
        let goes_on = match progress {
            Some(reached) => self.resume(source.as_mut(), reached),
            None => self.begin(source.as_mut(), out.as_deref_mut()).map(|begun| *progress = Some(begun)),
        };
        if let Err(halt) = goes_on {
            return halt;
        }
        let Some(reached) = progress else { return Halt::Stopped };
        reached.pipeline.wake();
        self.result.set_status(|status| status.state = State::Running);
        loop {
            if self.is_stopped() {
                return Halt::Stopped;
            }
            if out.is_none() && self.result.unwatched_for() > self.options.rest_after {
                return Halt::Unwatched;
            }
            if let Some(out) = out.as_deref_mut()
                && let Err(halt) = self.hear(out)
            {
                return halt;
            }
            match self.batch(source.as_mut(), reached, out.as_deref_mut()) {
                Ok(Some(rest)) => {
                    if self.pause(rest) {
                        return Halt::Stopped;
                    }
                }
                Ok(None) => {}
                Err(halt) => return halt,
            }
        }
    }

    fn begin(&self, source: &mut dyn Source, out: Option<&mut SinkSide>) -> Result<Reached, Halt> {
        let pipeline = Pipeline::new(&self.plan, &source.lanes(), Mode::Stream, &self.clock)?;
        let (batch, again, now) = (0, VecDeque::new(), self.clock.now());
        let (known, from, end, unsaved, discovered) = (None, Offsets::default(), None, (0, now), now);
        let (within, is_unnoted) = (false, false);
        let mut reached = Reached { pipeline, known, from, batch, again, end, discovered, unsaved, within, is_unnoted };
        let is_view = out.is_none();
        if let Some(out) = out {
            self.go_on(out, &mut reached)?;
        }
        // What a checkpoint has says where to go on; otherwise the log is asked where it begins.
        if reached.from.0.is_empty() {
            reached.from = source.start().map_err(Halt::Source)?;
            reached.is_unnoted = source.start_moves();
            self.assign(source, &mut reached, None)?;
        } else {
            self.resume(source, &mut reached)?;
        }
        // A view tells its reader by it whether all is there that was there; a sink asks for itself.
        let ends = if is_view { Some(source.latest().map_err(Halt::Source)?.only(&reached.from)) } else { None };
        let offsets = reached.from.0.iter().map(|(partition, at)| (partition.clone(), (*at, *at))).collect();
        self.result.set_status(|status| (status.offsets, status.log_ends) = (offsets, ends));
        Ok(reached)
    }

    /// Looks which partitions there are now, and goes on in those. Batches that are to be repeated come first: they are read as they
    /// were planned.
    fn resume(&self, source: &mut dyn Source, reached: &mut Reached) -> Result<(), Halt> {
        reached.discovered = self.clock.now();
        let mut ends = None;
        if reached.again.is_empty() {
            let Resumed { from, end, lost } = source.resume(&reached.from).map_err(Halt::Source)?;
            (reached.from, ends) = (from, end);
            if lost.is_some() {
                reached.is_unnoted = true;
                self.result.set_status(|status| status.data_loss = lost);
            }
        }
        self.assign(source, reached, ends)
    }

    /// Goes on in the partitions that there are; `ends` is where they end, if that was asked.
    fn assign(&self, source: &mut dyn Source, reached: &mut Reached, ends: Option<Offsets>) -> Result<(), Halt> {
        reached.pipeline.assign(&reached.from);
        if self.ends() && reached.end.is_none() && reached.again.is_empty() {
            let ends = ends.map_or_else(|| source.latest(), Ok).map_err(Halt::Source)?;
            // What appears from now on is the next run's.
            reached.end = Some(ends.only(&reached.from));
        }
        Ok(())
    }

    /// Runs one batch, if there is one; gives the time to rest after it.
    fn batch(
        &self,
        source: &mut dyn Source,
        reached: &mut Reached,
        mut out: Option<&mut SinkSide>,
    ) -> Result<Option<Duration>, Halt> {
        let begun = self.clock.now();
        let (planned, is_new) = match reached.again.front() {
            Some(planned) => (planned.clone(), false),
            None => match self.choose(source, reached, checkpoint(&mut out).is_some())? {
                Some(planned) => (planned, true),
                None => return Ok(None),
            },
        };
        if let Some(checkpoint) = checkpoint(&mut out).filter(|_| is_new) {
            checkpoint.plan(&planned)?;
        }
        let Planned { batch, from, to, at, ran, committed } = planned;
        self.step(batch, BatchStep::Planned)?;
        let read = match from == to {
            true => Ok(SourceBatch::default()),
            false => source.read(&from, &to),
        };
        let read = match read {
            Err(error) if error.retry && !is_new => self.read_rest(source, [&from, &to], error)?,
            read => read.map_err(Halt::Source)?,
        };
        self.step(batch, BatchStep::Read)?;
        if !is_new {
            // Those that had appeared when it was planned hold the watermark back, as they did then.
            reached.pipeline.assign(&from);
        }
        let facts = BatchFacts::of(&read);
        let behind = facts.rows >= self.options.max_rows / 2;
        reached.within = true;
        reached.pipeline.at(at.unwrap_or_else(|| self.clock.since_epoch_ms()));
        reached.pipeline.left_out(&read.left_out);
        let output = match ran {
            Some(watermark) => reached.pipeline.repeat(read.parts, watermark)?,
            None => reached.pipeline.execute(read.parts)?,
        };
        if let Some(checkpoint) = checkpoint(&mut out).filter(|_| ran.is_none()) {
            checkpoint.ran(batch, reached.pipeline.watermark())?;
        }
        self.step(batch, BatchStep::Ran)?;
        let mut progress = Progress {
            batch,
            input_rows: facts.rows,
            output_rows: output.changes.rows.height(),
            late_rows: output.late,
            duration: Duration::ZERO,
            watermark_ms: reached.pipeline.watermark_ms(),
            offsets: (from, to.clone()),
        };
        let (readers, failing) = (source.readers(), source.failing());
        let notices = [source.notices(), output.notices.clone()].concat();
        self.result.apply(&output.changes, |status| {
            (status.readers, status.failing) = (readers, failing);
            if !notices.is_empty() {
                status.notices = notices;
            }
            facts.write(status, &output, progress.watermark_ms, [&progress.offsets.0, &to]);
        })?;
        if let Some(out) = out.as_deref_mut() {
            self.hand_on(out, reached, output, committed, &mut progress)?;
        }
        reached.from = to;
        reached.batch = batch + 1;
        reached.unsaved.0 += progress.input_rows;
        (reached.within, reached.is_unnoted) = (false, false);
        if let Some(out) = out {
            self.keep(out, reached, batch, committed)?;
        }
        if !is_new {
            reached.again.pop_front();
        }
        let spent = self.clock.now().saturating_sub(begun);
        progress.duration = spent;
        self.tell(progress);
        if self.options.trigger == Trigger::Once && is_new {
            return Err(Halt::Done);
        }
        Ok(Some(match self.options.trigger {
            Trigger::ProcessingTime(every) if is_new => every.saturating_sub(spent),
            _ if behind || !is_new || reached.end.is_some() => Duration::ZERO,
            _ => self.pace(spent).saturating_sub(spent),
        }))
    }

    /// What there still is of a range that is to be repeated and cannot be read, where the source is told to go on without what is
    /// gone. Otherwise the source is away, and the batch waits for it.
    fn read_rest(
        &self,
        source: &mut dyn Source,
        [from, to]: [&Offsets; 2],
        error: SourceError,
    ) -> Result<SourceBatch, Halt> {
        let Resumed { from: left, lost, .. } = source.resume(from).map_err(Halt::Source)?;
        if lost.is_none() {
            return Err(Halt::Source(error));
        }
        self.result.set_status(|status| status.data_loss = lost);
        let is_left = |(at, from): &(&TopicPartition, &i64)| left.0.get(at) == Some(from);
        let from: Offsets = from.0.iter().filter(is_left).map(|(at, from)| (at.clone(), *from)).collect();
        let to = to.only(&from);
        if to.is_beyond(&from) { source.read(&from, &to).map_err(Halt::Source) } else { Ok(SourceBatch::default()) }
    }

    /// Whether the query ends by itself, when it has read what was there.
    fn ends(&self) -> bool {
        matches!(self.options.trigger, Trigger::AvailableNow | Trigger::Once)
    }

    /// The range of a new batch: that of the rows that are there, or none where something has waited for time to go on, or where the
    /// batch is what `notes` down the place to go on from.
    fn choose(&self, source: &mut dyn Source, reached: &mut Reached, notes: bool) -> Result<Option<Planned>, Halt> {
        let is_unasked = self.clock.now().saturating_sub(reached.discovered) >= source.discovery_interval();
        if reached.end.is_none() && (self.ends() || is_unasked) {
            self.resume(source, reached)?;
        }
        let from = reached.from.clone();
        let mut to = from.clone();
        let is_done = match &reached.end {
            Some(end) => {
                reached.pipeline.read_to(&from, end);
                from.distance_to(end) == 0
            }
            None => false,
        };
        if !is_done {
            to = source.available(&from, self.options.max_rows, Duration::from_millis(100)).map_err(Halt::Source)?;
        }
        let at = self.clock.since_epoch_ms();
        match &reached.end {
            Some(end) => {
                to = to.up_to(&from, end);
                reached.pipeline.read_to(&to, end);
            }
            None if reached.pipeline.wants_ends(at) => {
                reached.pipeline.ends(&to, &source.latest().map_err(Halt::Source)?);
            }
            None => {}
        }
        let is_wanted = reached.pipeline.owes_a_row() || reached.pipeline.is_due(at) || (notes && reached.is_unnoted);
        if to == from && !is_wanted {
            return if is_done { Err(Halt::Done) } else { Ok(None) };
        }
        Ok(Some(Planned { batch: reached.batch, from, to, at: Some(at), ran: None, committed: false }))
    }

    fn tell(&self, progress: Progress) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT {
            recent.pop_front();
        }
        recent.push_back(progress);
    }

    /// Ends the query here if a test wants it to.
    fn step(&self, batch: u64, step: BatchStep) -> Result<(), Halt> {
        match &self.options.crash {
            Some(crash) if crash(batch, step) => {
                Err(Halt::Failed(format!("a test ended batch {batch} after {step:?}")))
            }
            _ => Ok(()),
        }
    }

    /// The time from the start of a batch that took `spent` to the start of the next one. Small batches cost what they
    /// cost however few rows they have, so a machine that is slow, or busy with other queries, is given fewer of them;
    /// never so few that a person could see it.
    fn pace(&self, spent: Duration) -> Duration {
        (spent * PAUSES_PER_BATCH).min(A_FRAME).max(self.options.interval)
    }

    fn is_stopped(&self) -> bool {
        matches!(self.stopped.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Waits; says whether the query was stopped meanwhile.
    fn pause(&self, time: Duration) -> bool {
        matches!(self.stopped.recv_timeout(time), Err(RecvTimeoutError::Disconnected))
    }
}

fn checkpoint<'a>(out: &'a mut Option<&mut SinkSide>) -> Option<&'a mut Checkpoint> {
    out.as_deref_mut().and_then(|out| out.checkpoint.as_mut())
}
