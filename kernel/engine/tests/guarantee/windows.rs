//! Windows on whole frames, as the definition has them: tumbling ones by Polars; of overlapping ones Polars leaves out those that
//! start before the first row's own, which a stream cannot, and of sessions it knows nothing.

use std::collections::BTreeMap;

use polars::prelude::*;

/// How time is cut.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    Tumbling(&'static str),
    Hopping(&'static str, &'static str),
    Session(i64),
    /// Without overlap, with the options.
    Chosen {
        every: &'static str,
        offset: i64,
        closed: ClosedWindow,
        label: Label,
        boundaries: bool,
    },
}

impl Shape {
    /// In the plan's words.
    pub(crate) fn window(&self) -> plan::Window {
        match self {
            Shape::Tumbling(every) => plan::tumbling(every),
            Shape::Hopping(period, every) => plan::hopping(period, every),
            Shape::Session(gap) => plan::session(&format!("{gap}ms")),
            Shape::Chosen { every, offset, closed, label, boundaries } => {
                let window = plan::tumbling(every).offset(&format!("{offset}ms")).closed(*closed).label(*label);
                if *boundaries { window.include_boundaries() } else { window }
            }
        }
    }

    /// The same without the windows' ends, where columns have their names.
    pub(crate) fn beside(self, schema: &Schema) -> Shape {
        match self {
            Shape::Chosen { every, offset, closed, label, boundaries } => {
                let boundaries = boundaries && plan::BOUNDARIES.iter().all(|name| !schema.contains(name));
                Shape::Chosen { every, offset, closed, label, boundaries }
            }
            shape => shape,
        }
    }

    /// How many columns of the result come of the windows.
    pub(crate) fn columns(&self) -> usize {
        if matches!(self, Shape::Chosen { boundaries: true, .. }) { 3 } else { 1 }
    }

    /// The aggregates of all rows that have a time.
    pub(crate) fn aggregate(
        &self,
        rows: LazyFrame,
        time: &str,
        keys: &[Expr],
        aggs: &[Expr],
    ) -> PolarsResult<LazyFrame> {
        let rows = rows.filter(col(time).is_not_null());
        let rows = rows.sort([time], SortMultipleOptions::default().with_maintain_order(true));
        Ok(match self {
            Shape::Tumbling(every) => {
                let every = Duration::parse(every);
                let options =
                    DynamicGroupOptions { every, period: every, offset: Duration::parse("0ns"), ..Default::default() };
                rows.group_by_dynamic(col(time), keys, options).agg(aggs)
            }
            Shape::Chosen { every, offset, closed, label, boundaries } => {
                let every = Duration::parse(every);
                let options = DynamicGroupOptions {
                    every,
                    period: every,
                    offset: Duration::parse(&format!("{offset}ms")),
                    label: *label,
                    include_boundaries: *boundaries,
                    closed_window: *closed,
                    ..Default::default()
                };
                let rows = rows.collect()?;
                let is_empty = rows.height() == 0;
                let windows = rows.lazy().group_by_dynamic(col(time), keys, options).agg(aggs);
                let mut windows = windows.collect()?;
                if *boundaries && is_empty {
                    windows = with_boundaries(windows, keys.len(), time)?;
                }
                // Polars takes the first rows' times of all keys for sorted, and would not sort them afterwards.
                let mut times = windows.column(time)?.as_materialized_series().clone();
                times.set_sorted_flag(polars::series::IsSorted::Not);
                windows.with_column(times.into())?;
                windows.lazy()
            }
            Shape::Hopping(period, every) => {
                let rows = rows.collect()?;
                let (from, starts) = spans(&times(&rows, time)?, period, every).into_iter().unzip();
                let rows = rows.take(&IdxCa::from_vec("".into(), from))?;
                by_start(rows, starts, time, keys, aggs)?
            }
            Shape::Session(gap) => {
                let rows = rows.collect()?;
                let starts = sessions(&rows, time, keys, *gap)?;
                by_start(rows, starts, time, keys, aggs)?
            }
        })
    }
}

/// With the columns of the windows' ends, which Polars does not give where there are no rows.
fn with_boundaries(mut none: DataFrame, place: usize, time: &str) -> PolarsResult<DataFrame> {
    for (number, name) in plan::BOUNDARIES.into_iter().enumerate() {
        let end = none.column(time)?.clone().with_name(name.into());
        none.insert_column(place + number, end)?;
    }
    Ok(none)
}

/// The times of rows that all have one, in milliseconds.
pub(crate) fn times(rows: &DataFrame, time: &str) -> PolarsResult<Vec<i64>> {
    Ok(rows.column(time)?.to_physical_repr().i64()?.into_no_null_iter().collect())
}

/// A row is in each window that spans it: the numbers of the rows, each with the start of a window.
pub(crate) fn spans(times: &[i64], period: &str, every: &str) -> Vec<(IdxSize, i64)> {
    let milliseconds = |text: &str| Duration::parse(text).duration_ns() / 1_000_000;
    let (period, every) = (milliseconds(period), milliseconds(every));
    let mut found = Vec::new();
    for (row, at) in times.iter().enumerate() {
        let mut start = at.div_euclid(every) * every;
        while start + period > *at {
            found.push((row as IdxSize, start));
            start -= every;
        }
    }
    found
}

/// The start of each row's session; the rows are in the order of time.
pub(crate) fn sessions(rows: &DataFrame, time: &str, keys: &[Expr], gap: i64) -> PolarsResult<Vec<i64>> {
    let named = keys.iter().enumerate().map(|(n, key)| key.clone().alias(format!("{n}")));
    // The time keeps the rows' number where there are no keys.
    let keyed = rows.clone().lazy().select(named.chain([col(time).alias("time")]).collect::<Vec<_>>()).collect()?;
    let mut last: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut starts = Vec::new();
    for (row, time) in times(rows, time)?.into_iter().enumerate() {
        let key = (0..keys.len()).map(|n| keyed.columns()[n].get(row).map(|key| name(&key)));
        let (start, newest) = last.entry(key.collect::<PolarsResult<Vec<_>>>()?.join(" ")).or_insert((time, time));
        if time - *newest >= gap {
            *start = time;
        }
        *newest = time;
        starts.push(*start);
    }
    Ok(starts)
}

/// The two zeros are one key.
pub(crate) fn name(key: &AnyValue<'_>) -> String {
    match key {
        AnyValue::Float64(x) => format!("{:?}", x + 0.0),
        key => format!("{key:?}"),
    }
}

/// Aggregates rows that each have the start of their window.
pub(crate) fn by_start(
    mut rows: DataFrame,
    starts: Vec<i64>,
    time: &str,
    keys: &[Expr],
    aggs: &[Expr],
) -> PolarsResult<LazyFrame> {
    let starts = Series::new("the start".into(), starts).cast(rows.column(time)?.dtype())?;
    rows.with_column(starts.into())?;
    let by: Vec<Expr> = keys.iter().cloned().chain([col("the start")]).collect();
    Ok(rows.lazy().group_by_stable(by).agg(aggs).rename(["the start"], [time], true))
}
