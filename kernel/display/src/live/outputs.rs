//! The outputs that no page holds: those of a notebook that nbclient, papermill or `jupyter execute` runs, that VS Code or
//! a console shows, or that are off a page's screen. What is kept of them is brought up to date while a cell runs, and once
//! more at its end, because such a client takes an update only as a part of the cell that runs. Once a page has opened a
//! view, it is the page's to keep.
//!
//! A Jupyter server keeps what nobody fetches, however much it is, so updates are few: only of what has changed, at most two
//! a second of a view, fewer the longer a cell runs, and no more bytes a second than [`BYTES_A_SECOND`].
//!
//! This file knows which output is due; the thread that makes and sends it is in [`keep`].

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use engine::{State as QueryState, Status};

use super::Port;
use super::view::View;

/// Outputs that are kept up to date at once; of more, those that were shown last.
const MOST: usize = 50;
/// Updates of one view are at least this far apart.
const GAP: Duration = Duration::from_millis(500);
/// In a cell that has run for long, this part of the time it has run; and never more than [`LONGEST_GAP`].
const PART_OF_RUN: u32 = 20;
const LONGEST_GAP: Duration = Duration::from_secs(30);
/// What all updates together may have, so that a server can keep those of a long cell that nobody looks at.
const BYTES_A_SECOND: f64 = 400_000.0;
/// A part of a core that making them may take: one in three.
const REST: u32 = 2;
/// How long a cell may wait for first rows, so that a client that takes no updates shows data too.
const FIRST_ROWS: Duration = Duration::from_millis(1_500);
/// How long a cell that has shown a view may be kept at its end until the view has what was in the log when it began.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How long the last updates of its own views may keep a cell, and those of earlier ones.
const OWN: Duration = Duration::from_secs(2);
const OTHERS: Duration = Duration::from_millis(100);
/// What is younger is new enough at the end of its cell.
const FRESH: Duration = Duration::from_millis(250);
/// How often a wait looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);

/// The outputs, and the cell that runs.
#[derive(Default)]
pub(super) struct Outputs {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The oldest first.
    shown: VecDeque<Shown>,
    /// The run of a cell that is going on, or was last.
    run: u64,
    /// Since when a cell runs.
    since: Option<Instant>,
    /// Whether the cell is at its end, where its own thread does what is left.
    ending: bool,
    /// For how long the cell has waited for the first rows of what it has shown.
    waited: Duration,
    /// Whether a thread does [`Outputs::keep`].
    kept: bool,
    /// Whether nobody has the views any more.
    closed: bool,
}

/// An output as the notebook has it.
struct Shown {
    view: Arc<View>,
    run: u64,
    has: Stand,
    at: Instant,
}

/// What of a result an output has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stand {
    version: u64,
    state: QueryState,
    rows_read: u64,
    caught_up: bool,
}

impl Stand {
    pub(super) fn of(status: &Status) -> Stand {
        let (version, state, rows_read) = (status.version, status.state.clone(), status.rows_read);
        Stand { version, state, rows_read, caught_up: status.is_caught_up() }
    }

    /// Whether a reader would see no difference but in the counts.
    fn looks_like(&self, other: &Stand) -> bool {
        (self.version, &self.state) == (other.version, &other.state)
    }
}

impl Outputs {
    /// Waits for the first rows of a view that is about to be shown, but not for long: neither for one nor for all of a cell.
    pub(super) fn await_rows(&self, view: &View) {
        let left = FIRST_ROWS.saturating_sub(self.state().waited);
        let waited = view.await_rows(left);
        self.state().waited += waited;
    }

    /// A view was put into the notebook as it stood then. Whether [`Outputs::keep`] is to be begun.
    #[must_use]
    pub(super) fn shown(&self, view: &Arc<View>, has: Stand) -> bool {
        let mut state = self.state();
        let run = state.run;
        state.shown.push_back(Shown { view: Arc::clone(view), run, has, at: Instant::now() });
        if state.shown.len() > MOST {
            state.shown.pop_front();
        }
        self.changed.notify_all();
        !std::mem::replace(&mut state.kept, true)
    }

    /// Ends [`Outputs::keep`].
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// A view is brought up to date no more: a page has opened it, or the notebook has it no longer.
    pub(super) fn taken(&self, view: &View) {
        self.state().shown.retain(|shown| shown.view.id != view.id);
        self.changed.notify_all();
    }

    /// A run of a cell begins.
    pub(super) fn began(&self, run: u64) {
        let mut state = self.state();
        if state.run != run {
            (state.since, state.waited) = (None, Duration::ZERO);
        }
        (state.run, state.ending) = (run, false);
        state.since.get_or_insert_with(Instant::now);
        self.changed.notify_all();
    }

