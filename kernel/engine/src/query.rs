//! A running query: a thread of its own that reads a source, runs a pipeline and writes a result, batch by batch, until
//! it is stopped. The handle only sends it wishes and reads the result.

mod facts;
mod run;
mod sink_keys;
mod view;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use plan::Plan;
use polars::prelude::{DataFrame, PlSmallStr};
use sha2::{Digest as _, Sha256};

use crate::clock::{Clock, SystemClock};
use crate::disk::{Disk, LocalDisk};
use crate::physical::{PhysicalPlan, query_fingerprint};
use crate::pipeline::OutputMode;
use crate::progress::Progress;
use crate::result::{LiveResult, ROWS_HELD, ResultTable, STREAM_ROWS_HELD, State, Status};
use crate::sink::Sink;
use crate::source::{Source, SourceError};
use run::QueryThread;

/// Opens a query's source for the named columns, in the source's order; called again after the source was away.
pub type OpenSource = Arc<dyn Fn(&[PlSmallStr]) -> Result<Box<dyn Source>, SourceError> + Send + Sync>;

/// Batches that the handle can tell of.
const RECENT: usize = 100;

/// When a batch is begun, in Spark's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// As soon as there are rows.
    #[default]
    Continuous,
    /// Not sooner than so long after the one before it began.
    ProcessingTime(Duration),
    /// Until everything is read that was there when the query began; then the query ends.
    AvailableNow,
    /// One batch; then the query ends.
    Once,
}

/// A step in the life of a batch, after which a test may end the query as a crash would.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchStep {
    /// The range is chosen and written down.
    Planned,
    /// The range is read.
    Read,
    /// The operators ran.
    Ran,
    /// The rows are in the sink.
    Written,
    /// The state is written.
    Saved,
    /// The batch is committed.
    Committed,
}

/// Says whether a query is to end as if it crashed, after a step of a batch.
pub type Crash = Arc<dyn Fn(u64, BatchStep) -> bool + Send + Sync>;

/// How a query runs.
#[derive(Clone)]
pub struct Options {
    /// Rows a batch may have, about.
    pub max_rows: usize,
    /// The shortest time from one batch to the next.
    pub interval: Duration,
    /// When batches begin.
    pub trigger: Trigger,
    /// A query without a sink whose result nobody has looked at for this long rests, its source closed, until somebody does.
    pub rest_after: Duration,
    /// How long to wait before a source or a sink that is away is tried again.
    pub retry_after: Duration,
    /// Rows after which the state is written into the checkpoint.
    pub snapshot_rows: usize,
    /// The longest time between two such writings, while there are rows.
    pub snapshot_every: Duration,
    /// Memory that a whole result may take, in bytes, where it is kept for a sink.
    pub max_result_bytes: usize,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where the checkpoint is written.
    pub disk: Arc<dyn Disk>,
    /// For tests.
    pub crash: Option<Crash>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            max_rows: 100_000,
            interval: Duration::from_millis(1),
            trigger: Trigger::default(),
            rest_after: Duration::from_secs(60),
            retry_after: Duration::from_secs(1),
            snapshot_rows: 5_000_000,
            snapshot_every: Duration::from_secs(10),
            max_result_bytes: 4 << 30,
            clock: Arc::new(SystemClock::default()),
            disk: Arc::new(LocalDisk),
            crash: None,
        }
    }
}

/// Where a query's rows go, other than into its result.
pub struct QueryOutput {
    /// What takes them.
    pub sink: Box<dyn Sink>,
    /// Which of them.
    pub mode: OutputMode,
    /// The folder that makes a restart go on where the query was.
    pub checkpoint: Option<PathBuf>,
    /// Whether a damaged state gives way to the newest that is whole.
    pub use_newest_good_state: bool,
}

/// A query that cannot be started as it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An output mode that the plan cannot give.
    #[error("start: output mode {mode:?} does not go with this query: {detail}. {hint}")]
    Mode {
        /// The mode.
        mode: OutputMode,
        /// Why not.
        detail: &'static str,
        /// The way to do it.
        hint: &'static str,
    },
    /// The machine gives no thread.
    #[error("start: the machine gives no thread for the query: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running query; dropping it stops the query and waits for its thread.
