//! The join within a bound of time.

use std::sync::Arc;

use engine::collect;
use plan::{Plan, within};
use polars::prelude::*;
use proptest::prelude::*;

use crate::common::frames::{Frame, join_stream};
use crate::log::{Row, assert_same, assert_windows_lose_nothing, bare, cases, cuts, on_time, rows, run, stream, table};

const KINDS: [JoinType; 6] =
    [JoinType::Inner, JoinType::Left, JoinType::Right, JoinType::Full, JoinType::Semi, JoinType::Anti];

/// Ways to say what must be equal: one column, columns of other names and types, several, and expressions.
fn on(way: usize) -> (Vec<Expr>, Vec<Expr>) {
    match way {
        0 => (vec![col("key")], vec![col("key")]),
        1 => (vec![col("rank")], vec![col("place")]),
        2 => (vec![col("key"), col("rank")], vec![col("key"), col("place")]),
        _ => (vec![col("rank") + lit(1)], vec![col("place") + lit(1)]),
    }
}

fn joined(left: &[Row], right: &[Row], way: usize, how: &JoinType, bound: i64) -> Frame {
    let (left_on, right_on) = on(way);
    let within = within("time", "time", format!("{bound}ms"));
    join_stream(&stream(left, false), &stream(right, true), (&left_on, &right_on), how, &within).unwrap()
}

/// Polars' own join, of rows that also agree in which of the pairs near in time they are.
fn reference(left: &DataFrame, right: &DataFrame, way: usize, how: &JoinType, bound: i64) -> DataFrame {
    let (mut left_on, mut right_on) = on(way);
    let noted = |frame: &DataFrame, number: &str, time: &str| {
        frame.clone().lazy().with_columns([col("number").alias(number), col("time").cast(DataType::Int64).alias(time)])
    };
    let apart = col("left time") - col("right time");
    let pairs = noted(left, "left number", "left time")
        .join(noted(right, "pair", "right time"), &left_on, &right_on, JoinArgs::new(JoinType::Inner))
        .filter(apart.clone().lt_eq(lit(bound)).and(apart.gt_eq(lit(-bound))))
        .select([col("left number"), col("pair")]);
    let left = left.clone().lazy();
    if matches!(how, JoinType::Semi | JoinType::Anti) {
        return left.join(pairs, [col("number")], [col("left number")], JoinArgs::new(how.clone())).collect().unwrap();
    }
    let left = left.join(pairs, [col("number")], [col("left number")], JoinArgs::new(JoinType::Left));
    let right = right.clone().lazy().with_columns([col("number").alias("pair")]);
    left_on.push(col("pair"));
    right_on.push(col("pair"));
    let mut joined = left.join(right, left_on, right_on, JoinArgs::new(how.clone())).collect().unwrap();
    for name in ["pair", "pair_right"] {
        let _ = joined.drop_in_place(name);
    }
    joined
}

/// Of the rows that nothing belonged to, those whose time is up.
fn up_to(watermark: Option<i64>, bound: i64, way: usize, how: &JoinType, polars: &DataFrame) -> DataFrame {
    let up = |time: &str| {
        let time = col(time).cast(DataType::Int64);
        let passed = watermark.map_or(lit(false), |watermark| (time.clone() + lit(bound)).lt_eq(lit(watermark)));
        time.is_null().or(passed)
    };
    let null = |names: &[&str]| names.iter().fold(lit(false), |any, name| any.or(col(*name).is_null()));
    // What of the keys is left of a row of each side.
    let (left_keys, right_keys): (&[&str], &[&str]) = match (way, how) {
        (0, JoinType::Full) => (&["key"], &["key_right"]),
        (0, _) => (&["key"], &["key"]),
        (2, JoinType::Full) => (&["key", "rank"], &["key_right", "place"]),
        (2, _) => (&["key", "rank"], &["key", "place"]),
        _ => (&["rank"], &["place"]),
    };
    let left = || up("time").or(null(left_keys));
    let right = || up("time_right").or(null(right_keys));
    let rows = polars.clone().lazy();
    let rows = match how {
        JoinType::Left => rows.filter(col("number_right").is_not_null().or(left())),
        JoinType::Right => rows.filter(col("number").is_not_null().or(right())),
        JoinType::Full => {
            rows.filter(col("number_right").is_not_null().or(left())).filter(col("number").is_not_null().or(right()))
        }
        JoinType::Anti => rows.filter(left()),
        _ => rows,
    };
    rows.collect().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rows_that_belong_together_are_those_that_polars_joins(
        left in rows(),
        right in rows(),
        way in 0..4usize,
        kind in 0..KINDS.len(),
        bound in 1..1_500i64,
        cuts in cuts(),
        restarts in prop::collection::vec(0..12usize, 0..3),
    ) {
        let how = &KINDS[kind];
        let ran = run(&joined(&left, &right, way, how, bound), &cuts, &restarts);
        let ([left, right], late) = on_time(&left, &right, &cuts);
        prop_assert_eq!(ran.late, late);
        let polars = reference(&table(&left, false), &table(&right, true), way, how, bound);
        assert_same(&ran.all, &polars);
        assert_same(&ran.streamed, &up_to(ran.watermark, bound, way, how, &polars));
    }

    #[test]
    fn as_a_batch_it_is_the_whole_of_what_polars_joins(left in rows(), right in rows(), kind in 0..KINDS.len()) {
        let (plan, open) = joined(&left, &right, 0, &KINDS[kind], 700);
        let polars = reference(&table(&left, false), &table(&right, true), 0, &KINDS[kind], 700);
        assert_same(&collect(&plan, &open, |_| true).unwrap().frame, &polars);
    }

    #[test]
    fn windows_over_a_join_lose_no_row(left in rows(), right in rows(), cuts in cuts(), kind in 0..KINDS.len()) {
        assert_windows_lose_nothing(&joined(&left, &right, 0, &KINDS[kind], 700), &cuts);
    }
}

