//! Numbers and times in the words of a reader: axis labels, counts, ages. Functions of values.

use chrono::{DateTime, Utc};

/// Milliseconds since the epoch, now.
pub(crate) fn now_ms() -> i64 {
    Utc::now().timestamp_millis()
}

/// A moment in UTC as `2026-11-23T15:04:05.678Z`.
pub(crate) fn utc(ms: i64) -> String {
    stamp(ms, "%Y-%m-%dT%H:%M:%S%.3fZ")
}

/// A moment in UTC in a format of chrono's; empty when no calendar has it.
pub(crate) fn stamp(ms: i64, format: &str) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).map(|moment| moment.format(format).to_string()).unwrap_or_default()
}

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number for an axis whose ticks are `step` apart and reach up to `largest`: `12.5k`, `3M`, `0.02`. Ticks that
/// differ get labels that differ, all in one unit.
pub(crate) fn short(value: f64, step: f64, largest: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let (unit, suffix) = match largest.abs() {
        s if s >= 1e15 => return format!("{value:e}"),
        s if s >= 1e12 => (1e12, "T"),
        s if s >= 1e9 => (1e9, "B"),
        s if s >= 1e6 => (1e6, "M"),
        s if s >= 1e4 => (1e3, "k"),
        s if s < 1e-6 => return format!("{value:e}"),
        _ => (1.0, ""),
    };
    let places = decimals_of(step / unit);
    format!("{:.places$}{suffix}", value / unit)
}

/// Decimals needed to write a step exactly, nine at the most.
fn decimals_of(step: f64) -> usize {
    let step = step.abs();
    let whole = |places: &usize| {
        let scaled = step * 10f64.powi(i32::try_from(*places).unwrap_or(9));
        (scaled - scaled.round()).abs() < 1e-6 * scaled.max(1.0)
    };
    (0..9).find(whole).unwrap_or(9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_their_thousands_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn axis_labels_are_short_and_differ_where_the_ticks_do() {
        assert_eq!(short(12_500.0, 2_500.0, 15_000.0), "12.5k");
        assert_eq!(short(7_500.0, 2_500.0, 15_000.0), "7.5k");
        assert_eq!(short(0.0, 2_500.0, 15_000.0), "0");
        assert_eq!(short(3e6, 1e6, 4e6), "3M");
        assert_eq!(short(0.02, 0.01, 0.05), "0.02");
        assert_eq!(short(-40.0, 20.0, 60.0), "-40");
        assert_eq!(short(7_500.0, 500.0, 9_000.0), "7500");
    }
}
