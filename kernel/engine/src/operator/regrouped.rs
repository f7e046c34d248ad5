//! Aggregation by keeping rows: the groups that a batch touches are aggregated anew by Polars over all their rows. It costs
//! what the touched groups hold, and is exact for everything that Polars can aggregate; it is also how an aggregate follows
//! rows that change.

use std::collections::{BTreeMap, BTreeSet};

use plan::Aggregate;
use polars::prelude::*;

use super::columns::{Bounds, GROUP, POSITION, ROW, encoded, keys_of, named_keys};
use super::kept::KeptRows;
use super::saved::{SavedGroups, each_saved};
use super::windows::{HasEnd, Windows, next_end, take_ended};
use super::{Executed, GROUPS, Kept, Operator, ROWS, Tables, Touched, dropped, kept_columns};
use crate::change::Delta;
use crate::rows::append;

/// The state and its parameters.
pub(crate) struct Regrouped {
    plan: Aggregate,
    schema: SchemaRef,
    cut: Option<Windows>,
    /// The columns that are kept of each row.
    kept: Vec<PlSmallStr>,
    /// By start; without windows there is one.
    windows: BTreeMap<i64, Window>,
    /// The groups that a row which may change is in.
    places: PlHashMap<u64, Vec<Place>>,
    next_id: u64,
    /// The identities of groups that were closed, until they are asked for.
    closed: Vec<u64>,
    bytes: KeptRows,
}

struct Window {
    end: i64,
    groups: PlHashMap<Box<[u8]>, Group>,
}

impl HasEnd for Window {
    fn end(&self) -> i64 {
        self.end
    }
}

/// Rows that are aggregated together.
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) rows: DataFrame,
    /// The identities of the rows, where rows may change.
    pub(crate) ids: Vec<u64>,
}

impl Group {
    /// Takes rows that may change out.
    pub(crate) fn remove(&mut self, ids: &PlHashSet<u64>) -> PolarsResult<()> {
        let keep: Vec<bool> = self.ids.iter().map(|held| !ids.contains(held)).collect();
        self.rows = self.rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, &keep))?;
        self.ids.retain(|held| !ids.contains(held));
        Ok(())
    }
}

type Place = (i64, Box<[u8]>);

impl Regrouped {
    /// `input` is the schema of the rows, `schema` the result's.
    pub(crate) fn new(plan: &Aggregate, input: &SchemaRef, schema: SchemaRef) -> Regrouped {
        Regrouped {
            kept: kept_columns(plan, input),
            cut: Windows::of(plan, &schema),
            plan: plan.clone(),
            schema,
            windows: BTreeMap::new(),
            places: PlHashMap::default(),
            next_id: 0,
            closed: Vec::new(),
            bytes: KeptRows::default(),
        }
    }
}

impl Operator for Regrouped {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<Executed> {
        let mut touched: BTreeSet<Place> = BTreeSet::new();
        let (rows, ids) = match delta {
            Delta::Append(rows) => (rows, None),
            Delta::Change(changes) => {
                self.remove(changes.deletes.iter().chain(&changes.ids), &mut touched)?;
                (changes.rows, Some(changes.ids))
            }
        };
        let (late, timeless) = self.add(rows, ids.as_deref(), watermark, &mut touched)?;
        self.bytes.check()?;
        let (ids, rows, deletes) = self.aggregate(&touched)?;
        Ok(Touched { ids, rows, deletes, late, timeless }.into())
    }

    fn close(&mut self, watermark: i64, wanted: bool) -> PolarsResult<Option<DataFrame>> {
        let mut closed: Vec<(i64, Group)> = Vec::new();
        while let Some((start, window)) = take_ended(&mut self.windows, watermark) {
            for group in window.groups.into_values() {
                self.bytes.remove(&group.rows);
                for id in &group.ids {
                    if let Some(places) = self.places.get_mut(id) {
                        places.retain(|(at, _)| *at != start);
                        if places.is_empty() {
                            self.places.remove(id);
                        }
                    }
                }
                self.closed.push(group.id);
                closed.push((start, group));
            }
        }
        if wanted { regroup_closed(&self.plan, &self.schema, closed) } else { Ok(None) }
    }

