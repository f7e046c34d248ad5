//! The queries of this process: a handle to each, and the table of them all.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use engine::{LiveResult, Offsets, Progress, Query, State, Status};
use link::Bundle;
use polars::prelude::*;

use crate::StreamFrame;
use crate::cell::{self, Show};
use crate::shown::{self, Hold};

/// How often the table of queries is drawn anew while somebody looks.
const REFRESH: Duration = Duration::from_millis(250);
/// How long after the last look the table rests.
const REST: Duration = Duration::from_secs(30);

/// A running query. A cheap handle: the query runs on without it, until [`StreamingQuery::stop`].
#[derive(Clone)]
pub struct StreamingQuery {
    name: String,
    query: Arc<Mutex<Query>>,
}

impl StreamingQuery {
    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where the query is: its state, rows, offsets and watermark.
    #[must_use]
    pub fn status(&self) -> QueryStatus {
        QueryStatus(self.query().status())
    }

    /// The newest batch that is done.
    #[must_use]
    pub fn last_progress(&self) -> Option<Progress> {
        self.query().last_progress()
    }

    /// The newest batches, oldest first, a hundred at the most.
    #[must_use]
    pub fn recent_progress(&self) -> Vec<Progress> {
        self.query().recent_progress()
    }

    /// Why the query failed, if it did.
    #[must_use]
    pub fn exception(&self) -> Option<QueryFailed> {
        self.query().exception().map(QueryFailed)
    }

    /// The plan in words.
    #[must_use]
    pub fn explain(&self) -> String {
        self.query().explain()
    }

    /// Whether the query still reads, or will again.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.query().is_active()
    }

    /// The rows of the result as it is now: all of them where the query writes the whole result or keeps it in memory.
    /// Otherwise the newest, as many as are kept to be looked at; [`status`](StreamingQuery::status) says how many are not.
    #[must_use]
    pub fn frame(&self) -> DataFrame {
        // Not while the query is locked: a large result takes its time.
        let table = self.query().table().cloned();
        table.map_or_else(|| self.query().frame(), |table| table.frame())
    }

    /// Stops the query after the batch it is at. Its result stays.
    pub fn stop(&self) {
        self.query().stop();
    }

    /// Waits until the query has ended, by itself or by a stop. An interrupt ends the wait, and not the query.
    ///
    /// # Errors
    /// Why the query failed, or that the wait was interrupted.
    pub fn await_termination(&self) -> Result<(), QueryFailed> {
        let result = self.query().result().clone();
        while !result.wait_ended(Duration::from_millis(100)) {
            if cell::interrupted() {
                return Err(QueryFailed("the wait was interrupted; the query goes on".to_owned()));
            }
        }
        self.exception().map_or(Ok(()), Err)
    }

    /// The plan that runs.
    pub(crate) fn plan(&self) -> plan::Plan {
        self.query().plan().clone()
    }

    fn query(&self) -> MutexGuard<'_, Query> {
        self.query.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Show for StreamingQuery {
    fn show(&self) -> Bundle {
        let result = self.query().result().clone();
        shown::live_table(result, Hold::query(self.clone()))
    }
}

impl fmt::Debug for StreamingQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.status())
    }
}

/// A query that failed, or was not waited for.
#[derive(Clone, thiserror::Error)]
#[error("{0}")]
pub struct QueryFailed(String);

impl fmt::Debug for QueryFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a query is, in one line.
#[derive(Clone)]
pub struct QueryStatus(Status);

impl std::ops::Deref for QueryStatus {
    type Target = Status;

    fn deref(&self) -> &Status {
        &self.0
    }
}

