//! Rows into series: numbers on both axes, one list of points a series. Functions of a
//! frame; draws nothing.

use std::collections::HashMap;

use polars::prelude::*;

use super::ink::{Colours, SERIES};
use super::{Chart, ChartError, Mark};

/// What the x axis counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum XKind {
    /// Milliseconds since the epoch, in the column's own zone.
    Time,
    /// Plain numbers.
    Number,
    /// Texts, at 0, 1, 2 in the order they first come.
    Category,
}

impl XKind {
    /// The kind of axis for a type, if it can be one.
    pub(crate) fn of(dtype: &DataType) -> Option<XKind> {
        match dtype {
            DataType::Datetime(..) | DataType::Date => Some(XKind::Time),
            DataType::String | DataType::Boolean | DataType::Categorical(..) | DataType::Enum(..) => {
                Some(XKind::Category)
            }
            other if is_measure(other) => Some(XKind::Number),
            _ => None,
        }
    }
}

/// Whether values of a type can be heights.
pub(crate) fn is_measure(dtype: &DataType) -> bool {
    dtype.is_primitive_numeric() || dtype.is_decimal()
}

/// One line, area, stack of bars or cloud of dots.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Index into the ink's series colours.
    pub(crate) colour: usize,
    /// Sorted by x, all finite.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Everything a drawing needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) mark: Mark,
    pub(crate) kind: XKind,
    pub(crate) title: Option<String>,
    pub(crate) x_name: String,
    pub(crate) y_name: String,
    pub(crate) by: Option<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) series: Vec<Series>,
    /// Beyond this x, values may still change: the watermark has not passed it.
    pub(crate) settled: Option<f64>,
    /// What is left out.
    pub(crate) note: Option<String>,
}

impl Chart {
    /// The rows as series. `settled_ms` is the watermark.
    ///
    /// # Errors
    /// When a column is gone or polars cannot turn it into numbers.
    pub(crate) fn picture(
        &self,
        frame: &DataFrame,
        settled_ms: Option<i64>,
        colours: &mut Colours,
    ) -> Result<Picture, ChartError> {
        let x = frame.column(&self.x)?;
        let kind = XKind::of(x.dtype())
            .ok_or_else(|| ChartError::NoAxis { column: self.x.clone(), dtype: x.dtype().to_string() })?;
        let (xs, categories, shift) = axis_values(x, kind)?;
        let ys = numbers(frame.column(&self.y)?)?;
        let from = match self.span()? {
            Some(span) => xs.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max) - span.as_millis() as f64,
            None => f64::NEG_INFINITY,
        };
        let mut series = match &self.by {
            Some(by) => split(&xs, &ys, from, &texts(frame.column(by)?)?),
            None => vec![(self.y.clone(), together(&xs, &ys, from))],
        };
        series.retain(|(_, points)| !points.is_empty());
        let found = series.len();
        keep_largest(&mut series);
        let names: Vec<String> = series.iter().map(|(name, _)| name.clone()).collect();
        let series = colours
            .assign(&names)
            .into_iter()
            .zip(series)
            .map(|(colour, (name, mut points))| {
                points.sort_by(|a, b| a.0.total_cmp(&b.0));
                if matches!(self.mark, Mark::Bar | Mark::Area) {
                    sum_up(&mut points);
                }
                Series { name, colour, points }
            })
            .collect();
        Ok(Picture {
            mark: self.mark,
            kind,
            title: self.title.clone(),
            x_name: self.x.clone(),
            y_name: self.y.clone(),
            by: self.by.clone(),
            categories,
            series,
            settled: settled_ms.filter(|_| kind == XKind::Time).map(|ms| ms as f64 + shift),
            note: (found > SERIES).then(|| format!("the largest {SERIES} of {found}")),
        })
    }
}

impl Picture {
    /// The lowest and highest x.
    pub(crate) fn x_range(&self) -> Option<(f64, f64)> {
        range(self.series.iter().flat_map(|series| series.points.iter().map(|point| point.0)))
    }

