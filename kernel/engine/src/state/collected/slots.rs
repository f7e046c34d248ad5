//! Collections whose groups take in values, many at a time and in no order, one collection a slot.

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::values::{Physical, Value};
use super::{Batch, Collector};
use crate::state::Sign;
use crate::state::cow_vec::CowVec;

/// What one group has collected.
pub(super) trait SlotValues: Clone + Default + Send + Sync + 'static {
    /// The form in which it takes values.
    type Value: Value;

    /// Takes in values, and how many nulls there were.
    fn take(&mut self, items: &[<Self::Value as Value>::Item<'_>], nulls: usize, function: Function);
    /// Takes back values and nulls that came before. Only what is kept of rows that change can.
    fn retract(
        &mut self,
        _items: &[<Self::Value as Value>::Item<'_>],
        _nulls: usize,
        _function: Function,
    ) -> PolarsResult<()> {
        polars_bail!(ComputeError: "values are taken back from what keeps too little of them")
    }
    /// Memory that is not in the group itself.
    fn heap(&self) -> usize;
    /// The group as bytes.
    fn write(&self, to: &mut Vec<u8>);
    /// A group of those bytes.
    fn read(from: &[u8]) -> PolarsResult<Self>;
    /// What comes out of some groups.
    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>>;
}

/// The groups of a collection.
#[derive(Clone)]
pub(super) struct Slots<G> {
    spec: Accumulator,
    groups: CowVec<G>,
    heap: usize,
}

impl<G: SlotValues> Slots<G> {
    pub(super) fn new(spec: Accumulator) -> Slots<G> {
        Slots { spec, groups: CowVec::default(), heap: 0 }
    }
}

impl<G: SlotValues> Collector for Slots<G> {
    fn grow(&mut self, slots: usize) {
        self.groups.grow(slots, G::default);
    }

    fn clear(&mut self, slot: u32) {
        let group = std::mem::take(self.groups.get_mut(slot as usize));
        self.heap -= group.heap();
    }

    fn merge(&mut self, batch: &Batch<'_>) -> PolarsResult<()> {
        let physical = Physical::of(batch.values.as_materialized_series())?;
        let items = G::Value::items(&physical);
        let mut known = Vec::new();
        for rows in batch.grouped.chunk_by(|a, b| batch.slots[*a as usize] == batch.slots[*b as usize]) {
            known.clear();
            let mut nulls = 0;
            for row in rows.iter().map(|row| *row as usize).filter(|row| batch.counts(*row)) {
                match items[row] {
                    Some(item) => known.push(item),
                    None => nulls += 1,
                }
            }
            let Some(first) = rows.first() else { continue };
            let group = self.groups.get_mut(batch.slots[*first as usize] as usize);
            let before = group.heap();
            match batch.sign {
                Sign::Added => group.take(&known, nulls, self.spec.function),
                Sign::Subtracted => group.retract(&known, nulls, self.spec.function)?,
            }
            self.heap = self.heap + group.heap() - before;
        }
        Ok(())
    }

    fn columns(&self, slots: &[u32]) -> PolarsResult<Vec<Column>> {
        G::columns(&slots.iter().map(|slot| self.groups.get(*slot as usize)).collect::<Vec<_>>(), &self.spec)
    }

    fn write(&self, slot: u32, to: &mut Vec<u8>) {
        self.groups.get(slot as usize).write(to);
    }

    fn read(&mut self, slot: u32, from: &[u8]) -> PolarsResult<()> {
        self.clear(slot);
        let group = G::read(from)?;
        self.heap += group.heap();
        *self.groups.get_mut(slot as usize) = group;
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.heap + self.groups.bytes()
    }

    fn frozen(&self) -> Box<dyn Collector> {
        Box::new(self.clone())
    }
}

/// The error of what is to be taken back, and never came: the sums would be wrong from then on.
pub(super) fn taken_back() -> PolarsError {
    polars_err!(ComputeError: "an aggregation was to take back a value that it does not have")
}

/// A column under the accumulator's name and with its type.
pub(super) fn column(spec: &Accumulator, series: Series) -> PolarsResult<Vec<Column>> {
    Ok(vec![series.cast(&spec.dtype)?.with_name(spec.name.clone()).into()])
}

/// The columns of an accumulator's readings; `read` gives one of a group.
pub(super) fn readings<G>(
    groups: &[&G],
    spec: &Accumulator,
    read: impl Fn(&G, f64, QuantileMethod) -> Option<f64>,
) -> PolarsResult<Vec<Column>> {
    let column = |reading: &crate::physical::Quantile| {
        let values: Vec<Option<f64>> =
            groups.iter().map(|group| read(group, reading.quantile, reading.method)).collect();
        let series = in_steps(Series::new(reading.name.clone(), values), &spec.input_dtype)?;
        Ok(series.cast(&reading.dtype)?.into())
    };
    spec.readings.iter().map(column).collect()
}

/// Quantiles of times, which Polars counts in whole steps, and for dates in microseconds.
fn in_steps(values: Series, dtype: &DataType) -> PolarsResult<Series> {
    match dtype {
        DataType::Date => (values * 86_400_000_000.0).cast(&DataType::Int64),
        DataType::Datetime(_, _) | DataType::Duration(_) | DataType::Time => values.cast(&DataType::Int64),
        _ => Ok(values),
    }
}
