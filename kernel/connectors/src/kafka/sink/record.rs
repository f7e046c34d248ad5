//! A row as a record: the value is a JSON object of all its columns, the key is of those that were named. Functions of
//! values. What is written here reads back with [`Json`](crate::Json) into the same types.

use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta};
use engine::SinkError;
use polars::prelude::{AnyValue, Column, DataFrame, DataType, PlSmallStr, Schema, TimeUnit};
use serde::Serialize;

/// Whether rows of these columns can be records.
///
/// # Errors
/// When a key's column is not there, or JSON has no form for a column.
pub(super) fn check(schema: &Schema, key: &[String]) -> Result<(), SinkError> {
    if let Some(name) = key.iter().find(|name| !schema.contains(name)) {
        let names: Vec<String> = schema.iter_names().map(|name| format!("\"{name}\"")).collect();
        return Err(SinkError {
            fact: format!("the records cannot have the key \"{name}\""),
            detail: format!("the result has no column \"{name}\"; it has {}", names.join(", ")),
            hint: "Choose one of these, or leave the key out.".to_owned(),
            retry: false,
        });
    }
    match schema.iter().find(|(_, dtype)| !is_writable(dtype)) {
        None => Ok(()),
        Some((name, dtype)) => Err(SinkError {
            fact: format!("the column \"{name}\" cannot be written as JSON"),
            detail: format!("it has the type {dtype}, for which JSON has no form"),
            hint: "Cast it, or leave it out with .drop(…).".to_owned(),
            retry: false,
        }),
    }
}

fn is_writable(dtype: &DataType) -> bool {
    match dtype {
        DataType::Binary | DataType::BinaryOffset | DataType::Unknown(_) => false,
        DataType::List(inner) => is_writable(inner),
        DataType::Struct(fields) => fields.iter().all(|field| is_writable(field.dtype())),
        _ => true,
    }
}

/// Hands the key and the value of each row to `send`, in the order of the rows.
///
/// # Errors
/// The first of `send`.
pub(super) fn each<E>(
    rows: &DataFrame,
    key: &[String],
    mut send: impl FnMut(Option<&[u8]>, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    if rows.height() == 0 {
        return Ok(());
    }
    let names: Vec<&PlSmallStr> = rows.columns().iter().map(Column::name).collect();
    let key: Vec<usize> = key.iter().filter_map(|name| rows.get_column_index(name)).collect();
    let mut columns: Vec<_> = rows.columns().iter().map(|column| column.as_materialized_series().iter()).collect();
    let (mut cells, mut value, mut key_bytes) = (Vec::with_capacity(columns.len()), Vec::new(), Vec::new());
    for _ in 0..rows.height() {
        cells.extend(columns.iter_mut().map(|column| column.next().unwrap_or(AnyValue::Null)));
        value.clear();
        put_object(&mut value, names.iter().copied().zip(&cells));
        let key = match key.as_slice() {
            [] => None,
            [one] => put_key(&mut key_bytes, &cells[*one]).then_some(key_bytes.as_slice()),
            several => {
                key_bytes.clear();
                put_object(&mut key_bytes, several.iter().map(|at| (names[*at], &cells[*at])));
                Some(key_bytes.as_slice())
            }
        };
        send(key, &value)?;
        cells.clear();
    }
    Ok(())
}

/// A key of one column: its value as text, without quotes; says whether there is one.
fn put_key(out: &mut Vec<u8>, value: &AnyValue<'_>) -> bool {
    out.clear();
    if let Some(text) = value.get_str() {
        out.extend_from_slice(text.as_bytes());
        return true;
    }
    put(out, value);
    // Times are text too, and have nothing in them that is escaped.
    if let [b'"', inner @ .., b'"'] = out.as_slice() {
        *out = inner.to_vec();
    }
    out.as_slice() != b"null"
}

fn put_object<'a, 'b: 'a>(out: &mut Vec<u8>, fields: impl Iterator<Item = (&'a PlSmallStr, &'a AnyValue<'b>)>) {
    out.push(b'{');
    for (n, (name, value)) in fields.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        json(out, name.as_str());
        out.push(b':');
        put(out, value);
    }
    out.push(b'}');
}

