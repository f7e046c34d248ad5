//! The whole result as a table of a state, where the sink is given all of it: written once, and then what changed.

use polars::prelude::*;

use crate::operator::columns::ROW;
use crate::saved::numbered;

/// What was written, and what has become of it.
#[derive(Default)]
pub(super) struct Whole {
    /// The rows that the last state has.
    written: PlHashSet<u64>,
    /// Rows that have come since, or are others.
    changed: PlHashSet<u64>,
}

impl Whole {
    /// These rows are in a state.
    pub(super) fn restored(ids: &[u64]) -> Whole {
        Whole { written: ids.iter().copied().collect(), changed: PlHashSet::default() }
    }

    /// Takes in which rows a batch changed. Those that left, or that are too many, are found out.
    pub(super) fn change(&mut self, ids: &[u64]) {
        self.changed.extend(ids);
    }

    /// The rows as a table: `all`, or what [changed](numbered::changes) since this was last asked.
    pub(super) fn save(&mut self, all: bool, ids: Vec<u64>, mut rows: DataFrame) -> PolarsResult<DataFrame> {
        let now = Whole::restored(&ids);
        let before = std::mem::replace(self, now);
        if all {
            rows.with_column(Column::from(Series::new(ROW.into(), ids)))?;
            return Ok(rows);
        }
        let is_new = |id: &u64| before.changed.contains(id) || !before.written.contains(id);
        let new: BooleanChunked = ids.iter().map(|id| Some(is_new(id))).collect();
        rows.with_column(Column::from(Series::new(ROW.into(), ids)))?;
        let gone = before.written.difference(&self.written).copied().collect();
        numbered::changes(rows.filter(&new)?, gone)
    }
}
