//! Aggregation by keeping rows: the groups that a batch touches are aggregated anew by Polars over all their rows. It costs
//! what the touched groups hold, and is exact for everything that Polars can aggregate; it is also how an aggregate follows
//! rows that change.

use std::collections::{BTreeMap, BTreeSet};

use plan::Aggregate;
use polars::prelude::*;

use super::columns::{Bounds, ROW, encoded, kept_as, keys_of, named_keys};
use super::group::{Group, regroup, regroup_closed};
use super::group_tables::{GroupChanges, SavedGroups, Span, restored};
use super::output::{OUTPUT, OutputTable};
use super::retained::RetainedBytes;
use super::windows::{HasEnd, Windows, next_end, take_ended};
use super::{Executed, Operator, OperatorSnapshot, Tables, Touched, dropped, kept_columns};
use crate::change::{Delta, Revision};
use crate::rows::append;

/// The state and its parameters.
pub(crate) struct Regrouped {
    plan: Aggregate,
    schema: SchemaRef,
    cut: Option<Windows>,
    /// The column with the event time, by which the rows of a group are taken.
    order: Option<PlSmallStr>,
    /// The columns that are kept of each row, without rows.
    kept: DataFrame,
    /// By start; without windows there is one.
    windows: BTreeMap<i64, WindowRows>,
    /// The groups that a row which may change is in.
    places: PlHashMap<u64, Vec<WindowKey>>,
    next_id: u64,
    /// The identities of groups that were closed, until they are asked for.
    closed: Vec<u64>,
    bytes: RetainedBytes,
    /// What was given, where it is taken back.
    output: Option<OutputTable>,
    /// Once the state has been written down.
    noted: Option<GroupChanges<WindowKey>>,
}

struct WindowRows {
    end: i64,
    groups: PlHashMap<Box<[u8]>, Group>,
}

impl HasEnd for WindowRows {
    fn end(&self) -> i64 {
        self.end
    }
}

type WindowKey = (i64, Box<[u8]>);

impl Regrouped {
    /// `input` is the schema of the rows, `schema` the result's, and `order` the column with the event time, where there is one.
    pub(crate) fn new(
        plan: &Aggregate,
        order: Option<PlSmallStr>,
        input: &SchemaRef,
        schema: SchemaRef,
    ) -> PolarsResult<Regrouped> {
        Ok(Regrouped {
            kept: DataFrame::empty_with_schema(input).select(kept_columns(plan, order.as_ref(), input))?,
            order,
            cut: Windows::of(plan, &schema),
            plan: plan.clone(),
            schema,
            windows: BTreeMap::new(),
            places: PlHashMap::default(),
            next_id: 0,
            closed: Vec::new(),
            bytes: RetainedBytes::default(),
            output: None,
            noted: None,
        })
    }
}

impl Operator for Regrouped {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<Executed> {
        let mut touched: BTreeSet<WindowKey> = BTreeSet::new();
        let (rows, ids) = match delta {
            Delta::Append(rows) => (rows, None),
            Delta::Change(Revision { changes, .. }) => {
                self.remove(changes.deletes.iter().chain(&changes.ids), &mut touched)?;
                (changes.rows, Some(changes.ids))
            }
        };
        let (late, timeless) = self.add(rows, ids.as_deref(), watermark, &mut touched)?;
        self.bytes.check(self.output.as_ref().map_or(0, OutputTable::bytes))?;
        if self.plan.is_of_all() && self.windows.is_empty() {
            let place: WindowKey = (0, Box::default());
            group_at(&mut self.windows, &mut self.next_id, &self.kept, (&place, i64::MAX));
            touched.insert(place);
        }
        let (ids, rows, deletes) = self.aggregate(&touched)?;
        if let Some(noted) = &mut self.noted {
            noted.places.extend(touched);
            noted.gone.extend(&deletes);
        }
        let retracted = self.output.as_mut().map(|output| output.replace(&ids, &rows, &deletes)).transpose()?;
        Ok(Touched { ids, rows, deletes, retracted, late, timeless }.into())
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
        if let Some(noted) = &mut self.noted {
            noted.gone.extend(closed.iter().map(|(_, group)| group.id));
        }
        if let Some(output) = self.output.as_mut().filter(|_| !closed.is_empty()) {
            output.forget(closed.iter().map(|(_, group)| group.id))?;
        }
        if wanted { regroup_closed(&self.plan, self.order.as_ref(), &self.schema, closed) } else { Ok(None) }
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

    fn retract(&mut self) -> bool {
        self.output = Some(OutputTable::new(&self.schema));
        false
    }

    fn save(&self) -> PolarsResult<OperatorSnapshot> {
        let mut saved = SavedGroups::new(&self.kept, self.keys_name());
        for (start, window) in &self.windows {
            for (key, group) in &window.groups {
                saved.push(span(*start, window.end, key, group));
                saved.push_rows(group, 0)?;
            }
        }
        let mut kept = saved.all(self.next_id)?;
        if let Some(output) = &self.output {
            kept.tables.push((OUTPUT, output.save()?));
        }
        Ok(kept)
    }

