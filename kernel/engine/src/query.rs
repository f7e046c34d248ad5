//! A running query: a thread of its own that reads a source, runs a pipeline and writes a result, batch by batch, until
//! it is stopped. The handle only sends it wishes and reads the result.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use plan::Plan;
use polars::prelude::PlSmallStr;
use sha2::{Digest as _, Sha256};

use crate::clock::{Clock, SystemClock};
use crate::pipeline::{Mode, Output, Pipeline};
use crate::result::{LiveResult, ROWS_HELD, STREAM_ROWS_HELD, State, Status};
use crate::source::{Offsets, Source, SourceBatch, SourceError};

/// Opens a query's source for the named columns, in the source's order; called again after the source was away.
pub type OpenSource = Arc<dyn Fn(&[PlSmallStr]) -> Result<Box<dyn Source>, SourceError> + Send + Sync>;

/// A small batch may take this part of a core's time.
const PAUSES_PER_BATCH: u32 = 10;
/// How often a screen is drawn anew.
const A_FRAME: Duration = Duration::from_millis(33);

/// How a query runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Rows a batch may have, about.
    pub max_rows: usize,
    /// The shortest time from one batch to the next.
    pub interval: Duration,
    /// A query whose result nobody has looked at for this long rests, its source closed, until somebody does.
    pub rest_after: Duration,
    /// How long to wait before a source that is away is tried again.
    pub retry_after: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_rows: 100_000,
            interval: Duration::from_millis(10),
            rest_after: Duration::from_secs(60),
            retry_after: Duration::from_secs(1),
        }
    }
}

/// A running query; dropping it stops the query and waits for its thread.
pub struct Query {
    result: LiveResult,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Query {
    /// Starts a query over `plan`; `name` is the thread's, and what people see of it.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub fn start(name: &str, plan: &Plan, open: OpenSource, options: Options) -> std::io::Result<Query> {
        let (source, _, _) = plan.steps();
        let status = Status {
            name: name.to_owned(),
            fingerprint: fingerprint(plan),
            topic: source.split_whitespace().nth(1).map(str::to_owned),
            ..Status::default()
        };
        let held = if plan.aggregate().is_some() { ROWS_HELD } else { STREAM_ROWS_HELD };
        let result = LiveResult::with_rows_held(plan.schema().clone(), status, held);
        let (stop, stopped) = channel();
        let run = Run {
            plan: plan.clone(),
            open,
            options,
            result: result.clone(),
            stopped,
            clock: Arc::new(SystemClock::default()),
        };
        let thread = std::thread::Builder::new().name(format!("query {name}")).spawn(move || run.guarded())?;
        Ok(Query { result, stop: Some(stop), thread: Some(thread) })
    }

    /// The result, for views.
    #[must_use]
    pub fn result(&self) -> &LiveResult {
        &self.result
    }

