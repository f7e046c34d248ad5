//! What a frame says, and how it runs: the one has no word of the other.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;

use engine::{Connectors, PhysicalPlan, collect, explain};
use plan::{Plan, within};
use polars::prelude::*;

fn rows(first: i64) -> DataFrame {
    let frame = df!["time" => [first, first + 1_000], "key" => ["a", "b"], "value" => [first, first * 2]];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.unwrap().lazy().with_columns([time]).collect().unwrap()
}

fn stream(name: &str) -> Plan {
    Plan::source(name, rows(0).schema().clone()).with_watermark("time", "5s").unwrap()
}

fn joined() -> Plan {
    let on = [col("key")];
    stream("a").join_stream(&stream("b"), &on, &on, &JoinType::Left, &within("time", "time", "3s")).unwrap()
}

#[test]
fn a_plan_says_what_and_its_physical_plan_how() {
    let plan = joined().filter(col("value").gt(lit(1))).unwrap();
    let said = plan.explain();
    assert!(!said.contains("__corriente"), "{said}");
    assert_eq!(said.matches("SOURCE").count(), 2, "{said}");
    let runs = PhysicalPlan::of(&plan).explain();
    assert!(runs.contains("LEFT JOIN") && runs.contains("__corriente_side"), "{runs}");
    let both = explain(&plan);
    assert!(both.starts_with(&said) && both.ends_with(&runs), "{both}");
    let median = stream("a").group_by(&[col("key")], &[col("value").mode(false)]).unwrap();
    assert!(!median.explain().contains("KEEPING") && explain(&median).contains("KEEPING ROWS"), "{}", explain(&median));
}

#[test]
fn scans_are_opened_by_the_names_of_their_connectors() {
    let connectors = Connectors::default();
    for (name, first) in [("a", 0), ("b", 1_000)] {
        let open = common::log::open(vec![rows(first)], usize::MAX);
        connectors.register(
            name,
            Arc::new(move |scan, columns| {
                assert_eq!(scan.connector, name);
                open(columns)
            }),
        );
    }
    let plan = joined().select(&[col("value"), col("value_right")]).unwrap();
    let open = connectors.open(&plan);
    // What is registered later is no concern of who has opened.
    connectors.register("a", Arc::new(|_, _| panic!("it was replaced")));
    let found = collect(&plan, &open, |_| true).unwrap().frame.sort(["value"], Default::default()).unwrap();
    let expected = df!["value" => [0i64, 0], "value_right" => [1_000i64, 2_000]].unwrap();
    assert!(found.equals(&expected), "{found}");
}

#[test]
fn a_connector_that_is_not_there_is_named_with_those_that_are() {
    let connectors = Connectors::default();
    connectors.register("kafka", Arc::new(|_, _| panic!("nobody asks")));
    let plan = Plan::source("kafak", rows(0).schema().clone());
    let error = collect(&plan, &connectors.open(&plan), |_| true).unwrap_err().to_string();
    assert!(error.contains("no connector is called \"kafak\"") && error.contains("there are: kafka"), "{error}");
}
