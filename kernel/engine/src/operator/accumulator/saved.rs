//! An accumulator's values as columns and back, bit for bit.

use polars::prelude::*;

use super::super::sum::CompensatedSum;
use super::{Cells, NO_DECIMAL, Spread, Values, known};

impl Cells {
    /// The values of some slots, in columns whose names begin with `name`.
    pub(crate) fn save(&self, slots: &[usize], name: &str) -> Vec<Column> {
        let name = |part: usize| PlSmallStr::from_string(format!("{name} {part}"));
        match &self.values {
            Values::Count(v) => vec![column(name(0), slots.iter().map(|s| v[*s]).collect::<Vec<u64>>())],
            Values::Sum(v) => vec![column(name(0), slots.iter().map(|s| v[*s]).collect::<Vec<i64>>())],
            Values::DecimalSum(v) => halves(name, slots.iter().map(|s| Some(v[*s]))),
            Values::FloatSum(v) => floats(name, slots.iter().map(|s| v[*s].parts())),
            Values::Mean(v) => floats(name, slots.iter().map(|s| with(v[*s].0.parts(), f64::from_bits(v[*s].1)))),
            Values::DecimalMean(v) => {
                let mut columns = halves(name, slots.iter().map(|s| Some(v[*s].0)));
                columns.push(column(name(2), slots.iter().map(|s| v[*s].1).collect::<Vec<u64>>()));
                columns
            }
            Values::Extreme(v) => vec![column(name(0), slots.iter().map(|s| v[*s]).collect::<Vec<Option<i64>>>())],
            Values::UnsignedExtreme(v) => {
                vec![column(name(0), slots.iter().map(|s| v[*s]).collect::<Vec<Option<u64>>>())]
            }
            Values::DecimalExtreme(v) => halves(name, slots.iter().map(|s| known(v[*s]))),
            Values::FloatExtreme(v) => {
                vec![column(name(0), slots.iter().map(|s| v[*s].map(f64::to_bits)).collect::<Vec<Option<u64>>>())]
            }
            Values::TextExtreme(v) => {
                vec![column(name(0), slots.iter().map(|s| v[*s].as_deref()).collect::<Vec<Option<&str>>>())]
            }
            Values::Spread(v) => floats(name, slots.iter().map(|s| [v[*s].count, v[*s].mean, v[*s].squares])),
        }
    }

    /// Puts the columns that [`Cells::save`] gave into the first slots.
    pub(crate) fn restore(&mut self, frame: &DataFrame, name: &str) -> PolarsResult<()> {
        let at = |part: usize| frame.column(&format!("{name} {part}"));
        let unsigned = |part: usize| PolarsResult::Ok(at(part)?.u64()?.iter());
        let float =
            |part: usize| PolarsResult::Ok(unsigned(part)?.map(|bits| f64::from_bits(bits.unwrap_or_default())));
        let whole = || -> PolarsResult<Vec<Option<i128>>> {
            let high = at(0)?.i64()?.iter();
            let of = |(high, low): (Option<i64>, Option<u64>)| Some((i128::from(high?) << 64) | i128::from(low?));
            Ok(high.zip(unsigned(1)?).map(of).collect())
        };
        match &mut self.values {
            Values::Count(v) => *v = unsigned(0)?.map(Option::unwrap_or_default).collect(),
            Values::Sum(v) => *v = at(0)?.i64()?.iter().map(Option::unwrap_or_default).collect(),
            Values::DecimalSum(v) => *v = whole()?.into_iter().map(Option::unwrap_or_default).collect(),
            Values::FloatSum(v) => {
                *v = float(0)?.zip(float(1)?).map(|(sum, lost)| CompensatedSum::from_parts([sum, lost])).collect();
            }
            Values::Mean(v) => {
                let sums = float(0)?.zip(float(1)?).map(|(sum, lost)| CompensatedSum::from_parts([sum, lost]));
                *v = sums.zip(unsigned(2)?.map(Option::unwrap_or_default)).collect();
            }
            Values::DecimalMean(v) => {
                let sums = whole()?.into_iter().map(Option::unwrap_or_default);
                *v = sums.zip(unsigned(2)?.map(Option::unwrap_or_default)).collect();
            }
            Values::Extreme(v) => *v = at(0)?.i64()?.iter().collect(),
            Values::UnsignedExtreme(v) => *v = unsigned(0)?.collect(),
            Values::DecimalExtreme(v) => *v = whole()?.into_iter().map(|value| value.unwrap_or(NO_DECIMAL)).collect(),
            Values::FloatExtreme(v) => *v = unsigned(0)?.map(|bits| bits.map(f64::from_bits)).collect(),
            Values::TextExtreme(v) => *v = at(0)?.str()?.iter().map(|text| text.map(str::to_owned)).collect(),
            Values::Spread(v) => {
                let parts = float(0)?.zip(float(1)?).zip(float(2)?);
                *v = parts.map(|((count, mean), squares)| Spread { count, mean, squares }).collect();
            }
        }
        Ok(())
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
