//! Values at the ends of what types hold, and aggregates where there is little to aggregate: counts beyond 32 bits, means of wide
//! decimals, infinities in a state, no rows at all, and columns with names like ours.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;
use std::time::Duration;

use engine::{
    Clock, LiveResult, ManualClock, Mode, Options, OutputMode, PartitionRows, Pipeline, Query, Snapshot, Status,
    Trigger, collect,
};
use plan::{Moment, Plan, SqlTable, StateFunction, sql, tumbling};
use polars::prelude::*;

use common::query::Kept;
use common::states::States;

mod common;

fn pipeline(plan: &Plan, schema: &SchemaRef) -> Pipeline {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline = Pipeline::new(plan, std::slice::from_ref(schema), Mode::Stream, &clock).unwrap();
    pipeline.assign(&(0..1).map(|partition| (partition, 0)).collect());
    pipeline
}

fn part(rows: &DataFrame) -> Vec<PartitionRows> {
    vec![PartitionRows { partition: 0.into(), rows: rows.clone(), newest_ms: None }]
}

fn source(rows: &DataFrame) -> Plan {
    Plan::source("memory rows", rows.schema().clone())
}

fn collected(plan: &Plan, rows: &DataFrame) -> DataFrame {
    collect(plan, &common::log::open(vec![rows.clone()], 2), |_| true).unwrap().frame
}

#[test]
fn a_mean_of_wide_decimals_is_their_mean() {
    let wide = |values: &[i128]| {
        let values: Int128Chunked = values.iter().map(|value| Some(*value)).collect();
        let values = values.with_name("amount".into()).into_decimal(38, 0).unwrap().into_series();
        DataFrame::new(values.len(), vec![values.into()]).unwrap()
    };
    let large = 9 * 10i128.pow(37);
    let (first, second) = (wide(&[large, large]), wide(&[large, large - 10i128.pow(37), -large]));
    let plan = source(&first).group_by(&[], &[col("amount").mean()]).unwrap();
    let (mut running, mut states) = (pipeline(&plan, first.schema()), States::default());
    let mean = |pipeline: &mut Pipeline, rows: &DataFrame| {
        let output = pipeline.execute(part(rows)).unwrap();
        output.changes.rows.column("amount").unwrap().f64().unwrap().get(0).unwrap()
    };
    assert_eq!(mean(&mut running, &first), 9e37);
    states.keep(&mut running).unwrap();
    let mut again = pipeline(&plan, first.schema());
    states.restore(&mut again).unwrap();
    assert!((mean(&mut again, &second) - 5.2e37).abs() < 1e28);
    // The sum itself is not there, and says so.
    let sum = source(&first).group_by(&[], &[col("amount").sum()]).unwrap();
    let error = pipeline(&sum, first.schema()).execute(part(&first)).unwrap_err().to_string();
    assert!(error.contains("38"), "{error}");
}

/// A state that says of its only group that it has so many rows.
fn counted(saved: &Snapshot, rows: u64) -> Snapshot {
    let mut saved = saved.clone();
    for frame in saved.frames.values_mut() {
        let of_cells = |name: &PlSmallStr| name.starts_with("cells");
        let names: Vec<PlSmallStr> = frame.get_column_names_owned().into_iter().filter(of_cells).collect();
        for name in names {
            // The other parts of a mean are floats, by their bits.
            let is_count = frame.column(&name).unwrap().u64().is_ok_and(|counts| counts.get(0) == Some(2));
            if is_count {
                frame.with_column(Column::new(name, [rows])).unwrap();
            }
        }
    }
    saved
}

#[test]
fn a_count_goes_beyond_32_bits() {
    let rows = df!["k" => ["a", "a"], "x" => [1.5f64, 1.5], "n" => [1i64, 1]].unwrap();
    let aggs = [
        len().cast(DataType::UInt64).alias("len"),
        col("x").count().cast(DataType::Int64).alias("count"),
        (len().cast(DataType::Float64) / lit(2.0)).alias("half"),
        col("n").mean().alias("mean"),
    ];
    let plan = source(&rows).group_by(&[col("k")], &aggs).unwrap();
    let mut running = pipeline(&plan, rows.schema());
    running.execute(part(&rows)).unwrap();
    let most = u64::from(u32::MAX);
    let many = counted(&running.snapshot(true).unwrap(), most);
    let mut again = pipeline(&plan, rows.schema());
    again.restore(many).unwrap();
    let now = again.execute(part(&rows)).unwrap().changes.rows;
    assert_eq!(now.column("len").unwrap().u64().unwrap().get(0), Some(most + 2));
    assert_eq!(now.column("count").unwrap().i64().unwrap().get(0), Some(most as i64 + 2));
    assert_eq!(now.column("half").unwrap().f64().unwrap().get(0), Some((most + 2) as f64 / 2.0));
    assert!(now.column("mean").unwrap().f64().unwrap().get(0).is_some());
}

