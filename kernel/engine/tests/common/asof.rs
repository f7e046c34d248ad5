//! The as-of join by hand, after Polars' documentation of `join_asof`: each row of the left is held against every row of the right.

use plan::AsofStrategy;
use polars::prelude::*;

/// What is asked for: the times, the columns that are equal, and which row is the nearest.
pub(crate) struct ByHand<'a> {
    pub(crate) times: [&'a str; 2],
    pub(crate) by: [Vec<PlSmallStr>; 2],
    pub(crate) strategy: AsofStrategy,
    pub(crate) tolerance: Option<i64>,
    pub(crate) exact: bool,
}

impl ByHand<'_> {
    /// The rows of the left in their order, each with the nearest of the right. Times are compared in the unit of their column.
    pub(crate) fn join(&self, left: &DataFrame, right: &DataFrame) -> PolarsResult<DataFrame> {
        let times = |frame: &DataFrame, name: &str| -> PolarsResult<Vec<Option<i64>>> {
            Ok(frame.column(name)?.to_physical_repr().i64()?.iter().collect())
        };
        let (left_times, right_times) = (times(left, self.times[0])?, times(right, self.times[1])?);
        let keys = |frame: &DataFrame, by: &[PlSmallStr]| -> PolarsResult<Vec<Option<String>>> {
            let row = |row: usize| {
                let values = by
                    .iter()
                    .map(|name| Ok(frame.column(name)?.get(row)?.into_static()))
                    .collect::<PolarsResult<Vec<_>>>()?;
                Ok((!values.iter().any(|value| value.is_null())).then(|| format!("{values:?}")))
            };
            (0..frame.height()).map(row).collect()
        };
        let (left_keys, right_keys) = (keys(left, &self.by[0])?, keys(right, &self.by[1])?);
        let nearest = (0..left.height()).map(|row| {
            let (time, key) = (left_times[row]?, left_keys[row].as_ref()?);
            let near = (0..right.height()).filter(|other| right_keys[*other].as_ref() == Some(key));
            self.nearest(time, near.filter_map(|other| Some((right_times[other]?, other))))
        });
        let nearest: Vec<Option<IdxSize>> = nearest.map(|row| row.map(|row| row as IdxSize)).collect();
        let is_gone = |name: &PlSmallStr| self.by[1].contains(name) || self.times == [name.as_str(); 2];
        let kept: Vec<PlSmallStr> = right.schema().iter_names().filter(|name| !is_gone(name)).cloned().collect();
        let mut joined = left.clone();
        for column in right.select(kept)?.columns() {
            let name = column.name().clone();
            let name = if left.column(&name).is_ok() { format!("{name}_right").into() } else { name };
            let found = column.take(&IdxCa::from_iter_options(PlSmallStr::EMPTY, nearest.iter().copied()))?;
            joined.with_column(found.with_name(name))?;
        }
        Ok(joined)
    }

    /// Of rows of one time the last is taken, but looking forward the first; of two that are as far away, the later.
    fn nearest(&self, time: i64, rows: impl Iterator<Item = (i64, usize)>) -> Option<usize> {
        let mut before: Option<(i64, usize)> = None;
        let mut after: Option<(i64, usize)> = None;
        let first = self.strategy == AsofStrategy::Forward;
        for (other, row) in rows.filter(|(other, _)| self.exact || *other != time) {
            if other <= time && before.is_none_or(|(best, _)| other >= best) {
                before = Some((other, row));
            }
            if other >= time && after.is_none_or(|(best, _)| other < best || (other == best && !first)) {
                after = Some((other, row));
            }
        }
        let chosen = match self.strategy {
            AsofStrategy::Backward => before,
            AsofStrategy::Forward => after,
            AsofStrategy::Nearest => match (before, after) {
                (Some(before), Some(after)) if time.abs_diff(before.0) < after.0.abs_diff(time) => Some(before),
                (before, after) => after.or(before),
            },
        };
        let is_near =
            |(other, _): &(i64, usize)| self.tolerance.is_none_or(|most| other.abs_diff(time) <= most.unsigned_abs());
        chosen.filter(is_near).map(|(_, row)| row)
    }
}
