//! What was aggregated of some rows put together with what was aggregated of others.

use super::super::groups::rows::Groups;
use super::super::sum::{CompensatedSum, WideSum};
use super::{Cells, Spread, Values};
use crate::physical::Function;

impl Cells {
    /// Takes what each first slot has into the second, for which there is room.
    pub(crate) fn combine(&mut self, groups: &mut Groups, slots: &[(u32, u32)]) {
        let smallest = self.spec.function == Function::Min;
        let at = self.at;
        match &mut self.values {
            Values::Len | Values::Count => {
                each(groups, slots, at, |n: &mut u64, more| *n += more);
            }
            Values::Sum => each(groups, slots, at, |sum: &mut i64, more| *sum = sum.wrapping_add(more)),
            Values::DecimalSum(beyond) => {
                for (from, to) in slots {
                    let (sum, more) = (groups.get::<i128>(*to, at), groups.get::<i128>(*from, at));
                    match sum.checked_add(more).filter(|_| !groups.is_marked(*from, *beyond)) {
                        Some(sum) => groups.set(*to, at, sum),
                        None => drop(groups.mark(*to, *beyond)),
                    }
                }
            }
            Values::WideDecimalSum => each(groups, slots, at, WideSum::merge),
            Values::FloatSum => each(groups, slots, at, CompensatedSum::merge),
            Values::Mean => each(groups, slots, at, |(sum, count): &mut (CompensatedSum, u64), more: (_, u64)| {
                sum.merge(more.0);
                *count += more.1;
            }),
            Values::DecimalMean => {
                each(groups, slots, at, |(sum, count): &mut (WideSum, u64), more: (WideSum, u64)| {
                    sum.merge(more.0);
                    *count += more.1;
                })
            }
            Values::Spread => each(groups, slots, at, Spread::merge),
            Values::Extreme(flag) => {
                for (from, to) in slots {
                    if let Some(n) = groups.find::<i64>(*from, at, *flag) {
                        groups.keep(*to, at, *flag, n, |a, b| (a < b) == smallest);
                    }
                }
            }
            Values::UnsignedExtreme(flag) => {
                for (from, to) in slots {
                    if let Some(n) = groups.find::<u64>(*from, at, *flag) {
                        groups.keep(*to, at, *flag, n, |a, b| (a < b) == smallest);
                    }
                }
            }
            Values::DecimalExtreme(flag) => {
                for (from, to) in slots {
                    if let Some(n) = groups.find::<i128>(*from, at, *flag) {
                        groups.keep(*to, at, *flag, n, |a, b| (a < b) == smallest);
                    }
                }
            }
            Values::FloatExtreme(flag) => {
                for (from, to) in slots {
                    if let Some(n) = groups.find::<f64>(*from, at, *flag) {
                        groups.keep(*to, at, *flag, n, |a, b| b.is_nan() || (!a.is_nan() && (a < b) == smallest));
                    }
                }
            }
            Values::TextExtreme(v) => {
                for (from, to) in slots {
                    let (more, held) = (v.get(*from as usize), v.get(*to as usize));
                    let Some(text) = more else { continue };
                    if held.as_ref().is_none_or(|held| (text < held) == smallest && text != held) {
                        *v.get_mut(*to as usize) = Some(text.clone());
                    }
                }
            }
        }
    }
}

/// Merges the values of first slots into those of second ones.
fn each<T: super::Packed>(groups: &mut Groups, slots: &[(u32, u32)], at: usize, merge: impl Fn(&mut T, T)) {
    for (from, to) in slots {
        let more = groups.get::<T>(*from, at);
        groups.update(*to, at, |value: &mut T| merge(value, more));
    }
}
