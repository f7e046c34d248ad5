//! Spans of time as a notebook writes them: `"10m"`, `"1h30m"`. A function of values.

use std::time::Duration;

const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// A span, or `None` when the text is none or is zero.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (_, ms) = UNITS.iter().find(|(unit, _)| *unit == &rest[..letters])?;
        total = total.checked_add(count.checked_mul(*ms)?)?;
        rest = &rest[letters..];
    }
    (total > 0).then(|| Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, ms: Option<u64>) {
        assert_eq!(parse(text), ms.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn spans_are_numbers_with_units() {
        check("10m", Some(600_000));
        check("1h30m", Some(5_400_000));
        check("250ms", Some(250));
        check("", None);
        check("0s", None);
        check("10", None);
        check("m10", None);
        check("10 m", None);
        check("99999999999999999999s", None);
        check("9999999999999999w", None);
    }
}
