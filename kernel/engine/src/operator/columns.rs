//! Columns that the operators add to rows for themselves, and what they are made of: keys, positions. They have names that no one
//! else may give a column.

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
/// Which of a batch's parts a row came in.
pub(crate) const PART: &str = "__corriente_part";
/// Rows.
pub(crate) const COUNT: &str = "__corriente_count";
/// The number of a group among those that are aggregated together.
pub(crate) const GROUP: &str = "__corriente_group";
/// Whether something has met a row.
pub(crate) const MET: &str = "__corriente_met";
/// Keys in one value.
pub(crate) const KEY: &str = "__corriente_key";

/// Refuses a column of a person's that has a name of ours. Those of the sides of a join are columns of a plan.
pub(crate) fn check_name(name: &PlSmallStr) -> PolarsResult<()> {
    const NUMBERED: [&str; 4] = ["group_key_", "input_", "accumulator_", "collected_"];
    const OTHERS: [&str; 3] = ["gone", "all", "place"];
    let is_ours = [START, END, POSITION, ROW, COUNT, GROUP, MET, KEY].contains(&name.as_str())
        || name
            .strip_prefix("__corriente_")
            .is_some_and(|rest| OTHERS.contains(&rest) || NUMBERED.iter().any(|numbered| rest.starts_with(numbered)));
    polars_ensure!(
        !is_ours,
        Duplicate: "a column is called \"{name}\", as Corriente calls one of its own. Give it another name with rename([\"{name}\"], […])"
    );
    Ok(())
}

/// The name of a key's column.
pub(crate) fn key(number: usize) -> PlSmallStr {
    PlSmallStr::from_string(format!("__corriente_group_key_{number}"))
}

/// The keys of each row in one value; rows without keys have an empty one. Such a value outlives the process in a checkpoint, so
/// it has categories by their text: a category's code is another one in each process.
pub(crate) fn encoded(keys: &[Column], height: usize) -> PolarsResult<BinaryOffsetChunked> {
    if keys.is_empty() {
        return Ok(binary(&vec![&[][..]; height]));
    }
    if !keys.iter().any(|key| has_codes(key.dtype())) {
        return encode_rows_unordered(keys);
    }
    let texts: Vec<Column> = keys.iter().map(|key| key.cast(&by_text(key.dtype()))).collect::<PolarsResult<_>>()?;
    encode_rows_unordered(&texts)
}

/// Which rows lack one of their keys.
pub(crate) struct NullKeys(Vec<BooleanChunked>);

impl NullKeys {
    pub(crate) fn of(keys: &[Column]) -> NullKeys {
        NullKeys(keys.iter().filter(|key| key.null_count() > 0).map(|key| key.is_null()).collect())
    }

    pub(crate) fn has(&self, row: usize) -> bool {
        self.0.iter().any(|nulls| nulls.get(row) == Some(true))
    }
}

/// The keys' columns again, by the names and types of `fields`: those that the keys were encoded from. Bytes of other types
/// would be read as what they are not, which [`kept_as`] keeps from happening.
pub(crate) fn decoded(keys: &[&[u8]], fields: &[Field]) -> PolarsResult<Vec<Column>> {
    if fields.is_empty() {
        return Ok(Vec::new());
    }
    let rows = binary(keys);
    let options = vec![RowEncodingOptions::new_unsorted(); fields.len()];
    let encoded: Vec<Field> = fields.iter().map(|f| Field::new(f.name().clone(), by_text(f.dtype()))).collect();
    let decoded = row_encoding_decode(&rows, &encoded, &options)?.fields_as_series();
    let typed = |(series, field): (Series, &Field)| match has_codes(field.dtype()) {
        true => Ok(Column::from(series.strict_cast(field.dtype())?)),
        false => Ok(Column::from(series)),
    };
    decoded.into_iter().zip(fields).map(typed).collect()
}

/// Whether values of a type are codes that mean something in one process only.
fn has_codes(dtype: &DataType) -> bool {
    match dtype {
        DataType::Categorical(..) | DataType::Enum(..) => true,
        DataType::List(inner) => has_codes(inner),
        DataType::Struct(fields) => fields.iter().any(|field| has_codes(field.dtype())),
        _ => false,
    }
}