impl fmt::Display for QueryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { rows_read, rows, dropped_rows, late_rows, dead_letters, changed, .. } = &self.0;
        let all = *rows as u64 + dropped_rows;
        write!(f, "{}, {rows_read} rows read, {all} in the result", state(&self.0.state))?;
        if *dropped_rows > 0 {
            write!(f, " (the newest {rows} are kept to be looked at)")?;
        }
        if *late_rows > 0 {
            write!(f, ", {late_rows} late")?;
        }
        if *dead_letters > 0 {
            write!(f, ", {dead_letters} dead letters")?;
        }
        for note in self.0.notes() {
            write!(f, "; {note}")?;
        }
        if let Some(difference) = changed {
            write!(f, "; it goes on from its checkpoint with what was changed:\n{difference}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for QueryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn state(state: &State) -> String {
    match state {
        State::Starting => "starting".to_owned(),
        State::Running => "running".to_owned(),
        State::Waiting(text) => format!("waiting: {text}"),
        State::Suspended => "resting until somebody looks".to_owned(),
        State::Ended => "ended".to_owned(),
        State::Failed(text) => format!("failed: {text}"),
    }
}

/// All queries of this process, newest first.
#[must_use]
pub fn streams() -> Streams {
    Streams(queries().list())
}

/// The whole result of the newest query of a name, as it is now.
///
/// # Errors
/// When no query has that name, when it failed, or when it keeps only the newest rows of a larger result.
pub fn memory_table(name: &str) -> Result<DataFrame, QueryFailed> {
    let all = queries().list();
    let Some(query) = all.iter().find(|query| query.name == name) else {
        let names: Vec<&str> = all.iter().map(|query| query.name.as_str()).collect();
        return Err(QueryFailed(format!("no query is called \"{name}\". There are: {}", names.join(", "))));
    };
    if let Some(QueryFailed(why)) = query.exception() {
        return Err(QueryFailed(format!(
            "the query \"{name}\" failed, and .frame() has what it had until then: {why}"
        )));
    }
    // One after the other: the query is locked as long as it is looked at.
    let has_table = query.query().table().is_some();
    let Status { rows, dropped_rows, .. } = query.status().0;
    if !has_table && dropped_rows > 0 {
        let of = rows as u64 + dropped_rows;
        return Err(QueryFailed(format!(
            "the query \"{name}\" keeps only the newest {rows} of the {of} rows of its result, and .frame() has those. Write \
             the result with .memory(\"{name}\") to have all of it here"
        )));
    }
    Ok(query.frame())
}

/// Queries; shown, they are a table that stays up to date.
#[derive(Clone)]
pub struct Streams(Vec<StreamingQuery>);

impl std::ops::Deref for Streams {
    type Target = [StreamingQuery];

    fn deref(&self) -> &[StreamingQuery] {
        &self.0
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl Show for Streams {
    fn show(&self) -> Bundle {
        match queries().table() {
            Ok(result) => shown::live_table(result, Hold::nothing()),
            Err(error) => cell::fail("QueryError", &error.to_string()),
        }
    }
}

/// The queries of this process.
pub(crate) struct Queries {
    all: Mutex<Vec<Listed>>,
    table: Mutex<Option<LiveResult>>,
}

pub(crate) fn queries() -> &'static Queries {
    static QUERIES: OnceLock<Queries> = OnceLock::new();
    QUERIES.get_or_init(|| Queries { all: Mutex::default(), table: Mutex::default() })
}

/// A query, and what it lives by.
enum Listed {
    /// It was started, and runs until it is stopped.
    Started(StreamingQuery),
    /// It is there to be looked at, and ends with its views.
    Shown { name: String, query: Weak<Mutex<Query>> },
}

impl Listed {
    fn query(&self) -> Option<StreamingQuery> {
        match self {
            Listed::Started(query) => Some(query.clone()),
            Listed::Shown { name, query } => Some(StreamingQuery { name: name.clone(), query: query.upgrade()? }),
        }
    }

    /// Why it still runs.
    fn reason(&self) -> String {
        match self {
            Listed::Started(_) => "started: until it is stopped".to_owned(),
            Listed::Shown { query, .. } => match query.strong_count() {
                1 => "1 view of it, or a variable".to_owned(),
                several => format!("{several} views of it, or variables"),
            },
        }
    }
}

impl Queries {
    /// Keeps a query that was started for as long as the process lives.
    pub(crate) fn add(&self, name: &str, query: Query) -> StreamingQuery {
        let query = StreamingQuery { name: name.to_owned(), query: Arc::new(Mutex::new(query)) };
        self.listed().push(Listed::Started(query.clone()));
        query
    }

    /// Lists a query that lives as long as what is given back.
    pub(crate) fn show(&self, name: &str, query: Query) -> StreamingQuery {
        let query = StreamingQuery { name: name.to_owned(), query: Arc::new(Mutex::new(query)) };
        self.listed().push(Listed::Shown { name: name.to_owned(), query: Arc::downgrade(&query.query) });
        query
    }

    /// The result of a frame that a running query has, or has the rows for, and the query.
    pub(crate) fn view(&self, name: &str, frame: &StreamFrame) -> Option<(LiveResult, StreamingQuery)> {
        self.list().into_iter().find_map(|query| {
            let result = query.query().view(name, &frame.plan)?;
            Some((result, query))
        })
    }

    fn list(&self) -> Vec<StreamingQuery> {
        let mut all = self.listed();
        all.retain(|listed| !matches!(listed, Listed::Shown { query, .. } if query.strong_count() == 0));
        all.iter().rev().filter_map(Listed::query).collect()
    }

    fn listed(&self) -> MutexGuard<'_, Vec<Listed>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table of all queries, which a thread keeps up to date while somebody looks.
    fn table(&self) -> std::io::Result<LiveResult> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(table) = table.as_ref() {
            return Ok(table.clone());
        }
        let result = LiveResult::fixed(self.rows());
        let status = |status: &mut Status| {
            status.name = "streams".to_owned();
            status.state = State::Running;
            // It reads no log.
            status.log_ends = Some(Offsets::default());
        };
        result.set_status(status);
        let kept = result.clone();
        std::thread::Builder::new().name("streams".into()).spawn(move || {
            loop {
                // Not for an order: this is how often a person sees the table change.
                std::thread::park_timeout(REFRESH);
                if kept.unwatched_for() < REST || kept.wait_watched(REST) {
                    kept.replace(queries().rows());
                }
            }
        })?;
        *table = Some(result.clone());
        Ok(result)
    }

    fn rows(&self) -> DataFrame {
        let listed: Vec<(String, StreamingQuery)> = {
            let all = self.listed();
            all.iter().filter_map(|listed| Some((listed.reason(), listed.query()?))).collect()
        };
        // Not while the list is locked: a query answers when it has made its batch.
        let all: Vec<(String, Status, Option<Progress>)> =
            listed.iter().map(|(_, query)| (query.name.clone(), query.status().0, query.last_progress())).collect();
        let of = |get: &dyn Fn(&Status) -> u64| all.iter().map(|(_, status, _)| get(status)).collect::<Vec<u64>>();
        let batches = all.iter().map(|(_, _, last)| last.as_ref().map(|last| last.batch)).collect::<Vec<_>>();
        let took = |last: &Option<Progress>| last.as_ref().map(|last| last.duration.as_secs_f64() * 1e3);
        let speed = |last: &Option<Progress>| last.as_ref().map(|last| last.processed_rows_per_second().round());
        let watermark = all.iter().map(|(_, status, _)| status.watermark_ms).collect::<Vec<_>>();
        let columns = vec![
            Series::new("query".into(), all.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>()),
            Series::new("state".into(), all.iter().map(|(_, status, _)| state(&status.state)).collect::<Vec<_>>()),
            Series::new("batch".into(), batches),
            Series::new("rows_read".into(), of(&|status| status.rows_read)),
            Series::new("result_rows".into(), of(&|status| status.rows as u64 + status.dropped_rows)),
            Series::new("readers".into(), of(&|status| status.readers as u64)),
            Series::new("late_rows".into(), of(&|status| status.late_rows)),
            Series::new("dead_letters".into(), of(&|status| status.dead_letters)),
            Series::new("batch_ms".into(), all.iter().map(|(_, _, last)| took(last)).collect::<Vec<_>>()),
            Series::new("rows_per_second".into(), all.iter().map(|(_, _, last)| speed(last)).collect::<Vec<_>>()),
            Series::new("watermark".into(), watermark),
            Series::new("kept_by".into(), listed.iter().map(|(reason, _)| reason.as_str()).collect::<Vec<_>>()),
        ];
        let height = all.len();
        let columns = columns.into_iter().map(Column::from).collect();
        let frame = DataFrame::new(height, columns).map(|frame| {
            let time = col("watermark").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
            frame.lazy().with_columns([time]).collect()
        });
        // The columns have one length and names of their own.
        frame.and_then(|frame| frame).unwrap_or_default()
    }
}
