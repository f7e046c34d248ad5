//! Windows over event time, with Polars' conventions: a window starts at a multiple of its step since the epoch, holds its
//! start and not its end, and is named by its start, unless it is said otherwise.

use polars::prelude::{ClosedWindow, DataType, Duration, Label, TimeUnit, TimeZone};

use crate::PlanError;

/// How event time is cut into windows.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    kind: WindowKind,
    offset: Option<String>,
    cut: Result<Cut, PlanError>,
}

/// The lengths of windows, as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WindowKind {
    Tumbling { every: String },
    Hopping { period: String, every: String },
    Session { gap: String },
}

/// A window's kind, its lengths known to be above zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cut {
    /// Windows that start at fixed times.
    Every(Hops),
    /// A window for each run of a key's rows in which none comes `gap` or more after the one before it.
    Session {
        /// The time without a row that ends a session.
        gap: Duration,
    },
}

/// Windows of length `period` that start every `every`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hops {
    /// From one start to the next.
    pub every: Duration,
    /// From a window's start to its end.
    pub period: Duration,
    /// How far the starts are from the multiples of `every` since the epoch.
    pub offset: Duration,
    /// Which of its two ends a window holds.
    pub closed: ClosedWindow,
    /// What a window is named by.
    pub label: Label,
    /// Whether a window's start and end are columns of the result.
    pub boundaries: bool,
}

impl Hops {
    fn new(every: Duration, period: Duration) -> Hops {
        let (closed, label) = (ClosedWindow::Left, Label::Left);
        Hops { every, period, offset: zero(), closed, label, boundaries: false }
    }

    /// Whether there is neither gap nor overlap.
    #[must_use]
    pub fn tumble(&self) -> bool {
        self.every == self.period
    }

    /// Whether a window holds its end.
    #[must_use]
    pub fn holds_end(&self) -> bool {
        matches!(self.closed, ClosedWindow::Right | ClosedWindow::Both)
    }
}

impl Cut {
    /// What stands in the way of cutting a column of this type, and the way to do it. Windows must be the same whatever row
    /// comes first, which Polars' are not where an offset is longer in one month or on one day than in another.
    pub(crate) fn obstacle(&self, dtype: &DataType) -> Option<(&'static str, &'static str)> {
        let DataType::Datetime(unit, zone) = dtype else { return None };
        let zoned = zone.as_ref().is_some_and(|zone| *zone != TimeZone::UTC);
        match self {
            Cut::Session { gap } if zoned && has_days(gap) => {
                Some(("a session's days have no fixed length in a time zone", "Write hours."))
            }
            Cut::Session { .. } => None,
            Cut::Every(hops) => hops.obstacle(*unit, zoned),
        }
    }
}

impl Hops {
    fn obstacle(&self, unit: TimeUnit, zoned: bool) -> Option<(&'static str, &'static str)> {
        let Hops { every, offset, .. } = self;
        let step = match unit {
            TimeUnit::Nanoseconds => 1,
            TimeUnit::Microseconds => 1_000,
            TimeUnit::Milliseconds => 1_000_000,
        };
        if every.duration_ns() < step {
            return Some(("the windows are shorter than a step of the column's unit", "Write a longer one."));
        }
        let of_months = every.months() != 0;
        let of_calendar = of_months || has_days(every);
        if offset.is_zero() {
            None
        } else if !of_months && offset.months() != 0 {
            Some(("months of an offset have no fixed length", "Write days."))
        } else if of_months && !offset.months_only() && !(0..FOUR_WEEKS).contains(&signed(offset)) {
            let detail = "an offset of windows of months must be months alone, or less than 28 days and not negative";
            Some((detail, "Write another offset."))
        } else if zoned && of_calendar && offset.nanoseconds() != 0 {
            Some(("hours of an offset are not the same hours each day in a time zone", "Write days."))
        } else if zoned && !of_calendar && has_days(offset) {
            Some(("days of an offset have no fixed length in a time zone", "Write hours."))
        } else {
            None
        }
    }
}