#[test]
fn a_count_that_its_type_does_not_hold_is_told_with_one_that_does() {
    let rows = df!["k" => ["a", "a"]].unwrap();
    let plan = source(&rows).group_by(&[col("k")], &[len().alias("n")]).unwrap();
    let mut running = pipeline(&plan, rows.schema());
    let first = running.execute(part(&rows)).unwrap().changes.rows;
    assert_eq!(first.column("n").unwrap().u32().unwrap().get(0), Some(2), "the type is Polars'");
    let mut again = pipeline(&plan, rows.schema());
    again.restore(counted(&running.snapshot(true).unwrap(), u64::from(u32::MAX))).unwrap();
    let error = again.execute(part(&rows)).unwrap_err().to_string();
    assert!(error.contains("4294967295") && error.contains("len().cast(DataType::UInt64)"), "{error}");
}

#[test]
fn a_state_of_a_persons_own_keeps_every_float() {
    #[derive(Default, serde::Serialize, serde::Deserialize)]
    struct Floats {
        all: Vec<f64>,
        by_number: std::collections::BTreeMap<u64, (f32, Option<String>)>,
    }
    let rows = |values: &[f64]| df!["k" => vec!["a"; values.len()], "x" => values].unwrap();
    let function = StateFunction::new(|state: &mut Floats, rows: DataFrame, _: &mut Moment| {
        for value in rows.column("x")?.f64()?.iter().flatten() {
            state.by_number.insert(state.all.len() as u64, (value as f32, None));
            state.all.push(value);
        }
        df!["bits" => state.all.iter().map(|x| x.to_bits()).collect::<Vec<u64>>()]
    });
    let odd = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0, 0.1, f64::MIN_POSITIVE / 2.0, f64::MAX];
    let plan = source(&rows(&[])).with_state(&[col("k")], function).unwrap();
    let (mut running, mut states) = (pipeline(&plan, rows(&[]).schema()), States::default());
    running.execute(part(&rows(&odd))).unwrap();
    states.keep(&mut running).unwrap();
    let mut again = pipeline(&plan, rows(&[]).schema());
    states.restore(&mut again).unwrap();
    let now = again.execute(part(&rows(&[2.0]))).unwrap().changes.rows;
    let now: Vec<f64> = now.column("bits").unwrap().u64().unwrap().iter().flatten().map(f64::from_bits).collect();
    let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    assert!(now.len() == 8 && now.iter().zip(odd.iter().chain(&[2.0])).all(same), "{now:?}");
}

/// Everything that is aggregated over nothing, as Polars' `select` gives it; a list of nothing is empty.
#[test]
fn an_aggregation_of_all_rows_has_a_row_also_of_none() {
    let rows = df!["k" => ["a", "b"], "x" => [1i64, 2], "f" => [0.5, 1.5]].unwrap();
    let merged = [
        len().alias("n"),
        col("x").sum(),
        col("x").count().alias("known"),
        col("x").mean().alias("mean"),
        col("x").max().alias("most"),
        col("f").std(1).alias("spread"),
        col("f").median().alias("median"),
        col("k").n_unique().alias("keys"),
        col("k").first().alias("first"),
        (col("x").sum() + lit(1)).alias("more"),
        col("x").gt(lit(0)).any(true).alias("any"),
        col("x").gt(lit(0)).all(true).alias("all"),
    ];
    let kept = [len().alias("n"), (col("f") - col("f").mean()).abs().max().alias("off"), col("k").last().alias("last")];
    for aggs in [&merged[..], &kept[..]] {
        for (plan, rows) in
            [(source(&rows), rows.clear()), (source(&rows).filter(col("x").gt(lit(9))).unwrap(), rows.clone())]
        {
            let plan = plan.group_by(&[], aggs).unwrap();
            let expected = rows.clear().lazy().select(aggs).collect().unwrap();
            let found = collected(&plan, &rows);
            assert!(found.equals_missing(&expected), "{}\n{found}\nand not\n{expected}", plan.explain());
            assert_eq!(found.schema(), expected.schema());
        }
    }
    let listed = source(&rows).group_by(&[], &[col("x"), col("k").first()]).unwrap();
    let found = collected(&listed, &rows.clear());
    assert_eq!(found.column("x").unwrap().list().unwrap().get_as_series(0).unwrap().len(), 0);
    // Where there are keys there are no groups.
    let keyed = source(&rows).group_by(&[col("k")], &merged).unwrap();
    assert_eq!(collected(&keyed, &rows.clear()).height(), 0);
}

