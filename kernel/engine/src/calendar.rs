//! The times that the calendar holds: those of the years 0 to 9999, which ISO 8601 can write; in nanoseconds, which fewer years fit
//! in, 1678 to 2261. A time beyond is a mistake of its writer, mostly of the unit. What is computed of times, such as the end of
//! a window, must not leave the numbers that hold them, so one beyond is treated as no time at all.

use std::ops::Range;

use polars::prelude::*;

/// The first second of the year 0, and of the year 10000.
const SECONDS: Range<i64> = -62_167_219_200..253_402_300_800;
/// The first second of 1678, and of 2262.
const SECONDS_IN_NANOSECONDS: Range<i64> = -9_214_560_000..9_214_646_400;

/// The times of the calendar, in steps of a unit since the epoch.
#[must_use]
#[inline]
pub fn calendar(unit: TimeUnit) -> Range<i64> {
    let (seconds, per_second) = match unit {
        TimeUnit::Milliseconds => (SECONDS, 1_000),
        TimeUnit::Microseconds => (SECONDS, 1_000_000),
        TimeUnit::Nanoseconds => (SECONDS_IN_NANOSECONDS, 1_000_000_000),
    };
    seconds.start * per_second..seconds.end * per_second
}

/// The rows with null in the place of times that the calendar does not hold, and how many those are. A column that is no
/// datetime stays as it is.
pub(crate) fn in_calendar(rows: DataFrame, column: &str) -> PolarsResult<(DataFrame, usize)> {
    let range = match rows.schema().get(column) {
        Some(DataType::Datetime(unit, _)) => calendar(*unit),
        _ => return Ok((rows, 0)),
    };
    within(rows, column, &range)
}

/// The rows with null in the place of times out of a range, and how many those are.
pub(crate) fn within(mut rows: DataFrame, column: &str, range: &Range<i64>) -> PolarsResult<(DataFrame, usize)> {
    let column = rows.column(column)?;
    let times = column.to_physical_repr();
    let times = times.i64()?;
    if times.min().is_none_or(|first| first >= range.start) && times.max().is_none_or(|last| last < range.end) {
        return Ok((rows, 0));
    }
    let held: Int64Chunked = times.iter().map(|time| time.filter(|time| range.contains(time))).collect();
    let beyond = held.null_count() - times.null_count();
    let held = Column::from(held.with_name(column.name().clone()).into_series()).cast(column.dtype())?;
    rows.with_column(held)?;
    Ok((rows, beyond))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_beyond_the_calendar_are_none() {
        for unit in [TimeUnit::Milliseconds, TimeUnit::Microseconds, TimeUnit::Nanoseconds] {
            let range = calendar(unit);
            let times = [i64::MIN, range.start - 1, range.start, 0, range.end - 1, range.end, i64::MAX];
            let rows =
                df!["time" => times].unwrap().lazy().with_column(col("time").cast(DataType::Datetime(unit, None)));
            let (rows, beyond) = in_calendar(rows.collect().unwrap(), "time").unwrap();
            assert_eq!(beyond, 4);
            // Polars writes a time by the calendar, and panics where it cannot.
            assert!(format!("{rows}").contains("1970"));
        }
    }
}
