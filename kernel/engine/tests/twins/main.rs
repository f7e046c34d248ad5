//! Each operator with a state has a slow twin here: a few lines over all rows that have come, with nothing that is clever. The two
//! are held equal after every batch, over random rows, cuts and restarts, with a watermark and what it makes late.
#![allow(clippy::unwrap_used, missing_docs)]

mod aggregations;
#[path = "../common/mod.rs"]
mod common;
mod lookup;
mod rows;

use std::collections::BTreeMap;
use std::fmt;

use plan::{Moment, Plan, StateFunction, hopping, session, tumbling, within};
use polars::prelude::*;
use proptest::prelude::*;

use self::rows::{Limited, Paired, Ranked, Sorted, Summed, Unique};
use aggregations::{Sessions, Windows};
use common::cuts::{ALL, Cuts, Run, SIDES, cuts, open};
use common::frames::{Frame, join_stream};
use common::holds;
use common::rows::{Lines, PARTITIONS, Row, frame, rows};

/// An operator that takes its time.
pub(crate) trait Twin {
    /// Takes a batch in; gives the rows that it adds for good, and how many were late. `before` and `after` are the watermarks.
    fn take(&mut self, batch: &[Row], before: Option<i64>, after: Option<i64>) -> (Vec<String>, usize);

    /// The result as it is now, where it is more than all that was given.
    fn result(&self) -> Option<Vec<String>> {
        None
    }

    /// Whether the result has an order.
    fn is_ordered(&self) -> bool {
        false
    }
}

/// Rows, and the way they come.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    rows: Vec<Row>,
    cuts: Cuts,
    delay: i64,
    /// A gap, a bound, or a number of rows.
    n: i64,
}

fn cases() -> impl Strategy<Value = Case> {
    (rows(60), cuts(), 1..20_000i64, 1..9_000i64).prop_map(|(mut rows, cuts, delay, n)| {
        // Which row it is.
        rows.iter_mut().zip(0..).for_each(|(row, number)| row.whole = Some(number));
        Case { rows, cuts, delay, n }
    })
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "delay {}, n {}\n{}{:?}", self.delay, self.n, Lines(&self.rows), self.cuts)
    }
}

impl Case {
    fn source(&self) -> Plan {
        let source = Plan::source("memory rows", frame(&[]).schema().clone());
        source.with_watermark("event_time", &format!("{}ms", self.delay)).unwrap()
    }

    /// Runs both side by side.
    fn compare(&self, (plan, open): &Frame, mut twin: impl Twin) -> Result<(), String> {
        let said = |error: PolarsError| error.to_string();
        let mut whole = Run::begin(plan, open, &self.cuts, false).map_err(said)?;
        let mut finals = Run::begin(plan, open, &self.cuts, true).map_err(said)?;
        let mut times = Times { delay: self.delay, newest: BTreeMap::new(), watermark: None };
        for (number, batch) in self.cuts.batches(&self.rows).iter().enumerate() {
            let before = times.watermark;
            times.take(batch);
            let (given, late) = twin.take(batch, before, times.watermark);
            let ours = whole.batch().map_err(said)?.ok_or("there is no such batch")?;
            same(number, "late rows", &[late.to_string()], &[ours.late.to_string()])?;
            match twin.result() {
                Some(result) if twin.is_ordered() => {
                    same(number, "result", &result, &lines(&whole.live.frame()))?;
                }
                Some(result) => same(number, "result", &sorted(result), &sorted(lines(&whole.live.frame())))?,
                None => {}
            }
            let ours = finals.batch().map_err(said)?.ok_or("there is no such batch")?;
            if !twin.is_ordered() {
                same(number, "final rows", &sorted(given), &sorted(lines(&ours.changes.rows)))?;
            }
        }
        Ok(())
    }

    fn alone(&self, plan: Plan) -> Frame {
        (plan, open(&self.rows, &ALL))
    }
}

/// The watermark by its definition.
struct Times {
    delay: i64,
    newest: BTreeMap<i32, i64>,
    watermark: Option<i64>,
}

impl Times {
    fn take(&mut self, batch: &[Row]) {
        for (row, time) in batch.iter().filter_map(|row| Some((row, row.time?))) {
            self.newest.entry(row.partition).and_modify(|newest| *newest = time.max(*newest)).or_insert(time);
        }
        if self.newest.len() == PARTITIONS as usize {
            let low = self.newest.values().min().map(|newest| newest - self.delay);
            self.watermark = self.watermark.max(low);
        }
    }
}

fn same(batch: usize, what: &str, twin: &[String], ours: &[String]) -> Result<(), String> {
    if twin == ours {
        return Ok(());
    }
    Err(format!("batch {batch}, {what}:\ntwin\n  {}\nours\n  {}", twin.join("\n  "), ours.join("\n  ")))
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort_unstable();
    lines
}