#[test]
fn the_row_of_no_rows_is_the_one_that_grows() {
    let rows = df!["k" => ["a", "b"], "x" => [1i64, 2]].unwrap();
    for aggs in [vec![len().alias("n"), col("x").sum()], vec![len().alias("n"), col("x").sum(), col("x").alias("all")]]
    {
        let plan = source(&rows).group_by(&[], &aggs).unwrap();
        let (mut running, mut states) = (pipeline(&plan, rows.schema()), States::default());
        let result = LiveResult::new(plan.schema().clone(), Status::default());
        for (batch, expected) in [(rows.clear(), 0), (rows.clone(), 2), (rows.clear(), 2), (rows.clone(), 4)] {
            let output = running.execute(part(&batch)).unwrap();
            result.apply(&output.changes, |_| {}).unwrap();
            assert_eq!(result.frame().column("n").unwrap().u32().unwrap().iter().collect::<Vec<_>>(), [Some(expected)]);
            states.keep(&mut running).unwrap();
            running = pipeline(&plan, rows.schema());
            states.restore(&mut running).unwrap();
        }
    }
}

#[test]
fn a_query_of_an_empty_log_writes_the_row_of_none() {
    let rows = df!["x" => [1i64, 2]].unwrap();
    let plan = source(&rows).group_by(&[], &[len().alias("n")]).unwrap();
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    for log in [rows.clear(), rows.clear(), rows.clone()] {
        let options = Options { trigger: Trigger::AvailableNow, ..Options::default() };
        let output = kept.output(OutputMode::Update, folder.path());
        let query = Query::write("none", &plan, common::log::open(vec![log], 10), options, output).unwrap();
        assert!(query.await_termination(Duration::from_secs(30)), "{:?}", query.status());
        assert_eq!(query.exception(), None);
    }
    let counts = |rows: &DataFrame| rows.column("n").unwrap().u32().unwrap().get(0);
    assert_eq!(kept.batches().iter().map(|(_, rows)| counts(rows)).collect::<Vec<_>>(), [Some(0), Some(2)]);
}

#[test]
fn a_view_that_counts_a_view_of_nothing_has_a_row() {
    let rows = df!["k" => ["a"], "x" => [1i64]].unwrap();
    let (plan, open) =
        (source(&rows).group_by(&[col("k")], &[len().alias("n")]).unwrap(), common::log::open(vec![rows.clear()], 2));
    let query = Query::start("groups", &plan, open, Options::default()).unwrap();
    let counted = plan.group_by(&[], &[len().alias("groups")]).unwrap();
    let view = query.view("view", &counted).unwrap();
    assert_eq!(view.frame().column("groups").unwrap().u32().unwrap().iter().collect::<Vec<_>>(), [Some(0)]);
}

#[test]
fn groups_that_all_go_leave_the_row_of_none() {
    let rows = df!["k" => ["a", "a"], "x" => [1i64, 5]].unwrap();
    let totals = source(&rows).group_by(&[col("k")], &[col("x").sum()]).unwrap();
    let small = totals.filter(col("x").lt(lit(3))).unwrap().group_by(&[], &[len().alias("n")]).unwrap();
    let found = collected(&small, &rows.slice(0, 1));
    assert_eq!(found.column("n").unwrap().u32().unwrap().get(0), Some(1));
    let mut running = pipeline(&small, rows.schema());
    let result = LiveResult::new(small.schema().clone(), Status::default());
    for row in 0..2 {
        result.apply(&running.execute(part(&rows.slice(row, 1))).unwrap().changes, |_| {}).unwrap();
    }
    assert_eq!(result.frame().column("n").unwrap().u32().unwrap().iter().collect::<Vec<_>>(), [Some(0)]);
}

#[test]
fn sql_over_nothing_is_sql() {
    let rows = df!["k" => ["a"], "x" => [1i64]].unwrap();
    for query in [
        "SELECT COUNT(*) AS n, SUM(x) AS total, MAX(x) AS most, AVG(x) AS mean FROM t WHERE x > 5",
        "SELECT COUNT(DISTINCT k) AS keys, MIN(k) AS first FROM t WHERE k = 'z'",
        "SELECT k, COUNT(*) AS n FROM t WHERE x > 5 GROUP BY k",
        "SELECT k, SUM(CASE WHEN x > 5 THEN x END) AS large FROM t GROUP BY k",
    ] {
        let open = common::log::open(vec![rows.clone()], 2);
        let tables = [("t".to_owned(), SqlTable::Stream(source(&rows)))];
        let plan = sql(query, &tables).unwrap();
        let found = collect(&plan, &open, |_| true).unwrap().frame;
        let mut context = polars::sql::SQLContext::new();
        context.register("t", rows.clone().lazy());
        let expected = context.execute(query).unwrap().collect().unwrap();
        assert!(found.equals_missing(&expected), "{query}: {found}\nand not\n{expected}");
    }
}