    fn due(&self, wanted: bool) -> Option<i64> {
        next_end(&self.windows).filter(|_| wanted)
    }

    fn settled(&mut self, _: Vec<u64>) -> Vec<u64> {
        std::mem::take(&mut self.closed)
    }

    fn aggregates(&self) -> bool {
        true
    }

    fn save(&self) -> PolarsResult<Kept> {
        let mut saved = SavedGroups::default();
        for (start, window) in &self.windows {
            for (key, group) in &window.groups {
                saved.push([*start, window.end], key, group);
            }
        }
        let (groups, rows) = saved.into_frames()?;
        Ok(Kept::new(self.next_id, [(GROUPS, groups), (ROWS, rows)]))
    }

    fn restore(&mut self, number: u64, tables: Tables<'_>) -> PolarsResult<()> {
        self.windows.clear();
        self.places.clear();
        self.next_id = number;
        self.bytes = KeptRows::default();
        each_saved(&tables(GROUPS)?, &tables(ROWS)?, |[start, end], key, group| {
            self.bytes.add(&group.rows);
            for id in &group.ids {
                self.places.entry(*id).or_default().push((start, key.clone()));
            }
            let window = self.windows.entry(start).or_insert_with(|| Window { end, groups: PlHashMap::default() });
            window.groups.insert(key, group);
        })
    }
}

impl Regrouped {
    /// Takes rows out of their groups, each group once however many it loses.
    fn remove<'a>(&mut self, ids: impl Iterator<Item = &'a u64>, touched: &mut BTreeSet<Place>) -> PolarsResult<()> {
        let mut gone: BTreeMap<Place, PlHashSet<u64>> = BTreeMap::new();
        for id in ids {
            for place in self.places.remove(id).unwrap_or_default() {
                gone.entry(place).or_default().insert(*id);
            }
        }
        for (place, ids) in gone {
            let Some(group) = self.windows.get_mut(&place.0).and_then(|window| window.groups.get_mut(&place.1)) else {
                continue;
            };
            self.bytes.remove(&group.rows);
            group.remove(&ids)?;
            self.bytes.add(&group.rows);
            touched.insert(place);
        }
        Ok(())
    }

    /// Puts rows into their groups; says how many are late or have no time.
    fn add(
        &mut self,
        rows: DataFrame,
        ids: Option<&[u64]>,
        watermark: Option<i64>,
        touched: &mut BTreeSet<Place>,
    ) -> PolarsResult<(usize, usize)> {
        let rows = rows.with_row_index(ROW.into(), None)?;
        let keyed = |rows: LazyFrame| rows.with_columns(named_keys(&self.plan.keys)).collect();
        let (rows, late, timeless) = match &self.cut {
            Some(windows) => dropped(windows.with_ends(keyed(windows.assigned(rows)?)?)?, watermark)?,
            None => (keyed(rows.lazy())?, 0, 0),
        };
        let bounds = Bounds::of(&rows, self.plan.over.is_some())?;
        let keys = encoded(&keys_of(&rows, self.plan.keys.len())?, rows.height())?;
        let mut found: BTreeMap<Place, Vec<IdxSize>> = BTreeMap::new();
        for (row, key) in keys.iter().enumerate() {
            found.entry((bounds.at(row).0, key.unwrap_or_default().into())).or_default().push(row as IdxSize);
        }
        let numbers = rows.column(ROW)?.idx()?.clone();
        let kept = rows.select(self.kept.iter().cloned())?;
        for (place, indices) in found {
            let (_, end) = indices.first().map_or((0, i64::MAX), |row| bounds.at(*row as usize));
            let window = self.windows.entry(place.0).or_insert_with(|| Window { end, groups: PlHashMap::default() });
            let group = match window.groups.get_mut(&place.1) {
                Some(group) => group,
                None => {
                    let group = Group { id: self.next_id, rows: kept.clear(), ids: Vec::new() };
                    self.next_id += 1;
                    window.groups.entry(place.1.clone()).or_insert(group)
                }
            };
            self.bytes.remove(&group.rows);
            append(&mut group.rows, &kept.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &indices))?)?;
            self.bytes.add(&group.rows);
            if let Some(ids) = ids {
                for row in &indices {
                    let id = ids[numbers.get(*row as usize).unwrap_or_default() as usize];
                    group.ids.push(id);
                    self.places.entry(id).or_default().push(place.clone());
                }
            }
            touched.insert(place);
        }
        Ok((late, timeless))
    }

    /// The groups as they are now; those that have no rows any more leave.
    fn aggregate(&mut self, places: &BTreeSet<Place>) -> PolarsResult<(Vec<u64>, DataFrame, Vec<u64>)> {
        let (mut gone, mut empty) = (Vec::new(), Vec::new());
        let mut groups: Vec<(i64, &Group)> = Vec::new();
        for place in places {
            let Some(group) = self.windows.get(&place.0).and_then(|window| window.groups.get(&place.1)) else {
                continue;
            };
            if group.rows.height() == 0 {
                gone.push(group.id);
                empty.push(place.clone());
            } else {
                groups.push((place.0, group));
            }
        }
        let rows = regroup(&self.plan, &self.schema, &groups)?;
        let ids = groups.iter().map(|(_, group)| group.id).collect();
        for (start, key) in empty {
            if let Some(window) = self.windows.get_mut(&start) {
                window.groups.remove(&key);
                if window.groups.is_empty() {
                    self.windows.remove(&start);
                }
            }
        }
        Ok((ids, rows, gone))
    }
}