/// The rows of a frame as the twins write them.
fn lines(frame: &DataFrame) -> Vec<String> {
    let columns: Vec<&Series> = frame.columns().iter().map(|column| column.as_materialized_series()).collect();
    let line = |row: usize| columns.iter().map(|column| cell(&column.get(row).unwrap())).collect::<Vec<_>>();
    (0..frame.height()).map(|row| line(row).join(" | ")).collect()
}

fn cell(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Float64(x) => float(*x),
        AnyValue::Datetime(at, _, _) => at.to_string(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::List(values) => format!("[{}]", values.iter().map(|v| cell(&v)).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

/// A float to six digits behind the point.
pub(crate) fn float(x: f64) -> String {
    format!("{:.6}", (x * 1e6).round() / 1e6 + 0.0)
}

/// A value, or that there is none.
pub(crate) fn maybe<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

fn value() -> Expr {
    col("small")
}

fn merged_aggs() -> Vec<Expr> {
    vec![
        len().alias("n"),
        value().count().alias("known"),
        value().sum().alias("sum"),
        value().min().alias("min"),
        value().max().alias("max"),
        value().mean().alias("mean"),
        value().var(1).alias("var"),
        value().filter(value().gt(lit(0))).sum().alias("positive"),
    ]
}

fn kept_aggs() -> Vec<Expr> {
    vec![
        value().median().alias("median"),
        value().n_unique().alias("different"),
        col("whole").first().alias("first"),
        col("whole").last().alias("last"),
        value().alias("all"),
        (value() - value().mean()).abs().max().alias("farthest"),
    ]
}

#[test]
fn what_is_merged_is_what_all_rows_give() {
    holds(20, &cases(), |case| {
        let plan = case.source().group_by_dynamic(&col("event_time"), &[col("key")], &tumbling("10s"), &merged_aggs());
        case.compare(&case.alone(plan.unwrap()), Windows::new(10_000, 10_000, aggregations::merged))
    });
}

#[test]
fn windows_made_of_panes_are_what_all_rows_give() {
    holds(20, &cases(), |case| {
        // Of five panes of 5 s, of three of 2 s, and of 100 of 100 ms, over which others stand.
        let (period, every) = [(25_000, 10_000), (6_000, 4_000), (10_000, 100)][case.n as usize % 3];
        let window = hopping(&format!("{period}ms"), &format!("{every}ms"));
        let plan = case.source().group_by_dynamic(&col("event_time"), &[col("key")], &window, &merged_aggs()).unwrap();
        case.compare(&case.alone(plan), Windows::new(period, every, aggregations::merged))
    });
}

#[test]
fn a_window_of_many_panes_is_what_all_rows_give() {
    holds(1, &cases(), |case| {
        let plan = case.source().group_by_dynamic(
            &col("event_time"),
            &[col("flag")],
            &hopping("30s", "50ms"),
            &[len().alias("n"), value().sum().alias("sum")],
        );
        let aggregates = |rows: &[Row]| {
            let sum: i32 = rows.iter().filter_map(|row| row.small).sum();
            vec![rows.len().to_string(), sum.to_string()]
        };
        // The twin's key is a text.
        let flagged = |row: &Row| Row { key: row.flag.map(|flag| flag.to_string()), ..row.clone() };
        let case = Case { rows: case.rows.iter().map(flagged).collect(), ..case.clone() };
        case.compare(&case.alone(plan.unwrap()), Windows::new(30_000, 50, aggregates))
    });
}

#[test]
fn a_partition_moves_the_watermark_by_those_of_its_rows_that_the_steps_before_keep() {
    holds(10, &cases(), |case| {
        let twice = df!["of" => ["key 1", "key 2", "key 2", ""], "n" => [1, 2, 3, 4]].unwrap();
        let source = Plan::source("memory rows", frame(&[]).schema().clone());
        let plan = source.filter(col("flag")).unwrap();
        let plan = plan.join(twice, &[col("key")], &[col("of")], &JoinType::Inner).unwrap();
        let plan = plan.select(&[col("event_time"), col("whole"), col("n")]).unwrap();
        let plan = plan.with_watermark("event_time", &format!("{}ms", case.delay)).unwrap();
        let said = |error: PolarsError| error.to_string();
        let mut run = Run::begin(&plan, &open(&case.rows, &ALL), &case.cuts, false).map_err(said)?;
        let mut times = Times { delay: case.delay, newest: BTreeMap::new(), watermark: None };
        for (number, batch) in case.cuts.batches(&case.rows).iter().enumerate() {
            let stays = |row: &&Row| {
                row.flag == Some(true) && row.key.as_deref().is_some_and(|key| ["key 1", "key 2", ""].contains(&key))
            };
            let kept: Vec<Row> = batch.iter().filter(stays).cloned().collect();
            times.take(&kept);
            let rows = run.batch().map_err(said)?.ok_or("there is no such batch")?.changes.rows;
            let of = |row: &Row| if row.key.as_deref() == Some("key 2") { vec![2, 3] } else { vec![0] };
            let each = kept.iter().flat_map(|row| of(row).into_iter().map(|_| maybe(row.whole)));
            let whole = rows.column("whole").unwrap().i64().unwrap().clone();
            same(number, "rows", &each.collect::<Vec<_>>(), &whole.iter().map(maybe).collect::<Vec<_>>())?;
            let watermark = maybe(run.pipeline.watermark());
            same(number, "watermark", &[maybe(times.watermark)], &[watermark])?;
        }
        Ok(())
    });
}

#[test]
fn what_is_grouped_anew_is_what_all_rows_give() {
    holds(20, &cases(), |case| {
        let window = hopping("25s", "10s");
        let plan = case.source().group_by_dynamic(&col("event_time"), &[col("key")], &window, &kept_aggs()).unwrap();
        case.compare(&case.alone(plan), Windows::new(25_000, 10_000, aggregations::kept))
    });
}

#[test]
fn sessions_are_runs_of_rows_without_a_gap() {
    holds(20, &cases(), |case| {
        let window = session(&format!("{}ms", case.n));
        let plan = case.source().group_by_dynamic(&col("event_time"), &[col("key")], &window, &kept_aggs()).unwrap();
        case.compare(&case.alone(plan), Sessions::new(case.n, aggregations::kept))
    });
}

#[test]
fn the_first_row_of_each_value_is_kept_until_its_time_is_over() {
    holds(10, &cases(), |case| {
        let plan = case.source().unique(Some(&["key", "flag"])).unwrap().select(&[col("whole")]).unwrap();
        case.compare(&case.alone(plan), Unique::default())
    });
}

#[test]
fn the_largest_rows_are_the_first_of_all_when_they_are_sorted() {
    holds(10, &cases(), |case| {
        let (k, by) = (1 + case.n as usize % 9, [value(), col("whole")]);
        let plan = case.source().select(&by).unwrap().top_k(k, &by, &SortMultipleOptions::default()).unwrap();
        case.compare(&case.alone(plan), Sorted::new(k))
    });
}

#[test]
fn groups_in_order_are_all_groups_sorted_and_of_one_value_those_first_that_changed_first() {
    holds(20, &cases(), |case| {
        let (by, options) = ([col("top")], SortMultipleOptions::default());
        let plan = case.source().group_by(&[col("key"), col("small")], &[col("float").max().alias("top")]).unwrap();
        let k = 1 + case.n as usize % 7;
        let (plan, k, largest) = match case.n % 3 {
            0 => (plan.sort(&by, &options).unwrap(), usize::MAX, false),
            1 => (plan.top_k(k, &by, &options.with_order_descending(true)).unwrap(), k, false),
            _ => (plan.top_k(k, &by, &options).unwrap(), k, true),
        };
        // Of the smallest, too, those without a value come last.
        case.compare(&case.alone(plan), Ranked::new(k, largest, k < usize::MAX))
    });
}

#[test]
fn as_many_rows_pass_as_are_to() {
    holds(4, &cases(), |case| {
        let plan = case.source().limit(case.n as u64 % 20).unwrap().select(&[col("whole")]).unwrap();
        case.compare(&case.alone(plan), Limited(case.n as usize % 20))
    });
}

#[test]
fn a_function_with_a_state_is_called_with_each_row_and_when_its_time_is_up() {
    holds(8, &cases(), |case| {
        let timeout = case.n;
        let function = StateFunction::new(move |state: &mut (String, i64), rows: DataFrame, moment: &mut Moment| {
            let (mut totals, keys) = (Vec::new(), rows.column("key")?.str()?.clone());
            for (key, value) in keys.iter().zip(rows.column("small")?.i32()?.iter()) {
                *state = (key.unwrap_or("none").to_owned(), state.1 + i64::from(value.unwrap_or_default()));
                totals.push(state.1);
            }
            if let Some(newest) = rows.column("event_time")?.to_physical_repr().i64()?.max() {
                moment.set_timeout_ms(newest + timeout);
            }
            if moment.timed_out() {
                totals.push(state.1);
                moment.forget();
            }
            let n = totals.len();
            df!["key" => vec![state.0.clone(); n], "total" => totals, "last" => vec![moment.timed_out(); n]]
        });
        let plan = case.source().with_state(&[col("key")], function).unwrap();
        case.compare(&case.alone(plan), Summed::new(case.n))
    });
}

#[test]
fn the_pairs_of_two_streams_are_those_of_two_loops() {
    holds(8, &cases(), |case| {
        let how = if case.n % 2 == 0 { JoinType::Left } else { JoinType::Inner };
        let sides = SIDES.map(|side| open(&case.rows, side));
        let (on, bound) = ([col("key")], within("event_time", "event_time", format!("{}ms", case.n)));
        let [left, right] = sides.map(|open| (case.source(), open));
        let (plan, open) = join_stream(&left, &right, (&on, &on), &how, &bound).unwrap();
        let plan = plan.select(&[col("whole"), col("whole_right")]).unwrap();
        case.compare(&(plan, open), Paired::new(case.n, how == JoinType::Left))
    });
}