fn zero() -> Duration {
    // Polars' own zero counts rows.
    Duration::parse("0ns")
}

/// The least length of a month, in nanoseconds.
const FOUR_WEEKS: i64 = 28 * 24 * 3600 * 1_000_000_000;

fn has_days(duration: &Duration) -> bool {
    duration.days() != 0 || duration.weeks() != 0
}

fn signed(duration: &Duration) -> i64 {
    if duration.negative() { -duration.duration_ns() } else { duration.duration_ns() }
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
    let cut = of_one_kind("tumbling", every).map(|every| Cut::Every(Hops::new(every, every)));
    Window { kind: WindowKind::Tumbling { every: every.to_owned() }, offset: None, cut }
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
    let kind = WindowKind::Hopping { period: period.to_owned(), every: every.to_owned() };
    Window { kind, offset: None, cut: cut_hopping(period, every) }
}

fn cut_hopping(period_text: &str, every_text: &str) -> Result<Cut, PlanError> {
    let (period, every) = (parse_duration("hopping", period_text)?, of_one_kind("hopping", every_text)?);
    if period.duration_ns() < every.duration_ns() {
        return Err(bad("hopping", period_text, "windows shorter than the step between them would lose rows"));
    }
    if period.duration_ns() / every.duration_ns() > MOST_OVERLAPS {
        return Err(bad("hopping", every_text, "every row would be in more than 10,000 windows"));
    }
    Ok(Cut::Every(Hops::new(every, period)))
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
    let cut = fixed("session", gap).map(|gap| Cut::Session { gap });
    Window { kind: WindowKind::Session { gap: gap.to_owned() }, offset: None, cut }
}

impl Window {
    /// The window as it is written, as in `tumbling("1d").offset("6h")`.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = match &self.kind {
            WindowKind::Tumbling { every } => format!("tumbling(\"{every}\")"),
            WindowKind::Hopping { period, every } => format!("hopping(\"{period}\", \"{every}\")"),
            WindowKind::Session { gap } => format!("session(\"{gap}\")"),
        };
        if let Some(offset) = &self.offset {
            text += &format!(".offset(\"{offset}\")");
        }
        let Ok(Cut::Every(hops)) = &self.cut else { return text };
        if hops.closed != ClosedWindow::Left {
            text += &format!(".closed({:?})", hops.closed);
        }
        if hops.label != Label::Left {
            text += &format!(".label({:?})", hops.label);
        }
        if hops.boundaries {
            text += ".include_boundaries()";
        }
        text
    }

    pub(crate) fn kind(&self) -> &WindowKind {
        &self.kind
    }

    /// How far the starts were moved, as it was written.
    pub(crate) fn offset_text(&self) -> Option<&str> {
        self.offset.as_deref()
    }

    /// The windows' lengths in words, as in `every 10s`.
    #[must_use]
    pub fn in_words(&self) -> String {
        match &self.kind {
            WindowKind::Tumbling { every } => format!("every {every}"),
            WindowKind::Hopping { period, every } => format!("{period} every {every}"),
            WindowKind::Session { gap } => format!("sessions {gap} apart"),
        }
    }

    /// The windows.
    ///
    /// # Errors
    /// When what was written is no duration above zero, or makes no sense for this kind of window.
    pub fn cut(&self) -> Result<Cut, PlanError> {
        self.cut.clone()
    }

    /// Moves the windows' starts, as Polars' `offset`: `tumbling("1d").offset("6h")` is from six to six. It may be negative, as
    /// in `tumbling("1w").offset("-1d")`, weeks that begin on Sunday.
    ///
    /// ```
    /// assert!(plan::tumbling("10s").offset("3s").cut().is_ok());
    /// assert!(plan::session("10s").offset("3s").cut().is_err(), "a session starts with its first row");
    /// ```
    #[must_use]
    pub fn offset(self, offset: &str) -> Window {
        let parsed = any_duration("offset", offset);
        let length = parsed.clone().unwrap_or_else(|_| zero());
        let moved = self.with("offset", |hops| hops.offset = length);
        Window { cut: moved.cut.and_then(|cut| parsed.map(|_| cut)), offset: Some(offset.to_owned()), ..moved }
    }

    /// Says which of its two ends a window holds, as Polars' `closed`. A row at an end that two windows hold is in both, and
    /// one at an end that none holds is in none.
    ///
    /// ```
    /// use polars::prelude::ClosedWindow;
    /// assert!(plan::tumbling("10s").closed(ClosedWindow::Right).cut().is_ok());
    /// ```
    #[must_use]
    pub fn closed(self, closed: ClosedWindow) -> Window {
        self.with("closed", |hops| hops.closed = closed)
    }

    /// Says what a window is named by, as Polars' `label`: its start, its end, or the time of its first row.
    ///
    /// ```
    /// use polars::prelude::Label;
    /// assert!(plan::hopping("1m", "10s").label(Label::Right).cut().is_ok());
    /// ```
    #[must_use]
    pub fn label(self, label: Label) -> Window {
        self.with("label", |hops| hops.label = label)
    }

    /// Adds the columns `_lower_boundary` and `_upper_boundary`, a window's start and end, as Polars' `include_boundaries`.
    ///
    /// ```
    /// assert!(plan::tumbling("10s").include_boundaries().cut().is_ok());
    /// ```
    #[must_use]
    pub fn include_boundaries(self) -> Window {
        self.with("include_boundaries", |hops| hops.boundaries = true)
    }

    fn with(self, operation: &'static str, set: impl FnOnce(&mut Hops)) -> Window {
        let cut = self.cut.and_then(|cut| match cut {
            Cut::Every(mut hops) => {
                set(&mut hops);
                Ok(Cut::Every(hops))
            }
            Cut::Session { .. } => Err(PlanError::Refused {
                operation,
                detail: "a session begins with its first row and ends a gap after its last one".to_owned(),
                hint: "Use tumbling(…) or hopping(…).",
            }),
        });
        Window { cut, ..self }
    }
}

