//! What a chart shows: a plain description, checked against a schema before anything is drawn. The files below turn
//! rows into series, find the ticks and draw with plotters; none of them knows of a page.

mod axis;
mod draw;
mod image;
mod ink;
mod pixels;
mod ranges;
mod series;
mod thin;

use std::time::Duration;

use polars::prelude::*;

pub(crate) use image::DEFAULT_SIZE;
pub(crate) use ink::Colours;
pub(crate) use series::{Picture, XKind};

/// How the values are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A line through the points of each series.
    Line,
    /// A line with the area under it filled.
    Area,
    /// Bars, those of several series stacked.
    Bar,
    /// A dot for each row.
    Points,
}

/// A chart of one column over another. Made by [`line`], [`area`], [`bar`] and [`points`].
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    pub(crate) mark: Mark,
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) by: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) last: Option<String>,
}

/// A line of `y` over `x`.
///
/// ```
/// let chart = display::line("event_time", "total").by("category").last("10m");
/// ```
#[must_use]
pub fn line(x: impl Into<String>, y: impl Into<String>) -> Chart {
    Chart::new(Mark::Line, x.into(), y.into())
}

/// A line of `y` over `x`, filled down to zero.
#[must_use]
pub fn area(x: impl Into<String>, y: impl Into<String>) -> Chart {
    Chart::new(Mark::Area, x.into(), y.into())
}

/// Bars of `y` at each `x`; `x` may be a text.
#[must_use]
pub fn bar(x: impl Into<String>, y: impl Into<String>) -> Chart {
    Chart::new(Mark::Bar, x.into(), y.into())
}

/// A dot at `x`, `y` for each row.
#[must_use]
pub fn points(x: impl Into<String>, y: impl Into<String>) -> Chart {
    Chart::new(Mark::Points, x.into(), y.into())
}

impl Chart {
    fn new(mark: Mark, x: String, y: String) -> Chart {
        Chart { mark, x, y, by: None, title: None, last: None }
    }

    /// One series for each value of this column, in its own colour.
    #[must_use]
    pub fn by(mut self, column: impl Into<String>) -> Chart {
        self.by = Some(column.into());
        self
    }

    /// A title above the chart.
    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Chart {
        self.title = Some(title.into());
        self
    }

    /// Shows only the newest stretch of time, such as `"10m"`, counted back from the newest `x`.
    #[must_use]
    pub fn last(mut self, span: impl Into<String>) -> Chart {
        self.last = Some(span.into());
        self
    }

    /// Checks the chart against the columns it will be drawn from.
    ///
    /// # Errors
    /// A column that is not there, one of a type that cannot be drawn, or a time range that cannot be read.
    pub fn check(&self, schema: &Schema) -> Result<(), ChartError> {
        let x = dtype_of(schema, &self.x)?;
        let y = dtype_of(schema, &self.y)?;
        if let Some(by) = &self.by {
            dtype_of(schema, by)?;
        }
        let Some(kind) = XKind::of(x) else {
            return Err(ChartError::NoAxis { column: self.x.clone(), dtype: x.to_string() });
        };
        if !series::is_measure(y) {
            return Err(ChartError::NotNumeric {
                column: self.y.clone(),
                dtype: y.to_string(),
                numeric: numeric_columns(schema),
            });
        }
        if self.last.is_some() {
            self.span()?;
            if kind != XKind::Time {
                return Err(ChartError::NoTime { column: self.x.clone(), dtype: x.to_string() });
            }
        }
        Ok(())
    }

    /// The time range asked for.
    pub(crate) fn span(&self) -> Result<Option<Duration>, ChartError> {
        self.last
            .as_deref()
            .map(|text| ranges::parse(text).ok_or_else(|| ChartError::Span { text: text.to_owned() }))
            .transpose()
    }
}

