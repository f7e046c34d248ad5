//! Results that another result makes, by steps that look at one row at a time: what several views have in common runs once.

use std::panic::{AssertUnwindSafe, catch_unwind};

use plan::Step;
use polars::prelude::*;

use super::{LiveResult, State, Status};
use crate::change::Changes;
use crate::operator::stateless;

/// The steps, and the result that they make.
pub(super) struct Derived {
    steps: Vec<Step>,
    result: LiveResult,
}

impl Derived {
    pub(super) fn new(steps: Vec<Step>, result: LiveResult) -> Derived {
        Derived { steps, result }
    }

    /// Takes in what changed in the first result; says whether it can go on. A step that fails ends this result alone.
    pub(super) fn take(&self, changes: &Changes, status: &Status) -> bool {
        let take = || -> PolarsResult<()> {
            let made = stateless::execute_keyed(&self.steps, changes.clone())?;
            self.result.apply(&made, |own| own.follow(status))
        };
        let failed = match catch_unwind(AssertUnwindSafe(take)) {
            Ok(taken) => taken.err().map(|error| error.to_string()),
            Err(panic) => Some(plan::panic_message(panic.as_ref())),
        };
        let goes_on = failed.is_none();
        if let Some(message) = failed {
            self.result.set_status(|own| own.state = State::Failed(message));
        }
        goes_on
    }

    pub(super) fn tell(&self, status: &Status) {
        self.result.set_status(|own| own.follow(status));
    }
}

/// Whether a step can stand between a result and another: it looks at one row, and nothing else changes what it gives.
pub(crate) fn derives(step: &Step) -> bool {
    matches!(step, Step::Filter(_) | Step::Select(_) | Step::WithColumns(_) | Step::Unnest(_))
}

impl LiveResult {
    /// The result of further steps, kept up to date with this one; `schema` is theirs. `None` where this one has let rows go.
    pub(crate) fn derive(&self, steps: Vec<Step>, schema: SchemaRef, status: Status) -> Option<LiveResult> {
        // While it is held no batch comes between the rows that are there and those that change.
        let mut derived = self.derived();
        let now = self.status();
        if now.dropped_rows > 0 {
            return None;
        }
        let result = LiveResult::of(schema, status, super::ROWS_HELD, Some(self));
        let (ids, rows) = self.identified();
        let first = Derived::new(steps, result.clone());
        if first.take(&Changes { ids, rows, deletes: Vec::new() }, &now) {
            derived.push(first);
        }
        Some(result)
    }
}

impl Status {
    /// Takes over what holds for the query and not for its rows.
    fn follow(&mut self, first: &Status) {
        let Status { name, fingerprint, version, rows, dropped_rows, .. } = std::mem::take(self);
        *self = Status { name, fingerprint, version, rows, dropped_rows, ..first.clone() };
    }
}
