//! What cannot be streamed is refused when it is said, in one sentence with the way to do it.
#![allow(clippy::unwrap_used, missing_docs)]

use plan::{Plan, PlanError, hopping, session, tumbling, within};
use polars::prelude::*;

fn time(zone: Option<&str>) -> DataType {
    DataType::Datetime(TimeUnit::Milliseconds, zone.map(|zone| TimeZone::opt_try_new(Some(zone)).unwrap().unwrap()))
}

/// Payments with times of three kinds.
fn txns() -> Plan {
    let fields = [
        ("event_time", time(None)),
        ("in_utc", time(Some("UTC"))),
        ("in_madrid", time(Some("Europe/Madrid"))),
        ("day", DataType::Date),
        ("card", DataType::String),
        ("amount", DataType::Int64),
        ("tags", DataType::List(Box::new(DataType::String))),
    ];
    let schema = Schema::from_iter(fields.map(|(name, dtype)| Field::new(name.into(), dtype)));
    Plan::source("kafka transactions", schema.into())
}

fn totals() -> Plan {
    txns().group_by(&[col("card")], &[col("amount").sum().alias("total")]).unwrap()
}

#[track_caller]
fn refuses(said: Result<Plan, PlanError>, words: &[&str]) {
    let error = match said {
        Ok(plan) => panic!("it is taken:\n{}", plan.explain()),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(error.contains(word), "\"{word}\" is not in: {error}");
    }
    assert!(!error.contains('\n'), "it is one line: {error}");
}

#[test]
fn an_order_without_an_end() {
    let by = [col("amount")];
    let options = SortMultipleOptions::default();
    refuses(txns().sort(&by, &options), &["sort: a stream has no end", "top_k(10, …)", "aggregate first", "collect()"]);
    assert!(totals().sort(&[col("total")], &options).is_ok());
    assert!(txns().top_k(10, &by, &options).is_ok());
    refuses(totals().limit(3), &["limit: the rows of an aggregation change", "collect()"]);
    refuses(totals().unique(None), &["unique: the rows of an aggregation change", "before it"]);
    refuses(totals().explode(&["total"]), &["explode: the rows of an aggregation change"]);
}

#[test]
fn an_expression_over_several_rows() {
    let keyed = || col("amount").sum().over([col("card")]).unwrap();
    let all_rows = ["needs more than one row", "a stream never ends", "group_by_dynamic(…).agg(…)"];
    refuses(txns().with_columns(&[keyed()]), &["with_columns: ", "over", "needs more than one row", "with_state(…)"]);
    refuses(txns().select(&[col("card"), keyed()]), &["select: ", "with_state(…)"]);
    refuses(txns().filter(col("amount").gt(keyed())), &["filter: ", "with_state(…)"]);
    let unkeyed = col("amount").sum().over_with_options(
        None::<Vec<Expr>>,
        Some((vec![col("event_time")], SortOptions::default())),
        WindowMapping::default(),
    );
    refuses(txns().with_columns(&[unkeyed.unwrap()]), &["needs more than one row", "with_state(…)"]);
    for expr in [
        col("amount").sum(),
        col("amount") - col("amount").mean(),
        col("amount").shift(lit(1)),
        col("amount").diff(lit(1), Default::default()),
        col("amount").reverse(),
        col("amount").head(Some(3)),
        col("amount").filter(col("amount").gt(lit(1))),
        col("amount").sort(Default::default()),
        col("tags").explode(ExplodeOptions { empty_as_null: true, keep_nulls: true }),
        len(),
    ] {
        refuses(txns().with_columns(&[expr.alias("x")]), &all_rows);
    }
    refuses(txns().group_by(&[col("amount").shift(lit(1))], &[len()]), &["group_by: ", "needs more than one row"]);
}

#[test]
fn values_alone_have_no_rows() {
    refuses(txns().select(&[lit(1).alias("one")]), &["select: ", "reads no column", "with_columns"]);
    assert!(txns().select(&[lit(1).alias("one"), col("card")]).is_ok());
    assert!(txns().with_columns(&[lit(1).alias("one")]).is_ok());
    let three = Series::new("three".into(), [1i64, 2, 3]);
    assert!(txns().filter(col("amount").is_in(lit(three.clone()).implode(false), false)).is_ok());
    refuses(txns().with_columns(&[lit(three)]), &["with_columns: ", "needs more than one row"]);
}

#[test]
fn a_window_on_a_column_that_is_no_time() {
    let over = |time: Expr| txns().group_by_dynamic(&time, &[], &tumbling("10s"), &[len()]);
    refuses(
        over(col("amount")),
        &["group_by_dynamic: column \"amount\" is i64", "a datetime is needed", "cast(DataType::Datetime"],
    );
    refuses(over(col("card")), &["column \"card\" is str"]);
    refuses(over(col("nothing")), &["there is no column \"nothing\"", "The columns are event_time"]);
    refuses(over(col("event_time") + lit(1)), &["is an expression", "with_columns() first"]);
    refuses(txns().with_watermark("amount", "1s"), &["with_watermark: column \"amount\" is i64"]);
    let windows = |window| txns().group_by_dynamic(&col("event_time"), &[], &window, &[len()]);
    refuses(windows(tumbling("soon")), &["tumbling: \"soon\" is not a duration", "\"10s\""]);
    refuses(windows(hopping("1s", "10s")), &["hopping", "shorter than the step"]);
    refuses(windows(session("0s")), &["session", "above zero"]);
    refuses(
        txns().with_watermark("event_time", "1s").unwrap().with_watermark("in_utc", "1s"),
        &["has a watermark already"],
    );
    refuses(totals().with_watermark("total", "1s"), &["column \"total\" is i64"]);
}

#[test]
fn times_of_different_zones() {
    let words = ["UTC", "Europe/Madrid", "convert_time_zone(TimeZone::UTC)"];
    refuses(txns().filter(col("in_utc").gt(col("in_madrid"))), &words);
    refuses(txns().with_columns(&[(col("in_utc") - col("in_madrid")).alias("between")]), &words);
    refuses(
        txns().filter(col("event_time").eq(col("in_madrid"))),
        &["without a zone", "Europe/Madrid", "replace_time_zone"],
    );
    let one = txns().filter(col("in_utc").gt(col("in_madrid").dt().convert_time_zone(TimeZone::UTC)));
    assert!(one.is_ok(), "{one:?}");
    let holidays = DataFrame::empty_with_schema(&Schema::from_iter([Field::new("start".into(), time(Some("UTC")))]));
    let joined = txns().join(holidays, &[col("in_madrid")], &[col("start")], &JoinType::Inner);
    refuses(joined, &["join: ", "never equal", "UTC", "Europe/Madrid", "convert_time_zone"]);
    let marked = |column: &str| txns().with_watermark(column, "1s").unwrap();
    let bound = within("in_utc", "in_madrid", "5m");
    let (on, how) = ([col("card")], JoinType::Inner);
    let joined = marked("in_utc").join_stream(&marked("in_madrid"), &on, &on, &how, &bound);
    refuses(joined, &["join_stream: ", "two zones", "UTC", "Europe/Madrid", "convert_time_zone"]);
}
