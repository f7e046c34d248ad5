//! The result of a running query, held so that a view can look at any part of it while the query writes on.
//! One writer (the query's thread), any number of readers. Knows nothing of pages, charts or MIME types.

mod derived;
mod held;
mod status;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use plan::Plan;
use polars::prelude::*;

use crate::change::Changes;
use derived::Derived;
pub(crate) use derived::{Derivation, derives};
use held::Held;
pub use status::{State, Status};

/// Rows kept of an aggregation's result; the oldest go first, and [`Status::dropped_rows`] tells how many.
pub const ROWS_HELD: usize = 1_000_000;
/// Rows kept of a result that is the stream itself: what a person can look back at, not what the topic holds.
pub const STREAM_ROWS_HELD: usize = 200_000;

/// A handle to the result of a query; cloning it is cheap.
#[derive(Clone)]
pub struct LiveResult(Arc<Shared>);

struct Shared {
    held: Mutex<Held>,
    changed: Condvar,
    watched: Mutex<Instant>,
    woken: Condvar,
    /// Whether the rows have an order of their own: then the first has the largest identity.
    ordered: AtomicBool,
    /// Results that this one makes.
    derived: Mutex<Vec<Derived>>,
    /// The result that makes this one: who looks at this one looks at it.
    origin: Weak<Shared>,
}

/// The part of a result that a screen shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Rows to pass over.
    pub offset: usize,
    /// Rows wanted.
    pub len: usize,
    /// Column to sort by, and whether the largest comes first. Without it the newest rows come first.
    pub sort: Option<(String, bool)>,
    /// Text that at least one cell of a row must hold, whatever its case.
    pub filter: Option<String>,
}

impl LiveResult {
    /// An empty result; `status` names the query.
    #[must_use]
    pub fn new(schema: SchemaRef, status: Status) -> LiveResult {
        LiveResult::with_rows_held(schema, status, ROWS_HELD)
    }

    /// An empty result that keeps `rows_held` rows.
    #[must_use]
    pub fn with_rows_held(schema: SchemaRef, status: Status, rows_held: usize) -> LiveResult {
        LiveResult::of(schema, status, rows_held, None)
    }

    fn of(schema: SchemaRef, status: Status, rows_held: usize, origin: Option<&LiveResult>) -> LiveResult {
        LiveResult(Arc::new(Shared {
            held: Mutex::new(Held::new(schema, status, rows_held)),
            changed: Condvar::new(),
            watched: Mutex::new(now()),
            woken: Condvar::new(),
            ordered: AtomicBool::new(false),
            derived: Mutex::default(),
            origin: origin.map_or_else(Weak::new, |origin| Arc::downgrade(&origin.0)),
        }))
    }

    /// The result for a plan, whose rows are in the plan's order where it has one.
    #[must_use]
    pub fn in_order_of(self, plan: &Plan) -> LiveResult {
        self.0.ordered.store(plan.order().is_some(), Ordering::Relaxed);
        self
    }

    /// Whether the rows have an order of their own.
    fn is_ordered(&self) -> bool {
        self.0.ordered.load(Ordering::Relaxed)
    }

    /// A result that no query writes: `frame` as it is, ended.
    ///
    /// # Panics
    /// Never for a frame whose columns have one length, which polars sees to.
    #[must_use]
    pub fn fixed(frame: DataFrame) -> LiveResult {
        let result = LiveResult::new(frame.schema().clone(), Status { state: State::Ended, ..Status::default() });
        result.replace(frame);
        result
    }

    /// Puts `frame` in the place of all rows, as a new version. For results that are fed by hand.
    pub fn replace(&self, frame: DataFrame) {
        let mut held = self.held();
        held.replace(frame);
        drop(held);
        self.0.changed.notify_all();
    }

    /// Applies what a batch changed and lets `update` write the status of the new version.
    ///
    /// # Errors
    /// When the rows do not have the result's schema.
    pub fn apply(&self, changes: &Changes, update: impl FnOnce(&mut Status)) -> PolarsResult<()> {
        let mut derived = self.derived();
        let mut held = self.held();
        held.apply(changes)?;
        held.update(update);
        let status = (!derived.is_empty()).then(|| held.status.clone());
        drop(held);
        self.0.changed.notify_all();
        if let Some(status) = status {
            derived.retain_mut(|derived| derived.take(changes, &status));
        }
        Ok(())
    }

    /// Writes the status without a new version of the rows.
    pub fn set_status(&self, update: impl FnOnce(&mut Status)) {
        let derived = self.derived();
        let mut held = self.held();
        held.update(update);
        let status = (!derived.is_empty()).then(|| held.status.clone());
        drop(held);
        self.0.changed.notify_all();
        if let Some(status) = status {
            derived.iter().for_each(|derived| derived.tell(&status));
        }
    }

