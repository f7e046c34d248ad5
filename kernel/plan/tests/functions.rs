//! A person's own functions: what they are given, what they give, and that a failing one names the row.
#![allow(clippy::unwrap_used, missing_docs)]

use plan::{Closure, Moment, Plan, Row, RowFunction, StateFunction, Step};
use polars::prelude::*;

fn rows() -> DataFrame {
    df![
        "card" => ["4111", "5500", "3400", "6011", "4000"],
        "amount" => [Some(12.5), None, Some(-3.0), Some(7.0), Some(2.0)],
        "count" => [1i64, 2, 3, 4, 5],
    ]
    .unwrap()
}

fn source() -> Plan {
    Plan::source("memory", rows().schema().clone())
}

/// The function of a plan's last step.
fn closure(plan: &Plan) -> Closure {
    match plan.steps().last().unwrap() {
        Step::MapBatches(closure) => closure.clone(),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn says(error: &PolarsError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "\"{word}\" is not in: {text}");
    }
    assert!(text.len() < 700, "{text}");
}

#[test]
fn a_function_of_rows_adds_columns() {
    let function = RowFunction::new(|row: &Row<'_>| {
        let amount = row.get::<Option<f64>>("amount")?;
        Ok((
            amount.map(|amount| amount * 2.0),
            row.get::<String>("card")?.starts_with('4'),
            row.get::<i64>("count")? as i32,
        ))
    });
    let plan = source().map_rows(&["double", "is_visa", "count"], function).unwrap();
    let found = closure(&plan).call(rows()).unwrap();
    let expected = df![
        "card" => ["4111", "5500", "3400", "6011", "4000"],
        "amount" => [Some(12.5), None, Some(-3.0), Some(7.0), Some(2.0)],
        "count" => [1i32, 2, 3, 4, 5],
        "double" => [Some(25.0), None, Some(-6.0), Some(14.0), Some(4.0)],
        "is_visa" => [true, false, false, false, true],
    ];
    assert!(found.equals_missing(&expected.unwrap()), "{found}");
    assert_eq!(found.schema(), plan.schema(), "known before there are rows");
    assert!(
        plan.explain().starts_with("MAP_ROWS closure GIVING [double: f64, is_visa: bool, count: i32]"),
        "{}",
        plan.explain()
    );
}

#[test]
fn one_value_needs_no_brackets_and_takes_rows_that_change() {
    let grouped = source().group_by(&[col("card")], &[len().alias("n")]).unwrap();
    let plan =
        grouped.map_rows(&["text"], RowFunction::new(|row: &Row<'_>| Ok(format!("{} times", row.get::<u32>("n")?))));
    let frame = df!["card" => ["4111"], "n" => [3u32]].unwrap();
    let found = closure(&plan.unwrap()).call(frame).unwrap();
    assert_eq!(found.column("text").unwrap().str().unwrap().get(0), Some("3 times"));
}

#[test]
fn a_function_of_rows_names_the_row_that_it_fails_on() {
    let fails =
        |function: RowFunction| closure(&source().map_rows(&["x"], function).unwrap()).call(rows()).unwrap_err();
    let row = "The row that did it: {card: \"3400\", amount: -3.0, count: 3}";
    let panicked = fails(RowFunction::new(|row: &Row<'_>| {
        assert!(row.get::<Option<f64>>("amount")?.unwrap_or(0.0) >= 0.0, "a negative amount");
        Ok(1i64)
    }));
    says(&panicked, &["the function of map_rows panicked: a negative amount", row]);
    let failed = fails(RowFunction::new(|row: &Row<'_>| match row.get::<Option<f64>>("amount")? {
        Some(amount) if amount < 0.0 => polars_bail!(ComputeError: "refused"),
        _ => Ok(1i64),
    }));
    says(&failed, &["the function of map_rows failed: refused", row]);
    let null = fails(RowFunction::new(|row: &Row<'_>| row.get::<f64>("amount")));
    says(&null, &["\"amount\" is null", "get::<Option<f64>>(\"amount\")", "card: \"5500\""]);
    let wrong = fails(RowFunction::new(|row: &Row<'_>| row.get::<i64>("card")));
    says(&wrong, &["\"card\" is str, and not i64", "card: \"4111\""]);
    let missing = fails(RowFunction::new(|row: &Row<'_>| row.get::<i64>("nothing")));
    says(&missing, &["nothing", "card: \"4111\""]);
}

#[test]
fn names_go_with_values() {
    let pair = || RowFunction::new(|_: &Row<'_>| Ok((1i64, 2i64)));
    for names in [&["one"][..], &["one", "one"], &["one", "two", "three"]] {
        let error = source().map_rows(names, pair()).unwrap_err().to_string();
        assert!(
            error.contains("map_rows: the function gives 2 values") && error.contains("a name of its own"),
            "{error}"
        );
    }
}

#[test]
fn a_function_of_batches_names_the_row_that_it_fails_on() {
    let plan = source().map_batches(|rows| {
        assert!(rows.column("count")?.i64()?.iter().all(|count| count != Some(4)), "four is too much");
        Ok(rows)
    });
    let error = closure(&plan.unwrap()).call(rows()).unwrap_err();
    says(
        &error,
        &["map_batches panicked: four is too much", "The row that did it: {card: \"6011\", amount: 7.0, count: 4}"],
    );
    let plan = source().map_batches(|rows| {
        let is_test = rows.column("card")?.str()?.iter().any(|card| card == Some("4000"));
        polars_ensure!(!is_test, ComputeError: "a test card");
        Ok(rows)
    });
    let error = closure(&plan.unwrap()).call(rows()).unwrap_err();
    says(&error, &["map_batches failed: a test card", "card: \"4000\""]);
}

#[test]
fn rows_that_fail_only_together_are_said_to() {
    let plan = source().map_batches(|rows| {
        let counts: Vec<_> = rows.column("count")?.i64()?.iter().flatten().collect();
        assert!(!(counts.contains(&3) && counts.contains(&5)), "three and five");
        Ok(rows)
    });
    let error = closure(&plan.unwrap()).call(rows()).unwrap_err();
    says(&error, &["panicked: three and five", "It takes 3 rows together, which begin with {card: \"3400\""]);
}

#[test]
fn a_long_value_is_cut() {
    let long = df!["text" => ["x".repeat(10_000)], "other" => ["y".repeat(10_000)]].unwrap();
    let plan = Plan::source("memory", long.schema().clone());
    let plan =
        plan.map_rows(&["n"], RowFunction::new(|_: &Row<'_>| -> PolarsResult<i64> { panic!("too long") })).unwrap();
    let error = closure(&plan).call(long).unwrap_err();
    says(&error, &["too long", "text: \"xxx", "…, other: \"yyy"]);
}

#[test]
fn a_function_with_a_state_names_the_first_of_its_rows() {
    let function = StateFunction::new(|seen: &mut i64, rows: DataFrame, _: &mut Moment| {
        *seen += rows.height() as i64;
        assert!(*seen < 5, "five rows of a key");
        Ok(rows)
    });
    let mut state = function.begin();
    state.call(rows().head(Some(2)), &mut Moment::default()).unwrap();
    let error = state.call(rows().tail(Some(3)), &mut Moment::default()).unwrap_err();
    says(&error, &["with_state panicked: five rows of a key", "begin with {card: \"3400\", amount: -3.0, count: 3}"]);
}