    /// Nothing is to be sent until a cell begins.
    pub(super) fn over(&self) {
        self.state().since = None;
    }

    /// The end of a cell, on its own thread: waits, while `wanted`, for views that the cell has shown to catch up with the log,
    /// and brings their outputs up to date, and those of earlier cells as far as there is time.
    pub(super) fn end(&self, port: &dyn Port, wanted: &dyn Fn() -> bool) {
        self.state().ending = true;
        let deadline = Instant::now() + CATCH_UP;
        while wanted() {
            let lagging = self.lagging();
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(view) = lagging.filter(|_| !left.is_zero()) else { break };
            // Not for an order: what it reads may change nothing of the result.
            let _changed = view.result.wait(u64::MAX, LOOK.min(left));
        }
        let run = self.state().run;
        self.bring_up_to_date(port, Instant::now() + OWN, |shown| shown.run == run);
        if wanted() {
            self.bring_up_to_date(port, Instant::now() + OTHERS, |shown| shown.run != run);
        }
    }

    /// A view of the cell that runs that lacks what was in the log when its query began.
    fn lagging(&self) -> Option<Arc<View>> {
        let state = self.state();
        let lags = |shown: &&Shown| {
            let status = shown.view.result.status();
            let reads = matches!(status.state, QueryState::Starting | QueryState::Running);
            shown.run == state.run && reads && !status.is_caught_up()
        };
        state.shown.iter().find(lags).map(|shown| Arc::clone(&shown.view))
    }

    fn bring_up_to_date(&self, port: &dyn Port, until: Instant, which: impl Fn(&Shown) -> bool) {
        let is_due = |shown: &&Shown| {
            let now = Stand::of(&shown.view.result.status());
            which(shown) && now != shown.has && (shown.at.elapsed() > FRESH || !shown.has.caught_up)
        };
        let due: Vec<Arc<View>> = self.state().shown.iter().rev().filter(is_due).map(|s| Arc::clone(&s.view)).collect();
        for view in due {
            if Instant::now() >= until {
                return;
            }
            self.update(&view, port, true);
        }
    }

    /// Makes an output anew and sends it, if it may still be sent; gives its bytes.
    fn update(&self, view: &View, port: &dyn Port, ending: bool) -> usize {
        let made = view.snapshot(None);
        let mut state = self.state();
        let Some(place) = state.shown.iter().position(|shown| shown.view.id == view.id) else { return 0 };
        let Ok((status, bundle)) = made else {
            // It could be drawn once: what the notebook has tells of when.
            state.shown.remove(place);
            return 0;
        };
        // From here on the cell cannot come to its end before the update is sent, nor send a newer one.
        if state.since.is_none() || state.ending != ending {
            return 0;
        }
        (state.shown[place].has, state.shown[place].at) = (Stand::of(&status), Instant::now());
        let bytes = bundle.bytes();
        port.update(&view.id, bundle);
        bytes
    }

    /// Brings outputs up to date while cells run, until nobody has the views any more.
    pub(super) fn keep(&self, port: &dyn Port) {
        while let Some(view) = self.next() {
            let begun = Instant::now();
            let bytes = self.update(&view, port, false);
            let rest = (begun.elapsed() * REST).max(Duration::from_secs_f64(bytes as f64 / BYTES_A_SECOND));
            std::thread::park_timeout(rest);
        }
    }

    /// Waits for an output that is due; `None` once there is none any more.
    fn next(&self) -> Option<Arc<View>> {
        let mut state = self.state();
        while !state.closed {
            let Some(since) = state.since.filter(|_| !state.ending && !state.shown.is_empty()) else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let gap = (since.elapsed() / PART_OF_RUN).clamp(GAP, LONGEST_GAP);
            if let Some(view) = state.due(gap) {
                return Some(view);
            }
            state = self.changed.wait_timeout(state, GAP / 4).unwrap_or_else(PoisonError::into_inner).0;
        }
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The output that has been as it is for longest, of those whose views have changed and whose last update is `gap` ago.
    fn due(&self, gap: Duration) -> Option<Arc<View>> {
        for shown in &self.shown {
            // A query that rests goes on when a person looks.
            if shown.view.result.state() != QueryState::Suspended {
                shown.view.result.touch();
            }
        }
        let is_due = |shown: &&Shown| {
            shown.at.elapsed() >= gap && !Stand::of(&shown.view.result.status()).looks_like(&shown.has)
        };
        self.shown.iter().filter(is_due).min_by_key(|shown| shown.at).map(|shown| Arc::clone(&shown.view))
    }
}
