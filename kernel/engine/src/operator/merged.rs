//! Aggregation by merging: Polars computes a batch's partial results, and the state merges them by window and key. The work
//! grows with the batch, not with the state. Its input is rows that never change.

use std::collections::BTreeMap;

use plan::{Accumulator, Aggregate};
use polars::prelude::*;
use smallvec::SmallVec;

use super::accumulator::Cells;
use super::columns::{Bounds, COUNT, END, GROUP, KEY, START, decoded, encoded, integers, key, keys_of, named_keys};
use super::windows::Windows;
use super::{Executed, GROUPS, Kept, Operator, Tables, Touched, dropped, never_changing};
use crate::change::Delta;

/// The state and its parameters.
pub(crate) struct Merged {
    plan: Aggregate,
    outputs: Vec<Expr>,
    /// The result's schema: keys, time, aggregates.
    schema: SchemaRef,
    cut: Option<Windows>,
    cells: Vec<Cells>,
    /// By start; without windows there is one.
    windows: BTreeMap<i64, Window>,
    /// The identity of the group in each slot.
    ids: Vec<u64>,
    free: Vec<usize>,
    next_id: u64,
}

struct Window {
    /// Without windows it never ends.
    end: i64,
    slots: PlHashMap<Key, usize>,
}

/// A group's window, the window's end, its key and its slot.
type Place = (i64, i64, Key, usize);
/// A group's keys. Short ones are in the table itself, where they are compared without another look into memory.
type Key = SmallVec<[u8; 16]>;

impl Merged {
    /// `schema` is the result's.
    pub(crate) fn new(plan: &Aggregate, accumulators: &[Accumulator], outputs: &[Expr], schema: SchemaRef) -> Merged {
        Merged {
            cut: Windows::of(plan, &schema),
            plan: plan.clone(),
            outputs: outputs.to_vec(),
            schema,
            cells: accumulators.iter().cloned().map(Cells::new).collect(),
            windows: BTreeMap::new(),
            ids: Vec::new(),
            free: Vec::new(),
            next_id: 0,
        }
    }
}

impl Operator for Merged {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<Executed> {
        let partials = self.partials(never_changing(delta)?)?;
        let (partials, late, timeless) = match &self.cut {
            Some(windows) => dropped(windows.with_ends(partials)?, watermark)?,
            None => (partials, 0, 0),
        };
        let slots = self.slots(&partials)?;
        for (number, cells) in self.cells.iter_mut().enumerate() {
            let count = partials.column(&format!("partial {number} count")).ok();
            let third = partials.column(&format!("partial {number} squares")).ok();
            cells.merge(&slots, partials.column(&format!("partial {number}"))?, count, third)?;
        }
        let ids = slots.iter().map(|slot| self.ids[*slot]).collect();
        let keys = keys_of(&partials, self.plan.keys.len())?;
        let rows = self.rows(keys, self.named(&partials)?, &slots)?;
        Ok(Touched { ids, rows, deletes: Vec::new(), late, timeless }.into())
    }

    fn close(&mut self, watermark: i64, wanted: bool) -> PolarsResult<Option<DataFrame>> {
        let mut closed: Vec<Place> = Vec::new();
        while let Some(window) = self.windows.first_entry().filter(|window| window.get().end <= watermark) {
            let (start, window) = window.remove_entry();
            closed.extend(window.slots.into_iter().map(|(key, slot)| (start, window.end, key, slot)));
        }
        let rows = if wanted && !closed.is_empty() { Some(self.rows_of(&mut closed)?) } else { None };
        for (_, _, _, slot) in closed {
            self.cells.iter_mut().for_each(|cells| cells.clear(slot));
            self.free.push(slot);
        }
        Ok(rows)
    }

    fn due(&self, wanted: bool) -> Option<i64> {
        self.windows.values().next().map(|window| window.end).filter(|end| wanted && *end < i64::MAX)
    }

    fn aggregates(&self) -> bool {
        true
    }

    fn save(&self) -> PolarsResult<Kept> {
        let groups = self.groups();
        let slots: Vec<usize> = groups.iter().map(|(_, _, _, slot)| *slot).collect();
        let mut columns: Vec<Column> = vec![
            Series::new(START.into(), groups.iter().map(|(start, ..)| *start).collect::<Vec<_>>()).into(),
            Series::new(END.into(), groups.iter().map(|(_, end, ..)| *end).collect::<Vec<_>>()).into(),
            Series::new(KEY.into(), groups.iter().map(|(_, _, key, _)| key.as_ref()).collect::<Vec<_>>()).into(),
            Series::new(GROUP.into(), slots.iter().map(|slot| self.ids[*slot]).collect::<Vec<_>>()).into(),
        ];
        for (number, cells) in self.cells.iter().enumerate() {
            columns.extend(cells.save(&slots, &format!("cells {number}")));
        }
        Ok(Kept::new(self.next_id, [(GROUPS, DataFrame::new(slots.len(), columns)?)]))
    }