/// The type with text in the place of codes.
fn by_text(dtype: &DataType) -> DataType {
    match dtype {
        DataType::Categorical(..) | DataType::Enum(..) => DataType::String,
        DataType::List(inner) => DataType::List(Box::new(by_text(inner))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| Field::new(f.name().clone(), by_text(f.dtype()))).collect())
        }
        dtype => dtype.clone(),
    }
}

/// The name of the column that has encoded keys in a written state. It says which types they were encoded from, so that a state
/// of other types has no such column, and its bytes are not decoded.
pub(crate) fn kept_as<'a>(dtypes: impl IntoIterator<Item = &'a DataType>) -> PlSmallStr {
    let types: Vec<String> = dtypes.into_iter().map(|dtype| word(&by_text(dtype))).collect();
    PlSmallStr::from_string(format!("{KEY} {}", types.join(", ")))
}

/// A type in words, those with parts in our own: Polars' may change from one version to the next.
fn word(dtype: &DataType) -> String {
    match dtype {
        DataType::Decimal(precision, scale) => format!("decimal({precision}, {scale})"),
        DataType::Datetime(unit, zone) => {
            format!("datetime({}, {})", unit.to_ascii(), zone.as_ref().map_or("", |zone| zone.as_str()))
        }
        DataType::Duration(unit) => format!("duration({})", unit.to_ascii()),
        DataType::List(inner) => format!("list({})", word(inner)),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.name(), word(f.dtype()))).collect();
            format!("struct({})", fields.join(", "))
        }
        dtype => dtype.to_string(),
    }
}

/// The encoded keys of a written state.
pub(crate) fn kept_keys<'a>(saved: &'a DataFrame, name: &str) -> PolarsResult<&'a BinaryChunked> {
    let Ok(keys) = saved.column(name) else {
        let theirs = saved.get_column_names().into_iter().find(|column| column.starts_with(KEY));
        let types = |name: &str| name.strip_prefix(KEY).unwrap_or(name).trim().to_owned();
        polars_bail!(
            SchemaMismatch: "the saved state has keys of the types [{}], and this query has keys of the types [{}]. Start it with another checkpoint",
            theirs.map_or_else(String::new, |name| types(name)), types(name)
        );
    };
    keys.binary()
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

    fn only_row(frame: &DataFrame) -> Vec<u8> {
        encoded(frame.columns(), 1).unwrap().get(0).unwrap().to_vec()
    }

    #[test]
    fn a_category_is_its_text_also_within_lists_and_structs() {
        let category = DataType::from_categories(Categories::global());
        let text = df!["plain" => ["food"]].unwrap().lazy().with_columns([
            concat_list([col("plain")]).unwrap().alias("list"),
            as_struct(vec![col("plain").alias("inner")]).alias("struct"),
        ]);
        let text = text.collect().unwrap();
        let inner = DataType::Struct(vec![Field::new("inner".into(), category.clone())]);
        let cast = [
            col("plain").cast(category.clone()),
            col("list").cast(DataType::List(Box::new(category))),
            col("struct").cast(inner),
        ];
        let coded = text.clone().lazy().select(cast).collect().unwrap();
        let key = only_row(&coded);
        assert_eq!(key, only_row(&text));
        let fields: Vec<Field> = coded.schema().iter_fields().collect();
        let back = DataFrame::new(1, decoded(&[&key], &fields).unwrap()).unwrap();
        assert_eq!(back.schema(), coded.schema());
        assert!(back.equals_missing(&coded), "{back}\n{coded}");
    }

    #[test]
    fn keys_of_other_types_are_refused_before_they_are_decoded() {
        let name = kept_as(&[DataType::Int64, DataType::Decimal(38, 2)]);
        let saved = df![name.as_str() => [&b"bytes"[..]]].unwrap();
        assert!(kept_keys(&saved, &name).is_ok());
        let refused = kept_keys(&saved, &kept_as(&[DataType::String])).unwrap_err().to_string();
        assert!(refused.contains("[i64, decimal(38, 2)]") && refused.contains("[str]"), "{refused}");
    }
}
