//! The result of a running query as views see it: any part of it, while the query writes on. One writer (the query's thread),
//! any number of readers. Knows nothing of pages, charts or MIME types, and no sink is fed from it: that is what
//! [`ResultTable`] is for.

/// The newest rows, so many at the most.
mod cache;
/// Results that another result makes.
mod derived;
/// Which rows a view has let go.
mod dropped;
/// Rows by identity.
mod indexed_rows;
/// What a screen shows.
mod page;
/// Where a query is.
mod status;
/// The whole result, for sinks.
mod table;
/// When somebody looked.
mod watch;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use plan::Plan;
use polars::prelude::*;

use crate::change::Changes;
use cache::ViewCache;
use derived::Derived;
pub(crate) use derived::{Derivation, derives};
pub use page::Page;
pub use status::{State, Status};
pub use table::{ResultTable, ResultTooLarge};
use watch::LastLook;

/// Rows kept of an aggregation's result; the oldest go first, and [`Status::dropped_rows`] tells how many.
pub const ROWS_HELD: usize = 1_000_000;
/// Rows kept of a result that is the stream itself: what a person can look back at, not what the topic holds.
pub const STREAM_ROWS_HELD: usize = 200_000;

/// A handle to the result of a query; cloning it is cheap.
#[derive(Clone)]
pub struct LiveResult(Arc<Shared>);

struct Shared {
    view: Mutex<View>,
    changed: Condvar,
    looked_at: LastLook,
    /// Results that this one makes.
    derived: Mutex<Vec<Derived>>,
    /// The result that makes this one: who looks at this one looks at it.
    origin: Weak<Shared>,
}

/// Rows and status under one lock: a version is of the rows that are there.
struct View {
    cache: ViewCache,
    status: Status,
    /// Whether the rows have an order of their own: then the first has the largest identity.
    is_ordered: bool,
}

