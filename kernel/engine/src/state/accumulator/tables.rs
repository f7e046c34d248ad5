//! An accumulator's values as columns and back, bit for bit.

use polars::prelude::*;

use super::super::groups::rows::Groups;
use super::super::groups::words::Packed;
use super::super::sum::{CompensatedSum, WideSum};
use super::{Cells, Spread, Values};

impl Cells {
    /// The values of some groups, in columns whose names begin with `name`. `groups` has what lies in rows under `rows`; what lies
    /// beside them is here, in `slots`.
    pub(crate) fn save(&self, groups: &Groups, rows: &[u32], slots: &[u32], name: &str) -> Vec<Column> {
        let name = |part: usize| PlSmallStr::from_string(format!("{name} {part}"));
        match &self.values {
            Values::Len | Values::Count => vec![column(name(0), self.all::<u64>(groups, rows))],
            Values::Sum => vec![column(name(0), self.all::<i64>(groups, rows))],
            Values::DecimalSum(beyond) => {
                let sums = rows.iter().zip(self.each(groups, rows));
                halves(name, sums.map(|(slot, sum)| (!groups.is_marked(*slot, *beyond)).then_some(sum)))
            }
            Values::WideDecimalSum => {
                let of = self.all::<WideSum>(groups, rows);
                let mut columns = halves(name, of.iter().map(|sum| Some(sum.parts().0)));
                columns.push(column(name(2), of.iter().map(|sum| sum.parts().1).collect::<Vec<i64>>()));
                columns
            }
            Values::FloatSum => floats(name, self.each(groups, rows).map(|sum: CompensatedSum| sum.parts())),
            Values::Mean => {
                let parts = |(sum, n): (CompensatedSum, u64)| with(sum.parts(), f64::from_bits(n));
                floats(name, self.each(groups, rows).map(parts))
            }
            Values::DecimalMean => {
                let of = self.all::<(WideSum, u64)>(groups, rows);
                let mut columns = halves(name, of.iter().map(|(sum, _)| Some(sum.parts().0)));
                columns.push(column(name(2), of.iter().map(|(_, n)| *n).collect::<Vec<u64>>()));
                columns.push(column(name(3), of.iter().map(|(sum, _)| sum.parts().1).collect::<Vec<i64>>()));
                columns
            }
            Values::Extreme(flag) => vec![column(name(0), self.known::<i64>(groups, rows, *flag))],
            Values::UnsignedExtreme(flag) => vec![column(name(0), self.known::<u64>(groups, rows, *flag))],
            Values::DecimalExtreme(flag) => halves(name, self.known::<i128>(groups, rows, *flag).into_iter()),
            Values::FloatExtreme(flag) => {
                let bits = self.known::<f64>(groups, rows, *flag).into_iter().map(|value| value.map(f64::to_bits));
                vec![column(name(0), bits.collect::<Vec<Option<u64>>>())]
            }
            Values::TextExtreme(v) => {
                let texts = slots.iter().map(|slot| v.get(*slot as usize).as_deref());
                vec![column(name(0), texts.collect::<Vec<Option<&str>>>())]
            }
            Values::Spread => {
                let parts = |spread: Spread| [spread.count, spread.mean, spread.squares];
                floats(name, self.each(groups, rows).map(parts))
            }
        }
    }

