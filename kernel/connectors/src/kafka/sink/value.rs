//! Values as text: as JSON, as a field of a line of CSV, and as they are. Functions of values. The JSON that is written
//! here reads back with [`Json`](crate::Json) into the same types.

use chrono::{DateTime, NaiveTime, SecondsFormat, TimeDelta};
use polars::prelude::{AnyValue, DataType, TimeUnit};
use serde::Serialize;

/// Whether JSON has a form for the type.
pub(super) fn has_json(dtype: &DataType) -> bool {
    match dtype {
        DataType::Binary | DataType::BinaryOffset | DataType::Unknown(_) => false,
        DataType::List(inner) => has_json(inner),
        DataType::Struct(fields) => fields.iter().all(|field| has_json(field.dtype())),
        _ => true,
    }
}

/// The fields of JSON objects that all have the same ones: their names are written once.
pub(crate) struct Fields(Vec<Vec<u8>>);

impl Fields {
    /// Fields of these names, in this order.
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Fields {
        let start = |(n, name): (usize, &str)| {
            let mut start = vec![if n == 0 { b'{' } else { b',' }];
            json(&mut start, name);
            start.push(b':');
            start
        };
        Fields(names.into_iter().enumerate().map(start).collect())
    }

    /// Appends an object; `values` are as many as there are fields.
    pub(crate) fn put<'a, 'b: 'a>(&self, out: &mut Vec<u8>, values: impl IntoIterator<Item = &'a AnyValue<'b>>) {
        if self.0.is_empty() {
            out.push(b'{');
        }
        for (start, value) in self.0.iter().zip(values) {
            out.extend_from_slice(start);
            put_json(out, value);
        }
        out.push(b'}');
    }
}

/// Appends the value as it is: a text without quotes, bytes as they are, anything else as in JSON. Says whether there is
/// one; nothing is appended for null.
pub(super) fn put_plain(out: &mut Vec<u8>, value: &AnyValue<'_>) -> bool {
    if let Some(text) = value.get_str() {
        out.extend_from_slice(text.as_bytes());
        return true;
    }
    match value {
        AnyValue::Binary(bytes) => out.extend_from_slice(bytes),
        AnyValue::BinaryOwned(bytes) => out.extend_from_slice(bytes),
        AnyValue::Float32(number) if !number.is_finite() => put_no_number(out, f64::from(*number)),
        AnyValue::Float64(number) if !number.is_finite() => put_no_number(out, *number),
        _ => {
            let start = out.len();
            put_json(out, value);
            match &out[start..] {
                // Of what is no text only times have quotes, and nothing in them is escaped.
                [b'"', .., b'"'] => {
                    out.pop();
                    out.remove(start);
                }
                b"null" => {
                    out.truncate(start);
                    return false;
                }
                _ => {}
            }
        }
    }
    true
}

/// As Polars writes it.
fn put_no_number(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(match number {
        f64::INFINITY => b"inf",
        f64::NEG_INFINITY => b"-inf",
        _ => b"NaN",
    });
}

/// Appends a field of a line of CSV (RFC 4180): null is nothing, and a text of nothing is in quotes.
pub(super) fn put_csv(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    let start = out.len();
    let is_there = put_plain(out, value);
    let field = &out[start..];
    if field.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) || is_there && field.is_empty() {
        let plain = out.split_off(start);
        out.push(b'"');
        for byte in plain {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}

/// Appends a value as JSON.
fn put_json(out: &mut Vec<u8>, value: &AnyValue<'_>) {
    match value {
        AnyValue::String(text) => put_text(out, text),
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
        AnyValue::Decimal(value, _, scale) => put_decimal(out, *value, *scale),
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
                put_json(out, &item);
            }
            out.push(b']');
        }
        AnyValue::Struct(_, _, fields) => {
            let values: Vec<AnyValue<'_>> = value._iter_struct_av().collect();
            Fields::new(fields.iter().map(|field| field.name().as_str())).put(out, &values);
        }
        AnyValue::StructOwned(owned) => {
            Fields::new(owned.1.iter().map(|field| field.name().as_str())).put(out, &owned.0);
        }
        // Texts and categories; and a half float, which nothing else holds.
        other => match other.get_str() {
            Some(text) => put_text(out, text),
            None => json(out, &other.extract::<f64>()),
        },
    }
}

fn json<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("a plain value is written to memory");
}

/// Most texts have nothing in them that is escaped, and looking for it at once is faster than letter by letter.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let is_escaped = |found, byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\');
    if text.bytes().fold(false, is_escaped) {
        return json(out, text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// All digits that the column has, as `-12.30`.
fn put_decimal(out: &mut Vec<u8>, value: i128, scale: usize) {
    if value < 0 {
        out.push(b'-');
    }
    let start = out.len();
    json(out, &value.unsigned_abs());
    let missing = (start + scale + 1).saturating_sub(out.len());
    out.splice(start..start, std::iter::repeat_n(b'0', missing));
    if scale > 0 {
        out.insert(out.len() - scale, b'.');
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
