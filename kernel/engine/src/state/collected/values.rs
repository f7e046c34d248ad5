//! Values in forms that compare and hash as they do in Polars: every NaN is one and the largest, zero has no sign, text goes
//! by its bytes. Numbers, booleans and times take 64 bits; decimals and text lie in bytes.

use std::cmp::Ordering;

use polars::prelude::*;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

/// Text and decimals, short ones in place.
pub(super) type Bytes = SmallVec<[u8; 16]>;

/// Whether values of a type need more than 64 bits.
pub(super) fn is_wide(dtype: &DataType) -> bool {
    matches!(dtype, DataType::String | DataType::Binary | DataType::Decimal(_, _))
}

/// A form of values.
pub(super) trait Value: Clone + Send + Sync + 'static {
    /// A value that lies somewhere else.
    type Item<'a>: Copy;
    /// The values of a series that is in `physical` form.
    fn items(physical: &Physical) -> Vec<Option<Self::Item<'_>>>;
    /// A value to keep.
    fn kept(item: Self::Item<'_>) -> Self;
    /// What is kept.
    fn item(&self) -> Self::Item<'_>;
    /// The order of two values.
    fn compare(a: Self::Item<'_>, b: Self::Item<'_>) -> Ordering;
    /// A value's bytes, which are the same in every version and on every machine.
    fn with_bytes<T>(item: Self::Item<'_>, take: impl FnOnce(&[u8]) -> T) -> T;
    /// A value of those bytes.
    fn from_bytes(bytes: &[u8]) -> PolarsResult<Self>;
    /// Memory that is not in the value itself.
    fn heap(&self) -> usize;
    /// Values as a series of their own type.
    fn series(items: &[Self::Item<'_>], dtype: &DataType) -> PolarsResult<Series>;

    /// Whether a value that came of a float is NaN.
    fn is_nan(_: Self::Item<'_>) -> bool {
        false
    }

    /// A number that is as good as random, and the same for the same value.
    fn digest(item: Self::Item<'_>) -> u64 {
        Self::with_bytes(item, xxh3_64)
    }
}

/// A series in a form of which values can be taken.
pub(super) enum Physical {
    Words(Vec<Option<u64>>),
    Bytes(BinaryChunked),
}

impl Physical {
    pub(super) fn of(series: &Series) -> PolarsResult<Physical> {
        Ok(match series.dtype() {
            DataType::String => Physical::Bytes(series.str()?.as_binary()),
            DataType::Binary => Physical::Bytes(series.binary()?.clone()),
            DataType::Decimal(_, _) => {
                let decimals = series.decimal()?.physical().iter();
                let bytes = decimals.map(|value| Some((value? as u128 ^ (1 << 127)).to_be_bytes()));
                Physical::Bytes(bytes.collect())
            }
            dtype if dtype.is_float() => {
                Physical::Words(series.cast(&DataType::Float64)?.f64()?.iter().map(|v| v.map(word_of_float)).collect())
            }
            DataType::UInt64 => Physical::Words(series.u64()?.iter().collect()),
            _ => {
                let whole = series.to_physical_repr().cast(&DataType::Int64)?;
                Physical::Words(whole.i64()?.iter().map(|v| Some(v?.cast_unsigned() ^ SIGN)).collect())
            }
        })
    }
}

impl Value for u64 {
    type Item<'a> = u64;

    fn items(physical: &Physical) -> Vec<Option<u64>> {
        match physical {
            Physical::Words(words) => words.clone(),
            Physical::Bytes(_) => Vec::new(),
        }
    }

    fn kept(item: u64) -> u64 {
        item
    }

    fn item(&self) -> u64 {
        *self
    }

    fn compare(a: u64, b: u64) -> Ordering {
        a.cmp(&b)
    }

    fn with_bytes<T>(item: u64, take: impl FnOnce(&[u8]) -> T) -> T {
        take(&item.to_le_bytes())
    }

    fn is_nan(item: u64) -> bool {
        item == NAN
    }

    fn from_bytes(bytes: &[u8]) -> PolarsResult<u64> {
        bytes.try_into().map(u64::from_le_bytes).map_err(|_| cut_off())
    }

    fn heap(&self) -> usize {
        0
    }

    fn series(items: &[u64], dtype: &DataType) -> PolarsResult<Series> {
        let name = PlSmallStr::EMPTY;
        let series = match dtype {
            dtype if dtype.is_float() => {
                Series::new(name, items.iter().copied().map(float_of_word).collect::<Vec<f64>>())
            }
            DataType::UInt64 => Series::new(name, items),
            _ => {
                let whole = Series::new(name, items.iter().map(|v| (v ^ SIGN).cast_signed()).collect::<Vec<i64>>());
                whole.cast(&dtype.to_physical())?
            }
        };
        series.cast(dtype)
    }
}

impl Value for Bytes {
    type Item<'a> = &'a [u8];

    fn items(physical: &Physical) -> Vec<Option<&[u8]>> {
        match physical {
            Physical::Bytes(bytes) => bytes.iter().collect(),
            Physical::Words(_) => Vec::new(),
        }
    }

    fn kept(item: &[u8]) -> Bytes {
        Bytes::from_slice(item)
    }

    fn item(&self) -> &[u8] {
        self
    }

    fn compare(a: &[u8], b: &[u8]) -> Ordering {
        a.cmp(b)
    }

    fn with_bytes<T>(item: &[u8], take: impl FnOnce(&[u8]) -> T) -> T {
        take(item)
    }

    fn from_bytes(bytes: &[u8]) -> PolarsResult<Bytes> {
        Ok(Bytes::from_slice(bytes))
    }

    fn heap(&self) -> usize {
        if self.spilled() { self.capacity() } else { 0 }
    }

    fn series(items: &[&[u8]], dtype: &DataType) -> PolarsResult<Series> {
        if let DataType::Decimal(precision, scale) = dtype {
            let whole = |bytes: &&[u8]| Some((u128::from_be_bytes((*bytes).try_into().ok()?) ^ (1 << 127)) as i128);
            let whole: Int128Chunked = items.iter().map(whole).collect();
            return Ok(whole.into_decimal(*precision, *scale)?.into_series());
        }
        Series::new(PlSmallStr::EMPTY, items).cast(dtype)
    }
}

const SIGN: u64 = 1 << 63;
/// What stands for NaN.
const NAN: u64 = u64::MAX;

/// A float as a number that orders as floats do.
fn word_of_float(value: f64) -> u64 {
    if value.is_nan() {
        return NAN;
    }
    // Adding zero takes its sign.
    let bits = (value + 0.0).to_bits();
    if bits & SIGN == 0 { bits ^ SIGN } else { !bits }
}

/// The float of [`word_of_float`].
pub(super) fn float_of_word(word: u64) -> f64 {
    f64::from_bits(if word & SIGN == 0 { !word } else { word ^ SIGN })
}

/// Puts bytes down so that [`each_piece`] finds where they end.
pub(super) fn write_piece(piece: &[u8], to: &mut Vec<u8>) {
    to.extend_from_slice(&(piece.len() as u64).to_le_bytes());
    to.extend_from_slice(piece);
}

/// Gives the pieces again, in order.
pub(super) fn each_piece(mut from: &[u8], mut take: impl FnMut(&[u8]) -> PolarsResult<()>) -> PolarsResult<()> {
    while !from.is_empty() {
        let (length, rest) = from.split_at_checked(8).ok_or_else(cut_off)?;
        let length = u64::from_bytes(length)? as usize;
        let (piece, rest) = rest.split_at_checked(length).ok_or_else(cut_off)?;
        take(piece)?;
        from = rest;
    }
    Ok(())
}

/// The error of saved bytes that end too soon.
pub(super) fn cut_off() -> PolarsError {
    polars_err!(ComputeError: "the saved values of an aggregation are cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_order_as_in_polars_and_come_back() {
        let floats = [f64::NEG_INFINITY, -1.5, -f64::MIN_POSITIVE, 0.0, 5e-324, 2.0, f64::INFINITY, f64::NAN];
        let words = floats.map(word_of_float);
        assert!(words.is_sorted());
        let back = words.map(float_of_word);
        assert!(back.iter().zip(floats).all(|(a, b)| *a == b || (a.is_nan() && b.is_nan())), "{back:?}");
        assert_eq!(word_of_float(-0.0), word_of_float(0.0));
        assert_eq!(word_of_float(-f64::NAN), word_of_float(f64::NAN));
    }
}