    /// The lowest and highest y, of bars and areas that of the stacks.
    pub(crate) fn y_range(&self) -> Option<(f64, f64)> {
        if matches!(self.mark, Mark::Line | Mark::Points) {
            return range(self.series.iter().flat_map(|series| series.points.iter().map(|point| point.1)));
        }
        let mut stacks: HashMap<u64, (f64, f64)> = HashMap::new();
        for (x, y) in self.series.iter().flat_map(|series| &series.points) {
            let stack = stacks.entry(x.to_bits()).or_default();
            if *y < 0.0 { stack.0 += y } else { stack.1 += y }
        }
        range(stacks.values().flat_map(|stack| [stack.0, stack.1]))
    }
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

type Values = Vec<Option<f64>>;

/// Positions on the x axis, the categories, and how far the column's own zone is from UTC.
fn axis_values(column: &Column, kind: XKind) -> PolarsResult<(Values, Vec<String>, f64)> {
    match kind {
        XKind::Number => Ok((numbers(column)?, Vec::new(), 0.0)),
        XKind::Time => {
            let local = local_time(column)?;
            let ms = local.cast(&DataType::Datetime(TimeUnit::Milliseconds, None))?.cast(&DataType::Int64)?;
            let values: Values = ms.i64()?.iter().map(|value| value.map(|ms| ms as f64)).collect();
            Ok((values, Vec::new(), zone_shift(column, &ms)?))
        }
        XKind::Category => {
            let mut places: HashMap<String, usize> = HashMap::new();
            let mut names = Vec::new();
            let values = texts(column)?
                .into_iter()
                .map(|text| {
                    let next = places.len();
                    let place = *places.entry(text.clone()).or_insert(next);
                    if place == next {
                        names.push(text);
                    }
                    Some(place as f64)
                })
                .collect();
            Ok((values, names, 0.0))
        }
    }
}

/// The column on the clock of its own zone: what a reader of that zone expects on the axis.
fn local_time(column: &Column) -> PolarsResult<Column> {
    if !matches!(column.dtype(), DataType::Datetime(_, Some(_))) {
        return Ok(column.clone());
    }
    let name = column.name().clone();
    let frame = DataFrame::new(column.len(), vec![column.clone()])?;
    let local = frame
        .lazy()
        .select([col(name.clone()).dt().replace_time_zone(None, lit("raise"), NonExistent::Raise)])
        .collect()?;
    local.column(&name).cloned()
}

fn zone_shift(column: &Column, local_ms: &Column) -> PolarsResult<f64> {
    let DataType::Datetime(_, Some(_)) = column.dtype() else { return Ok(0.0) };
    let utc = column.cast(&DataType::Datetime(TimeUnit::Milliseconds, None))?.cast(&DataType::Int64)?;
    let shift =
        utc.i64()?.iter().zip(local_ms.i64()?.iter()).filter_map(|(utc, local)| Some(local? - utc?)).next_back();
    Ok(shift.unwrap_or(0) as f64)
}

fn numbers(column: &Column) -> PolarsResult<Values> {
    let floats = column.cast(&DataType::Float64)?;
    Ok(floats.f64()?.iter().map(|value| value.filter(|value| value.is_finite())).collect())
}

/// The values as names; a null is a name of its own.
fn texts(column: &Column) -> PolarsResult<Vec<String>> {
    let text = column.cast(&DataType::String)?;
    Ok(text
        .str()?
        .iter()
        .map(|value| value.map_or_else(|| "null".to_owned(), |text| text.chars().take(60).collect()))
        .collect())
}

fn together(xs: &Values, ys: &Values, from: f64) -> Vec<(f64, f64)> {
    xs.iter().zip(ys).filter_map(|(x, y)| Some(((*x)?, (*y)?))).filter(|(x, _)| *x >= from).collect()
}

fn split(xs: &Values, ys: &Values, from: f64, keys: &[String]) -> Vec<(String, Vec<(f64, f64)>)> {
    let mut by: HashMap<&str, Vec<(f64, f64)>> = HashMap::new();
    for ((x, y), key) in xs.iter().zip(ys).zip(keys) {
        let (Some(x), Some(y)) = (x, y) else { continue };
        if *x >= from {
            by.entry(key.as_str()).or_default().push((*x, *y));
        }
    }
    let mut series: Vec<_> = by.into_iter().map(|(name, points)| (name.to_owned(), points)).collect();
    series.sort_by(|a, b| a.0.cmp(&b.0));
    series
}

/// Keeps the series whose heights sum up to most, in the order they had. By sum, not by last value: the chosen ones
/// must not change from frame to frame.
fn keep_largest(series: &mut Vec<(String, Vec<(f64, f64)>)>) {
    if series.len() <= SERIES {
        return;
    }
    let size = |points: &[(f64, f64)]| points.iter().map(|point| point.1.abs()).sum::<f64>();
    let mut sizes: Vec<f64> = series.iter().map(|(_, points)| size(points)).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let least = sizes[SERIES - 1];
    series.retain(|(_, points)| size(points) >= least);
    series.truncate(SERIES);
}

/// Joins points at the same place to their sum: a stack has one height.
fn sum_up(points: &mut Vec<(f64, f64)>) {
    points.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{bar, line};
    use super::*;

    fn frame() -> DataFrame {
        let ms = DataType::Datetime(TimeUnit::Milliseconds, None);
        let mut frame = df![
            "t" => [2_000i64, 1_000, 2_000, 1_000, 3_000],
            "k" => ["a", "a", "b", "b", "a"],
            "v" => [Some(2.0), Some(1.0), Some(20.0), Some(f64::NAN), None],
        ]
        .unwrap();
        frame.with_column(frame.column("t").unwrap().cast(&ms).unwrap()).unwrap();
        frame
    }

    #[test]
    fn rows_become_sorted_series_without_nulls_and_nans() {
        let picture = line("t", "v").by("k").picture(&frame(), Some(1_500), &mut Colours::default()).unwrap();
        assert_eq!(picture.kind, XKind::Time);
        assert_eq!(picture.settled, Some(1_500.0));
        assert_eq!(picture.series[0].points, [(1_000.0, 1.0), (2_000.0, 2.0)]);
        assert_eq!(picture.series[1].points, [(2_000.0, 20.0)]);
    }

    #[test]
    fn only_the_newest_stretch_of_time_is_kept() {
        let picture = line("t", "v").last("1s").picture(&frame(), None, &mut Colours::default()).unwrap();
        assert_eq!(picture.series[0].points, [(2_000.0, 2.0), (2_000.0, 20.0)]);
    }

    #[test]
    fn a_time_with_a_zone_is_drawn_on_that_zones_clock() {
        let zone = TimeZone::opt_try_new(Some("Europe/Madrid")).unwrap();
        let mut frame = df!["t" => [1_700_000_000_000i64], "v" => [1.0]].unwrap();
        let zoned = frame.column("t").unwrap().cast(&DataType::Datetime(TimeUnit::Milliseconds, zone)).unwrap();
        frame.with_column(zoned).unwrap();
        let picture = line("t", "v").picture(&frame, Some(1_700_000_000_000), &mut Colours::default()).unwrap();
        assert_eq!(picture.series[0].points[0].0, 1_700_003_600_000.0);
        assert_eq!(picture.settled, Some(1_700_003_600_000.0));
    }

    #[test]
    fn of_many_series_the_largest_are_kept_and_a_note_says_so() {
        let names: Vec<String> = (0..30).map(|i| format!("k{i:02}")).collect();
        let values: Vec<f64> = (0..30).map(f64::from).collect();
        let frame = df!["t" => vec![1i64; 30], "k" => names, "v" => values].unwrap();
        let picture = line("t", "v").by("k").picture(&frame, None, &mut Colours::default()).unwrap();
        assert_eq!(picture.series.len(), SERIES);
        assert_eq!(picture.series[0].name, "k20");
        assert_eq!(picture.note.as_deref(), Some("the largest 10 of 30"));
    }

    #[test]
    fn stacked_bars_reach_as_high_as_their_sum() {
        let frame = df!["c" => ["x", "x", "y"], "k" => ["a", "b", "a"], "v" => [3i64, 4, -2]].unwrap();
        let picture = bar("c", "v").by("k").picture(&frame, None, &mut Colours::default()).unwrap();
        assert_eq!(picture.categories, ["x", "y"]);
        assert_eq!(picture.y_range(), Some((-2.0, 7.0)));
    }

    #[test]
    fn rows_at_one_place_are_one_bar() {
        let frame = df!["c" => ["x", "y", "x"], "v" => [3i64, 4, 5]].unwrap();
        let picture = bar("c", "v").picture(&frame, None, &mut Colours::default()).unwrap();
        assert_eq!(picture.series[0].points, [(0.0, 8.0), (1.0, 4.0)]);
    }

    #[test]
    fn decimals_are_drawn_as_floats() {
        let mut frame = df!["t" => [1i64], "v" => ["12.50"]].unwrap();
        let money = frame.column("v").unwrap().cast(&DataType::Decimal(38, 2)).unwrap();
        frame.with_column(money).unwrap();
        let picture = line("t", "v").picture(&frame, None, &mut Colours::default()).unwrap();
        assert_eq!(picture.series[0].points, [(1.0, 12.5)]);
    }
}
