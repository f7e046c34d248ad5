//! Words with a person's own function, and the as-of join with a frame that stands still: what they are to a [`Both`].

use std::collections::BTreeMap;

use plan::{AsofStrategy, RowFunction, StateFunction, asof};
use polars::prelude::*;

use crate::both::{Both, Said, refused};
use crate::common::asof::ByHand;
use crate::windows::name;

impl Both {
    pub(crate) fn map_batches(&mut self, n: usize, how: usize) -> Said {
        let Some((name, _)) = self.pick(n, |_, dtype| !dtype.is_nested()).filter(|_| self.appends) else {
            return Ok(());
        };
        let new = self.fresh("mapped");
        let function = move |rows: DataFrame| {
            let rows = rows.lazy();
            let is_null = col(name.clone()).is_null();
            if how == 0 { rows.with_columns([is_null.alias(&new)]) } else { rows.filter(is_null.not()) }.collect()
        };
        self.polars = function(self.polars.clone().collect().map_err(said)?).unwrap().lazy();
        self.plan = refused(self.plan.map_batches(function))?;
        // A function that gives fewer rows does not say which are left.
        self.placed &= how == 0;
        Ok(())
    }

    pub(crate) fn map_rows(&mut self, n: usize) -> Said {
        use DataType::{Boolean, Float64, Int32, Int64, String as Text};
        let can = |_: &Both, dtype: &DataType| matches!(dtype, Boolean | Float64 | Int32 | Int64 | Text);
        let Some((name, dtype)) = self.pick(n, can) else { return Ok(()) };
        let names = [self.fresh("mapped"), self.fresh("is there")];
        let (column, read) = (col(name.clone()), name.to_string());
        let (function, twin) = match dtype {
            Boolean => (of_values(read, |flag: bool| !flag), column.clone().not()),
            Float64 => (of_values(read, |number: f64| number * 2.0), column.clone() * lit(2.0)),
            Text => (of_values(read, |text: String| text + "!"), concat_str([column.clone(), lit("!")], "", false)),
            _ => (of_values(read, |number: i64| number.wrapping_mul(2)), column.clone().cast(Int64) * lit(2)),
        };
        self.plan = refused(self.plan.map_rows(&names.each_ref().map(String::as_str), function))?;
        let twins = [twin.alias(&names[0]), column.is_not_null().alias(&names[1])];
        self.polars = self.polars.clone().with_columns(twins);
        Ok(())
    }

    /// How many rows of a key there were, and the sum of a column; after three it begins anew.
    pub(crate) fn with_state(&mut self, n: usize, value: usize) -> Said {
        // Rows that come in one batch are given key by key, so which is the first afterwards is told by the cut.
        if !self.appends || self.by_key {
            return Ok(());
        }
        let Some((key, _)) = self.pick(n, Both::decides) else { return Ok(()) };
        let is_whole = |_: &Both, dtype: &DataType| matches!(dtype, DataType::Int32 | DataType::Int64);
        let Some((value, _)) = self.pick(value, is_whole) else { return Ok(()) };
        let names = [self.fresh("rows"), self.fresh("running")];
        let mut states: BTreeMap<String, Running> = BTreeMap::new();
        let rows = self.polars.clone().collect().map_err(said)?;
        let mut all = run_on(&mut Running::default(), rows.clear(), &value, &names).map_err(said)?;
        for at in 0..rows.height() {
            let state = states.entry(name(&rows.column(&key).unwrap().get(at).unwrap())).or_default();
            let row = run_on(state, rows.slice(at as i64, 1), &value, &names).map_err(said)?;
            all.vstack_mut(&row).map_err(said)?;
            if state.0 == MOST {
                *state = Running::default();
            }
        }
        self.polars = all.lazy();
        let function = StateFunction::new(move |state: &mut Running, rows, moment| {
            let rows = run_on(state, rows, &value, &names)?;
            if state.0 == MOST {
                moment.forget();
            }
            Ok(rows)
        });
        self.plan = refused(self.plan.with_state(&[col(key)], function))?;
        (self.placed, self.takes_the_first, self.by_key) = (false, true, true);
        Ok(())
    }

    /// Looks each row up in a frame that stands still, by its time.
    pub(crate) fn join_asof(&mut self, n: usize, strategy: AsofStrategy, tolerance: Option<i64>) -> Said {
        let schema = self.plan.schema();
        let is_time = |time: &PlSmallStr| schema.get(time) == Some(&DataType::Datetime(TimeUnit::Milliseconds, None));
        let Some(time) = self.time.clone().filter(is_time).filter(|_| !schema.contains("rate")) else { return Ok(()) };
        let by = self.pick(n, |_, dtype| dtype == &DataType::String).map(|(name, _)| name).filter(|_| n < 16);
        let still = df![
            "since" => [0i64, -20_000, 30_000, 10_000, -5_000, 45_000],
            "name" => [Some("key 1"), Some("key 2"), Some("key 1"), Some(""), None, Some("key 2")],
            "rate" => [1, 2, 3, 4, 5, 6],
        ];
        let ms = DataType::Datetime(TimeUnit::Milliseconds, None);
        let still = still.unwrap().lazy().with_columns([col("since").cast(ms)]).collect().map_err(said)?;
        let text = tolerance.map(|tolerance| format!("{tolerance}ms"));
        let on = text.iter().fold(asof(time.as_str(), "since").strategy(strategy), |on, text| on.tolerance(text));
        let (left, right): (Vec<Expr>, Vec<Expr>) = by.iter().map(|by| (col(by.clone()), col("name"))).unzip();
        self.plan = refused(self.plan.join_asof(still.clone(), &left, &right, &on))?;
        let by = [by.clone().into_iter().collect(), by.map(|_| "name".into()).into_iter().collect()];
        let hand = ByHand { times: [time.as_str(), "since"], by, strategy, tolerance, exact: true };
        let rows = self.polars.clone().collect().map_err(said)?;
        self.polars = hand.join(&rows, &still).map_err(said)?.lazy();
        Ok(())
    }
}

/// How many rows, and their sum.
type Running = (i64, i64);

/// So many rows are counted before the count begins anew.
const MOST: i64 = 3;

/// Goes on with a count and a sum. A state that has counted [`MOST`] rows is not to be given once more.
fn run_on(state: &mut Running, mut rows: DataFrame, value: &str, names: &[String; 2]) -> PolarsResult<DataFrame> {
    let values = rows.column(value)?.cast(&DataType::Int64)?;
    let mut columns = [Vec::new(), Vec::new()];
    for (number, value) in values.i64()?.iter().enumerate() {
        if state.0 == MOST && number > 0 {
            *state = Running::default();
        }
        *state = (state.0 + 1, state.1.wrapping_add(value.unwrap_or_default()));
        columns[0].push(state.0);
        columns[1].push(state.1);
    }
    for (name, values) in names.iter().zip(columns) {
        rows.with_column(Series::new(name.as_str().into(), values).into())?;
    }
    Ok(rows)
}

/// What a function makes of a column's values, and whether there is one.
fn of_values<T, R>(column: String, function: impl Fn(T) -> R + Send + Sync + 'static) -> RowFunction
where
    T: plan::FromValue + 'static,
    R: plan::IntoValue + 'static,
{
    RowFunction::new(move |row| {
        let value = row.get::<Option<T>>(&column)?;
        let is_there = value.is_some();
        Ok((value.map(&function), is_there))
    })
}

fn said(error: PolarsError) -> String {
    error.to_string()
}
