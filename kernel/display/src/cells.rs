//! What a cell of a table says. All values become text here, in Rust, so that nothing is lost on the way to a page:
//! decimals keep their places, times their unit, and a saved notebook shows what the screen showed.

use std::fmt::Write as _;

use chrono::{DateTime, NaiveTime};
use polars::prelude::*;

/// Characters of a cell; what lies beyond is cut and marked.
const MAX_CHARS: usize = 300;

/// One column of a page of rows, as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ColumnText {
    pub(crate) name: String,
    /// Polars' short name of the type, such as `datetime[ms]`.
    pub(crate) dtype: String,
    /// Numbers stand to the right.
    pub(crate) right: bool,
    /// `None` is a null.
    pub(crate) cells: Vec<Option<String>>,
}

/// The columns of a page of rows as text. Floats of a column share their number of decimals, so that points align.
pub(crate) fn texts(frame: &DataFrame) -> Vec<ColumnText> {
    frame.columns().iter().map(column_text).collect()
}

/// The name of a type as a table's head shows it.
pub(crate) fn dtype_name(dtype: &DataType) -> String {
    match dtype {
        DataType::Decimal(_, scale) => format!("decimal({scale})"),
        other => other.to_string(),
    }
}

/// Whether values of a type stand to the right.
pub(crate) fn stands_right(dtype: &DataType) -> bool {
    dtype.is_primitive_numeric() || dtype.is_decimal() || matches!(dtype, DataType::Duration(_))
}

fn column_text(column: &Column) -> ColumnText {
    let values: Vec<AnyValue<'_>> = (0..column.len()).map(|row| column.get(row).unwrap_or(AnyValue::Null)).collect();
    let places = Places::of(&values);
    ColumnText {
        name: column.name().to_string(),
        dtype: dtype_name(column.dtype()),
        right: stands_right(column.dtype()),
        cells: values.iter().map(|value| cell(value, &places)).collect(),
    }
}

/// Decimals that a column's floats and times share on this page.
struct Places {
    float: usize,
    subsecond: bool,
}

impl Places {
    fn of(values: &[AnyValue<'_>]) -> Places {
        let mut places = Places { float: 1, subsecond: false };
        for value in values {
            match value {
                AnyValue::Float64(v) => places.float = places.float.max(decimals(*v)),
                AnyValue::Float32(v) => places.float = places.float.max(decimals(f64::from(*v)).min(4)),
                AnyValue::Datetime(v, unit, _) | AnyValue::DatetimeOwned(v, unit, _) => {
                    places.subsecond |= v.rem_euclid(per_second(*unit)) != 0;
                }
                _ => {}
            }
        }
        places
    }
}

/// Decimals worth showing: up to four, up to six for what is smaller than a thousandth.
fn decimals(value: f64) -> usize {
    let most = if value != 0.0 && value.abs() < 1e-3 { 6 } else { 4 };
    let text = format!("{value:.most$}");
    let trimmed = text.trim_end_matches('0');
    trimmed.len() - trimmed.find('.').map_or(trimmed.len(), |point| point + 1)
}

fn cell(value: &AnyValue<'_>, places: &Places) -> Option<String> {
    Some(match value {
        AnyValue::Null => return None,
        AnyValue::String(text) => cut(text),
        AnyValue::StringOwned(text) => cut(text.as_str()),
        AnyValue::Categorical(..) | AnyValue::CategoricalOwned(..) | AnyValue::Enum(..) | AnyValue::EnumOwned(..) => {
            cut(value.get_str().unwrap_or_default())
        }
        AnyValue::Boolean(v) => v.to_string(),
        AnyValue::Float64(v) => float(*v, places.float),
        AnyValue::Float32(v) => float(f64::from(*v), places.float),
        AnyValue::Decimal(v, _, scale) => decimal(*v, *scale),
        AnyValue::Datetime(v, unit, None) | AnyValue::DatetimeOwned(v, unit, None) => {
            moment(*v, *unit, places.subsecond)
        }
        AnyValue::Time(ns) => time(*ns),
        // Integers, dates, durations, times with a zone, lists, structs and binaries read as polars writes them.
        other => cut(&other.to_string()),
    })
}

fn float(value: f64, places: usize) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e16).contains(&size) {
        return format!("{value:.4e}");
    }
    format!("{value:.places$}")
}

