//! Joins of rows that change: aggregates with aggregates, streams with aggregates, and joins of those again, as the same joins of
//! what Polars aggregates.

use std::sync::Arc;

use engine::{Clock, LiveResult, ManualClock, Mode, PhysicalPlan, Pipeline, Status, collect};
use plan::{tumbling, within};
use polars::prelude::*;
use proptest::prelude::*;

use crate::common::compare::same_rows;
use crate::common::frames::{Frame, join_changing, join_stream};
use crate::log::{Row, bare, cases, cuts, rows, run, stream, table};

const KINDS: [JoinType; 6] =
    [JoinType::Inner, JoinType::Left, JoinType::Right, JoinType::Full, JoinType::Semi, JoinType::Anti];

/// A frame with a longer plan.
fn with(frame: &Frame, plan: plan::Plan) -> Frame {
    (plan, Arc::clone(&frame.1))
}

fn aggs(name: &str) -> [Expr; 2] {
    [len().alias(format!("{name} n")), col("number").sum().alias(format!("{name} sum"))]
}

/// What each side is before the join: the rows as they are, those of each key, or those of each key that are many.
#[derive(Clone, Copy, Debug)]
enum Side {
    Rows,
    Groups,
    Many,
}

fn side() -> impl Strategy<Value = Side> {
    prop::sample::select(vec![Side::Rows, Side::Groups, Side::Groups, Side::Many])
}

impl Side {
    fn plan(self, frame: &Frame, key: &str, name: &str) -> Frame {
        let grouped = |frame: &Frame| frame.0.group_by(&[col(key)], &aggs(name)).unwrap();
        match self {
            Side::Rows => with(frame, frame.0.select(&[col(key), col("number").alias(format!("{name} sum"))]).unwrap()),
            Side::Groups => with(frame, grouped(frame)),
            Side::Many => {
                // A group leaves when its sum has become even.
                let odd = (col(format!("{name} sum")) % lit(2)).neq(lit(0));
                with(frame, grouped(frame).filter(odd).unwrap())
            }
        }
    }

    fn polars(self, rows: &DataFrame, key: &str, name: &str) -> DataFrame {
        let rows = rows.clone().lazy();
        let grouped = rows.clone().group_by([col(key)]).agg(aggs(name));
        let given = match self {
            Side::Rows => rows.select([col(key), col("number").alias(format!("{name} sum"))]),
            Side::Groups => grouped,
            Side::Many => grouped.filter((col(format!("{name} sum")) % lit(2)).neq(lit(0))),
        };
        given.collect().unwrap()
    }
}

/// What must be equal: one column, or columns of other names and types.
fn keys(way: usize) -> (&'static str, &'static str) {
    if way == 0 { ("key", "key") } else { ("rank", "place") }
}

fn joined(left: &[Row], right: &[Row], sides: [Side; 2], way: usize, how: &JoinType) -> Frame {
    let (left_key, right_key) = keys(way);
    let left = sides[0].plan(&bare(left, false), left_key, "l");
    let right = sides[1].plan(&bare(right, true), right_key, "r");
    join_changing(&left, &right, (&[col(left_key)], &[col(right_key)]), how).unwrap()
}

fn reference(left: &[Row], right: &[Row], sides: [Side; 2], way: usize, how: &JoinType) -> DataFrame {
    let (left_key, right_key) = keys(way);
    let left = sides[0].polars(&table(left, false), left_key, "l");
    let right = sides[1].polars(&table(right, true), right_key, "r");
    left.lazy().join(right.lazy(), [col(left_key)], [col(right_key)], JoinArgs::new(how.clone())).collect().unwrap()
}

