//! Columns that the operators add to rows for themselves, and what they are made of: keys, positions. Names that no one else
//! gives a column.

use polars::chunked_array::ops::row_encode::{encode_rows_unordered, row_encoding_decode};
use polars::prelude::*;
use polars_arrow::array::BinaryArray;

/// A window's start.
pub(crate) const START: &str = "__corriente_start";
/// The first time after a window.
pub(crate) const END: &str = "__corriente_end";
/// Where a row stands in its partition, and which partition that is.
pub(crate) const POSITION: &str = "__corriente_position";
/// The place of a row in its batch.
pub(crate) const ROW: &str = "__corriente_row";
/// Rows.
pub(crate) const COUNT: &str = "__corriente_count";
/// The number of a group among those that are aggregated together.
pub(crate) const GROUP: &str = "__corriente_group";
/// Keys in one value.
pub(crate) const KEY: &str = "__corriente_key";

/// The name of a key's column.
pub(crate) fn key(number: usize) -> PlSmallStr {
    PlSmallStr::from_string(format!("__corriente_key_{number}"))
}

/// The keys of each row in one value; rows without keys have an empty one.
pub(crate) fn encoded(keys: &[Column], height: usize) -> PolarsResult<BinaryOffsetChunked> {
    if keys.is_empty() {
        return Ok(binary(&vec![&[][..]; height]));
    }
    encode_rows_unordered(keys)
}

/// The keys' columns again, by the names and types of `fields`.
pub(crate) fn decoded(keys: &[&[u8]], fields: &[Field]) -> PolarsResult<Vec<Column>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let rows = binary(keys);
    let options = vec![RowEncodingOptions::new_unsorted(); fields.len()];
    let decoded = row_encoding_decode(&rows, fields, &options)?;
    Ok(decoded.fields_as_series().into_iter().map(Column::from).collect())
}

fn binary(values: &[&[u8]]) -> BinaryOffsetChunked {
    BinaryOffsetChunked::with_chunk(PlSmallStr::EMPTY, BinaryArray::<i64>::from_slice(values))
}

/// The keys under the names of their columns, [`key`].
pub(crate) fn named_keys(keys: &[Expr]) -> Vec<Expr> {
    keys.iter().enumerate().map(|(n, expr)| expr.clone().alias(key(n))).collect()
}

/// The windows of rows; rows without windows are all in one that never ends.
pub(crate) struct Bounds(Option<(Int64Chunked, Int64Chunked)>);

impl Bounds {
    /// Those in the columns [`START`] and [`END`], where there are windows.
    pub(crate) fn of(rows: &DataFrame, windowed: bool) -> PolarsResult<Bounds> {
        Ok(Bounds(if windowed { Some((integers(rows, START)?, integers(rows, END)?)) } else { None }))
    }

    /// The start and the end of a row's window.
    pub(crate) fn at(&self, row: usize) -> (i64, i64) {
        let of = |times: &Int64Chunked| times.get(row).unwrap_or_default();
        self.0.as_ref().map_or((0, i64::MAX), |(starts, ends)| (of(starts), of(ends)))
    }
}

/// The keys as the columns [`key`] of some rows.
pub(crate) fn keys_of(rows: &DataFrame, count: usize) -> PolarsResult<Vec<Column>> {
    (0..count).map(|n| rows.column(&key(n)).cloned()).collect()
}

/// A column's values as 64-bit integers: times in their own unit.
pub(crate) fn integers(rows: &DataFrame, name: &str) -> PolarsResult<Int64Chunked> {
    rows.column(name)?.to_physical_repr().i64().cloned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_come_back_as_they_went() {
        let frame = df![
            "text" => [Some("a"), None, Some("")], "number" => [Some(1i64), Some(-5), None], "float" => [0.5, f64::NAN, -0.0],
        ];
        let frame = frame.unwrap().lazy().with_columns([
            col("number").cast(DataType::Datetime(TimeUnit::Milliseconds, None)).alias("time"),
            col("float").cast(DataType::Decimal(38, 2)).alias("decimal"),
            col("number").gt(lit(0)).alias("boolean"),
        ]);
        let frame = frame.filter(col("float").is_not_nan()).collect().unwrap();
        let rows = encoded(frame.columns(), frame.height()).unwrap();
        let keys: Vec<&[u8]> = rows.iter().map(Option::unwrap).collect();
        let fields: Vec<Field> =
            frame.schema().iter().map(|(name, dtype)| Field::new(name.clone(), dtype.clone())).collect();
        let back = DataFrame::new(2, decoded(&keys, &fields).unwrap()).unwrap();
        assert!(back.equals_missing(&frame), "{back}\n{frame}");
        assert_eq!(back.schema(), frame.schema());
    }
}
