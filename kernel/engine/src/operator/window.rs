//! Aggregation over tumbling windows and keys, kept up to date batch by batch: Polars computes a batch's partial results,
//! and the state merges them by window and key. The work grows with the batch, not with the state.

use std::collections::{BTreeMap, HashMap};

use plan::Aggregate;
use polars::chunked_array::ops::row_encode::_get_rows_encoded_unordered;
use polars::prelude::*;

use super::accumulator::Cells;
use super::watermark::per_ms;

/// The state and its parameters.
pub(crate) struct WindowAggregate {
    plan: Aggregate,
    /// The result's schema: keys, time, aggregates.
    schema: SchemaRef,
    /// A window's length in the time column's unit.
    length: i64,
    cells: Vec<Cells>,
    windows: BTreeMap<i64, HashMap<Box<[u8]>, usize>>,
    /// The identity of the group in each slot.
    ids: Vec<u64>,
    free: Vec<usize>,
    next_id: u64,
}

/// What a batch did.
pub(crate) struct Touched {
    /// The identity of each group that changed.
    pub(crate) ids: Vec<u64>,
    /// Its row as it is now.
    pub(crate) rows: DataFrame,
    /// Rows dropped because their window was closed.
    pub(crate) late: usize,
    /// Rows dropped because they have no time.
    pub(crate) timeless: usize,
}

impl WindowAggregate {
    /// `schema` is the result's.
    pub(crate) fn new(plan: &Aggregate, schema: SchemaRef) -> WindowAggregate {
        let (unit, zoned) = match schema.get(&plan.time) {
            Some(DataType::Datetime(unit, zone)) => (*unit, zone.is_some()),
            _ => (TimeUnit::Milliseconds, false),
        };
        WindowAggregate {
            length: plan.window.length_ms(zoned).saturating_mul(per_ms(unit)),
            cells: plan.accumulators.iter().cloned().map(Cells::new).collect(),
            plan: plan.clone(),
            schema,
            windows: BTreeMap::new(),
            ids: Vec::new(),
            free: Vec::new(),
            next_id: 0,
        }
    }

    /// Takes a batch in. Rows of windows that end at or before `watermark` are late.
    pub(crate) fn execute(&mut self, rows: DataFrame, watermark: Option<i64>) -> PolarsResult<Touched> {
        let (rows, late, timeless) = self.in_time(self.inputs(rows)?, watermark)?;
        let partials = self.partials(rows)?;
        let slots = self.slots(&partials)?;
        for (number, cells) in self.cells.iter_mut().enumerate() {
            let count = partials.column(&format!("partial {number} count")).ok();
            cells.merge(&slots, partials.column(&format!("partial {number}"))?, count)?;
        }
        let ids = slots.iter().map(|slot| self.ids[*slot]).collect();
        Ok(Touched { ids, rows: self.rows(&partials, &slots)?, late, timeless })
    }

    /// Forgets the windows that end at or before `watermark`: no row can change them any more.
    pub(crate) fn close(&mut self, watermark: i64) {
        while let Some(window) = self.windows.first_entry() {
            if window.key().saturating_add(self.length) > watermark {
                break;
            }
            for slot in window.remove().into_values() {
                self.cells.iter_mut().for_each(|cells| cells.clear(slot));
                self.free.push(slot);
            }
        }
    }

    /// Groups in the state.
    #[cfg(test)]
    pub(crate) fn groups(&self) -> usize {
        self.ids.len() - self.free.len()
    }

    /// The window, the keys and what is aggregated, as columns with names of our own.
    fn inputs(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        let window = col(self.plan.time.clone()).dt().truncate(lit(self.plan.window.text())).alias("window");
        let keys = self.plan.keys.iter().enumerate().map(|(n, key)| key.clone().alias(format!("key {n}")));
        let inputs =
            self.plan.accumulators.iter().enumerate().map(|(n, a)| a.input.clone().alias(format!("input {n}")));
        let columns: Vec<Expr> = std::iter::once(window).chain(keys).chain(inputs).collect();
        rows.lazy().select(columns).collect()
    }

