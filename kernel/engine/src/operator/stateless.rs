//! Operators without a state: Polars runs them on a batch as it would on a frame.

use plan::Step;
use polars::prelude::*;

use super::columns::{PART, POSITION, ROW};
use super::lookup::LookupTable;
use crate::alone::Alone;
use crate::change::{Changes, Delta, Revision};

/// Consecutive steps without a state.
#[derive(Default)]
pub(crate) struct RowWise {
    steps: Vec<Step>,
    /// The steps that give the time of processing, and their columns.
    stamps: Vec<(usize, PlSmallStr)>,
    /// The frames that rows are looked up in, in the order of their steps.
    lookups: Vec<LookupTable>,
}

impl RowWise {
    /// Steps in their order.
    pub(crate) fn of<'a>(steps: impl IntoIterator<Item = &'a Step>) -> RowWise {
        let mut row_wise = RowWise::default();
        steps.into_iter().for_each(|step| row_wise.push(step));
        row_wise
    }

    pub(crate) fn push(&mut self, step: &Step) {
        match step {
            Step::ProcessingTime(column) => self.stamps.push((self.steps.len(), column.clone())),
            Step::Join(lookup) => self.lookups.push(LookupTable::new(lookup)),
            _ => {}
        }
        self.steps.push(step.clone());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether it calls a person's own function.
    pub(crate) fn calls(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::MapBatches(_)))
    }

    /// Says when the next batch was planned, in milliseconds since the epoch.
    pub(crate) fn at(&mut self, moment_ms: i64) {
        for (number, column) in &self.stamps {
            self.steps[*number] = Step::WithColumns(vec![stamp(lit(moment_ms), column)]);
        }
    }

    /// The frames that it looks rows up in, for them to be read anew.
    pub(crate) fn lookups(&mut self) -> &mut [LookupTable] {
        &mut self.lookups
    }

    /// Runs the steps on a batch.
    pub(crate) fn execute(&mut self, delta: Delta) -> PolarsResult<Delta> {
        Ok(match delta {
            Delta::Append(rows) => Delta::Append(self.run(rows)?),
            Delta::Change(revision) => Delta::Change(self.run_keyed(revision)?),
        })
    }

    /// Runs the steps on rows that never change. What the rows carry of ours is handed on.
    pub(crate) fn run(&mut self, rows: DataFrame) -> PolarsResult<DataFrame> {
        self.execute_with(rows, &[POSITION, PART])
    }

    /// Runs the steps on rows that have identities; those that do not pass are deleted. Of the old rows those that had passed are
    /// given: the steps in front of an operator that subtracts give the same rows each time.
    fn run_keyed(&mut self, Revision { changes, retracted }: Revision) -> PolarsResult<Revision> {
        if self.steps.is_empty() {
            return Ok(Revision { changes, retracted });
        }
        let retracted = retracted.map(|rows| self.run_numbered(rows)?.drop(ROW)).transpose()?;
        let Changes { ids, rows, mut deletes } = changes;
        let mut rows = self.run_numbered(rows)?;
        let mut passed = vec![false; ids.len()];
        let mut kept = Vec::with_capacity(rows.height());
        for row in rows.column(ROW)?.idx()?.iter().flatten() {
            passed[row as usize] = true;
            kept.push(ids[row as usize]);
        }
        deletes.extend(ids.into_iter().zip(passed).filter(|(_, passed)| !passed).map(|(id, _)| id));
        rows.drop_in_place(ROW)?;
        Ok(Revision { changes: Changes { ids: kept, rows, deletes }, retracted })
    }

    /// Runs the steps on rows with their places among them.
    fn run_numbered(&mut self, rows: DataFrame) -> PolarsResult<DataFrame> {
        let rows = rows.with_row_index(ROW.into(), None)?;
        self.execute_with(rows, &[ROW])
    }

    /// Runs the steps; the columns `carried`, where the rows have them, are theirs afterwards too.
    fn execute_with(&mut self, rows: DataFrame, carried: &[&'static str]) -> PolarsResult<DataFrame> {
        if self.steps.is_empty() {
            return Ok(rows);
        }
        let _alone = Alone::with(rows.height());
        let carried: Vec<&str> = carried.iter().copied().filter(|name| rows.schema().contains(name)).collect();
        let carry = || carried.iter().map(|name| col(*name));
        let (mut lazy, mut lookups) = (rows.lazy(), self.lookups.iter_mut());
        for step in &self.steps {
            lazy = match step {
                Step::Filter(predicate) => lazy.filter(predicate.clone()),
                Step::Select(exprs) => lazy.select(exprs.iter().cloned().chain(carry()).collect::<Vec<_>>()),
                Step::WithColumns(exprs) => lazy.with_columns(exprs),
                Step::ProcessingTime(column) => lazy.with_columns([stamp(lit(NULL), column)]),
                Step::Explode(columns) => plan::explode(lazy, columns),
                Step::Unnest(columns) => plan::unnest(lazy, columns),
                Step::Join(_) => match lookups.next() {
                    Some(table) => table.join(lazy.collect()?)?,
                    None => lazy,
                },
                Step::MapBatches(closure) => mapped(closure, lazy.collect()?, &carried)?.lazy(),
                // The others are not taken.
                _ => lazy,
            };
        }
        lazy.collect()
    }
}

/// Whether a step is run here.
pub(crate) fn takes(step: &Step) -> bool {
    !step.has_state() && !matches!(step, Step::Watermark(_))
}

/// The columns after a step.
pub(crate) fn schema_after(step: &Step, schema: &SchemaRef) -> PolarsResult<SchemaRef> {
    let mut row_wise = RowWise::of([step]);
    // No index of a frame is made for no rows.
    row_wise.lookups.iter_mut().for_each(LookupTable::clear);
    Ok(row_wise.run(DataFrame::empty_with_schema(schema))?.schema().clone())
}

/// The column with the time of processing.
fn stamp(moment_ms: Expr, column: &PlSmallStr) -> Expr {
    moment_ms.cast(DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC))).alias(column.clone())
}

/// A person's function sees its own columns only. Where it gives as many rows as it was given, they are the same rows.
fn mapped(closure: &plan::Closure, mut rows: DataFrame, carried: &[&str]) -> PolarsResult<DataFrame> {
    let carried: Vec<Column> = carried.iter().map(|name| rows.drop_in_place(name)).collect::<PolarsResult<_>>()?;
    let before = rows.height();
    let mut mapped = closure.call(rows)?;
    for column in carried {
        let column = match before.checked_sub(1) {
            _ if mapped.height() == before => column,
            Some(last) => column.new_from_index(last, mapped.height()),
            None => Column::full_null(column.name().clone(), mapped.height(), column.dtype()),
        };
        mapped.with_column(column)?;
    }
    Ok(mapped)
}
