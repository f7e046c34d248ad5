//! The as-of join: with another stream, and with a frame that stands still.

use plan::{Asof, AsofStrategy, Plan, asof, within};
use polars::prelude::*;
use proptest::prelude::*;

use crate::common::asof::ByHand;
use crate::common::frames::{Frame, join_asof, join_stream};
use crate::log::{Row, assert_same, assert_windows_lose_nothing, bare, cases, cuts, on_time, rows, run, stream, table};

/// What an as-of join is asked for.
#[derive(Clone, Debug)]
struct Question {
    strategy: AsofStrategy,
    tolerance: Option<i64>,
    exact: bool,
    keys: usize,
    /// What the time of the right is called.
    right_on: &'static str,
}

fn question() -> impl Strategy<Value = Question> {
    let strategy = prop_oneof![2 => Just(AsofStrategy::Backward), 1 => Just(AsofStrategy::Forward), 1 => Just(AsofStrategy::Nearest)];
    let right_on = prop_oneof![Just("time"), Just("at")];
    (strategy, prop::option::of(1..800i64), any::<bool>(), 0..3usize, right_on).prop_map(
        |(strategy, tolerance, exact, keys, right_on)| {
            // A stream has to be told how long a row waits for a later one.
            let tolerance = tolerance.or((strategy != AsofStrategy::Backward).then_some(400));
            Question { strategy, tolerance, exact, keys, right_on }
        },
    )
}

impl Question {
    fn by(&self) -> [Vec<Expr>; 2] {
        ["rank", "place"].map(|second| ["key", second].into_iter().take(self.keys).map(col).collect())
    }

    fn on(&self) -> Asof {
        let on = asof("time", self.right_on).strategy(self.strategy).allow_exact_matches(self.exact);
        match self.tolerance {
            Some(tolerance) => on.tolerance(format!("{tolerance}ms")),
            None => on,
        }
    }

    /// The right with the time called so; keys must have one type in Polars' join.
    fn right(&self) -> Vec<Expr> {
        let time = col("time").alias(self.right_on);
        vec![time, col("key"), col("number"), col("place").cast(DataType::Int64)]
    }

    fn joined(&self, left: &[Row], right: &[Row]) -> Frame {
        let [by_left, by_right] = self.by();
        let (plan, open) = bare(right, true);
        let right = (plan.select(&self.right()).unwrap(), open);
        join_asof(&stream(left, false), &right, (&by_left, &by_right), &self.on()).unwrap()
    }

