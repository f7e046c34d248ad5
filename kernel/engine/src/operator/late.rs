//! Gives the rows that another operator drops because they come too late, and no others.

use plan::{Cut, Step};
use polars::prelude::*;

use super::choice::Before;
use super::columns::integers;
use super::windows::Windows;
use super::{BatchResult, Operator, never_changing};
use crate::change::Delta;
use crate::physical::SIDE_TIME;
use crate::state::StateTables;

/// What it goes by.
pub(crate) struct Late {
    time: PlSmallStr,
    passed: Passed,
}

/// The watermark at which a row is late.
enum Passed {
    /// That at which all windows of the row are closed.
    Windows(Box<Windows>),
    /// So far after the row's own time.
    After(i64),
}

impl Late {
    /// The rows that are late for the step `of`.
    pub(crate) fn new(of: &Step, before: &Before<'_>) -> PolarsResult<Late> {
        let typed = |time: &PlSmallStr| before.input.try_get(time).cloned();
        Ok(match of {
            Step::Aggregate(aggregate) if let Some(over) = &aggregate.over => {
                let time = over.time.clone();
                let passed = match (over.cut, typed(&time)?) {
                    (Cut::Session { .. }, _) => Passed::After(1),
                    (_, dtype) => match Windows::new(over, &dtype) {
                        Some(windows) => Passed::Windows(Box::new(windows)),
                        None => polars_bail!(ComputeError: "the windows' column \"{time}\" is no datetime"),
                    },
                };
                Late { time, passed }
            }
            Step::Unique(_) if let Some(time) = before.time => Late { time: time.clone(), passed: Passed::After(0) },
            _ => polars_bail!(ComputeError: "no row is late for this step: {of:?}"),
        })
    }

    /// The rows of two streams that are late for the join of both.
    pub(crate) fn of_sides() -> Late {
        Late { time: SIDE_TIME.into(), passed: Passed::After(0) }
    }

    fn is_late(&self, time: i64, watermark: i64) -> PolarsResult<bool> {
        let passed = match &self.passed {
            Passed::Windows(windows) => windows.passed(time)?,
            Passed::After(steps) => Some(time.saturating_add(*steps)),
        };
        Ok(passed.is_some_and(|passed| passed <= watermark))
    }
}

impl Operator for Late {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let rows = never_changing(delta)?;
        let Some(watermark) = watermark else { return Ok(BatchResult::of(Delta::Append(rows.clear()))) };
        let mut late = Vec::with_capacity(rows.height());
        for time in integers(&rows, &self.time)?.iter() {
            late.push(time.map_or(Ok(false), |time| self.is_late(time, watermark))?);
        }
        let late = BooleanChunked::from_slice(PlSmallStr::EMPTY, &late);
        Ok(BatchResult::of(Delta::Append(rows.filter(&late)?)))
    }

    fn state(&mut self) -> StateTables<'_> {
        Vec::new()
    }
}
