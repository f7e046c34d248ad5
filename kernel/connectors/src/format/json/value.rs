//! A JSON value to a cell of its column's type, and the words for one that does not fit. Functions of values.

use super::scan::{Number, Text, Value};
use super::text::unescape;
use crate::format::Malformed;
use crate::format::rows::{Cell, Kind};
use crate::format::time::{DateText, InstantText, is_day, is_instant, range_of_instants};

/// The letters of a value that a message shows.
const SHOWN: usize = 40;

/// Puts text into a cell of a column of `kind`; says whether it fits.
#[inline(always)]
pub(super) fn put_text(cell: &mut Cell, text: Text, kind: Kind, record: &str, scratch: &mut String) -> bool {
    let found = match kind {
        Kind::Text if text.escaped => {
            let from = scratch.len();
            unescape(text.span.of(record), scratch);
            *cell = Cell::Scratch(from, scratch.len());
            return true;
        }
        Kind::Text => {
            *cell = Cell::Text(text.span.from, text.span.to);
            return true;
        }
        Kind::Instant(per_second) => {
            InstantText::parse(text.span.of(record), per_second).filter(|at| is_instant(*at, per_second))
        }
        Kind::Date => DateText::parse(text.span.of(record)),
        _ => None,
    };
    put(cell, found.map(Cell::Int))
}

/// Puts a number into a cell of a column of `kind`; says whether it fits.
#[inline(always)]
pub(super) fn put_number(cell: &mut Cell, number: Number, kind: Kind, record: &str) -> bool {
    match kind {
        Kind::Int(low, high) => {
            put(cell, integer(number, record).filter(|value| (low..=high).contains(value)).map(Cell::Int))
        }
        Kind::Unsigned => put(cell, unsigned(number, record).map(Cell::Unsigned)),
        Kind::Instant(per_second) => {
            put(cell, integer(number, record).filter(|at| is_instant(*at, per_second)).map(Cell::Int))
        }
        Kind::Date => put(cell, integer(number, record).filter(|days| is_day(*days)).map(Cell::Int)),
        Kind::Float => put(cell, float(number, record).map(Cell::Float)),
        Kind::Decimal { precision, scale } => put(cell, decimal(number, precision, scale, record).map(Cell::Decimal)),
        Kind::Text => put(cell, Some(Cell::Text(number.span.from, number.span.to))),
        Kind::Bool => false,
    }
}

/// Puts what is neither text nor a number into a cell of a column of `kind`; says whether it fits.
#[inline(never)]
pub(super) fn put_other(cell: &mut Cell, value: Value, kind: Kind, scratch: &mut String) -> bool {
    *cell = match (kind, value) {
        (_, Value::Null) => Cell::Null,
        (Kind::Bool, Value::Bool(value)) => Cell::Bool(value),
        (Kind::Text, Value::Nested(span)) => Cell::Text(span.from, span.to),
        (Kind::Text, Value::Bool(value)) => {
            let from = scratch.len();
            scratch.push_str(if value { "true" } else { "false" });
            Cell::Scratch(from, scratch.len())
        }
        _ => return false,
    };
    true
}

#[inline(always)]
fn put(cell: &mut Cell, found: Option<Cell>) -> bool {
    match found {
        Some(found) => {
            *cell = found;
            true
        }
        None => false,
    }
}

/// A whole number, also where it is written with a point or an exponent, as `3.0` and `1e2` are.
#[inline]
fn integer(number: Number, record: &str) -> Option<i64> {
    if !number.whole || !number.exact {
        return whole(number, record).and_then(|value| i64::try_from(value).ok());
    }
    if number.negative { 0i64.checked_sub_unsigned(number.digits) } else { i64::try_from(number.digits).ok() }
}

/// A whole number that is not negative.
#[inline]
fn unsigned(number: Number, record: &str) -> Option<u64> {
    if number.whole && number.exact && !number.negative {
        return Some(number.digits);
    }
    whole(number, record).and_then(|value| u64::try_from(value).ok())
}

/// A whole number of up to 38 digits, however it is written.
#[cold]
fn whole(number: Number, record: &str) -> Option<i128> {
    decimal_from_text(number, 38, 0, record)
}