/// The rows of groups that are no more, in the order of window and age; `None` where there are none.
pub(crate) fn regroup_closed(
    plan: &Aggregate,
    schema: &SchemaRef,
    mut closed: Vec<(i64, Group)>,
) -> PolarsResult<Option<DataFrame>> {
    if closed.is_empty() {
        return Ok(None);
    }
    closed.sort_unstable_by_key(|(start, group)| (*start, group.id));
    let groups: Vec<(i64, &Group)> = closed.iter().map(|(start, group)| (*start, group)).collect();
    regroup(plan, schema, &groups).map(Some)
}

/// The row of each group with the start of its window, in the order of the groups. Within a group rows are taken by time and
/// position.
pub(crate) fn regroup(plan: &Aggregate, schema: &SchemaRef, groups: &[(i64, &Group)]) -> PolarsResult<DataFrame> {
    let Some((_, first)) = groups.first() else { return Ok(DataFrame::empty_with_schema(schema)) };
    let mut all = first.rows.clear();
    let mut numbers: Vec<IdxSize> = Vec::new();
    for (number, (_, group)) in groups.iter().enumerate() {
        all.vstack_mut(&group.rows)?;
        numbers.extend(std::iter::repeat_n(number as IdxSize, group.rows.height()));
    }
    all.with_column(Column::from(Series::new(GROUP.into(), numbers)))?;
    let time = plan.over.iter().map(|over| over.time.clone());
    let position = first.rows.schema().contains(POSITION).then(|| PlSmallStr::from_static(POSITION));
    let by: Vec<PlSmallStr> = std::iter::once(GROUP.into()).chain(time).chain(position).collect();
    let options = SortMultipleOptions::default().with_maintain_order(true);
    let names: Vec<PlSmallStr> = schema.iter_names().cloned().collect();
    let keys = plan.keys.iter().zip(&names).map(|(expr, name)| expr.clone().first().alias(name.clone()));
    let aggregated = all
        .lazy()
        .sort_by_exprs(by.into_iter().map(col).collect::<Vec<_>>(), options)
        .group_by_stable([col(GROUP)])
        .agg(keys.chain(plan.written.iter().cloned()).collect::<Vec<_>>())
        .collect()?;
    let mut columns: Vec<Column> = aggregated.columns()[1..].to_vec();
    if let Some(over) = &plan.over {
        let starts: Vec<i64> = groups.iter().map(|(start, _)| *start).collect();
        let named = match Windows::of(plan, schema) {
            Some(windows) => windows.named(starts)?,
            None => vec![Column::from(Series::new(over.time.clone(), starts)).cast(schema.try_get(&over.time)?)?],
        };
        columns.splice(plan.keys.len()..plan.keys.len(), named);
    }
    DataFrame::new(groups.len(), columns)
}
