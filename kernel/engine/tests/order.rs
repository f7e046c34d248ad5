//! What is sorted stays sorted: steps that look at each row alone change neither the order of a result nor the modes in which it
//! can be written, whatever columns they take away.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use engine::{LiveResult, Options, OutputMode, Page, Query, Trigger, collect, natural_mode};
use plan::{Plan, PlanError, RowFunction, tumbling};
use polars::prelude::*;

use common::query::Kept;

mod common;

fn rows() -> DataFrame {
    let rows = df![
        "time" => [0i64, 1, 2, 3, 4, 5, 60_000],
        "key" => ["b", "a", "c", "b", "c", "a", "b"],
        "value" => [1i64, 2, 9, 3, 0, 1, 1],
    ];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    rows.unwrap().lazy().with_columns([time]).collect().unwrap()
}

fn totals() -> Plan {
    let plan = Plan::source("memory rows", rows().schema().clone());
    let aggs = [col("value").sum().alias("total"), as_struct(vec![col("value").max().alias("most")]).alias("both")];
    plan.group_by(&[col("key")], &aggs).unwrap()
}

fn by_total(plan: &Plan) -> Plan {
    let options = SortMultipleOptions::default().with_order_descending(true);
    plan.sort(&[col("total")], &options).unwrap()
}

/// The totals, the largest first: c 9, b 5, a 3.
fn sorted() -> Plan {
    by_total(&totals())
}

type Step = fn(&Plan) -> Result<Plan, PlanError>;

/// Steps that keep rows, with the keys that come out, in their order. The totals may be gone.
fn steps() -> Vec<(&'static str, Step, &'static [&'static str])> {
    vec![
        ("nothing", |plan| Ok(plan.clone()), &["c", "b", "a"]),
        ("select", |plan| plan.select(&[col("key")]), &["c", "b", "a"]),
        ("with_columns", |plan| plan.with_columns(&[(col("total") * lit(-1)).alias("total")]), &["c", "b", "a"]),
        ("rename", |plan| plan.rename(&["total"], &["sum"]), &["c", "b", "a"]),
        ("drop", |plan| plan.drop(&["total"]), &["c", "b", "a"]),
        ("filter", |plan| plan.filter(col("total").neq(lit(5))), &["c", "a"]),
        ("unnest", |plan| plan.unnest(&["both"]), &["c", "b", "a"]),
        ("fill_null", |plan| plan.with_columns(&[col("total").fill_null(lit(0))]), &["c", "b", "a"]),
        ("cast", |plan| plan.with_columns(&[col("total").cast(DataType::String)]), &["c", "b", "a"]),
        (
            "map_rows",
            |plan| plan.map_rows(&["negative"], RowFunction::new(|row| Ok(-row.get::<i64>("total")?))),
            &["c", "b", "a"],
        ),
        (
            "join",
            |plan| {
                let names = df!["key" => ["a", "b", "c"], "name" => ["Ada", "Ben", "Cy"]].unwrap();
                plan.join(names, &[col("key")], &[col("key")], &JoinType::Left)
            },
            &["c", "b", "a"],
        ),
        (
            "several",
            |plan| plan.with_columns(&[lit(1).alias("one")])?.filter(col("total").gt(lit(3)))?.select(&[col("key")]),
            &["c", "b"],
        ),
    ]
}

fn keys(frame: &DataFrame) -> Vec<String> {
    frame.column("key").unwrap().str().unwrap().iter().flatten().map(str::to_owned).collect()
}

/// A query that has read everything, and what its sink got.
fn written(plan: &Plan, mode: OutputMode) -> (Query, Kept) {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let options = Options { max_rows: 2, trigger: Trigger::AvailableNow, ..Options::default() };
    let open = common::log::open(vec![rows()], 2);
    let query = Query::write("ordered", plan, open, options, kept.output(mode, folder.path())).unwrap();
    assert!(query.await_termination(Duration::from_secs(30)), "{:?}", query.status());
    assert_eq!(query.exception(), None);
    (query, kept)
}

#[test]
fn steps_that_keep_rows_keep_their_order() {
    for (name, step, expected) in steps() {
        let plan = step(&sorted()).unwrap();
        let collected = collect(&plan, &common::log::open(vec![rows()], 2), |_| true).unwrap().frame;
        assert_eq!(keys(&collected), expected, "{name}, collected");
        let (query, kept) = written(&plan, natural_mode(&plan));
        assert_eq!(keys(&kept.batches().last().unwrap().1), expected, "{name}, written");
        let result: &LiveResult = query.result();
        assert_eq!(keys(&result.frame()), expected, "{name}, the result");
        let page = |page: Page| keys(&result.page(&page).unwrap().1);
        assert_eq!(page(Page { len: 10, ..Page::default() }), expected, "{name}, a view");
        let filtered = Page { len: 10, filter: Some(String::new()), ..Page::default() };
        assert_eq!(page(filtered), expected, "{name}, a filtered view");
    }
}

#[test]
fn the_largest_stay_the_largest_in_their_order() {
    let plan = Plan::source("memory rows", rows().schema().clone());
    let options = SortMultipleOptions::default();
    let plan = plan.top_k(3, &[col("value")], &options).unwrap().select(&[col("key")]).unwrap();
    let collected = collect(&plan, &common::log::open(vec![rows()], 2), |_| true).unwrap().frame;
    assert_eq!(keys(&collected), ["c", "b", "a"]);
}

/// Where a frame stands on one that runs, its result is made of that one's.
#[test]
fn a_view_of_a_sorted_view_is_in_its_order() {
    let (plan, open) = (totals(), common::log::open(vec![rows()], 2));
    let query = Query::start("totals", &plan, open.clone(), Options::default()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut status = query.status();
    while status.rows_read < rows().height() as u64 {
        assert!(Instant::now() < deadline && query.exception().is_none(), "{status:?}");
        status = query.result().wait(status.version, Duration::from_millis(100));
    }
    let sorted = by_total(&plan);
    let selected = sorted.select(&[col("key")]).unwrap();
    for view in [sorted, selected] {
        let result = query.view("view", &view).unwrap();
        assert_eq!(keys(&result.frame()), ["c", "b", "a"]);
        assert_eq!(keys(&result.page(&Page { len: 10, ..Page::default() }).unwrap().1), ["c", "b", "a"]);
    }
}

#[test]
fn sorted_rows_are_not_written_as_final_ones() {
    let plan = Plan::source("memory rows", rows().schema().clone());
    let options = SortMultipleOptions::default();
    let marked = plan.with_watermark("time", "1s").unwrap();
    let windows =
        marked.group_by_dynamic(&col("time"), &[col("key")], &tumbling("10s"), &[col("value").sum()]).unwrap();
    let selected = |plan: &Plan| plan.top_k(2, &[col("value")], &options).unwrap().select(&[col("key")]).unwrap();
    for plan in [selected(&plan), selected(&windows), selected(&windows).filter(col("key").neq(lit("b"))).unwrap()] {
        assert_eq!(natural_mode(&plan), OutputMode::Complete);
        let folder = tempfile::tempdir().unwrap();
        let output = Kept::default().output(OutputMode::Append, folder.path());
        let open = common::log::open(vec![rows()], 2);
        let refused = Query::write("ordered", &plan, open, Options::default(), output).err().unwrap().to_string();
        assert!(refused.contains("which rows come first changes"), "{refused}");
    }
}