pub struct Query {
    plan: Plan,
    has_output: bool,
    result: LiveResult,
    table: Option<ResultTable>,
    recent: Arc<Mutex<VecDeque<Progress>>>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Query {
    /// Starts a query over `plan` whose rows are only looked at; `name` is the thread's, and what people see of it.
    ///
    /// # Errors
    /// When the machine gives no thread.
    pub fn start(name: &str, plan: &Plan, open: OpenSource, options: Options) -> std::io::Result<Query> {
        Query::begin(name, plan, open, options, None)
    }

    /// Starts a query whose rows go to a sink.
    ///
    /// # Errors
    /// An output mode that the plan cannot give, or no thread.
    pub fn write(
        name: &str,
        plan: &Plan,
        open: OpenSource,
        options: Options,
        output: QueryOutput,
    ) -> Result<Query, StartError> {
        check_mode(plan, output.mode)?;
        Ok(Query::begin(name, plan, open, options, Some(output))?)
    }

    fn begin(
        name: &str,
        plan: &Plan,
        open: OpenSource,
        options: Options,
        output: Option<QueryOutput>,
    ) -> std::io::Result<Query> {
        let topics: Vec<String> = plan.scans().iter().map(|scan| scan.title()).collect();
        let status = Status {
            name: name.to_owned(),
            fingerprint: fingerprint(plan),
            topic: Some(topics.join(" + ")),
            ..Status::default()
        };
        let is_stream = plan.aggregate().is_none() && plan.root().appends();
        let held = if is_stream { STREAM_ROWS_HELD } else { ROWS_HELD };
        let result = LiveResult::with_rows_held(plan.schema().clone(), status, held).in_order_of(plan);
        let wants_whole = |output: &QueryOutput| output.mode == OutputMode::Complete || output.sink.keeps_result();
        let table = output
            .as_ref()
            .is_some_and(wants_whole)
            .then(|| ResultTable::new(plan.schema().clone(), options.max_result_bytes, plan.order().is_some()));
        let recent = Arc::new(Mutex::new(VecDeque::new()));
        let (stop, stopped) = channel();
        let has_output = output.is_some();
        let run = QueryThread {
            plan: plan.clone(),
            open,
            clock: Arc::clone(&options.clock),
            options,
            result: result.clone(),
            table: table.clone(),
            recent: Arc::clone(&recent),
            stopped,
        };
        let thread = std::thread::Builder::new().name(format!("query {name}")).spawn(move || run.guarded(output))?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Query { plan: plan.clone(), has_output, result, table, recent, stop, thread })
    }

    /// The result, for views.
    #[must_use]
    pub fn result(&self) -> &LiveResult {
        &self.result
    }

    /// The whole result, where it is kept for the sink.
    #[must_use]
    pub fn table(&self) -> Option<&ResultTable> {
        self.table.as_ref()
    }

    /// The rows of the result as it is now: all of them where they are kept for the sink; otherwise those that are held to be
    /// looked at, and the status says how many are not. In their order, if they have one.
    #[must_use]
    pub fn frame(&self) -> DataFrame {
        match &self.table {
            Some(table) => table.frame(),
            None => self.result.frame(),
        }
    }

    /// Where the query is.
    #[must_use]
    pub fn status(&self) -> Status {
        self.result.status()
    }

    /// The newest batches, oldest first, a hundred at the most.
    #[must_use]
    pub fn recent_progress(&self) -> Vec<Progress> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The newest batch.
    #[must_use]
    pub fn last_progress(&self) -> Option<Progress> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }

    /// Why the query failed, if it did.
    #[must_use]
    pub fn exception(&self) -> Option<String> {
        match self.result.state() {
            State::Failed(message) => Some(message),
            _ => None,
        }
    }

    /// The plan, as it was written.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The plan in words, as it was said and as it runs.
    #[must_use]
    pub fn explain(&self) -> String {
        explain(&self.plan)
    }

    /// Whether the query still reads, or will again.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.result.state(), State::Ended | State::Failed(_))
    }

    /// Waits until the query has ended, `timeout` at the most; says whether it has.
    #[must_use]
    pub fn await_termination(&self, timeout: Duration) -> bool {
        self.result.wait_ended(timeout)
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

/// A plan in words, as it was said and as it runs.
#[must_use]
pub fn explain(plan: &Plan) -> String {
    format!("{}\nas it runs:\n{}", plan.explain(), PhysicalPlan::of(plan).explain())
}

/// The first sixteen hex digits of the SHA-256 of what a plan asks: the same for the same question, wherever its topics are.
#[must_use]
pub fn fingerprint(plan: &Plan) -> String {
    query_fingerprint(plan)[..16].to_owned()
}

/// The first sixteen hex digits of the SHA-256 of a text.
#[must_use]
pub fn short_hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..8])
}

fn check_mode(plan: &Plan, mode: OutputMode) -> Result<(), StartError> {
    let refused = |detail, hint| Err(StartError::Mode { mode, detail, hint });
    if mode == OutputMode::Append && plan.order().is_some() {
        return refused(
            "which rows come first changes, so none is final",
            "Write with output_mode(OutputMode::Complete)",
        );
    }
    if mode == OutputMode::Complete && plan.appends() {
        return refused(
            "the whole result would be all rows that were ever read, every time",
            "Write with output_mode(OutputMode::Append)",
        );
    }
    if mode != OutputMode::Append || plan.appends() || plan.windows_end() {
        return Ok(());
    }
    match plan.aggregate() {
        None => refused(
            "no key of the join is a time of windows behind a watermark, so no pair is final",
            "Join by the windows' time as well, or write with output_mode(OutputMode::Update)",
        ),
        Some((aggregate, _)) if aggregate.over.is_none() => refused(
            "the groups of keys alone never end, so no row of them is final",
            "Group by windows too, or write with output_mode(OutputMode::Update)",
        ),
        Some(_) if !plan.has_watermark() => refused(
            "without a watermark no window ever ends, so no row is final",
            "Say how late rows may come with with_watermark(\"event_time\", \"30s\") before the windows, or write with output_mode(OutputMode::Update)",
        ),
        Some(_) => refused(
            "the watermark says nothing of the column that the windows are of, so no row is final",
            "Put with_watermark on that column, right before the windows, or write with output_mode(OutputMode::Update)",
        ),
    }
}

/// The way rows are given where nobody said another: final rows of windows behind a watermark and of rows that never change,
/// changes of everything else.
#[must_use]
pub fn natural_mode(plan: &Plan) -> OutputMode {
    if plan.order().is_some() {
        return OutputMode::Complete;
    }
    if plan.appends() || plan.windows_end() { OutputMode::Append } else { OutputMode::Update }
}
