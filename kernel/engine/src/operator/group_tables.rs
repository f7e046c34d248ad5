//! Groups with their rows as two tables and back: what operators that keep rows write down, all of it or what changed.

use std::collections::BTreeSet;

use polars::prelude::*;

use super::columns::{END, GROUP, ROW, START, integers, kept_keys};
use super::group::Group;
use super::{OperatorSnapshot, ROWS, Tables};
use crate::snapshot::numbered;

/// The table with a line for each group, or each session of one; it tells which rows still count.
const SPANS: &str = "spans";

/// What changed since the state was last written down; `P` is what an operator finds a group by.
pub(super) struct GroupChanges<P> {
    /// Groups that are others.
    pub(super) places: BTreeSet<P>,
    /// The identities of those that are no more.
    pub(super) gone: Vec<u64>,
    /// The identities of rows that were taken out.
    pub(super) rows_gone: Vec<u64>,
}

impl<P> Default for GroupChanges<P> {
    fn default() -> GroupChanges<P> {
        GroupChanges { places: BTreeSet::new(), gone: Vec::new(), rows_gone: Vec::new() }
    }
}

/// A line of the table of groups.
pub(super) struct Span {
    /// The first time that belongs to it, and the first after it.
    pub(super) times: [i64; 2],
    pub(super) key: Box<[u8]>,
    pub(super) id: u64,
    /// The number under which the rows are found.
    pub(super) group: u64,
}

/// Groups on their way into tables.
pub(super) struct SavedGroups {
    /// What the keys' column is called.
    keys_name: PlSmallStr,
    times: [Vec<i64>; 2],
    keys: Vec<Box<[u8]>>,
    ids: Vec<u64>,
    groups: Vec<u64>,
    rows: DataFrame,
    row_ids: Vec<Option<u64>>,
    rows_of: Vec<u64>,
}

impl SavedGroups {
    /// None yet; `empty` has the columns of their rows, and the keys' column is to be called `keys_name`.
    pub(super) fn new(empty: &DataFrame, keys_name: PlSmallStr) -> SavedGroups {
        let (times, keys, ids, groups, row_ids, rows_of) = Default::default();
        SavedGroups { keys_name, times, keys, ids, groups, rows: empty.clone(), row_ids, rows_of }
    }

    /// Adds a line.
    pub(super) fn push(&mut self, span: Span) {
        self.times.iter_mut().zip(span.times).for_each(|(column, time)| column.push(time));
        self.keys.push(span.key);
        self.ids.push(span.id);
        self.groups.push(span.group);
    }

    /// Adds the rows of a group from a place on.
    pub(super) fn push_rows(&mut self, group: &Group, from: usize) -> PolarsResult<()> {
        let count = group.rows.height() - from;
        self.rows.vstack_mut(&group.rows.slice(from as i64, count))?;
        // Rows that never change have none.
        self.row_ids.extend((from..group.rows.height()).map(|row| group.ids.get(row).copied()));
        self.rows_of.extend(std::iter::repeat_n(group.id, count));
        Ok(())
    }

    /// All groups there are.
    pub(super) fn all(self, number: u64) -> PolarsResult<OperatorSnapshot> {
        let (spans, rows) = self.into_frames()?;
        Ok(OperatorSnapshot::new(number, [(SPANS, spans), (ROWS, rows)]))
    }

    /// Those that changed, and what is gone.
    pub(super) fn changed(self, number: u64, gone: Vec<u64>, rows_gone: Vec<u64>) -> PolarsResult<OperatorSnapshot> {
        let (spans, rows) = self.into_frames()?;
        let spans = numbered::changes(spans, gone)?;
        Ok(OperatorSnapshot::changes(number, [(SPANS, spans), (ROWS, numbered::changes(rows, rows_gone)?)]))
    }

    fn into_frames(mut self) -> PolarsResult<(DataFrame, DataFrame)> {
        let [starts, ends] = self.times;
        let keys: Vec<&[u8]> = self.keys.iter().map(AsRef::as_ref).collect();
        let columns: Vec<Column> = vec![
            Series::new(START.into(), starts).into(),
            Series::new(END.into(), ends).into(),
            Series::new(self.keys_name, keys).into(),
            Series::new(ROW.into(), self.ids).into(),
            Series::new(GROUP.into(), self.groups).into(),
        ];
        self.rows.rechunk_mut();
        self.rows.with_column(Column::from(Series::new(GROUP.into(), self.rows_of)))?;
        self.rows.with_column(Column::from(Series::new(ROW.into(), self.row_ids)))?;
        Ok((DataFrame::new(columns[0].len(), columns)?, self.rows))
    }
}

/// What a state has of groups: their lines in the order of their starts, and the rows by the number of the group.
pub(super) fn restored(tables: Tables<'_>, keys_name: &str) -> PolarsResult<(Vec<Span>, PlHashMap<u64, Group>)> {
    let spans = spans(&tables(SPANS)?, keys_name)?;
    let known: PlHashSet<u64> = spans.iter().map(|span| span.group).collect();
    let mut rows = tables(ROWS)?;
    let of: Vec<u64> = rows.drop_in_place(GROUP)?.u64()?.iter().map(Option::unwrap_or_default).collect();
    // What is left of groups that are no more is left out; the rows of one stay in their order.
    let mut order: Vec<IdxSize> = (0..of.len() as IdxSize).filter(|row| known.contains(&of[*row as usize])).collect();
    order.sort_by_key(|row| of[*row as usize]);
    let mut rows = rows.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &order))?;
    let row_ids: Vec<Option<u64>> = rows.drop_in_place(ROW)?.u64()?.iter().collect();
    let mut groups = PlHashMap::default();
    let mut first = 0;
    for some in order.chunk_by(|a, b| of[*a as usize] == of[*b as usize]) {
        let id = of[some[0] as usize];
        let ids = row_ids[first..first + some.len()].iter().flatten().copied().collect();
        groups.insert(id, Group { id, rows: rows.slice(first as i64, some.len()), ids, written: some.len() });
        first += some.len();
    }
    Ok((spans, groups))
}

fn spans(table: &DataFrame, keys_name: &str) -> PolarsResult<Vec<Span>> {
    let (starts, ends) = (integers(table, START)?, integers(table, END)?);
    let keys = kept_keys(table, keys_name)?;
    let (ids, groups) = (table.column(ROW)?.u64()?, table.column(GROUP)?.u64()?);
    let mut spans: Vec<Span> = (0..table.height())
        .map(|row| Span {
            times: [&starts, &ends].map(|times| times.get(row).unwrap_or_default()),
            key: keys.get(row).unwrap_or_default().into(),
            id: ids.get(row).unwrap_or_default(),
            group: groups.get(row).unwrap_or_default(),
        })
        .collect();
    spans.sort_by_key(|span| span.times);
    Ok(spans)
}
