//! The first or the last row of a group, by time and position: what a value was there.

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::values::{Bytes, Value as _, cut_off};
use super::{Batch, Collector};
use crate::operator::columns::{decoded, encoded};
use crate::state::Sign;
use crate::state::cow_vec::CowVec;

/// The rows of all groups.
#[derive(Clone)]
pub(super) struct Edges {
    spec: Accumulator,
    rows: CowVec<Option<EdgeRow>>,
    heap: usize,
}

#[derive(Clone)]
struct EdgeRow {
    /// Its time and its position.
    at: (i64, i64),
    /// The value as Polars encodes it in a row.
    value: Bytes,
}

impl Edges {
    pub(super) fn new(spec: Accumulator) -> Edges {
        Edges { spec, rows: CowVec::default(), heap: 0 }
    }

    fn put(&mut self, slot: u32, row: EdgeRow) {
        self.heap += row.value.heap();
        if let Some(old) = self.rows.get_mut(slot as usize).replace(row) {
            self.heap -= old.value.heap();
        }
    }

    /// The field under which values are encoded. Floats go by their bits: encoding would take a zero's sign.
    fn field(&self) -> Field {
        let dtype = if self.spec.input_dtype.is_float() { DataType::UInt64 } else { self.spec.input_dtype.clone() };
        Field::new(PlSmallStr::EMPTY, dtype)
    }
}

impl Collector for Edges {
    fn grow(&mut self, slots: usize) {
        self.rows.grow(slots, || None);
    }

    fn clear(&mut self, slot: u32) {
        if let Some(row) = self.rows.get_mut(slot as usize).take() {
            self.heap -= row.value.heap();
        }
    }

    fn merge(&mut self, batch: &Batch<'_>) -> PolarsResult<()> {
        polars_ensure!(batch.sign == Sign::Added, ComputeError: "a first row is taken back, and the next one is not known");
        let [times, positions] =
            batch.order.ok_or_else(|| polars_err!(ComputeError: "a first row without an order"))?;
        let values = encoded(&[in_bits(batch.values)?], batch.values.len())?;
        let order = times.i64()?.iter().zip(positions.i64()?.iter());
        for (row, ((slot, at), value)) in batch.slots.iter().zip(order).zip(values.iter()).enumerate() {
            // As Polars sorts, rows without a time come first.
            let at = (at.0.unwrap_or(i64::MIN), at.1.unwrap_or_default());
            // Of rows at one place, those that come later are behind.
            let is_better = batch.counts(row)
                && self.rows.get(*slot as usize).as_ref().is_none_or(|held| match self.spec.function {
                    Function::First => at < held.at,
                    _ => at >= held.at,
                });
            if is_better {
                self.put(*slot, EdgeRow { at, value: Bytes::from_slice(value.unwrap_or_default()) });
            }
        }
        Ok(())
    }

    fn columns(&self, slots: &[u32]) -> PolarsResult<Vec<Column>> {
        let mut values: Vec<&[u8]> = Vec::with_capacity(slots.len());
        let mut places: Vec<Option<IdxSize>> = Vec::with_capacity(slots.len());
        for slot in slots {
            let row = self.rows.get(*slot as usize).as_ref();
            places.push(row.map(|_| values.len() as IdxSize));
            values.extend(row.map(|row| row.value.as_slice()));
        }
        let known = decoded(&values, &[self.field()])?;
        let known = known.first().ok_or_else(cut_off)?.take(&IdxCa::new(PlSmallStr::EMPTY, places))?;
        let series = out_of_bits(&known, &self.spec.input_dtype)?;
        super::slots::column(&self.spec, series)
    }

    fn write(&self, slot: u32, to: &mut Vec<u8>) {
        if let Some(row) = self.rows.get(slot as usize) {
            to.extend_from_slice(&row.at.0.to_le_bytes());
            to.extend_from_slice(&row.at.1.to_le_bytes());
            to.extend_from_slice(&row.value);
        }
    }

    fn read(&mut self, slot: u32, from: &[u8]) -> PolarsResult<()> {
        self.clear(slot);
        if from.is_empty() {
            return Ok(());
        }
        let (time, rest) = from.split_first_chunk().ok_or_else(cut_off)?;
        let (position, value) = rest.split_first_chunk().ok_or_else(cut_off)?;
        let at = (i64::from_le_bytes(*time), i64::from_le_bytes(*position));
        self.put(slot, EdgeRow { at, value: Bytes::from_slice(value) });
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.heap + self.rows.bytes()
    }

    fn frozen(&self) -> Box<dyn Collector> {
        Box::new(self.clone())
    }
}

fn in_bits(values: &Column) -> PolarsResult<Column> {
    if !values.dtype().is_float() {
        return Ok(values.clone());
    }
    let bits: UInt64Chunked = values.cast(&DataType::Float64)?.f64()?.iter().map(|v| v.map(f64::to_bits)).collect();
    Ok(bits.into_series().into())
}

fn out_of_bits(values: &Column, dtype: &DataType) -> PolarsResult<Series> {
    if !dtype.is_float() {
        return Ok(values.as_materialized_series().clone());
    }
    let floats: Float64Chunked = values.u64()?.iter().map(|v| v.map(f64::from_bits)).collect();
    Ok(floats.into_series())
}