    /// Stops the query after the batch it is at. The result stays.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread guards itself against panics, so that there is nothing to hear from it.
            let _ = thread.join();
        }
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The first sixteen hex digits of the SHA-256 of the plan in words.
#[must_use]
pub fn fingerprint(plan: &Plan) -> String {
    Sha256::digest(plan.explain()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// What the thread owns.
struct Run {
    plan: Plan,
    open: OpenSource,
    options: Options,
    result: LiveResult,
    stopped: Receiver<()>,
    clock: Arc<dyn Clock>,
}

/// Why a run came to a halt.
enum Halt {
    Stopped,
    Unwatched,
    Source(SourceError),
    Failed(String),
}

impl Run {
    fn guarded(self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run())) {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            let message = format!(
                "the query stopped because of a fault in it: {}",
                text.unwrap_or_else(|| "no message".to_owned())
            );
            self.result.set_status(|status| status.state = State::Failed(message));
        }
    }

    fn run(&self) {
        let columns = self.plan.source_columns();
        let mut progress: Option<(Pipeline, Offsets)> = None;
        loop {
            let halt = match (self.open)(&columns) {
                Ok(source) => self.read(source, &mut progress),
                Err(error) => Halt::Source(error),
            };
            let state = match halt {
                Halt::Stopped => State::Ended,
                Halt::Unwatched => State::Suspended,
                Halt::Source(error) if error.retry => State::Waiting(error.to_string()),
                Halt::Source(error) => State::Failed(error.to_string()),
                Halt::Failed(message) => State::Failed(message),
            };
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
        self.result.set_status(|status| status.state = State::Ended);
    }

    /// Reads batch after batch. A source that comes back goes on with the state and the offsets that were reached.
    fn read(&self, mut source: Box<dyn Source>, progress: &mut Option<(Pipeline, Offsets)>) -> Halt {
        if progress.is_none() {
            match self.begin(source.as_mut()) {
                Ok(begun) => *progress = Some(begun),
                Err(halt) => return halt,
            }
        }
        let Some((pipeline, from)) = progress else { return Halt::Stopped };
        self.result.set_status(|status| status.state = State::Running);
        loop {
            if self.is_stopped() {
                return Halt::Stopped;
            }
            if self.result.unwatched_for() > self.options.rest_after {
                return Halt::Unwatched;
            }
            match self.batch(source.as_mut(), pipeline, from) {
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

    fn begin(&self, source: &mut dyn Source) -> Result<(Pipeline, Offsets), Halt> {
        let from = source.start().map_err(Halt::Source)?;
        let mut pipeline = Pipeline::new(&self.plan, &source.schema(), Mode::Stream, &self.clock)
            .map_err(|e| Halt::Failed(e.to_string()))?;
        pipeline.expect(from.0.keys().copied());
        self.result.set_status(|status| status.offsets = from.0.iter().map(|(p, at)| (*p, (*at, *at))).collect());
        Ok((pipeline, from))
    }

    /// Reads and runs one batch, if there is one; gives the time to rest after it.
    fn batch(
        &self,
        source: &mut dyn Source,
        pipeline: &mut Pipeline,
        from: &mut Offsets,
    ) -> Result<Option<Duration>, Halt> {
        let to = source.available(from, self.options.max_rows, Duration::from_millis(100)).map_err(Halt::Source)?;
        if to == *from {
            return Ok(None);
        }
        let begun = self.clock.now();
        let batch = source.read(from, &to).map_err(Halt::Source)?;
        let facts = BatchFacts::of(&batch);
        let behind = facts.rows >= self.options.max_rows / 2;
        let output = pipeline.execute(batch.parts).map_err(|error| Halt::Failed(error.to_string()))?;
        let watermark = pipeline.watermark_ms();
        let changes = &output.changes;
        self.result
            .apply(changes, |status| facts.write(status, &output, watermark, &to))
            .map_err(|error| Halt::Failed(error.to_string()))?;
        *from = to;
        let spent = self.clock.now().saturating_sub(begun);
        Ok(Some(if behind { Duration::ZERO } else { self.pace(spent).saturating_sub(spent) }))
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

/// What the status takes from a batch.
struct BatchFacts {
    rows: usize,
    dead: usize,
    last_dead: Option<String>,
    newest_ms: Option<i64>,
}

impl BatchFacts {
    fn of(batch: &SourceBatch) -> BatchFacts {
        BatchFacts {
            rows: batch.parts.iter().map(|part| part.rows.height()).sum(),
            dead: batch.dead_letters.len(),
            last_dead: batch
                .dead_letters
                .last()
                .map(|d| format!("{} [{}] offset {}: {}", d.topic, d.partition, d.offset, d.reason)),
            newest_ms: batch.parts.iter().filter_map(|part| part.newest_ms).max(),
        }
    }

    fn write(self, status: &mut Status, output: &Output, watermark_ms: Option<i64>, to: &Offsets) {
        status.rows_read += self.rows as u64;
        status.dead_letters += (self.dead + output.timeless) as u64;
        status.last_dead_letter = self.last_dead.or_else(|| status.last_dead_letter.take());
        status.late_rows += output.late as u64;
        status.watermark_ms = watermark_ms;
        status.newest_ms = status.newest_ms.max(self.newest_ms);
        for (partition, end) in &to.0 {
            status.offsets.entry(*partition).or_insert((0, 0)).1 = *end;
        }
    }
}