impl View {
    /// Takes in what was put aside, and has the status say how many rows there are.
    fn settle(&mut self) {
        let (rows, dropped) = self.cache.now();
        self.status.rows = rows.len();
        self.status.dropped_rows = dropped;
    }
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
            view: Mutex::new(View { cache: ViewCache::new(schema, rows_held), status, is_ordered: false }),
            changed: Condvar::new(),
            looked_at: LastLook::default(),
            derived: Mutex::default(),
            origin: origin.map_or_else(Weak::new, |origin| Arc::downgrade(&origin.0)),
        }))
    }

    /// The result for a plan, whose rows are in the plan's order where it has one.
    #[must_use]
    pub fn in_order_of(self, plan: &Plan) -> LiveResult {
        self.view().is_ordered = plan.order().is_some();
        self
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
        let mut view = self.view();
        view.cache.replace(&frame);
        view.status.version += 1;
        drop(view);
        self.0.changed.notify_all();
    }

    /// Applies what a batch changed and lets `update` write the status of the new version.
    ///
    /// # Errors
    /// When the rows do not have the result's schema.
    pub fn apply(&self, changes: &Changes, update: impl FnOnce(&mut Status)) -> PolarsResult<()> {
        let mut derived = self.derived();
        let mut view = self.view();
        view.cache.put(changes)?;
        view.status.version += u64::from(!changes.is_empty());
        update(&mut view.status);
        let status = (!derived.is_empty()).then(|| view.status.clone());
        drop(view);
        self.0.changed.notify_all();
        if let Some(status) = status {
            derived.retain_mut(|derived| derived.take(changes, &status));
        }
        Ok(())
    }

    /// Writes the status without a new version of the rows.
    pub fn set_status(&self, update: impl FnOnce(&mut Status)) {
        let derived = self.derived();
        let mut view = self.view();
        update(&mut view.status);
        let status = (!derived.is_empty()).then(|| view.status.clone());
        drop(view);
        self.0.changed.notify_all();
        if let Some(status) = status {
            derived.iter().for_each(|derived| derived.tell(&status));
        }
    }

    /// The columns of the result.
    #[must_use]
    pub fn schema(&self) -> SchemaRef {
        self.view().cache.schema().clone()
    }

    /// Where the query is now.
    #[must_use]
    pub fn status(&self) -> Status {
        self.settled().status.clone()
    }

    /// What the query does now.
    #[must_use]
    pub fn state(&self) -> State {
        self.view().status.state.clone()
    }

    /// Waits until the version has risen above `seen` or the query's state has changed, `timeout` at the most.
    #[must_use]
    pub fn wait(&self, seen: u64, timeout: Duration) -> Status {
        let view = self.view();
        let before = view.status.state.clone();
        let (mut view, _) = self
            .0
            .changed
            .wait_timeout_while(view, timeout, |view| view.status.version <= seen && view.status.state == before)
            .unwrap_or_else(PoisonError::into_inner);
        view.settle();
        view.status.clone()
    }

    /// Waits until the query has ended, `timeout` at the most; says whether it has.
    #[must_use]
    pub fn wait_ended(&self, timeout: Duration) -> bool {
        let runs = |view: &mut View| !matches!(view.status.state, State::Ended | State::Failed(_));
        let view = self.view();
        let (mut view, _) =
            self.0.changed.wait_timeout_while(view, timeout, runs).unwrap_or_else(PoisonError::into_inner);
        !runs(&mut view)
    }

    /// All rows held with their identities, oldest first.
    #[must_use]
    pub fn identified(&self) -> (Vec<u64>, DataFrame) {
        let mut view = self.view();
        let (rows, _) = view.cache.now();
        (rows.ids(), rows.tail(usize::MAX))
    }

    /// The rows of a page, and how many rows there are after the filter.
    ///
    /// Without sort and filter the cost is that of the page; with them, that of the rows held.
    ///
    /// # Errors
    /// When the sort names a column that the result does not have.
    pub fn page(&self, page: &Page) -> PolarsResult<(usize, DataFrame)> {
        if page.is_plain() {
            let mut view = self.view();
            let (rows, _) = view.cache.now();
            return Ok((rows.len(), rows.newest_first(page.offset, page.len)));
        }
        page.of(self.tail(usize::MAX))
    }

    /// The newest `rows` rows, oldest first.
    #[must_use]
    pub fn tail(&self, rows: usize) -> DataFrame {
        self.view().cache.now().0.tail(rows)
    }

    /// The newest `rows` rows, oldest first, and the status that holds for just these: what is kept of a result says where its
    /// rows come from.
    #[must_use]
    pub fn tail_with_status(&self, rows: usize) -> (Status, DataFrame) {
        let mut view = self.view();
        view.settle();
        (view.status.clone(), view.cache.now().0.tail(rows))
    }

    /// All rows held, in the order of the plan where it has one; others oldest first.
    #[must_use]
    pub fn frame(&self) -> DataFrame {
        let rows = self.tail(usize::MAX);
        if self.is_ordered() { rows.reverse() } else { rows }
    }

    /// Says that somebody is looking. A query whose result no one looks at rests after a while.
    pub fn touch(&self) {
        self.0.looked_at.touch();
        if let Some(origin) = self.0.origin.upgrade() {
            LiveResult(origin).touch();
        }
    }

    /// How long ago somebody looked.
    #[must_use]
    pub fn unwatched_for(&self) -> Duration {
        self.0.looked_at.elapsed()
    }

    /// Waits until somebody looks, `timeout` at the most; says whether somebody did within it.
    #[must_use]
    pub fn wait_watched(&self, timeout: Duration) -> bool {
        self.0.looked_at.wait(timeout)
    }

    fn is_ordered(&self) -> bool {
        self.view().is_ordered
    }

    fn derived(&self) -> MutexGuard<'_, Vec<Derived>> {
        self.0.derived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.0.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settled(&self) -> MutexGuard<'_, View> {
        let mut view = self.view();
        view.settle();
        view
    }
}