/// A chart that cannot be drawn.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChartError {
    /// There is no such column.
    #[error("the chart names a column \"{column}\" that the frame does not have. {hint}")]
    UnknownColumn {
        /// The column asked for.
        column: String,
        /// The nearest names, or all of them.
        hint: String,
    },
    /// The y column is no number.
    #[error(
        "the chart cannot draw \"{column}\" as a height: its type is {dtype}. {}",
        any_of("Numeric columns", numeric)
    )]
    NotNumeric {
        /// The column asked for.
        column: String,
        /// Its type.
        dtype: String,
        /// Columns that would do.
        numeric: Vec<String>,
    },
    /// The x column has no order on an axis.
    #[error(
        "the chart cannot lay \"{column}\" out on an axis: its type is {dtype}. A time, a number, a text or a boolean would do"
    )]
    NoAxis {
        /// The column asked for.
        column: String,
        /// Its type.
        dtype: String,
    },
    /// A time range over something that is no time.
    #[error(
        "`last` needs times on the x axis, but \"{column}\" is {dtype}. Leave `last` out, or draw over a date or datetime column"
    )]
    NoTime {
        /// The x column.
        column: String,
        /// Its type.
        dtype: String,
    },
    /// A time range that cannot be read.
    #[error(
        "the time range \"{text}\" cannot be read. Write a number and a unit (ms, s, m, h, d, w), as in \"10m\" or \"1h30m\""
    )]
    Span {
        /// What was written.
        text: String,
    },
    /// Polars or plotters refused.
    #[error("the chart could not be drawn: {detail}")]
    Draw {
        /// What they said.
        detail: String,
    },
}

impl From<PolarsError> for ChartError {
    fn from(error: PolarsError) -> ChartError {
        ChartError::Draw { detail: error.to_string() }
    }
}

fn dtype_of<'a>(schema: &'a Schema, column: &str) -> Result<&'a DataType, ChartError> {
    schema
        .get(column)
        .ok_or_else(|| ChartError::UnknownColumn { column: column.to_owned(), hint: near(schema, column) })
}

fn near(schema: &Schema, column: &str) -> String {
    let wanted = column.to_lowercase();
    let mut names: Vec<(f64, &str)> =
        schema.iter_names().map(|name| (strsim::jaro_winkler(&wanted, &name.to_lowercase()), name.as_str())).collect();
    names.sort_by(|a, b| b.0.total_cmp(&a.0));
    let close: Vec<String> =
        names.iter().filter(|(likeness, _)| *likeness > 0.8).take(3).map(|(_, name)| (*name).to_owned()).collect();
    if close.is_empty() {
        let all: Vec<String> = schema.iter_names().map(ToString::to_string).collect();
        any_of("Its columns", &all)
    } else {
        format!("Did you mean {}?", close.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(" or "))
    }
}

fn numeric_columns(schema: &Schema) -> Vec<String> {
    schema.iter().filter(|(_, dtype)| series::is_measure(dtype)).map(|(name, _)| name.to_string()).collect()
}

fn any_of(what: &str, names: &[String]) -> String {
    if names.is_empty() {
        return format!("{what}: none");
    }
    format!("{what}: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn schema() -> Schema {
        Schema::from_iter([
            Field::new("event_time".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
            Field::new("category".into(), DataType::String),
            Field::new("total".into(), DataType::Decimal(38, 2)),
            Field::new("tags".into(), DataType::List(Box::new(DataType::String))),
        ])
    }

    fn check(chart: Chart, expect: Result<(), &str>) {
        let got = chart.check(&schema()).map_err(|error| error.to_string());
        match (got, expect) {
            (Ok(()), Ok(())) => {}
            (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
            (got, _) => panic!("{got:?}"),
        }
    }

    #[test]
    fn a_chart_over_columns_of_the_frame_is_accepted() {
        check(line("event_time", "total").by("category").last("10m"), Ok(()));
        check(bar("category", "total"), Ok(()));
    }

    #[test]
    fn an_unknown_column_names_its_near_matches() {
        check(line("event_tiem", "total"), Err("Did you mean \"event_time\"?"));
        check(line("event_time", "total").by("xyz"), Err("Its columns: event_time, category, total, tags"));
    }

    #[test]
    fn a_height_must_be_a_number() {
        check(line("event_time", "category"), Err("Numeric columns: total"));
        check(line("tags", "total"), Err("cannot lay \"tags\" out"));
    }

    #[test]
    fn a_time_range_needs_times_and_a_unit() {
        check(bar("category", "total").last("10m"), Err("needs times"));
        check(line("event_time", "total").last("10 minutes please"), Err("cannot be read"));
    }
}
