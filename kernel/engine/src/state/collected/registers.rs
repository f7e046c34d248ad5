//! About how many different values a group has: the values' digests while they are few, then HyperLogLog's registers. Which of
//! the two, and what they hold, depends on the values alone and not on their order. After P. Flajolet and others,
//! "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm" (2007); the estimate is that of O. Ertl, "New
//! cardinality estimation algorithms for HyperLogLog sketches" (2017).

use std::marker::PhantomData;

use crate::physical::{Accumulator, Function};
use polars::prelude::*;

use super::slots::{SlotValues, column};
use super::values::{Value, cut_off};

/// The bits of a digest that choose a register. The standard error is 1.04 / sqrt(2^14), 0.8 %.
const CHOOSING: u32 = 14;
const REGISTERS: usize = 1 << CHOOSING;
/// The bits that are left, of which the zeros are counted.
const COUNTED: u32 = 64 - CHOOSING;
/// Digests that are kept before there are registers: they take half as much.
const FEW: usize = 1024;

/// The values of a group.
#[derive(Clone)]
pub(super) struct Registers<V> {
    held: Held,
    form: PhantomData<V>,
}

#[derive(Clone)]
enum Held {
    /// In order.
    Digests(Vec<u64>),
    Registers(Box<Dense>),
}

/// The registers, and how many there are with each value, of which the estimate is made.
#[derive(Clone)]
struct Dense {
    registers: [u8; REGISTERS],
    with: [u32; COUNTED as usize + 2],
}

impl<V> Default for Registers<V> {
    fn default() -> Self {
        Registers { held: Held::Digests(Vec::new()), form: PhantomData }
    }
}

impl<V: Value> SlotValues for Registers<V> {
    type Value = V;

    fn take(&mut self, items: &[V::Item<'_>], _: usize, _: Function) {
        items.iter().for_each(|item| self.held.add(V::digest(*item)));
    }

    fn heap(&self) -> usize {
        match &self.held {
            Held::Digests(digests) => digests.capacity() * size_of::<u64>(),
            Held::Registers(_) => size_of::<Dense>(),
        }
    }

    fn write(&self, to: &mut Vec<u8>) {
        match &self.held {
            Held::Digests(digests) => digests.iter().for_each(|digest| to.extend_from_slice(&digest.to_le_bytes())),
            Held::Registers(dense) => to.extend_from_slice(&dense.registers),
        }
    }

    fn read(from: &[u8]) -> PolarsResult<Self> {
        // Digests never take as much as registers do.
        let held = match <[u8; REGISTERS]>::try_from(from) {
            Ok(registers) if registers.iter().all(|register| u32::from(*register) <= COUNTED + 1) => {
                let mut dense = Dense::new();
                registers.iter().enumerate().for_each(|(at, register)| dense.raise(at, *register));
                Held::Registers(dense)
            }
            Ok(_) => return Err(cut_off()),
            Err(_) => Held::Digests(from.chunks(8).map(u64::from_bytes).collect::<PolarsResult<_>>()?),
        };
        Ok(Registers { held, form: PhantomData })
    }

    fn columns(groups: &[&Self], spec: &Accumulator) -> PolarsResult<Vec<Column>> {
        let counts: Vec<u64> = groups.iter().map(|group| group.held.estimate()).collect();
        column(spec, Series::new(spec.name.clone(), counts))
    }
}

impl Held {
    fn add(&mut self, digest: u64) {
        match self {
            Held::Registers(dense) => dense.add(digest),
            Held::Digests(digests) => {
                let Err(at) = digests.binary_search(&digest) else { return };
                digests.insert(at, digest);
                if digests.len() > FEW {
                    let mut dense = Dense::new();
                    digests.iter().for_each(|digest| dense.add(*digest));
                    *self = Held::Registers(dense);
                }
            }
        }
    }

    fn estimate(&self) -> u64 {
        match self {
            Held::Digests(digests) => digests.len() as u64,
            Held::Registers(dense) => dense.estimate(),
        }
    }
}

impl Dense {
    fn new() -> Box<Dense> {
        let mut with = [0; COUNTED as usize + 2];
        with[0] = REGISTERS as u32;
        Box::new(Dense { registers: [0; REGISTERS], with })
    }

    fn add(&mut self, digest: u64) {
        let at = (digest as usize) & (REGISTERS - 1);
        let zeros = ((digest >> CHOOSING) | (1 << COUNTED)).trailing_zeros();
        self.raise(at, zeros as u8 + 1);
    }

    fn raise(&mut self, at: usize, value: u8) {
        let held = self.registers[at];
        if value > held {
            self.with[held as usize] -= 1;
            self.with[value as usize] += 1;
            self.registers[at] = value;
        }
    }

    fn estimate(&self) -> u64 {
        let all = REGISTERS as f64;
        let share = |value: usize| f64::from(self.with[value]) / all;
        let highest = COUNTED as usize + 1;
        let mut sum = all * tau(1.0 - share(highest));
        for value in (1..highest).rev() {
            sum = (sum + f64::from(self.with[value])) * 0.5;
        }
        sum += all * sigma(share(0));
        (all * all / (2.0 * std::f64::consts::LN_2 * sum)).round() as u64
    }
}

/// What registers that are still zero add: `x + x²·1 + x⁴·2 + x⁸·4 + …`.
fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut weight, mut sum) = (x, 1.0, x);
    loop {
        power *= power;
        let before = sum;
        sum += power * weight;
        weight += weight;
        if sum == before {
            return sum;
        }
    }
}

/// What registers that are full take away.
fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (x, 1.0, 1.0 - x);
    loop {
        root = root.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - root) * (1.0 - root) * weight;
        if sum == before {
            return sum / 3.0;
        }
    }
}
