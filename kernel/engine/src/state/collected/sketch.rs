//! A sketch of a group's values, of which quantiles are read.

use crate::physical::{Accumulator, Function, QuantileSketch};
use polars::prelude::*;

use super::slots::{SlotValues, readings};
use super::values::{cut_off, float_of_word};

/// The sketch of a group.
#[derive(Clone, Default)]
pub(super) struct Sketch(QuantileSketch);

impl SlotValues for Sketch {
    type Value = u64;

    fn take(&mut self, items: &[u64], _: usize, _: Function) {
        items.iter().for_each(|word| self.0.add(float_of_word(*word)));
    }

    fn heap(&self) -> usize {
        size_of_val(self.0.buckets())
    }

    fn write(&self, to: &mut Vec<u8>) {
        for (bucket, count) in self.0.buckets() {
            to.extend_from_slice(&bucket.to_le_bytes());
            to.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn read(from: &[u8]) -> PolarsResult<Sketch> {
        let bucket = |bytes: &[u8]| {
            let (number, count) = bytes.split_at_checked(4)?;
            Some((i32::from_le_bytes(number.try_into().ok()?), u64::from_le_bytes(count.try_into().ok()?)))
        };
        let buckets = from.chunks(12).map(bucket).collect::<Option<Vec<_>>>().ok_or_else(cut_off)?;
        Ok(Sketch(QuantileSketch::from_buckets(buckets)))
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        readings(groups, spec, |sketch, quantile, _| sketch.0.quantile(quantile))
    }
}