    /// Puts the columns that [`Cells::save`] gave into slots, one a row.
    pub(crate) fn restore(
        &mut self,
        groups: &mut Groups,
        slots: &[u32],
        frame: &DataFrame,
        name: &str,
    ) -> PolarsResult<()> {
        let at = |part: usize| frame.column(&format!("{name} {part}"));
        let unsigned = |part: usize| PolarsResult::Ok(at(part)?.u64()?.iter());
        let float =
            |part: usize| PolarsResult::Ok(unsigned(part)?.map(|bits| f64::from_bits(bits.unwrap_or_default())));
        let whole = || -> PolarsResult<Vec<Option<i128>>> {
            let high = at(0)?.i64()?.iter();
            let of = |(high, low): (Option<i64>, Option<u64>)| Some((i128::from(high?) << 64) | i128::from(low?));
            Ok(high.zip(unsigned(1)?).map(of).collect())
        };
        let sums =
            || PolarsResult::Ok(float(0)?.zip(float(1)?).map(|(sum, lost)| CompensatedSum::from_parts([sum, lost])));
        let first = self.at;
        match &mut self.values {
            Values::Len | Values::Count => put(groups, slots, first, unsigned(0)?.map(Option::unwrap_or_default)),
            Values::Sum => put(groups, slots, first, at(0)?.i64()?.iter().map(Option::unwrap_or_default)),
            Values::DecimalSum(beyond) => {
                for (slot, sum) in slots.iter().zip(whole()?) {
                    match sum {
                        Some(sum) => groups.set(*slot, first, sum),
                        None => {
                            groups.mark(*slot, *beyond);
                        }
                    }
                }
            }
            Values::WideDecimalSum => {
                let lows = whole()?.into_iter().map(Option::unwrap_or_default);
                let highs = at(2)?.i64()?.iter().map(Option::unwrap_or_default);
                put(groups, slots, first, lows.zip(highs).map(WideSum::from_parts));
            }
            Values::FloatSum => put(groups, slots, first, sums()?),
            Values::Mean => {
                put(groups, slots, first, sums()?.zip(unsigned(2)?.map(Option::unwrap_or_default)));
            }
            Values::DecimalMean => {
                let lows = whole()?.into_iter().map(Option::unwrap_or_default);
                let highs = at(3)?.i64()?.iter().map(Option::unwrap_or_default);
                let sums = lows.zip(highs).map(WideSum::from_parts);
                put(groups, slots, first, sums.zip(unsigned(2)?.map(Option::unwrap_or_default)));
            }
            Values::Extreme(flag) => each_known(slots, at(0)?.i64()?.iter(), |slot, value| {
                groups.keep(slot, first, *flag, value, |_, _| true);
            }),
            Values::UnsignedExtreme(flag) => each_known(slots, unsigned(0)?, |slot, value| {
                groups.keep(slot, first, *flag, value, |_, _| true);
            }),
            Values::DecimalExtreme(flag) => each_known(slots, whole()?.into_iter(), |slot, value| {
                groups.keep(slot, first, *flag, value, |_, _| true);
            }),
            Values::FloatExtreme(flag) => each_known(slots, unsigned(0)?, |slot, bits| {
                groups.keep(slot, first, *flag, f64::from_bits(bits), |_, _| true);
            }),
            Values::TextExtreme(v) => {
                for (slot, text) in slots.iter().zip(at(0)?.str()?.iter()) {
                    *v.get_mut(*slot as usize) = text.map(str::to_owned);
                }
            }
            Values::Spread => {
                let parts = float(0)?.zip(float(1)?).zip(float(2)?);
                let spreads = parts.map(|((count, mean), squares)| Spread { count, mean, squares });
                put(groups, slots, first, spreads);
            }
        }
        Ok(())
    }
}

fn put<T: Packed>(groups: &mut Groups, slots: &[u32], at: usize, values: impl Iterator<Item = T>) {
    slots.iter().zip(values).for_each(|(slot, value)| groups.set(*slot, at, value));
}

fn each_known<T>(slots: &[u32], values: impl Iterator<Item = Option<T>>, mut put: impl FnMut(u32, T)) {
    for (slot, value) in slots.iter().zip(values) {
        if let Some(value) = value {
            put(*slot, value);
        }
    }
}

fn column<T, P: ?Sized>(name: PlSmallStr, values: T) -> Column
where
    Series: NamedFrom<T, P>,
{
    Series::new(name, values).into()
}

fn with([a, b]: [f64; 2], c: f64) -> [f64; 3] {
    [a, b, c]
}

/// Floats by their bits, so that every NaN and zero stays what it was.
fn floats<const N: usize>(name: impl Fn(usize) -> PlSmallStr, rows: impl Iterator<Item = [f64; N]>) -> Vec<Column> {
    let mut columns = vec![Vec::new(); N];
    for row in rows {
        columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value.to_bits()));
    }
    columns.into_iter().enumerate().map(|(part, values)| column(name(part), values)).collect()
}

/// 128-bit integers in halves.
fn halves(name: impl Fn(usize) -> PlSmallStr, values: impl Iterator<Item = Option<i128>>) -> Vec<Column> {
    let (mut high, mut low) = (Vec::new(), Vec::new());
    for value in values {
        high.push(value.map(|value| (value >> 64) as i64));
        low.push(value.map(|value| value as u64));
    }
    vec![column(name(0), high), column(name(1), low)]
}
