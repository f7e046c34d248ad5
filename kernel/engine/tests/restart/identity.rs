//! What a checkpoint belongs to: what its state depends on, to the last digit, and nothing else.

use engine::{OutputMode, fingerprint};
use plan::{Plan, Scan};
use polars::prelude::*;

use super::{run, schema, source};
use crate::common::query::{Kept, STEPS, crash_after};

/// Runs one query, and then the other from its checkpoint; gives why that was refused, if it was.
fn then(first: &Plan, second: &Plan) -> Option<String> {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(first, OutputMode::Update, folder.path(), &kept, 1, None), None);
    run(second, OutputMode::Update, folder.path(), &kept, 1, None)
}

fn counted(plan: &Plan) -> Plan {
    plan.group_by(&[col("key")], &[len().alias("n"), col("value").sum()]).unwrap()
}

#[test]
fn a_digit_that_no_words_show_makes_another_query() {
    let among = |value: f64| {
        let values = lit(Series::new("".into(), [value])).implode(true);
        counted(&source().filter(col("price").is_in(values, false)).unwrap())
    };
    let (one, other) = (among(0.123_456_78), among(0.123_456_79));
    assert_eq!(then(&one, &one), None);
    assert_ne!(fingerprint(&one), fingerprint(&other));
    let refused = then(&one, &other).unwrap();
    assert!(refused.contains("belongs to another query"), "{refused}");
    assert!(refused.contains("0.12345678") && refused.contains("0.12345679"), "{refused}");
    let above = |value: f64| counted(&source().filter(col("price").gt(lit(value))).unwrap());
    assert!(then(&above(0.1 + 0.2), &above(0.3)).is_some(), "not even where only the last bit is another");
}

#[test]
fn a_frame_that_grew_is_the_same_frame() {
    let looked_up =
        |names: DataFrame| counted(&source().join(names, &[col("key")], &[col("key")], &JoinType::Left).unwrap());
    let before = df!["key" => ["a"], "name" => ["Ada"]].unwrap();
    let after = df!["key" => ["a", "b"], "name" => ["Ada", "Bea"]].unwrap();
    assert_eq!(then(&looked_up(before.clone()), &looked_up(after)), None);
    let kept = |names: &DataFrame, by: &str| {
        let plan = source().join(names.clone(), &[col("key")], &[col("key")], &JoinType::Left).unwrap();
        plan.group_by(&[col(by)], &[len().alias("n")]).unwrap()
    };
    let number = df!["key" => ["a"], "name" => [1i64]].unwrap();
    assert!(then(&kept(&before, "name"), &kept(&number, "name")).is_some());
}

#[test]
fn the_same_topics_elsewhere_are_the_same_query() {
    let of = |topic: &str, address: &str| {
        let scan = Scan::new("kafka", schema()).topic(topic).at(address).option("security.protocol", address);
        counted(&Plan::scan(scan.format("json")))
    };
    let (here, there) = (of("rows", "10.0.0.1:9092"), of("rows", "10.0.0.2:9092,10.0.0.3:9092"));
    assert_eq!(fingerprint(&here), fingerprint(&there));
    assert_eq!(then(&here, &there), None);
    assert!(then(&here, &of("others", "10.0.0.1:9092")).unwrap().contains("SOURCE kafka others"));
}

#[test]
fn the_order_of_aggregates_makes_no_difference() {
    let aggs = [len().alias("n"), col("value").sum(), col("price").mean(), col("value").n_unique().alias("values")];
    let reversed: Vec<Expr> = aggs.iter().rev().cloned().collect();
    let plan = |aggs: &[Expr]| source().group_by(&[col("key")], aggs).unwrap();
    let (one, other) = (plan(&aggs), plan(&reversed));
    assert_eq!(fingerprint(&one), fingerprint(&other));
    let (whole, alone) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&other, OutputMode::Update, alone.path(), &whole, 1, None), None);
    for step in STEPS {
        let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
        let crash = crash_after(3, step);
        assert!(run(&one, OutputMode::Update, folder.path(), &kept, 1, Some(crash)).is_some());
        assert_eq!(run(&other, OutputMode::Update, folder.path(), &kept, 1, None), None);
        for ((batch, ours), (_, theirs)) in kept.batches().iter().zip(&whole.batches()) {
            let columns = theirs.get_column_names_owned();
            assert!(ours.select(columns).unwrap().equals_missing(theirs), "{step:?} {batch}: {ours}\n{theirs}");
        }
    }
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&one, OutputMode::Complete, folder.path(), &kept, 1, None), None);
    let refused = run(&other, OutputMode::Complete, folder.path(), &kept, 1, None).unwrap();
    assert!(refused.contains("RESULT"), "a whole result is kept with its columns in order: {refused}");
}

#[test]
fn an_older_format_is_refused_in_a_sentence() {
    for version in [3, 4] {
        let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
        let query = format!("{{\"version\": {version}, \"plan\": \"SOURCE memory rows\"}}");
        std::fs::write(folder.path().join("query.json"), query).unwrap();
        let refused = run(&source(), OutputMode::Append, folder.path(), &kept, 1, None).unwrap();
        let said = format!("the format's version {version}");
        assert!(refused.contains(&said) && refused.contains("Choose another folder"), "{refused}");
    }
}
