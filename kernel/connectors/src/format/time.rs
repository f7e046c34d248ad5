//! Times as people and programs write them, to steps since the epoch. ISO 8601 and nothing looser: a date that could
//! be read two ways is refused. Functions of text.

use chrono::NaiveDate;
use engine::calendar;
use polars::prelude::TimeUnit;

/// Whether the calendar holds an instant; `per_second` is how many steps a second has.
#[inline]
pub(crate) fn is_instant(steps: i64, per_second: i64) -> bool {
    calendar(unit(per_second)).contains(&steps)
}

/// Whether the calendar holds a day.
#[inline]
pub(crate) fn is_day(days: i64) -> bool {
    days.checked_mul(86_400_000).is_some_and(|ms| is_instant(ms, 1_000))
}

/// What a column of instants takes, where a value is out of range.
pub(crate) fn range_of_instants(per_second: i64) -> &'static str {
    match unit(per_second) {
        TimeUnit::Milliseconds => "a time of the years 0 to 9999, as a number in milliseconds since the epoch,",
        TimeUnit::Microseconds => "a time of the years 0 to 9999, as a number in microseconds since the epoch,",
        TimeUnit::Nanoseconds => "a time of the years 1678 to 2261, as a number in nanoseconds since the epoch,",
    }
}

#[inline]
fn unit(per_second: i64) -> TimeUnit {
    match per_second {
        1_000_000_000 => TimeUnit::Nanoseconds,
        1_000_000 => TimeUnit::Microseconds,
        _ => TimeUnit::Milliseconds,
    }
}

/// How an instant is written: `2026-11-23T15:04:05.123Z`, with `T` or a space, seconds and fraction if wanted, and `Z`,
/// `+02:00`, `+0200` or nothing at the end, which means UTC.
pub(crate) struct InstantText;

impl InstantText {
    pub(crate) const EXPECTED: &'static str =
        "a time (a whole number since the epoch, or text as \"2026-11-23T15:04:05Z\")";

    /// Steps since the epoch, `per_second` to a second; finer digits are cut off, towards the past.
    pub(crate) fn parse(text: &str, per_second: i64) -> Option<i64> {
        let (days, rest) = date(text.as_bytes())?;
        let rest = match rest {
            [b'T' | b't' | b' ', rest @ ..] => rest,
            _ => return None,
        };
        let (hour, rest) = two(rest)?;
        let (minute, mut rest) = two(rest.strip_prefix(b":")?)?;
        let mut second = 0;
        let mut steps = 0;
        if let [b':', after @ ..] = rest {
            (second, rest) = two(after)?;
            if let [b'.' | b',', after @ ..] = rest {
                (steps, rest) = fraction(after, per_second)?;
            }
        }
        // A leap second is counted as the next one, as Unix time does.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days.checked_mul(86_400)? + hour * 3_600 + minute * 60 + second - zone(rest)?;
        seconds.checked_mul(per_second)?.checked_add(steps)
    }
}

/// How a date is written: `2026-11-23`.
pub(crate) struct DateText;

impl DateText {
    pub(crate) const EXPECTED: &'static str = "a date (text as \"2026-11-23\", or days since the epoch)";

    /// Days since the epoch.
    pub(crate) fn parse(text: &str) -> Option<i64> {
        date(text.as_bytes()).and_then(|(days, rest)| rest.is_empty().then_some(days))
    }
}

fn date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (century, rest) = two(text)?;
    let (year, rest) = two(rest)?;
    let (month, rest) = two(rest.strip_prefix(b"-")?)?;
    let (day, rest) = two(rest.strip_prefix(b"-")?)?;
    let part = |number: i64| u32::try_from(number).ok();
    let date = NaiveDate::from_ymd_opt(i32::try_from(century * 100 + year).ok()?, part(month)?, part(day)?)?;
    Some((date.signed_duration_since(NaiveDate::default()).num_days(), rest))
}

fn two(text: &[u8]) -> Option<(i64, &[u8])> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
            Some((i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), rest))
        }
        _ => None,
    }
}

fn fraction(text: &[u8], per_second: i64) -> Option<(i64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (mut steps, mut unit) = (0, per_second / 10);
    for digit in &text[..digits] {
        steps += i64::from(digit - b'0') * unit;
        unit /= 10;
    }
    (digits > 0).then(|| (steps, &text[digits..]))
}

/// Seconds ahead of UTC.
fn zone(text: &[u8]) -> Option<i64> {
    let (sign, rest) = match text {
        [] | [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = two(rest)?;
    let minutes = match rest {
        [] => 0,
        [b':', rest @ ..] | rest => two(rest).filter(|(_, rest)| rest.is_empty())?.0,
    };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn ms(text: &str) -> Option<i64> {
        InstantText::parse(text, 1_000)
    }

    #[test]
    fn instants_are_read_as_iso_8601_writes_them() {
        assert_eq!(ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(ms("2026-11-23T15:04:05.123Z"), Some(1_795_446_245_123));
        assert_eq!(ms("2026-11-23 15:04:05.123456789"), Some(1_795_446_245_123));
        assert_eq!(ms("2026-11-23T17:04:05+02:00"), ms("2026-11-23T15:04:05Z"));
        assert_eq!(ms("2026-11-23T10:04-0500"), ms("2026-11-23T15:04Z"));
        assert_eq!(ms("2026-11-23T16:04+01"), ms("2026-11-23T15:04Z"));
        assert_eq!(ms("1969-12-31T23:59:59.999Z"), Some(-1));
        assert_eq!(InstantText::parse("1970-01-01T00:00:01.000002Z", 1_000_000), Some(1_000_002));
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        for text in [
            "",
            "2026-11-23",
            "23.11.2026 15:04",
            "2026-13-01T00:00Z",
            "2026-02-29T00:00Z",
            "2026-11-23T24:00Z",
            "2026-11-23T15:04:05.Z",
            "2026-11-23T15:04 CET",
            "2026-11-23T15:04Zx",
            "2026-11-23T15:04+99:00",
        ] {
            assert_eq!(ms(text), None, "{text}");
        }
    }

    #[test]
    fn the_calendar_ends() {
        assert!(
            is_instant(ms("0000-01-01T00:00Z").unwrap(), 1_000) && is_instant(ms("9999-12-31T23:59Z").unwrap(), 1_000)
        );
        assert!(!is_instant(ms("9999-12-31T23:59-01:00").unwrap(), 1_000));
        assert!(!is_instant(1_700_000_000_000_000_000, 1_000) && is_instant(1_700_000_000_000_000_000, 1_000_000_000));
        assert!(is_day(DateText::parse("9999-12-31").unwrap()) && !is_day(2_932_897) && !is_day(i64::MAX));
    }

    #[test]
    fn dates_are_days() {
        assert_eq!(DateText::parse("1970-01-02"), Some(1));
        assert_eq!(DateText::parse("2000-02-29"), Some(11_016));
        assert_eq!(DateText::parse("2026-11-23T00:00"), None);
    }
}
