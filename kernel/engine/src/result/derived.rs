//! Results that another result makes, by steps that need nothing but its changes: what several views have in common runs once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use plan::Step;
use polars::prelude::{PlSmallStr, PolarsResult, SchemaRef, polars_bail};

use super::{LiveResult, State, Status};
use crate::change::{Changes, Delta};
use crate::operator::columns::check_name;
use crate::operator::stateless::{self, RowWise};
use crate::operator::{Before, Operator, operator};
use crate::physical::Operation;

/// The operators, each behind the steps before it, and the result that they make.
pub(super) struct Derived {
    operators: Vec<(RowWise, Box<dyn Operator>)>,
    /// The steps behind the last of them.
    last: RowWise,
    /// Whether they were given anything yet: some have a row also of none.
    begun: bool,
    result: LiveResult,
}

/// A step between a result and another.
pub(crate) struct Derivation {
    pub(crate) step: Step,
    /// The columns after it.
    pub(crate) schema: SchemaRef,
    /// The column before it that has the event time.
    pub(crate) time: Option<PlSmallStr>,
}

impl Derived {
    /// `input` is the schema of the rows.
    fn new(input: &SchemaRef, steps: &[Derivation], result: LiveResult) -> PolarsResult<Derived> {
        let (mut operators, mut last, mut input) = (Vec::new(), RowWise::default(), input);
        for Derivation { step, schema, time } in steps {
            schema.iter_names().try_for_each(check_name)?;
            if stateless::takes(step) {
                last.push(step);
            } else {
                let around = Before { input, time: None, order: time.as_ref(), per_ms: 1, retracted: false };
                let operator = operator(&Operation::of_result(step), &around, schema)?;
                operators.push((std::mem::take(&mut last), operator));
            }
            input = schema;
        }
        Ok(Derived { operators, last, begun: false, result })
    }

    /// Takes in what changed in the first result; says whether it can go on, and anybody has its own. A step that fails ends
    /// this result alone.
    pub(super) fn take(&mut self, changes: &Changes, status: &Status) -> bool {
        if changes.is_empty() && self.begun {
            self.tell(status);
            return self.result.is_shared();
        }
        self.begun = true;
        let take = || -> PolarsResult<()> {
            let mut delta = Delta::Change(changes.clone().into());
            for (steps, operator) in &mut self.operators {
                delta = operator.execute(steps.execute(delta)?, None)?.delta;
            }
            match self.last.execute(delta)? {
                Delta::Change(made) => self.result.apply(&made.changes, |own| own.follow(status)),
                Delta::Append(_) => polars_bail!(ComputeError: "rows that change became rows that do not"),
            }
        };
        let failed = match catch_unwind(AssertUnwindSafe(take)) {
            Ok(taken) => taken.err().map(|error| error.to_string()),
            Err(panic) => Some(plan::panic_message(panic.as_ref())),
        };
        match failed {
            Some(message) => {
                self.result.set_status(|own| own.state = State::Failed(message));
                false
            }
            None => self.result.is_shared(),
        }
    }

    pub(super) fn tell(&self, status: &Status) {
        self.result.set_status(|own| own.follow(status));
    }
}

/// Whether a step can stand between a result and another: nothing but the rows changes what it gives.
pub(crate) fn derives(step: &Step) -> bool {
    match step {
        Step::Filter(_) | Step::Select(_) | Step::WithColumns(_) | Step::Unnest(_) | Step::Sort(_) => true,
        // Windows end by a watermark.
        Step::Aggregate(aggregate) => aggregate.over.is_none(),
        _ => false,
    }
}

impl LiveResult {
    /// The result of further steps, kept up to date with this one for as long as anybody has it.
    /// `None` where this one has let rows go.
    ///
    /// # Errors
    /// Never for steps that were checked when they were made; what Polars says otherwise.
    pub(crate) fn derive(&self, steps: &[Derivation], status: Status) -> PolarsResult<Option<LiveResult>> {
        // While it is held no batch comes between the rows that are there and those that change.
        let mut derived = self.derived();
        let now = self.status();
        if now.dropped_rows > 0 {
            return Ok(None);
        }
        let own = self.schema();
        let schema = steps.last().map_or_else(|| own.clone(), |last| last.schema.clone());
        let result = LiveResult::of(schema, status, super::ROWS_HELD, Some(self));
        let (ids, rows) = self.identified();
        // A group has no place among sorted rows, and is not made of them.
        let is_ordered = self.is_ordered() || steps.iter().any(|derivation| matches!(derivation.step, Step::Sort(_)));
        result.view().is_ordered = is_ordered;
        let mut first = Derived::new(&own, steps, result.clone())?;
        if first.take(&Changes { ids, rows, deletes: Vec::new() }, &now) {
            derived.push(first);
        }
        Ok(Some(result))
    }

    /// Whether it is in other hands too.
    fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

impl Status {
    /// Takes over what holds for the query and not for its rows.
    fn follow(&mut self, first: &Status) {
        let Status { name, fingerprint, version, rows, dropped_rows, .. } = std::mem::take(self);
        *self = Status { name, fingerprint, version, rows, dropped_rows, ..first.clone() };
    }
}