    fn reference(&self, left: &DataFrame, right: &DataFrame) -> DataFrame {
        let names = |by: &[Expr]| by.iter().map(|by| by.clone().meta().output_name().unwrap()).collect();
        let sorted = |frame: &DataFrame| {
            frame.clone().lazy().sort(["time"], SortMultipleOptions::default().with_maintain_order(true))
        };
        let right = sorted(right).select(self.right()).collect().unwrap();
        let (times, by) = (["time", self.right_on], self.by().map(|by| names(&by)));
        let hand = ByHand { times, by, strategy: self.strategy, tolerance: self.tolerance, exact: self.exact };
        hand.join(&sorted(left).collect().unwrap(), &right).unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_row_of_a_stream_gets_the_one_that_is_found_by_hand(
        left in rows(),
        right in rows(),
        question in question(),
        cuts in cuts(),
        restarts in prop::collection::vec(0..12usize, 0..3),
    ) {
        let ran = run(&question.joined(&left, &right), &cuts, &restarts);
        let ([left, right], late) = on_time(&left, &right, &cuts);
        prop_assert_eq!(ran.late, late);
        let by_hand = question.reference(&table(&left, false), &table(&right, true));
        assert_same(&ran.all, &by_hand);
        let wait = if question.strategy == AsofStrategy::Backward { 0 } else { question.tolerance.unwrap() };
        let time = col("time").cast(DataType::Int64);
        let passed = ran.watermark.map_or(lit(false), |at| (time.clone() + lit(wait)).lt_eq(lit(at)));
        assert_same(&ran.streamed, &by_hand.lazy().filter(time.is_null().or(passed)).collect().unwrap());
    }

    #[test]
    fn windows_over_an_asof_join_lose_no_row(left in rows(), right in rows(), question in question(), cuts in cuts()) {
        assert_windows_lose_nothing(&question.joined(&left, &right), &cuts);
    }

    #[test]
    fn of_rows_that_a_join_made_the_nearest_is_the_same_in_any_cut(
        left in rows(),
        right in rows(),
        others in rows(),
        question in question(),
        cuts in cuts(),
        restarts in prop::collection::vec(0..12usize, 0..3),
    ) {
        let [left, right, others] = [left, right, others].map(in_order);
        let key = [col("key")];
        let pairs = join_stream(&stream(&right, true), &bare(&others, false), (&key, &key), &JoinType::Inner, &within("time", "time", "200ms"));
        let (plan, open) = pairs.unwrap();
        let columns = [col("time").alias("at"), col("key"), col("number").alias("one"), col("number_right").alias("other")];
        let pairs = (plan.select(&columns).unwrap(), open);
        let on = Question { right_on: "at", keys: 1, ..question };
        let frame = join_asof(&stream(&left, false), &pairs, (&key, &key), &on.on()).unwrap();
        let (ran, at_once) = (run(&frame, &cuts, &restarts), run(&frame, &[], &[]));
        prop_assert_eq!((ran.late, at_once.late), (0, 0));
        assert_same(&ran.all, &at_once.all);
    }

    #[test]
    fn in_a_frame_that_stands_still_each_row_finds_the_same_and_rows_stay_in_order(
        left in rows(),
        right in rows(),
        question in question(),
    ) {
        let [by_left, by_right] = question.by();
        let right = table(&right, true).lazy().select(question.right()).collect().unwrap();
        let back = right.clone().lazy().rename([question.right_on], ["time"], true);
        let by_hand = question.reference(&table(&left, false), &back.with_columns([col("place").cast(DataType::Int32)]).collect().unwrap());
        let (plan, open) = bare(&left, false);
        let plan: Plan = plan.join_asof(right, &by_left, &by_right, &question.on()).unwrap();
        let found = engine::collect(&plan, &open, |_| true).unwrap().frame;
        prop_assert!(found.column("number").unwrap().equals(table(&left, false).column("number").unwrap()));
        assert_same(&found, &by_hand);
    }
}

/// The same rows in the order of time, so that none is late; with as many of one time.
fn in_order(mut rows: Vec<Row>) -> Vec<Row> {
    rows.iter_mut().for_each(|row| row.time = row.time.map(|time| time / 100 * 100));
    let mut times: Vec<Option<i64>> = rows.iter().map(|row| row.time).collect();
    times.sort_unstable();
    rows.iter_mut().zip(times).for_each(|(row, time)| row.time = time);
    rows
}

#[test]
fn of_the_rows_that_the_watermark_has_passed_the_newest_of_each_key_is_kept() {
    let steady = |partition: i32| {
        let row = move |n: i64| Row {
            partition,
            time: Some(n * 100),
            // One key goes quiet early.
            key: Some(if n < 100 { 9 } else { (n % 3) as u8 }),
            rank: None,
            number: n,
        };
        (0..5_000).map(row)
    };
    let both: Vec<Row> = steady(0).chain(steady(1)).collect();
    let cuts = vec![[200; 4]; 25];
    let question = |tolerance: Option<i64>, strategy: AsofStrategy| Question {
        strategy,
        tolerance,
        exact: true,
        keys: 1,
        right_on: "at",
    };
    let held = |question: Question| run(&question.joined(&both, &both), &cuts, &[3]).held;
    // Rows of both partitions in the last half second are there beside them.
    let [left, right] = held(question(None, AsofStrategy::Backward));
    assert!(left <= 12 && (4..=16).contains(&right), "{left} and {right}");
    let [_, right] = held(question(Some(60_000), AsofStrategy::Backward));
    assert!((3..=15).contains(&right), "the quiet key is forgotten, the others are not: {right}");
    let [left, right] = held(question(Some(300), AsofStrategy::Nearest));
    assert!(left <= 20 && right <= 26, "{left} and {right}");
}

#[test]
fn what_cannot_be_is_refused() {
    let (left, right) = (stream(&[], false), stream(&[], true));
    let key = [col("key")];
    let refused = |by: &[Expr], on: Asof| join_asof(&left, &right, (&key, by), &on).err().unwrap().to_string();
    let forward = asof("time", "time").strategy(AsofStrategy::Forward);
    assert!(refused(&key, forward).contains(".tolerance("));
    assert!(refused(&key, asof("time", "at")).contains("no column \"at\""));
    assert!(refused(&[col("key") + lit("x")], asof("time", "time")).contains("with_columns"));
    assert!(refused(&[], asof("time", "time")).contains("1 columns are to be equal to 0"));
    assert!(refused(&[col("place")], asof("time", "time")).contains("Give them one type with cast("));
    assert!(refused(&key, asof("time", "time").tolerance("1mo")).contains("no fixed length"));
    let plan = &left.0;
    let still = |on: Asof| plan.join_asof(table(&[], true), &key, &key, &on).err().unwrap().to_string();
    assert!(still(asof("number", "number").tolerance("1s")).contains("a datetime is needed"));
    assert!(still(asof("time", "at")).contains("no column \"at\""));
    assert!(still(asof("key", "key")).contains("rows are near to each other by a time"));
    assert!(still(asof("time", "number")).contains("Give them one type"));
}
