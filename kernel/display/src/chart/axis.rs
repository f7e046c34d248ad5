//! Where the ticks of an axis stand and what they say. Functions of values.

use crate::numbers::{short, stamp};

/// A tick: where it is on the axis, its label, and for times the day, where it differs from the tick before.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
    pub(crate) below: Option<String>,
}

const SECOND: f64 = 1e3;
const MINUTE: f64 = 6e4;
const HOUR: f64 = 3.6e6;
const DAY: f64 = 8.64e7;

/// Distances between ticks of a time axis that a reader counts in.
const TIME_STEPS: [f64; 30] = [
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    50.0,
    100.0,
    200.0,
    500.0,
    SECOND,
    2.0 * SECOND,
    5.0 * SECOND,
    10.0 * SECOND,
    15.0 * SECOND,
    30.0 * SECOND,
    MINUTE,
    2.0 * MINUTE,
    5.0 * MINUTE,
    10.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    2.0 * HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    7.0 * DAY,
    14.0 * DAY,
];

/// The range a value axis shows: from zero where zero is near, and rounded outwards to whole ticks.
pub(crate) fn value_range(low: f64, high: f64, ticks: usize, from_zero: bool) -> (f64, f64) {
    let (mut low, mut high) = (low.min(high), high.max(low));
    if from_zero || (low > 0.0 && low < 0.5 * high) {
        low = low.min(0.0);
    }
    if from_zero || (high < 0.0 && high > 0.5 * low) {
        high = high.max(0.0);
    }
    if high - low <= f64::EPSILON * high.abs().max(low.abs()) {
        let pad = if high == 0.0 { 1.0 } else { high.abs() * 0.5 };
        (low, high) = (low - pad, high + pad);
    }
    let step = step_of(high - low, ticks);
    ((low / step).floor() * step, (high / step).ceil() * step)
}

/// Ticks at 1, 2 or 5 times a power of ten.
pub(crate) fn value_ticks(low: f64, high: f64, ticks: usize) -> Vec<Tick> {
    let step = step_of(high - low, ticks);
    let largest = low.abs().max(high.abs());
    let first = (low / step - 1e-9).ceil();
    let count = ((high / step + 1e-9).floor() - first).clamp(0.0, 100.0) as usize;
    (0..=count)
        .map(|i| {
            let at = (first + i as f64) * step;
            Tick { at, label: short(at, step, largest), below: None }
        })
        .collect()
}

/// Ticks at round times, in milliseconds since the epoch. The first tick, and the first of each day, tells the day.
pub(crate) fn time_ticks(low: f64, high: f64, ticks: usize) -> Vec<Tick> {
    let rough = (high - low).max(1.0) / ticks.max(1) as f64;
    let step = TIME_STEPS.iter().copied().find(|step| *step >= rough).unwrap_or_else(|| (rough / DAY).ceil() * DAY);
    let format = match step {
        s if s < SECOND => "%H:%M:%S%.3f",
        s if s < MINUTE => "%H:%M:%S",
        s if s < DAY => "%H:%M",
        s if s < 28.0 * DAY => "%b %-d",
        _ => "%b %Y",
    };
    let below = if step < DAY { "%Y-%m-%d" } else { "%Y" };
    let mut at = (low / step).ceil() * step;
    let mut found: Vec<Tick> = Vec::new();
    let mut day = String::new();
    while at <= high && found.len() < 100 {
        let this = stamp(at as i64, below);
        let told = (this != day && step < 28.0 * DAY).then(|| this.clone());
        day = this;
        found.push(Tick { at, label: stamp(at as i64, format), below: told });
        at += step;
    }
    found
}

fn step_of(span: f64, ticks: usize) -> f64 {
    let rough = span.max(f64::MIN_POSITIVE) / ticks.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0].into_iter().find(|times| times * power >= rough * 0.999).unwrap_or(10.0);
    times * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn a_value_axis_starts_at_zero_where_zero_is_near() {
        assert_eq!(value_range(120.0, 980.0, 5, false), (0.0, 1000.0));
        assert_eq!(value_range(990.0, 1010.0, 5, false), (990.0, 1010.0));
        assert_eq!(value_range(5.0, 5.0, 5, false), (2.0, 8.0));
        assert_eq!(value_range(0.0, 0.0, 5, false), (-1.0, 1.0));
        assert_eq!(value_range(-3.0, -1.0, 5, true), (-3.0, 0.0));
    }

    #[test]
    fn value_ticks_are_round() {
        assert_eq!(labels(&value_ticks(0.0, 12_000.0, 5)), ["0", "5k", "10k"]);
        assert_eq!(labels(&value_ticks(0.0, 0.04, 4)), ["0", "0.01", "0.02", "0.03", "0.04"]);
    }

    #[test]
    fn time_ticks_are_round_and_tell_the_day_once() {
        let start = 1_763_910_000_000.0; // 2025-11-23 15:00
        let ticks = time_ticks(start, start + 10.0 * MINUTE, 6);
        assert_eq!(labels(&ticks), ["15:00", "15:02", "15:04", "15:06", "15:08", "15:10"]);
        assert_eq!(ticks[0].below.as_deref(), Some("2025-11-23"));
        assert!(ticks[1..].iter().all(|tick| tick.below.is_none()));
    }

    #[test]
    fn a_new_day_is_told_at_its_first_tick() {
        let start = 1_763_910_000_000.0;
        let ticks = time_ticks(start, start + 12.0 * HOUR, 6);
        let told: Vec<_> = ticks.iter().filter_map(|tick| tick.below.as_deref()).collect();
        assert_eq!(told, ["2025-11-23", "2025-11-24"]);
    }

    #[test]
    fn a_range_of_years_still_ends() {
        assert!(time_ticks(0.0, 1e15, 8).len() <= 100);
    }
}