/// An unscaled decimal with its point put in.
fn decimal(unscaled: i128, scale: usize) -> String {
    if scale == 0 {
        return unscaled.to_string();
    }
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    format!("{}{whole}.{fraction}", if unscaled < 0 { "-" } else { "" })
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Milliseconds => 1_000,
        TimeUnit::Microseconds => 1_000_000,
        TimeUnit::Nanoseconds => 1_000_000_000,
    }
}

fn moment(value: i64, unit: TimeUnit, subsecond: bool) -> String {
    let per_second = per_second(unit);
    let fraction = value.rem_euclid(per_second);
    let Some(second) = DateTime::from_timestamp(value.div_euclid(per_second), 0) else { return value.to_string() };
    let mut text = second.format("%Y-%m-%d %H:%M:%S").to_string();
    if subsecond {
        let width = match unit {
            TimeUnit::Milliseconds => 3,
            TimeUnit::Microseconds => 6,
            TimeUnit::Nanoseconds => 9,
        };
        let _infallible = write!(text, ".{fraction:0width$}");
    }
    text
}

fn time(ns: i64) -> String {
    let (seconds, rest) = (ns.div_euclid(1_000_000_000), ns.rem_euclid(1_000_000_000));
    u32::try_from(seconds)
        .ok()
        .zip(u32::try_from(rest).ok())
        .and_then(|(seconds, rest)| NaiveTime::from_num_seconds_from_midnight_opt(seconds, rest))
        .map_or_else(|| ns.to_string(), |time| time.to_string())
}

/// One line of at most [`MAX_CHARS`] characters.
fn cut(text: &str) -> String {
    let mut line: String =
        text.chars().take(MAX_CHARS).map(|c| if c == '\n' || c == '\r' || c == '\t' { ' ' } else { c }).collect();
    if text.chars().nth(MAX_CHARS).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(series: Series, expect: &[Option<&str>]) {
        let got = column_text(&series.into_column()).cells;
        let expect: Vec<Option<String>> = expect.iter().map(|cell| cell.map(str::to_owned)).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn floats_of_a_column_share_their_decimals() {
        check(Series::new("v".into(), [1.5, 2.25, 3.0]), &[Some("1.50"), Some("2.25"), Some("3.00")]);
        check(Series::new("v".into(), [0.1 + 0.2, 1e20]), &[Some("0.3"), Some("1.0000e20")]);
        check(Series::new("v".into(), [f64::NAN, 0.0]), &[Some("NaN"), Some("0.0")]);
    }

    #[test]
    fn decimals_keep_every_place() {
        assert_eq!(decimal(1_234_500, 2), "12345.00");
        assert_eq!(decimal(-5, 2), "-0.05");
        assert_eq!(decimal(7, 0), "7");
        assert_eq!(decimal(i128::MAX, 3), "170141183460469231731687303715884105.727");
    }

    #[test]
    fn times_keep_their_unit() {
        let ms = DataType::Datetime(TimeUnit::Milliseconds, None);
        let series = |values: &[i64]| Series::new("t".into(), values).cast(&ms).unwrap();
        check(series(&[0, 1_000]), &[Some("1970-01-01 00:00:00"), Some("1970-01-01 00:00:01")]);
        check(series(&[-1]), &[Some("1969-12-31 23:59:59.999")]);
        assert_eq!(moment(1, TimeUnit::Nanoseconds, true), "1970-01-01 00:00:00.000000001");
    }

    #[test]
    fn a_null_is_not_the_text_null() {
        check(Series::new("s".into(), [None, Some("null")]), &[None, Some("null")]);
    }

    #[test]
    fn a_text_becomes_one_line_and_is_cut() {
        check(Series::new("s".into(), ["a\nb"]), &[Some("a b")]);
        assert_eq!(cut(&"é".repeat(400)).chars().count(), MAX_CHARS + 1);
    }
}