/// A value as JSON.
fn put(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    match value {
        AnyValue::Boolean(value) => json(out, value),
        AnyValue::UInt8(value) => json(out, value),
        AnyValue::UInt16(value) => json(out, value),
        AnyValue::UInt32(value) => json(out, value),
        AnyValue::UInt64(value) => json(out, value),
        AnyValue::UInt128(value) => json(out, value),
        AnyValue::Int8(value) => json(out, value),
        AnyValue::Int16(value) => json(out, value),
        AnyValue::Int32(value) => json(out, value),
        AnyValue::Int64(value) => json(out, value),
        AnyValue::Int128(value) => json(out, value),
        // serde_json writes what is no number as null.
        AnyValue::Float32(value) => json(out, value),
        AnyValue::Float64(value) => json(out, value),
        AnyValue::Decimal(value, _, scale) => out.extend_from_slice(decimal(*value, *scale).as_bytes()),
        AnyValue::Date(days) => {
            json(out, &DateTime::from_timestamp(i64::from(*days) * 86_400, 0).map(|at| at.date_naive().to_string()));
        }
        AnyValue::Datetime(at, unit, _) | AnyValue::DatetimeOwned(at, unit, _) => json(out, &instant(*at, *unit)),
        AnyValue::Duration(length, unit) => json(out, &duration(*length, *unit).to_string()),
        AnyValue::Time(nanoseconds) => json(out, &time(*nanoseconds)),
        AnyValue::List(items) => {
            out.push(b'[');
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                put(out, &item);
            }
            out.push(b']');
        }
        AnyValue::Struct(_, _, fields) => {
            let values: Vec<AnyValue<'_>> = value._iter_struct_av().collect();
            put_object(out, fields.iter().map(|field| field.name()).zip(&values));
        }
        AnyValue::StructOwned(owned) => put_object(out, owned.1.iter().map(|field| field.name()).zip(&owned.0)),
        // Texts and categories; and a half float, which nothing else holds.
        other => match other.get_str() {
            Some(text) => json(out, text),
            None => json(out, &other.extract::<f64>()),
        },
    }
}

fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a plain value is written to memory");
}

/// All digits that the column has, as `-12.30`.
fn decimal(value: i128, scale: usize) -> String {
    let sign = if value < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale + 1);
    match digits.split_at(digits.len() - scale) {
        (whole, "") => format!("{sign}{whole}"),
        (whole, fraction) => format!("{sign}{whole}.{fraction}"),
    }
}

/// As `2026-01-02T03:04:05.678Z`, with the digits of the unit; None beyond what a calendar has.
fn instant(at: i64, unit: TimeUnit) -> Option<String> {
    let (at, digits) = match unit {
        TimeUnit::Milliseconds => (DateTime::from_timestamp_millis(at)?, SecondsFormat::Millis),
        TimeUnit::Microseconds => (DateTime::from_timestamp_micros(at)?, SecondsFormat::Micros),
        TimeUnit::Nanoseconds => (DateTime::from_timestamp_nanos(at), SecondsFormat::Nanos),
    };
    Some(at.to_rfc3339_opts(digits, true))
}

/// ISO 8601 has a form for lengths too, as `PT1.5S`.
fn duration(length: i64, unit: TimeUnit) -> TimeDelta {
    match unit {
        // Only the least of all numbers is beyond a length of milliseconds.
        TimeUnit::Milliseconds => TimeDelta::try_milliseconds(length).unwrap_or(TimeDelta::MIN),
        TimeUnit::Microseconds => TimeDelta::microseconds(length),
        TimeUnit::Nanoseconds => TimeDelta::nanoseconds(length),
    }
}

fn time(nanoseconds: i64) -> Option<String> {
    let seconds = u32::try_from(nanoseconds / 1_000_000_000).ok()?;
    let rest = u32::try_from(nanoseconds % 1_000_000_000).ok()?;
    NaiveTime::from_num_seconds_from_midnight_opt(seconds, rest).map(|time| time.to_string())
}

#[cfg(test)]
mod tests;