/// Rows of one partition and key, a second apart.
fn steady(count: i64, partition: i32) -> Vec<Row> {
    (0..count).map(|n| Row { partition, time: Some(n * 1000), key: Some(1), rank: None, number: n }).collect()
}

#[test]
fn what_the_watermark_has_passed_is_forgotten() {
    let both: Vec<Row> = steady(2_000, 0).into_iter().chain(steady(2_000, 1)).collect();
    let cuts = vec![[100; 4]; 20];
    for how in &KINDS {
        let ran = run(&joined(&both, &both, 0, how, 5_000), &cuts, &[]);
        assert!(ran.held.iter().all(|held| *held < 50), "{how}: {:?}", ran.held);
    }
}

#[test]
fn many_rows_in_many_segments_are_joined_as_polars_joins_them() {
    let many = |seed: i64| -> Vec<Row> {
        let time = |n: i64| n / 4 + (n * (seed + 7)) % 300;
        let row = |n: i64| Row {
            partition: (n % 2) as i32,
            time: Some(time(n)),
            key: Some((n * seed % 251) as u8),
            rank: None,
            number: n,
        };
        (0..200_000).map(row).collect()
    };
    let (left, right) = (many(3), many(5));
    for how in [JoinType::Full, JoinType::Semi] {
        let cuts = vec![[2_500, 2_000, 2_500, 2_000]; 50];
        let ran = run(&joined(&left, &right, 0, &how, 20), &cuts, &[7, 31]);
        let (kept, late) = on_time(&left, &right, &cuts);
        assert_eq!(ran.late, late);
        assert_same(&ran.all, &reference(&table(&kept[0], false), &table(&kept[1], true), 0, &how, 20));
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let (left, right) = (stream(&[], false), stream(&[], true));
    let refused = |right: Plan, keys: (&[Expr], &[Expr]), how: JoinType, bound: &str| {
        let other = (right, Arc::clone(&left.1));
        join_stream(&left, &other, keys, &how, &within("time", "time", bound)).err().unwrap().to_string()
    };
    let key = [col("key")];
    let on: (&[Expr], &[Expr]) = (&key, &key);
    let plan = &right.0;
    assert!(refused(plan.clone(), on, JoinType::Cross, "5s").contains("join_asof"));
    assert!(refused(plan.clone(), on, JoinType::Inner, "soon").contains("is not a duration"));
    assert!(refused(plan.clone(), on, JoinType::Inner, "1mo").contains("no fixed length"));
    let unmarked = bare(&[], true).0.limit(3).unwrap();
    assert!(refused(unmarked, on, JoinType::Inner, "5s").contains("has a state already"));
    let counts = plan.group_by(&key, &[len()]).unwrap();
    assert!(refused(counts, on, JoinType::Inner, "5s").contains("join(…)"));
    assert!(refused(plan.clone(), (&key, &[]), JoinType::Inner, "5s").contains("1 columns are to be equal to 0"));
    assert!(refused(plan.clone(), (&[], &[]), JoinType::Inner, "5s").contains("Name one at the least"));
    let other = [col("place")];
    assert!(refused(plan.clone(), (&key, &other), JoinType::Inner, "5s").contains("join keys don't match"));
    assert!(refused(plan.clone(), (&key, &[col("kye")]), JoinType::Left, "5s").contains("no column \"kye\""));
    let renamed = plan.rename(&["time"], &["other"]).unwrap();
    assert!(refused(renamed, on, JoinType::Inner, "5s").contains("no column \"time\""));
    let (left, right) = (bare(&[], false), bare(&[], true));
    let joined = join_stream(&left, &right, on, &JoinType::Inner, &within("time", "time", "5s"));
    assert!(joined.err().unwrap().to_string().contains("with_watermark"));
}