/// Rows that come in another order than they happened.
fn out_of_order() -> DataFrame {
    let rows = df![
        "time" => [Some(30i64), Some(10), Some(20), None, Some(40)],
        "k" => ["a", "a", "a", "a", "b"],
        "x" => [3i64, 1, 2, 0, 4],
    ];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    rows.unwrap().lazy().with_columns([time]).collect().unwrap()
}

#[test]
fn first_and_last_go_by_the_event_time_wherever_there_is_one() {
    let rows = out_of_order();
    let known = col("time").is_not_null();
    let merged = vec![col("x").filter(known.clone()).first().alias("first"), col("x").last().alias("last")];
    let kept = vec![merged[0].clone(), merged[1].clone(), col("x").alias("all")];
    let marked = source(&rows).with_watermark("time", "1s").unwrap();
    let of = |plan: &Plan, aggs: &[Expr]| {
        let plan = plan.group_by(&[col("k")], aggs).unwrap();
        let found = collected(&plan, &rows);
        let result = LiveResult::new(plan.schema().clone(), Status::default());
        let mut running = pipeline(&plan, rows.schema());
        for row in 0..rows.height() as i64 {
            result.apply(&running.execute(part(&rows.slice(row, 1))).unwrap().changes, |_| {}).unwrap();
        }
        let streamed = result.frame().sort(["k"], SortMultipleOptions::default()).unwrap();
        assert!(streamed.equals_missing(&found), "{streamed}{found}");
        let numbers = |name: &str| found.column(name).unwrap().i64().unwrap().get(0).unwrap();
        (numbers("first"), numbers("last"))
    };
    for aggs in [&merged, &kept] {
        assert_eq!(of(&marked, aggs), (1, 3), "by time");
        assert_eq!(of(&source(&rows), aggs), (3, 0), "as they come");
        // The time is not selected, so there is none any more.
        let known = source(&rows).with_watermark("time", "1s").unwrap().filter(known.clone()).unwrap();
        let gone = known.select(&[col("k"), col("x"), lit(true).alias("time")]).unwrap();
        assert_eq!(of(&gone, aggs), (3, 2));
    }
}

#[test]
fn the_last_of_windows_is_that_of_the_newest() {
    let rows = out_of_order();
    let marked = source(&rows).with_watermark("time", "1s").unwrap();
    let windows = marked.group_by_dynamic(&col("time"), &[], &tumbling("10ms"), &[col("x").sum()]).unwrap();
    let plan = windows.group_by(&[], &[col("x").last().alias("last"), col("x").first().alias("first")]).unwrap();
    let found = collected(&plan, &rows);
    let numbers = |name: &str| found.column(name).unwrap().i64().unwrap().get(0).unwrap();
    assert_eq!((numbers("first"), numbers("last")), (1, 4));
}

#[test]
fn columns_with_names_like_ours_work_or_are_refused() {
    let names = [
        "accumulator 0",
        "input 0",
        "collected 0 input",
        "collected time",
        "collected place",
        "having 0",
        "__corriente_key_0",
        "__corriente_time",
        "value",
    ];
    for name in names {
        let rows = df![name => ["a", "b", "a"], "x" => [1i64, 2, 3], "t" => [0i64, 1, 2]].unwrap();
        let time = col("t").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
        let rows = rows.lazy().with_columns([time]).collect().unwrap();
        let aggs =
            [col("x").sum(), len().alias("n"), col("x").n_unique().alias("different"), col("x").last().alias("l")];
        let plan = source(&rows).group_by(&[col(name)], &aggs).unwrap();
        let expected = rows.clone().lazy().group_by_stable([col(name)]).agg(&aggs).collect().unwrap();
        assert!(collected(&plan, &rows).equals_missing(&expected), "{name}");
        let windows = source(&rows).group_by_dynamic(&col("t"), &[col(name)], &tumbling("1s"), &aggs).unwrap();
        assert_eq!(collected(&windows, &rows).height(), 2, "{name}");
    }
    let ours = ["start", "end", "position", "row", "count", "group", "key", "group_key_0", "gone", "input_0"];
    for name in ours.map(|name| format!("__corriente_{name}")) {
        let rows = df![name.as_str() => ["a", "b"], "x" => [1i64, 2]].unwrap();
        let plan = source(&rows).group_by(&[col(&name)], &[col("x").sum()]).unwrap();
        let open = common::log::open(vec![rows.clone()], 2);
        let refused = collect(&plan, &open, |_| true).unwrap_err().to_string();
        assert!(refused.contains(&name) && refused.contains("rename"), "{refused}");
        // One that nobody uses is in nobody's way.
        let plan = source(&rows).group_by(&[], &[col("x").sum()]).unwrap();
        assert_eq!(collected(&plan, &rows).column("x").unwrap().i64().unwrap().get(0), Some(3));
    }
}
