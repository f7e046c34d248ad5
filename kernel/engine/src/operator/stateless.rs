//! Operators without a state: Polars runs them on a batch as it would on a frame.

use plan::Step;
use polars::prelude::*;

use super::columns::{POSITION, ROW};
use super::{Executed, Kept, Operator, Tables};
use crate::change::{Changes, Delta};

/// Consecutive steps without a state.
#[derive(Default)]
pub(crate) struct RowWise {
    steps: Vec<Step>,
    /// The steps that give the time of processing, and their columns.
    stamps: Vec<(usize, PlSmallStr)>,
}

impl RowWise {
    pub(crate) fn push(&mut self, step: &Step) {
        if let Step::ProcessingTime(column) = step {
            self.stamps.push((self.steps.len(), column.clone()));
        }
        self.steps.push(step.clone());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Runs the steps on rows that never change.
    pub(crate) fn run(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        execute(&self.steps, rows)
    }
}

impl Operator for RowWise {
    fn execute(&mut self, delta: Delta, _: Option<i64>) -> PolarsResult<Executed> {
        Ok(Executed::of(match delta {
            Delta::Append(rows) => Delta::Append(self.run(rows)?),
            Delta::Change(changes) => Delta::Change(execute_keyed(&self.steps, changes)?),
        }))
    }

    fn at(&mut self, moment_ms: i64) {
        for (number, column) in &self.stamps {
            self.steps[*number] = Step::WithColumns(vec![stamp(lit(moment_ms), column)]);
        }
    }

    fn settled(&mut self, input: Vec<u64>) -> Vec<u64> {
        input
    }

    fn steps(&mut self) -> &mut [Step] {
        &mut self.steps
    }

    fn save(&self) -> PolarsResult<Kept> {
        Ok(Kept::default())
    }

    fn restore(&mut self, _: u64, _: Tables<'_>) -> PolarsResult<()> {
        Ok(())
    }
}

/// Whether a step is run here.
pub(crate) fn takes(step: &Step) -> bool {
    !step.has_state() && !matches!(step, Step::Watermark(_))
}

/// Runs consecutive steps on the rows of a batch. The rows' positions, where they have them, are handed on.
pub(crate) fn execute(steps: &[Step], rows: DataFrame) -> PolarsResult<DataFrame> {
    execute_with(steps, rows, POSITION)
}

/// Runs steps on rows that have identities; those that do not pass are deleted.
pub(crate) fn execute_keyed(steps: &[Step], changes: Changes) -> PolarsResult<Changes> {
    if steps.is_empty() {
        return Ok(changes);
    }
    let Changes { ids, rows, mut deletes } = changes;
    let mut rows = execute_with(steps, rows.with_row_index(ROW.into(), None)?, ROW)?;
    let mut passed = vec![false; ids.len()];
    let mut kept = Vec::with_capacity(rows.height());
    for row in rows.column(ROW)?.idx()?.iter().flatten() {
        passed[row as usize] = true;
        kept.push(ids[row as usize]);
    }
    deletes.extend(ids.into_iter().zip(passed).filter(|(_, passed)| !passed).map(|(id, _)| id));
    rows.drop_in_place(ROW)?;
    Ok(Changes { ids: kept, rows, deletes })
}

/// Runs steps; the column `carried`, where the rows have it, is theirs afterwards too.
fn execute_with(steps: &[Step], rows: DataFrame, carried: &'static str) -> PolarsResult<DataFrame> {
    if steps.is_empty() {
        return Ok(rows);
    }
    let carries = rows.schema().contains(carried);
    let mut lazy = rows.lazy();
    for step in steps {
        lazy = match step {
            Step::Filter(predicate) => lazy.filter(predicate.clone()),
            Step::Select(exprs) if carries => {
                lazy.select(exprs.iter().cloned().chain([col(carried)]).collect::<Vec<_>>())
            }
            Step::Select(exprs) => lazy.select(exprs),
            Step::WithColumns(exprs) => lazy.with_columns(exprs),
            Step::ProcessingTime(column) => lazy.with_columns([stamp(lit(NULL), column)]),
            Step::Explode(columns) => plan::explode(lazy, columns),
            Step::Unnest(columns) => plan::unnest(lazy, columns),
            Step::Join(lookup) => lookup.join(lazy),
            Step::MapBatches(closure) => mapped(closure, lazy.collect()?, carried)?.lazy(),
            // The others are not taken.
            _ => lazy,
        };
    }
    lazy.collect()
}

/// The column with the time of processing.
fn stamp(moment_ms: Expr, column: &PlSmallStr) -> Expr {
    moment_ms.cast(DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC))).alias(column.clone())
}

/// A person's function sees its own columns only. Where it gives as many rows as it was given, they are the same rows.
fn mapped(closure: &plan::Closure, mut rows: DataFrame, carried: &str) -> PolarsResult<DataFrame> {
    let positions = rows.drop_in_place(carried).ok();
    let before = rows.height();
    let mut mapped = closure.call(rows)?;
    if let Some(positions) = positions {
        let positions = match before.checked_sub(1) {
            _ if mapped.height() == before => positions,
            Some(last) => positions.new_from_index(last, mapped.height()),
            None => Column::full_null(carried.into(), mapped.height(), positions.dtype()),
        };
        mapped.with_column(positions)?;
    }
    Ok(mapped)
}
