//! Groups with their rows as two tables and back: what operators that keep rows write down.

use polars::prelude::*;

use super::columns::{COUNT, END, GROUP, KEY, ROW, START, integers};
use super::regrouped::Group;

/// Groups on their way into tables.
#[derive(Default)]
pub(super) struct SavedGroups {
    times: [Vec<i64>; 2],
    keys: Vec<Box<[u8]>>,
    ids: Vec<u64>,
    counts: Vec<u64>,
    rows: Option<DataFrame>,
    row_ids: Vec<u64>,
}

impl SavedGroups {
    /// Adds a group with two times of its own.
    pub(super) fn push(&mut self, times: [i64; 2], key: &[u8], group: &Group) {
        self.times.iter_mut().zip(times).for_each(|(column, time)| column.push(time));
        self.keys.push(key.into());
        self.ids.push(group.id);
        self.counts.push(group.rows.height() as u64);
        self.row_ids.extend_from_slice(&group.ids);
        match &mut self.rows {
            // Rows of one operator have one schema.
            Some(rows) => drop(rows.vstack_mut(&group.rows)),
            None => self.rows = Some(group.rows.clone()),
        }
    }

    /// The groups, and their rows; rows that have identities have them in a column.
    pub(super) fn into_frames(self) -> PolarsResult<(DataFrame, DataFrame)> {
        let [starts, ends] = self.times;
        let keys: Vec<&[u8]> = self.keys.iter().map(AsRef::as_ref).collect();
        let columns: Vec<Column> = vec![
            Series::new(START.into(), starts).into(),
            Series::new(END.into(), ends).into(),
            Series::new(KEY.into(), keys).into(),
            Series::new(GROUP.into(), self.ids).into(),
            Series::new(COUNT.into(), self.counts).into(),
        ];
        let mut rows = self.rows.unwrap_or_default();
        if !self.row_ids.is_empty() {
            rows.with_column(Column::from(Series::new(ROW.into(), self.row_ids)))?;
        }
        Ok((DataFrame::new(columns[0].len(), columns)?, rows))
    }
}

/// Gives each group of two tables to `take`.
pub(super) fn each_saved(
    groups: &DataFrame,
    rows: &DataFrame,
    mut take: impl FnMut([i64; 2], Box<[u8]>, Group),
) -> PolarsResult<()> {
    let mut rows = rows.clone();
    let ids: Option<Vec<u64>> = match rows.drop_in_place(ROW) {
        Ok(ids) => Some(ids.u64()?.iter().map(Option::unwrap_or_default).collect()),
        Err(_) => None,
    };
    let (starts, ends) = (integers(groups, START)?, integers(groups, END)?);
    let (keys, numbers) = (groups.column(KEY)?.binary()?, groups.column(GROUP)?.u64()?);
    let counts = groups.column(COUNT)?.u64()?;
    let mut first = 0_usize;
    for group in 0..groups.height() {
        let count = counts.get(group).unwrap_or_default() as usize;
        let mine = rows.slice(first as i64, count);
        let row_ids = ids.as_ref().and_then(|ids| ids.get(first..first + count)).unwrap_or_default().to_vec();
        first += count;
        let times = [starts.get(group).unwrap_or_default(), ends.get(group).unwrap_or_default()];
        let id = numbers.get(group).unwrap_or_default();
        take(times, keys.get(group).unwrap_or_default().into(), Group { id, rows: mine, ids: row_ids });
    }
    Ok(())
}
