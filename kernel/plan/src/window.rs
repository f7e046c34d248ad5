//! Windows over event time, with Polars' conventions: a window starts at a multiple of its step since the epoch, holds its
//! start and not its end, and is named by its start.

use polars::prelude::Duration;

use crate::PlanError;

/// How event time is cut into windows.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    text: String,
    cut: Result<Cut, PlanError>,
}

/// A window's kind, its lengths known to be above zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cut {
    /// Windows of length `period` that start every `every`.
    Every {
        /// From one start to the next.
        every: Duration,
        /// From a window's start to its end.
        period: Duration,
    },
    /// A window for each run of a key's rows in which none comes `gap` or more after the one before it.
    Session {
        /// The time without a row that ends a session.
        gap: Duration,
    },
}

impl Cut {
    /// Whether the windows can be told where the clocks change.
    #[must_use]
    pub fn is_known_in_time_zones(&self) -> bool {
        let has_days = |duration: &Duration| duration.days() != 0 || duration.weeks() != 0;
        match self {
            Cut::Every { every, period } => every == period || !(has_days(every) || has_days(period)),
            Cut::Session { gap } => !has_days(gap),
        }
    }
}

/// Windows of one length, without gap or overlap: `tumbling("10s")`. The length is Polars' duration text, from `"1ms"` over
/// `"10s"`, `"5m"`, `"1h"`, `"1d"` to `"1mo"` and `"1y"`.
///
/// ```
/// let every_ten_seconds = plan::tumbling("10s");
/// assert!(every_ten_seconds.cut().is_ok());
/// ```
#[must_use]
pub fn tumbling(every: &str) -> Window {
    let cut = parse_duration("tumbling", every).map(|every| Cut::Every { every, period: every });
    Window { text: format!("tumbling(\"{every}\")"), cut }
}

/// Windows of length `period` that start every `every`, and so overlap: `hopping("1m", "10s")` is the last minute, every ten
/// seconds. A row is in each window that spans it.
///
/// ```
/// assert!(plan::hopping("1m", "10s").cut().is_ok());
/// assert!(plan::hopping("10s", "1m").cut().is_err(), "rows would be in no window");
/// ```
#[must_use]
pub fn hopping(period: &str, every: &str) -> Window {
    Window { text: format!("hopping(\"{period}\", \"{every}\")"), cut: cut_hopping(period, every) }
}

fn cut_hopping(period_text: &str, every_text: &str) -> Result<Cut, PlanError> {
    let (period, every) = (fixed("hopping", period_text)?, fixed("hopping", every_text)?);
    let bad = |text: &str, detail: &str| PlanError::BadDuration {
        operation: "hopping",
        text: text.to_owned(),
        detail: detail.to_owned(),
    };
    if period.duration_ns() < every.duration_ns() {
        return Err(bad(period_text, "windows shorter than the step between them would lose rows"));
    }
    if period.duration_ns() / every.duration_ns() > MOST_OVERLAPS {
        return Err(bad(every_text, "every row would be in more than 10,000 windows"));
    }
    Ok(Cut::Every { every, period })
}

/// The most windows that a row may be in.
const MOST_OVERLAPS: i64 = 10_000;

/// A window for each burst of rows of a key: it ends when no row comes for `gap`, as in Spark's `session_window`. It is named
/// by its first row's time.
///
/// ```
/// assert!(plan::session("5m").cut().is_ok());
/// ```
#[must_use]
pub fn session(gap: &str) -> Window {
    Window { text: format!("session(\"{gap}\")"), cut: fixed("session", gap).map(|gap| Cut::Session { gap }) }
}

impl Window {
    /// The window as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The windows.
    ///
    /// # Errors
    /// When what was written is no duration above zero, or makes no sense for this kind of window.
    pub fn cut(&self) -> Result<Cut, PlanError> {
        self.cut.clone()
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

/// A duration that has the same length everywhere in the calendar.
fn fixed(operation: &'static str, text: &str) -> Result<Duration, PlanError> {
    let duration = parse_duration(operation, text)?;
    if duration.months() != 0 {
        let detail = "months, quarters and years have no fixed length".to_owned();
        return Err(PlanError::BadDuration { operation, text: text.to_owned(), detail });
    }
    Ok(duration)
}