    fn restore(&mut self, number: u64, tables: Tables<'_>) -> PolarsResult<()> {
        let saved = tables(GROUPS)?;
        self.windows.clear();
        self.free.clear();
        self.next_id = number;
        self.ids = saved.column(GROUP)?.u64()?.iter().map(Option::unwrap_or_default).collect();
        let rows = integers(&saved, START)?;
        let (ends, keys) = (integers(&saved, END)?, saved.column(KEY)?.binary()?.clone());
        for (slot, ((start, end), key)) in rows.iter().zip(ends.iter()).zip(keys.iter()).enumerate() {
            let end = end.unwrap_or_default();
            let window = self.windows.entry(start.unwrap_or_default());
            let window = window.or_insert_with(|| Window { end, slots: PlHashMap::default() });
            window.slots.insert(Key::from_slice(key.unwrap_or_default()), slot);
        }
        for (number, cells) in self.cells.iter_mut().enumerate() {
            cells.restore(&saved, &format!("cells {number}"))?;
        }
        Ok(())
    }
}

impl Merged {
    fn groups(&self) -> Vec<Place> {
        let of = |(start, window): (&i64, &Window)| {
            window.slots.iter().map(|(key, slot)| (*start, window.end, key.clone(), *slot)).collect::<Vec<_>>()
        };
        self.windows.iter().flat_map(of).collect()
    }

    /// Rows of groups, in the order of window and age.
    fn rows_of(&self, groups: &mut [Place]) -> PolarsResult<DataFrame> {
        groups.sort_unstable_by_key(|(start, _, _, slot)| (*start, self.ids[*slot]));
        let fields: Vec<Field> = self.schema.iter_fields().take(self.plan.keys.len()).collect();
        let keys: Vec<&[u8]> = groups.iter().map(|(_, _, key, _)| key.as_ref()).collect();
        let slots: Vec<usize> = groups.iter().map(|(_, _, _, slot)| *slot).collect();
        let starts: Vec<i64> = groups.iter().map(|(start, ..)| *start).collect();
        let named = self.cut.as_ref().map(|windows| windows.named(starts)).transpose()?.unwrap_or_default();
        self.rows(decoded(&keys, &fields)?, named, &slots)
    }

    fn partials(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        let rows = match &self.cut {
            Some(windows) => windows.assigned(rows)?,
            None => rows.lazy(),
        };
        let start = self.plan.over.iter().map(|_| col(START));
        let keys = named_keys(&self.plan.keys);
        let inputs = self.cells.iter().enumerate().map(|(n, cells)| cells.input().alias(format!("input {n}")));
        // A column that is there for every row: where only rows are counted, nothing else is selected.
        let one = lit(true).alias(COUNT);
        let rows =
            rows.with_columns([one]).select(start.chain(keys).chain(inputs).chain([col(COUNT)]).collect::<Vec<_>>());
        let partials =
            self.cells.iter().enumerate().flat_map(|(n, cells)| cells.partials(n)).chain([len().alias(COUNT)]);
        let group: Vec<Expr> =
            self.plan.over.iter().map(|_| col(START)).chain((0..self.plan.keys.len()).map(|n| col(key(n)))).collect();
        if group.is_empty() {
            let partials = rows.select(partials.collect::<Vec<_>>()).collect()?;
            let empty = partials.column(COUNT)?.as_materialized_series().sum::<u64>()? == 0;
            return Ok(if empty { partials.clear() } else { partials });
        }
        rows.group_by_stable(group).agg(partials.collect::<Vec<_>>()).collect()
    }

    /// The slot of each group of the batch; new groups get one.
    fn slots(&mut self, groups: &DataFrame) -> PolarsResult<Vec<usize>> {
        let bounds = Bounds::of(groups, self.plan.over.is_some())?;
        let keys = encoded(&keys_of(groups, self.plan.keys.len())?, groups.height())?;
        let mut slots = Vec::with_capacity(groups.height());
        for (row, key) in keys.iter().enumerate() {
            let key = key.unwrap_or_default();
            let (start, end) = bounds.at(row);
            let window = self.windows.entry(start).or_insert_with(|| Window { end, slots: PlHashMap::default() });
            let slot = match window.slots.get(key) {
                Some(slot) => *slot,
                None => {
                    let slot = self.free.pop().unwrap_or(self.ids.len());
                    if slot == self.ids.len() {
                        self.ids.push(0);
                    }
                    self.ids[slot] = self.next_id;
                    self.next_id += 1;
                    window.slots.insert(Key::from_slice(key), slot);
                    slot
                }
            };
            slots.push(slot);
        }
        self.cells.iter_mut().for_each(|cells| cells.grow(self.ids.len()));
        Ok(slots)
    }

    /// The columns that come of the windows of some groups.
    fn named(&self, groups: &DataFrame) -> PolarsResult<Vec<Column>> {
        let Some(windows) = &self.cut else { return Ok(Vec::new()) };
        windows.named(integers(groups, START)?.iter().map(Option::unwrap_or_default).collect())
    }

    /// The rows of groups as they are now.
    fn rows(&self, keys: Vec<Column>, windows: Vec<Column>, slots: &[usize]) -> PolarsResult<DataFrame> {
        let names: Vec<PlSmallStr> = self.schema.iter_names().take(keys.len() + windows.len()).cloned().collect();
        let named = keys.into_iter().chain(windows).zip(&names).map(|(column, name)| column.with_name(name.clone()));
        let mut columns: Vec<Column> = named.collect();
        for cells in &self.cells {
            columns.push(cells.column(slots)?);
        }
        let frame = DataFrame::new(slots.len(), columns)?;
        let outputs: Vec<Expr> = names.into_iter().map(col).chain(self.outputs.iter().cloned()).collect();
        let rows = frame.lazy().select(outputs).collect()?;
        // Aggregates that are all literals give one row, whatever the groups.
        Ok(if rows.height() == slots.len() { rows } else { rows.new_from_index(0, slots.len()) })
    }
}