    fn restore(&mut self, number: u64, tables: Tables<'_>) -> PolarsResult<()> {
        self.windows.clear();
        self.places.clear();
        self.next_id = number;
        self.bytes = RetainedBytes::default();
        if let Some(output) = &mut self.output {
            *output = OutputTable::new(&self.schema);
            output.restore(tables(OUTPUT)?)?;
        }
        let (spans, mut groups) = restored(tables, &self.keys_name())?;
        for Span { times: [start, end], key, group, .. } in spans {
            let group = groups.remove(&group).unwrap_or_else(|| Group::new(group, &self.kept));
            self.bytes.add(&group.rows);
            for id in &group.ids {
                self.places.entry(*id).or_default().push((start, key.clone()));
            }
            let window = self.windows.entry(start).or_insert_with(|| WindowRows { end, groups: PlHashMap::default() });
            window.groups.insert(key, group);
        }
        self.noted = Some(GroupChanges::default());
        Ok(())
    }

    fn all_saved(&mut self) {
        let groups = self.windows.values_mut().flat_map(|window| window.groups.values_mut());
        groups.for_each(|group| group.written = group.rows.height());
        self.output.iter_mut().for_each(OutputTable::all_saved);
        self.noted = Some(GroupChanges::default());
    }

    fn save_changes(&mut self) -> PolarsResult<OperatorSnapshot> {
        let GroupChanges { places, gone, rows_gone } = self.noted.replace(GroupChanges::default()).unwrap_or_default();
        let mut saved = SavedGroups::new(&self.kept, self.keys_name());
        for (start, key) in places {
            let Some(window) = self.windows.get_mut(&start) else { continue };
            let Some(group) = window.groups.get_mut(&key) else { continue };
            saved.push(span(start, window.end, &key, group));
            saved.push_rows(group, group.written)?;
            group.written = group.rows.height();
        }
        let mut kept = saved.changed(self.next_id, gone, rows_gone)?;
        if let Some(output) = &mut self.output {
            kept.changes.push((OUTPUT, output.save_changes()?));
        }
        Ok(kept)
    }
}

/// The group of a place, whose window ends at `end`; a new one where there is none.
fn group_at<'a>(
    windows: &'a mut BTreeMap<i64, WindowRows>,
    next_id: &mut u64,
    kept: &DataFrame,
    (place, end): (&WindowKey, i64),
) -> &'a mut Group {
    let window = windows.entry(place.0).or_insert_with(|| WindowRows { end, groups: PlHashMap::default() });
    window.groups.entry(place.1.clone()).or_insert_with(|| {
        *next_id += 1;
        Group::new(*next_id - 1, kept)
    })
}

fn span(start: i64, end: i64, key: &[u8], group: &Group) -> Span {
    Span { times: [start, end], key: key.into(), id: group.id, group: group.id }
}

impl Regrouped {
    /// What the keys' column is called in a written state.
    fn keys_name(&self) -> PlSmallStr {
        kept_as(self.schema.iter_values().take(self.plan.keys.len()))
    }

    /// Takes rows out of their groups, each group once however many it loses.
    fn remove<'a>(
        &mut self,
        ids: impl Iterator<Item = &'a u64>,
        touched: &mut BTreeSet<WindowKey>,
    ) -> PolarsResult<()> {
        let mut gone: BTreeMap<WindowKey, PlHashSet<u64>> = BTreeMap::new();
        for id in ids {
            let places = self.places.remove(id).unwrap_or_default();
            if let Some(noted) = self.noted.as_mut().filter(|_| !places.is_empty()) {
                noted.rows_gone.push(*id);
            }
            for place in places {
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
        touched: &mut BTreeSet<WindowKey>,
    ) -> PolarsResult<(usize, usize)> {
        let rows = rows.with_row_index(ROW.into(), None)?;
        let keyed = |rows: LazyFrame| rows.with_columns(named_keys(&self.plan.keys)).collect();
        let (rows, late, timeless) = match &self.cut {
            Some(windows) => dropped(windows.with_ends(keyed(windows.assigned(rows)?)?)?, watermark)?,
            None => (keyed(rows.lazy())?, 0, 0),
        };
        let bounds = Bounds::of(&rows, self.plan.over.is_some())?;
        let keys = encoded(&keys_of(&rows, self.plan.keys.len())?, rows.height())?;
        let mut found: BTreeMap<WindowKey, Vec<IdxSize>> = BTreeMap::new();
        for (row, key) in keys.iter().enumerate() {
            found.entry((bounds.at(row).0, key.unwrap_or_default().into())).or_default().push(row as IdxSize);
        }
        let numbers = rows.column(ROW)?.idx()?.clone();
        let kept = rows.select(self.kept.get_column_names_owned())?;
        for (place, indices) in found {
            let (_, end) = indices.first().map_or((0, i64::MAX), |row| bounds.at(*row as usize));
            let group = group_at(&mut self.windows, &mut self.next_id, &self.kept, (&place, end));
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
    fn aggregate(&mut self, places: &BTreeSet<WindowKey>) -> PolarsResult<(Vec<u64>, DataFrame, Vec<u64>)> {
        let (mut gone, mut empty) = (Vec::new(), Vec::new());
        let mut groups: Vec<(i64, &Group)> = Vec::new();
        for place in places {
            let Some(group) = self.windows.get(&place.0).and_then(|window| window.groups.get(&place.1)) else {
                continue;
            };
            if group.rows.height() == 0 && !self.plan.is_of_all() {
                gone.push(group.id);
                empty.push(place.clone());
            } else {
                groups.push((place.0, group));
            }
        }
        let rows = regroup(&self.plan, self.order.as_ref(), &self.schema, &groups)?;
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