    fn in_time(&self, rows: DataFrame, watermark: Option<i64>) -> PolarsResult<(DataFrame, usize, usize)> {
        let windows = rows.column("window")?.to_physical_repr();
        let windows = windows.i64()?;
        let timeless = windows.null_count();
        let is_late = |start: i64| watermark.is_some_and(|watermark| start.saturating_add(self.length) <= watermark);
        let late = windows.iter().flatten().filter(|start| is_late(*start)).count();
        if late + timeless == 0 {
            return Ok((rows, 0, 0));
        }
        let keep: BooleanChunked =
            windows.iter().map(|start| Some(start.is_some_and(|start| !is_late(start)))).collect();
        Ok((rows.filter(&keep)?, late, timeless))
    }

    fn partials(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        let group: Vec<Expr> =
            std::iter::once(col("window")).chain((0..self.plan.keys.len()).map(|n| col(format!("key {n}")))).collect();
        let partials: Vec<Expr> = self
            .cells
            .iter()
            .enumerate()
            .flat_map(|(n, cells)| cells.partials(&format!("input {n}"), &format!("partial {n}")))
            .collect();
        rows.lazy().group_by_stable(group).agg(partials).collect()
    }

    /// The slot of each group of the batch; new groups get one.
    fn slots(&mut self, groups: &DataFrame) -> PolarsResult<Vec<usize>> {
        let starts = groups.column("window")?.to_physical_repr();
        let starts = starts.i64()?;
        let keys: Vec<Column> = (0..self.plan.keys.len())
            .map(|n| groups.column(&format!("key {n}")).cloned())
            .collect::<PolarsResult<_>>()?;
        let encoded = if keys.is_empty() { None } else { Some(_get_rows_encoded_unordered(&keys)?.into_array()) };
        let mut slots = Vec::with_capacity(groups.height());
        for (row, start) in starts.iter().enumerate() {
            let key = encoded.as_ref().map_or(&[][..], |rows| rows.value(row));
            let window = self.windows.entry(start.unwrap_or_default()).or_default();
            let slot = match window.get(key) {
                Some(slot) => *slot,
                None => {
                    let slot = self.free.pop().unwrap_or(self.ids.len());
                    if slot == self.ids.len() {
                        self.ids.push(0);
                    }
                    self.ids[slot] = self.next_id;
                    self.next_id += 1;
                    window.insert(key.into(), slot);
                    slot
                }
            };
            slots.push(slot);
        }
        self.cells.iter_mut().for_each(|cells| cells.grow(self.ids.len()));
        Ok(slots)
    }

    /// The rows of groups as they are now.
    fn rows(&self, groups: &DataFrame, slots: &[usize]) -> PolarsResult<DataFrame> {
        let key_count = self.plan.keys.len();
        let mut columns = Vec::with_capacity(key_count + 1 + self.cells.len());
        let names: Vec<PlSmallStr> = self.schema.iter_names().take(key_count + 1).cloned().collect();
        for (n, name) in names.iter().enumerate() {
            let from = if n < key_count { format!("key {n}") } else { "window".to_owned() };
            columns.push(groups.column(&from)?.clone().with_name(name.clone()));
        }
        for cells in &self.cells {
            columns.push(cells.column(slots)?);
        }
        let frame = DataFrame::new(slots.len(), columns)?;
        let outputs: Vec<Expr> = names.into_iter().map(col).chain(self.plan.outputs.iter().cloned()).collect();
        frame.lazy().select(outputs).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use plan::{Plan, tumbling};

    use super::*;

    #[test]
    fn closed_windows_leave_the_state_and_their_slots_are_used_again() {
        let rows = |times: &[i64]| {
            let frame = df!["t" => times].unwrap().lazy();
            frame.with_column(col("t").cast(DataType::Datetime(TimeUnit::Milliseconds, None))).collect().unwrap()
        };
        let plan = Plan::source("memory rows", rows(&[]).schema().clone());
        let plan = plan.group_by_dynamic(&col("t"), &[], &tumbling("10ms"), &[len().alias("n")]).unwrap();
        let (aggregate, schema) = plan.aggregate().unwrap();
        let mut state = WindowAggregate::new(aggregate, schema.clone());
        for start in 0..100 {
            let touched = state.execute(rows(&[start * 10, start * 10 + 1]), None).unwrap();
            let n: Vec<u32> = touched.rows.column("n").unwrap().u32().unwrap().into_no_null_iter().collect();
            assert_eq!(
                (touched.ids, n),
                (vec![start.unsigned_abs()], vec![2]),
                "a slot that is used again starts anew"
            );
            state.close(start * 10);
        }
        assert_eq!(state.groups(), 1);
        assert_eq!(state.ids.len(), 2);
    }
}
