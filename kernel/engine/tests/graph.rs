//! A plan as the boxes of a picture: every step is one, with what it reads, what it remembers, and where its rows come from.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;

use engine::{OpenSource, Part, PhysicalPlan, SourceError};
use plan::{Moment, Plan, Scan, StateFunction, tumbling, within};
use polars::prelude::*;

use common::frames::{join_stream, union};

fn frame(name: &str) -> (Plan, OpenSource) {
    let fields = [
        Field::new("time".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
        Field::new("card".into(), DataType::String),
        Field::new("<amount>".into(), DataType::Int64),
    ];
    let open: OpenSource = Arc::new(|_| {
        let (fact, detail, hint) = ("nothing is read".into(), String::new(), String::new());
        Err(SourceError { fact, detail, hint, retry: false })
    });
    let scan = Scan::new("kafka", Arc::new(Schema::from_iter(fields))).topic(name).at("127.0.0.1:9092");
    (Plan::scan(scan), open)
}

fn titles(parts: &[Part]) -> Vec<&str> {
    parts.iter().map(|part| part.title.as_str()).collect()
}

#[test]
fn every_step_is_a_part_behind_its_input() {
    let (plan, _) = frame("txns");
    let names = df!["card" => ["a"], "owner" => ["Ada"]].unwrap();
    let plan = plan.with_watermark("time", "30s").unwrap().filter(col("<amount>").gt(lit(5))).unwrap();
    let plan = plan.join(names, &[col("card")], &[col("card")], &JoinType::Left).unwrap();
    let plan = plan.unique(Some(&["card"])).unwrap();
    let aggs = [len().alias("n"), col("<amount>").sum()];
    let plan = plan.group_by_dynamic(&col("time"), &[col("owner")], &tumbling("10s"), &aggs).unwrap();
    let plan = plan.sort(&[col("n")], &SortMultipleOptions::default()).unwrap();
    let parts = PhysicalPlan::of(&plan).graph();
    let expected = ["SOURCE", "WATERMARK", "FILTER", "FRAME", "LEFT JOIN", "UNIQUE", "AGGREGATE", "SORT"];
    assert_eq!(titles(&parts), expected);
    let inputs: Vec<&[usize]> = parts.iter().map(|part| part.inputs.as_slice()).collect();
    assert_eq!(inputs, [&[][..], &[0], &[1], &[], &[2, 3], &[4], &[5], &[6]]);
    assert_eq!(parts[0].details[1], "reads all 3 columns");
    let needed = parts[0].details.last().unwrap();
    assert!(needed.starts_with("needs the rows where") && needed.contains("<amount>"), "{needed}");
    let states: Vec<usize> = (0..parts.len()).filter(|n| parts[*n].state.is_some()).collect();
    assert_eq!(states, [5, 6, 7], "the steps that remember say so");
    assert!(parts[6].state.as_ref().unwrap().contains("2 values a group, until the watermark"), "{:?}", parts[6]);
    assert!(parts[6].details.iter().any(|detail| detail.starts_with("BY ")), "{:?}", parts[6]);
    // What the words say is there.
    let all = parts.iter().flat_map(|part| &part.details).cloned().collect::<Vec<_>>().join(" ");
    assert!(all.contains("<amount>") && all.contains("tumbling(\"10s\")"), "{all}");
}

#[test]
fn a_source_says_what_is_read_of_it() {
    let (plan, _) = frame("txns");
    let plan = plan.with_columns(&[(col("<amount>") * lit(2)).alias("twice")]).unwrap().select(&[col("card")]).unwrap();
    let parts = PhysicalPlan::of(&plan).graph();
    assert_eq!(titles(&parts), ["SOURCE", "SELECT"], "what nobody uses is not run");
    assert_eq!(parts[0].details, ["kafka txns at 127.0.0.1:9092", "reads 1 of 3 columns", "card: str"]);
}

#[test]
fn frames_that_come_together_are_inputs_beside_each_other() {
    let (b, open) = frame("b");
    let (plan, _) = union(&[frame("a"), (b.filter(col("card").is_not_null()).unwrap(), open)]).unwrap();
    let parts = PhysicalPlan::of(&plan.select(&[col("<amount>")]).unwrap()).graph();
    assert_eq!(titles(&parts), ["SOURCE", "SOURCE", "FILTER", "UNION", "SELECT"]);
    assert_eq!(parts[3].inputs, [0, 2]);
    assert_eq!(parts[0].details[1], "reads 1 of 3 columns");
    assert_eq!(parts[1].details[1], "reads 2 of 3 columns");
}

#[test]
fn two_streams_that_are_joined_are_the_inputs_of_the_join() {
    let (left, open) = frame("left");
    let left = (left.with_watermark("time", "1s").unwrap(), open);
    let on = [col("card")];
    let (plan, _) =
        join_stream(&left, &frame("right"), (&on, &on), &JoinType::Inner, &within("time", "time", "5m")).unwrap();
    let parts = PhysicalPlan::of(&plan).graph();
    assert_eq!(titles(&parts), ["SOURCE", "WATERMARK", "SOURCE", "WATERMARK", "INNER JOIN OF TWO STREAMS"]);
    assert_eq!(parts[4].inputs, [1, 3]);
    assert!(parts[4].state.as_ref().unwrap().contains("both sides"));
}

#[test]
fn a_function_of_ones_own_is_a_part() {
    let (plan, _) = frame("txns");
    let function = StateFunction::new(|_: &mut u32, rows: DataFrame, _: &mut Moment| Ok(rows));
    let plan = plan.with_state(&[col("card")], function).unwrap().limit(3).unwrap();
    let parts = PhysicalPlan::of(&plan).graph();
    assert_eq!(titles(&parts), ["SOURCE", "WITH_STATE", "LIMIT"]);
    assert!(parts[1].state.is_some() && parts[2].state.is_some());
}
