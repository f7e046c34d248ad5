//! Windows over event time, with Polars' conventions: a window starts at a multiple of its length since the epoch, holds
//! its start and not its end, and is named by its start.

use polars::prelude::Duration;

use crate::PlanError;

/// How event time is cut into windows.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    text: String,
    every: Result<Duration, PlanError>,
}

/// Windows of one length, without gap or overlap: `tumbling("10s")`. The length is Polars' duration text, from `"1ms"`
/// over `"10s"`, `"5m"`, `"1h"`, `"1d"` to `"1w"`.
///
/// ```
/// let every_ten_seconds = plan::tumbling("10s");
/// assert!(every_ten_seconds.every().is_ok());
/// ```
#[must_use]
pub fn tumbling(every: &str) -> Window {
    let parsed = parse_duration("tumbling", every).and_then(|duration| {
        if duration.months() != 0 {
            return Err(PlanError::BadDuration {
                operation: "tumbling",
                text: every.to_owned(),
                detail: "months, quarters and years have no fixed length".to_owned(),
            });
        }
        Ok(duration)
    });
    Window { text: every.to_owned(), every: parsed }
}

impl Window {
    /// The length as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The length.
    ///
    /// # Errors
    /// When what was written is no duration above zero.
    pub fn every(&self) -> Result<Duration, PlanError> {
        self.every.clone()
    }

    /// The length in milliseconds, rounded up. In a time zone a day can have 25 hours: there, windows of days close an hour
    /// late rather than an hour early.
    #[must_use]
    pub fn length_ms(&self, zoned: bool) -> i64 {
        let Ok(every) = &self.every else { return 0 };
        let fixed = (every.duration_ns() + 999_999) / 1_000_000;
        if zoned && (every.days() != 0 || every.weeks() != 0) { fixed + 3_600_000 } else { fixed }
    }
}

/// Reads a duration above zero; `operation` is named where it is none.
///
/// # Errors
/// A text that is no duration.
pub fn parse_duration(operation: &'static str, text: &str) -> Result<Duration, PlanError> {
    let bad = |detail: String| PlanError::BadDuration { operation, text: text.to_owned(), detail };
    let duration = Duration::try_parse(text).map_err(|error| bad(error.to_string()))?;
    if duration.negative() || duration.is_zero() {
        return Err(bad("it must be above zero".to_owned()));
    }
    Ok(duration)
}