    /// The columns of the result.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.held().schema.clone()
    }

    /// Where the query is now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.held().status.clone()
    }

    /// Waits until the version has risen above `seen` or the query's state has changed, `timeout` at the most.
    #[must_use]
    pub fn wait(&self, seen: u64, timeout: Duration) -> Status {
        let held = self.held();
        let before = held.status.state.clone();
        let (held, _) = self
            .0
            .changed
            .wait_timeout_while(held, timeout, |held| held.status.version <= seen && held.status.state == before)
            .unwrap_or_else(PoisonError::into_inner);
        held.status.clone()
    }

    /// Waits until the query has ended, `timeout` at the most; says whether it has.
    #[must_use]
    pub fn wait_ended(&self, timeout: Duration) -> bool {
        let runs = |held: &mut Held| !matches!(held.status.state, State::Ended | State::Failed(_));
        let held = self.held();
        let (mut held, _) =
            self.0.changed.wait_timeout_while(held, timeout, runs).unwrap_or_else(PoisonError::into_inner);
        !runs(&mut held)
    }

    /// All rows held with their identities, oldest first.
    #[must_use]
    pub fn identified(&self) -> (Vec<u64>, DataFrame) {
        let held = self.held();
        (held.ids(), held.tail(usize::MAX))
    }

    /// The rows of a page, and how many rows there are after the filter.
    ///
    /// Without sort and filter the cost is that of the page; with them, that of the rows held.
    ///
    /// # Errors
    /// When the sort names a column that the result does not have.
    pub fn page(&self, page: &Page) -> PolarsResult<(usize, DataFrame)> {
        if page.sort.is_none() && page.filter.is_none() {
            let held = self.held();
            return Ok((held.rows(), held.newest_first(page.offset, page.len)));
        }
        let mut frame = self.tail(usize::MAX);
        if let Some(text) = page.filter.as_deref().filter(|text| !text.is_empty()) {
            frame = containing(&frame, text)?;
        }
        let total = frame.height();
        frame = match &page.sort {
            Some((column, descending)) => {
                let options = SortMultipleOptions::default()
                    .with_order_descending(*descending)
                    .with_nulls_last(true)
                    .with_maintain_order(true);
                frame.reverse().sort([column.as_str()], options)?
            }
            None => frame.reverse(),
        };
        Ok((total, frame.slice(i64::try_from(page.offset).unwrap_or(i64::MAX), page.len)))
    }

    /// The newest `rows` rows, oldest first.
    #[must_use]
    pub fn tail(&self, rows: usize) -> DataFrame {
        self.held().tail(rows)
    }

    /// All rows held, in the order of the plan where it has one; others oldest first.
    #[must_use]
    pub fn frame(&self) -> DataFrame {
        let rows = self.tail(usize::MAX);
        if self.is_ordered() { rows.reverse() } else { rows }
    }

    /// Says that somebody is looking. A query whose result no one looks at rests after a while.
    pub fn touch(&self) {
        *self.0.watched.lock().unwrap_or_else(PoisonError::into_inner) = now();
        self.0.woken.notify_all();
        if let Some(origin) = self.0.origin.upgrade() {
            LiveResult(origin).touch();
        }
    }

    /// How long ago somebody looked.
    #[must_use]
    pub fn unwatched_for(&self) -> Duration {
        self.0.watched.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Waits until somebody looks, `timeout` at the most; says whether somebody did within it.
    #[must_use]
    pub fn wait_watched(&self, timeout: Duration) -> bool {
        let watched = self.0.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *watched;
        let (watched, _) = self
            .0
            .woken
            .wait_timeout_while(watched, timeout, |at| *at == before)
            .unwrap_or_else(PoisonError::into_inner);
        *watched != before
    }

    fn derived(&self) -> MutexGuard<'_, Vec<Derived>> {
        self.0.derived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rows of which some cell, as text, holds `text`.
fn containing(frame: &DataFrame, text: &str) -> PolarsResult<DataFrame> {
    let needle = text.to_lowercase();
    let mut mask: Option<BooleanChunked> = None;
    for column in frame.columns() {
        let texts = column.cast(&DataType::String)?;
        let hits: BooleanChunked =
            texts.str()?.apply_nonnull_values_generic(DataType::Boolean, |cell| cell.to_lowercase().contains(&needle));
        let hits = hits.fill_null_with_values(false)?;
        mask = Some(match mask {
            Some(mask) => &mask | &hits,
            None => hits,
        });
    }
    mask.map_or_else(|| Ok(frame.clone()), |mask| frame.filter(&mask))
}

// The moment a view was last looked at is no stream's time: the engine's clock does not decide it.
fn now() -> Instant {
    Instant::now()
}