/// Sides of which the rows of one change at the least.
fn sides() -> impl Strategy<Value = [Side; 2]> {
    prop::array::uniform2(side()).prop_map(|sides| match sides {
        [Side::Rows, Side::Rows] => [Side::Rows, Side::Groups],
        sides => sides,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_pairs_are_those_of_the_rows_as_they_are_in_the_end(
        left in rows(),
        right in rows(),
        sides in sides(),
        way in 0..2usize,
        how in 0..6usize,
        cuts in cuts(),
        restarts in prop::collection::vec(0..12usize, 0..3),
    ) {
        let frame = joined(&left, &right, sides, way, &KINDS[how]);
        let expected = reference(&left, &right, sides, way, &KINDS[how]);
        same_rows(&run(&frame, &cuts, &restarts).all, &expected).map_err(TestCaseError::fail)?;
        let collected = collect(&frame.0, &frame.1, |_| true).unwrap().frame;
        same_rows(&collected, &expected).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn what_is_aggregated_and_joined_again_is_too(
        left in rows(),
        right in rows(),
        third in rows(),
        how in 0..4usize,
        cuts in cuts(),
        restarts in prop::collection::vec(0..12usize, 0..3),
    ) {
        let sides = [Side::Groups, Side::Many];
        let above = |name: &str| [len().alias("groups"), col(name).sum().alias("all"), col("r sum").max().alias("most")];
        let frame = joined(&left, &right, sides, 1, &KINDS[how]);
        let frame = with(&frame, frame.0.group_by(&[col("l n")], &above("l sum")).unwrap());
        let other = Side::Groups.plan(&bare(&third, false), "rank", "t");
        let frame = join_changing(&frame, &other, (&[col("l n")], &[col("t n")]), &JoinType::Full).unwrap();

        let polars = reference(&left, &right, sides, 1, &KINDS[how]);
        let polars = polars.lazy().group_by([col("l n")]).agg(above("l sum"));
        let other = Side::Groups.polars(&table(&third, false), "rank", "t").lazy();
        let polars = polars.join(other, [col("l n")], [col("t n")], JoinArgs::new(JoinType::Full)).collect().unwrap();
        same_rows(&run(&frame, &cuts, &restarts).all, &polars).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn windows_that_are_joined_by_their_time_are_final_once_and_forgotten(
        left in rows(),
        right in rows(),
        how in 0..6usize,
        cuts in cuts(),
        restarts in prop::collection::vec(0..12usize, 0..3),
    ) {
        let windowed = |frame: &Frame, name: &str| {
            with(frame, frame.0.group_by_dynamic(&col("time"), &[col("key")], &tumbling("400ms"), &aggs(name)).unwrap())
        };
        let (left, right) = (windowed(&stream(&left, false), "l"), windowed(&stream(&right, true), "r"));
        let on = [col("time"), col("key")];
        let (plan, open) = join_changing(&left, &right, (&on, &on), &KINDS[how]).unwrap();
        prop_assert!(plan.windows_end());
        let ran = run(&(plan.clone(), open.clone()), &cuts, &restarts);
        let given = finals(&(plan.clone(), open), &cuts);
        // Of a row without a match, the time of the other side is the one that has ended.
        let time = |name: &str| col(name).cast(DataType::Int64);
        let at = match KINDS[how] {
            JoinType::Full => coalesce(&[time("time"), time("time_right")]),
            _ => time("time"),
        };
        let ended = ran.watermark.map_or(lit(false), |watermark| (at + lit(400)).lt_eq(lit(watermark)));
        let expected = ran.all.lazy().filter(ended).collect().unwrap();
        same_rows(&given, &expected).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn three_streams_are_joined_by_their_times(
        one in rows(),
        two in rows(),
        three in rows(),
        bounds in (1..800i64, 1..800i64),
        cuts in cuts(),
        restarts in prop::collection::vec(0..12usize, 0..3),
    ) {
        let marked = |rows: &[Row]| {
            let frame = bare(rows, false);
            with(&frame, frame.0.with_watermark("time", "10s").unwrap())
        };
        let on = (&[col("key")][..], &[col("key")][..]);
        let by = |right: &str, bound: i64| within("time", right, format!("{bound}ms"));
        let pairs = join_stream(&marked(&one), &marked(&two), on, &JoinType::Inner, &by("time", bounds.0)).unwrap();
        let third = marked(&three);
        let third = with(&third, third.0.select(&[col("key"), col("time").alias("at"), col("number").alias("third")]).unwrap());
        let frame = join_stream(&pairs, &third, on, &JoinType::Inner, &by("at", bounds.1)).unwrap();
        let numbers: Vec<Expr> = ["number", "number_right", "third"].map(col).to_vec();
        let frame = with(&frame, frame.0.select(&numbers).unwrap());
        let mut expected = Vec::new();
        for a in &one {
            for b in two.iter().filter(|b| near(a, b, bounds.0)) {
                expected.extend(three.iter().filter(|c| near(a, c, bounds.1)).map(|c| (a.number, b.number, c.number)));
            }
        }
        let of = |at: fn(&(i64, i64, i64)) -> i64| expected.iter().map(at).collect::<Vec<_>>();
        let expected = df!["number" => of(|t| t.0), "number_right" => of(|t| t.1), "third" => of(|t| t.2)].unwrap();
        let ran = run(&frame, &cuts, &restarts);
        prop_assert_eq!(ran.late, 0);
        same_rows(&ran.streamed, &expected).map_err(TestCaseError::fail)?;
    }
}

fn near(a: &Row, b: &Row, bound: i64) -> bool {
    a.key.is_some() && a.key == b.key && a.time.zip(b.time).is_some_and(|(one, other)| (one - other).abs() <= bound)
}

/// The rows that a run gives in append mode, and that nothing is kept of what has ended.
fn finals((plan, open): &Frame, cuts: &[[usize; 4]]) -> DataFrame {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut source = open(&PhysicalPlan::of(plan).source_columns()).unwrap();
    let mut pipeline = Pipeline::new(plan, &source.lanes(), Mode::Stream, &clock).unwrap();
    pipeline.append();
    let (start, end) = (source.start().unwrap(), source.latest().unwrap());
    pipeline.assign(&start);
    let result = LiveResult::new(plan.schema().clone(), Status::default());
    let mut from = start;
    for cut in cuts.iter().chain([&[usize::MAX; 4]]) {
        let to = crate::log::advanced(&from, &end, cut);
        let output = pipeline.execute(source.read(&from, &to).unwrap().parts).unwrap();
        assert!(output.changes.deletes.is_empty(), "what is final leaves");
        result.apply(&output.changes, |_| {}).unwrap();
        from = to;
    }
    let saved = pipeline.snapshot(true).unwrap().frames;
    let ended = pipeline.watermark().unwrap_or(i64::MIN);
    for (name, table) in saved.iter().filter(|(name, _)| name.ends_with("-left") || name.ends_with("-right")) {
        let key = table.get_column_names().into_iter().find(|name| name.ends_with("_key_0")).unwrap().clone();
        let oldest = table.column(&key).unwrap().cast(&DataType::Int64).unwrap().i64().unwrap().min();
        assert!(oldest.is_none_or(|oldest| oldest + 400 > ended), "{name} keeps windows that have ended: {table}");
    }
    result.frame()
}

#[test]
fn two_streams_whose_rows_never_change_are_told_what_to_do() {
    let (left, right) = (bare(&[], false), bare(&[], true));
    let on = (&[col("key")][..], &[col("key")][..]);
    let error = join_changing(&left, &right, on, &JoinType::Inner).err().unwrap().to_string();
    assert!(error.contains("kept for ever") && error.contains("join_stream"), "{error}");
    let sums = with(&left, left.0.group_by(&[col("key")], &[len()]).unwrap());
    let error =
        join_stream(&sums, &right, on, &JoinType::Inner, &within("time", "time", "1m")).err().unwrap().to_string();
    assert!(error.contains("change") && error.contains("join("), "{error}");
    let error = join_changing(&sums, &right, (&[lit(1)], &[col("place")]), &JoinType::Inner).err().unwrap().to_string();
    assert!(error.contains("reads no column"), "{error}");
}