/// Powers of ten that a float holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The nearest float; None if the number is beyond all of them.
#[inline]
fn float(number: Number, record: &str) -> Option<f64> {
    // Two numbers that floats hold exactly, and one division, which rounds once: the result is the nearest float.
    // (W. D. Clinger, How to Read Floating Point Numbers Accurately, 1990.)
    const EXACT: u64 = 1 << 53;
    if number.exact && number.digits <= EXACT && number.decimals < TENS.len() {
        #[allow(clippy::cast_precision_loss, reason = "exact up to 2^53")]
        let value = number.digits as f64 / TENS[number.decimals];
        return Some(if number.negative { -value } else { value });
    }
    number.span.of(record).parse::<f64>().ok().filter(|value| value.is_finite())
}

/// The number times ten to the `scale`, exactly; None if it has more digits than the column.
#[inline]
fn decimal(number: Number, precision: usize, scale: usize, record: &str) -> Option<i128> {
    if number.exact && number.decimals <= scale {
        let value = i128::from(number.digits).checked_mul(ten_to(scale - number.decimals)?)?;
        return signed(value, number.negative, precision);
    }
    decimal_from_text(number, precision, scale, record)
}

/// The way for exponents, for many digits, and for more decimals than the column has.
#[cold]
fn decimal_from_text(number: Number, precision: usize, scale: usize, record: &str) -> Option<i128> {
    let written = number.span.of(record);
    let (mantissa, exponent) = written.split_once(['e', 'E']).unwrap_or((written, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) =
        mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa.trim_start_matches('-'), ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let significant = digits.trim_end_matches('0');
    if significant.is_empty() {
        return Some(0);
    }
    // digits · 10^(exponent - decimals), and trailing zeros moved into the power.
    let zeros = digits.len() - significant.len();
    let power = exponent.checked_add(i64::try_from(zeros).ok()?)?.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let shift = power.checked_add(i64::try_from(scale).ok()?)?;
    let value = significant.parse::<i128>().ok()?.checked_mul(ten_to(usize::try_from(shift).ok()?)?)?;
    signed(value, number.negative, precision)
}

fn signed(value: i128, negative: bool, precision: usize) -> Option<i128> {
    (value < ten_to(precision)?).then_some(if negative { -value } else { value })
}

#[inline]
fn ten_to(power: usize) -> Option<i128> {
    const POWERS: [i128; 39] = {
        let mut powers = [1i128; 39];
        let mut i = 1;
        while i < 39 {
            powers[i] = powers[i - 1] * 10;
            i += 1;
        }
        powers
    };
    POWERS.get(power).copied()
}

/// The dead letter's reason: field, expected, found.
#[cold]
pub(super) fn refused(key: &str, kind: Kind, found: Value, record: &str) -> Malformed {
    let mut field = String::new();
    unescape(key, &mut field);
    let mut decimals = None;
    match (kind, found) {
        (Kind::Int(..) | Kind::Unsigned, Value::Number(number)) if is_fraction(number, record) => {
            decimals = Some(number.decimals.clamp(1, 37));
        }
        (Kind::Instant(per_second), found) if is_time(found, record) => {
            let expected = range_of_instants(per_second);
            return Malformed::TimeOutOfRange { field, expected, found: describe(found, record) };
        }
        (Kind::Date, Value::Number(number)) if !is_fraction(number, record) => {
            let expected = "a day of the years 0 to 9999";
            return Malformed::TimeOutOfRange { field, expected, found: describe(found, record) };
        }
        _ => {}
    }
    Malformed::WrongType { field, expected: kind.words(), found: describe(found, record), decimals }
}

/// Whether a number has a part behind the point. One that is too large to tell has none.
fn is_fraction(number: Number, record: &str) -> bool {
    !number.whole && number.span.of(record).parse::<f64>().is_ok_and(|value| value.is_finite() && value.fract() != 0.0)
}

/// Whether a value that an instant's column did not take is a time all the same.
fn is_time(value: Value, record: &str) -> bool {
    match value {
        Value::Number(number) => !is_fraction(number, record),
        Value::Text(text) => InstantText::parse(text.span.of(record), 1).is_some(),
        _ => false,
    }
}

/// A value in words, with its first letters.
pub(super) fn describe(value: Value, record: &str) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {}", shortened(number.span.of(record))),
        Value::Text(text) => format!("the text \"{}\"", shortened(text.span.of(record))),
        Value::Nested(span) if span.of(record).starts_with('{') => format!("the object {}", shortened(span.of(record))),
        Value::Nested(span) => format!("the array {}", shortened(span.of(record))),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