/// Reads a duration above zero; `operation` is named where it is none.
///
/// # Errors
/// A text that is no duration.
pub fn parse_duration(operation: &'static str, text: &str) -> Result<Duration, PlanError> {
    let duration = any_duration(operation, text)?;
    if duration.negative() || duration.is_zero() {
        return Err(bad(operation, text, "it must be above zero"));
    }
    Ok(duration)
}

/// Reads a duration, which may be negative or zero.
pub(crate) fn any_duration(operation: &'static str, text: &str) -> Result<Duration, PlanError> {
    let duration = Duration::try_parse(text).map_err(|error| bad(operation, text, &error.to_string()))?;
    if duration.parsed_int {
        return Err(bad(operation, text, "a number of rows is no length of time"));
    }
    Ok(duration)
}

fn bad(operation: &'static str, text: &str, detail: &str) -> PlanError {
    PlanError::BadDuration { operation, text: text.to_owned(), detail: detail.to_owned() }
}

/// A duration that times can be rounded to.
fn of_one_kind(operation: &'static str, text: &str) -> Result<Duration, PlanError> {
    let duration = parse_duration(operation, text)?;
    let parts = [duration.months(), duration.weeks(), duration.days(), duration.nanoseconds()];
    if parts.iter().filter(|part| **part != 0).count() > 1 {
        return Err(bad(operation, text, "months, weeks, days and hours cannot be mixed"));
    }
    Ok(duration)
}

/// A duration that has the same length everywhere in the calendar.
pub(crate) fn fixed(operation: &'static str, text: &str) -> Result<Duration, PlanError> {
    let duration = parse_duration(operation, text)?;
    if duration.months() != 0 {
        return Err(bad(operation, text, "months, quarters and years have no fixed length"));
    }
    Ok(duration)
}
