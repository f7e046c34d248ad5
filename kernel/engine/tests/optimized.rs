//! A plan runs as the equal one that does the least: the same rows, from no column that nobody uses.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Offsets, OpenSource, PartitionRows, PhysicalPlan, Source, SourceBatch, SourceError, TopicPartition, collect,
};
use plan::{Plan, tumbling, within};
use polars::prelude::*;
use proptest::prelude::*;

use common::frames::{join_stream, opened};

const ROWS: i64 = 60;

fn rows() -> DataFrame {
    let numbers: Vec<i64> = (0..ROWS).collect();
    let lists: Vec<Series> = numbers.iter().map(|n| Series::new("".into(), (0..n % 3).collect::<Vec<_>>())).collect();
    let frame = df![
        "time" => numbers.iter().map(|n| n * 1000).collect::<Vec<_>>(),
        "a" => numbers.iter().map(|n| n * 7 % 13 - 5).collect::<Vec<_>>(),
        "b" => numbers.iter().map(|n| (n % 5 != 0).then_some(n % 4)).collect::<Vec<_>>(),
        "c" => numbers.iter().map(|n| ["x", "y", "z"][(n % 3) as usize]).collect::<Vec<_>>(),
        "list" => lists,
        "left" => numbers.clone(),
        "right" => numbers,
    ];
    let pair = as_struct(vec![col("left"), col("right")]).alias("pair");
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.unwrap().lazy().with_columns([time, pair]).drop(cols(["left", "right"])).collect().unwrap()
}

/// A log of one partition that gives the columns it is asked for, and writes down which.
struct Log {
    columns: Vec<PlSmallStr>,
}

impl Source for Log {
    fn schema(&self) -> SchemaRef {
        Arc::new(rows().schema().iter_fields().filter(|field| self.columns.contains(field.name())).collect())
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, 0)]))
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, ROWS)]))
    }

    fn available(&mut self, from: &Offsets, _: usize, _: Duration) -> Result<Offsets, SourceError> {
        Ok(Offsets::from([(0, (from.0[&TopicPartition::from(0)] + 25).min(ROWS))]))
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let height = (to.0[&TopicPartition::from(0)] - from.0[&TopicPartition::from(0)]) as usize;
        let rows = match self.columns.is_empty() {
            true => DataFrame::empty_with_height(height),
            false => {
                rows().select(self.columns.iter().cloned()).unwrap().slice(from.0[&TopicPartition::from(0)], height)
            }
        };
        let parts = vec![PartitionRows { partition: 0.into(), rows, newest_ms: None }];
        Ok(SourceBatch { parts, dead_letters: Vec::new(), ..SourceBatch::default() })
    }
}

/// The plan's result, and the columns that the source was asked for.
fn run(plan: &Plan) -> (DataFrame, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let open: OpenSource = Arc::new(move |columns| {
        *kept.lock().unwrap() = columns.iter().map(ToString::to_string).collect();
        Ok(Box::new(Log { columns: columns.to_vec() }) as Box<dyn Source>)
    });
    let frame = collect(plan, &open, |_| true).unwrap().frame;
    let asked = asked.lock().unwrap().clone();
    (frame, asked)
}

fn source() -> Plan {
    Plan::source("log rows", rows().schema().clone())
}

fn check(plan: &Plan, asked: &[&str]) -> DataFrame {
    let (frame, columns) = run(plan);
    assert_eq!(columns, asked, "{}", PhysicalPlan::of(plan).explain());
    assert_eq!(frame.schema(), plan.schema());
    frame
}

#[test]
fn what_nobody_uses_is_neither_computed_nor_read() {
    let plan = source();
    // `strict_cast` would fail on the first row.
    let failing = col("c").strict_cast(DataType::Int64).alias("failing");
    let plan = plan.with_columns(&[failing, (col("a") + lit(1)).alias("more"), col("b").alias("twin")]).unwrap();
    let plan = plan.filter(col("more").gt(lit(0))).unwrap();
    let before = plan.explain();
    let plan = plan.select(&[col("twin"), col("c")]).unwrap().select(&[col("twin")]).unwrap();
    let frame = check(&plan, &["a", "b"]);
    let expected = rows().lazy().filter((col("a") + lit(1)).gt(lit(0))).select([col("b").alias("twin")]);
    assert!(frame.equals_missing(&expected.collect().unwrap()), "{frame}");
    assert!(!PhysicalPlan::of(&plan).explain().contains("failing"), "{}", PhysicalPlan::of(&plan).explain());
    assert!(plan.explain().contains(before.trim().lines().next().unwrap()), "what a person wrote stays as it is");
}

#[test]
fn rows_are_counted_although_nothing_of_them_is_read() {
    let plan = source().with_columns(&[(col("a") + lit(1)).alias("more")]).unwrap();
    let frame = check(&plan.group_by(&[], &[len().alias("n")]).unwrap(), &[]);
    assert_eq!(frame.column("n").unwrap().u32().unwrap().get(0), Some(ROWS as u32));
    let plan = source().select(&[lit(1).alias("one"), (col("a") + lit(1)).alias("more"), col("c")]).unwrap();
    let frame = check(&plan.group_by(&[], &[col("one").sum()]).unwrap(), &["c"]);
    assert_eq!(frame.column("one").unwrap().get(0).unwrap().extract::<i64>(), Some(ROWS));
}

#[test]
fn a_name_that_a_join_gives_because_of_another_keeps_the_other() {
    let names = df!["c" => ["x", "y"], "a" => [100i64, 200]].unwrap();
    let plan = source().join(names, &[col("c")], &[col("c")], &JoinType::Inner).unwrap();
    let frame = check(&plan.select(&[col("a_right")]).unwrap(), &["a", "c"]);
    assert_eq!(frame.height() as i64, ROWS / 3 * 2);
}

#[test]
fn aggregates_that_nobody_uses_are_not_kept() {
    let aggs = [len().alias("n"), col("a").mean().alias("mean"), col("b").median().alias("middle"), col("a").sum()];
    let plan = source().group_by(&[col("c")], &aggs).unwrap();
    let frame = check(&plan.select(&[col("c"), col("a")]).unwrap(), &["a", "c"]);
    let expected = rows().lazy().group_by_stable([col("c")]).agg([col("a").sum()]).collect().unwrap();
    assert!(frame.equals(&expected), "{frame}");
    assert!(check(&plan.select(&[col("c")]).unwrap(), &["c"]).equals(&expected.select(["c"]).unwrap()));
    let words = PhysicalPlan::of(&plan.select(&[col("c"), col("a")]).unwrap()).explain();
    assert!(!words.contains("median") && !words.contains("mean"), "{words}");
    // Where the values are kept: the mean is made of the sum that is there anyhow.
    let plan = plan.filter(col("mean").gt(lit(0))).unwrap().select(&[col("c"), col("n")]).unwrap();
    assert_eq!(check(&plan, &["a", "c"]).width(), 2);
}

#[test]
fn of_a_join_of_two_streams_only_what_is_used_is_read_and_kept() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let open = |side: &'static str| -> OpenSource {
        let asked = Arc::clone(&asked);
        Arc::new(move |columns| {
            let columns = columns.to_vec();
            asked
                .lock()
                .unwrap()
                .push(format!("{side}: {}", columns.iter().map(PlSmallStr::as_str).collect::<Vec<_>>().join(" ")));
            Ok(Box::new(Log { columns }) as Box<dyn Source>)
        })
    };
    let marked = source().with_watermark("time", "1m").unwrap();
    let (left, right) = ((marked.clone(), open("left")), (marked, open("right")));
    let on = [col("a")];
    for (how, wanted, read) in [
        (JoinType::Inner, vec!["b"], ["left: time a b", "right: time a"]),
        (JoinType::Left, vec!["c_right", "list"], ["left: time a list", "right: time a c"]),
        (JoinType::Full, vec!["c_right"], ["left: time a", "right: time a c"]),
        (JoinType::Semi, vec!["c"], ["left: time a c", "right: time a"]),
    ] {
        let (plan, whole) = join_stream(&left, &right, (&on, &on), &how, &within("time", "time", "3s")).unwrap();
        asked.lock().unwrap().clear();
        let expected = collect(&plan, &whole, |_| true).unwrap().frame;
        let narrow = plan.select(&wanted.iter().map(|name| col(*name)).collect::<Vec<_>>()).unwrap();
        asked.lock().unwrap().clear();
        let frame = collect(&narrow, &opened(&narrow, &(plan.clone(), whole.clone())), |_| true).unwrap().frame;
        assert_eq!(asked.lock().unwrap().as_slice(), read, "{how}");
        assert!(expected.height() > 0 && frame.equals_missing(&expected.select(wanted).unwrap()), "{how}: {frame}");
        let counted = plan.group_by(&[], &[len().alias("n")]).unwrap();
        let counted = collect(&counted, &whole, |_| true).unwrap().frame;
        assert_eq!(counted.column("n").unwrap().u32().unwrap().get(0), Some(expected.height() as u32), "{how}");
    }
}

#[test]
fn unique_keeps_the_time_by_which_it_forgets() {
    let plan = source().select(&[col("a"), col("time"), col("c")]).unwrap().with_watermark("time", "1s").unwrap();
    let plan = plan.select(&[col("a"), col("time"), col("c")]).unwrap().unique(Some(&["a"])).unwrap();
    check(&plan.select(&[col("a")]).unwrap(), &["time", "a"]);
}

#[test]
fn a_source_that_gives_more_than_it_was_asked_for_is_narrowed() {
    let all: Vec<PlSmallStr> = rows().schema().iter_names().cloned().collect();
    let open: OpenSource = Arc::new(move |_| Ok(Box::new(Log { columns: all.clone() }) as Box<dyn Source>));
    let plan = source().with_columns(&[(col("a") * lit(2)).alias("twice")]).unwrap();
    let plan = plan.top_k(3, &[col("a")], &SortMultipleOptions::default()).unwrap().select(&[col("twice")]);
    let frame = collect(&plan.unwrap(), &open, |_| true).unwrap().frame;
    assert_eq!(frame.column("twice").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>(), [14, 14, 14]);
}

/// A step of a random plan; `n` makes one differ from the next.
#[derive(Clone, Copy, Debug)]
enum Move {
    Filter(i64),
    Add(i64),
    Replace,
    Swap,
    Drop,
    Fill,
    Explode,
    Unnest,
    Literals,
    Unique,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (-5..8i64).prop_map(Move::Filter),
        (-5..8i64).prop_map(Move::Add),
        Just(Move::Replace),
        Just(Move::Swap),
        Just(Move::Drop),
        Just(Move::Fill),
        Just(Move::Explode),
        Just(Move::Unnest),
        Just(Move::Literals),
        Just(Move::Unique),
    ];
    prop::collection::vec(one, 0..7)
}

/// The step on the plan and on Polars' frame; a step that does not fit there is none.
fn step(made: Move, (plan, frame): (Plan, LazyFrame)) -> (Plan, LazyFrame) {
    let schema = plan.schema().clone();
    let whole: Vec<PlSmallStr> =
        schema.iter().filter(|(_, dtype)| **dtype == DataType::Int64).map(|(name, _)| name.clone()).collect();
    let (Some(first), Some(last)) = (whole.first().cloned(), whole.last().cloned()) else { return (plan, frame) };
    let others: Vec<Expr> = schema.iter_names().skip(1).cloned().map(col).collect();
    let exprs = match made {
        Move::Filter(n) => {
            let passes = col(last).gt(lit(n));
            return (plan.filter(passes.clone()).unwrap(), frame.filter(passes));
        }
        Move::Add(n) => vec![(col(first) + lit(n)).alias(format!("added {n}")), (col(last) * lit(2)).alias("twice")],
        Move::Replace if first == last => vec![col(first) + lit(1)],
        Move::Replace => vec![col(first.clone()) - col(last.clone()), col(first).alias(last)],
        Move::Fill => vec![by_name(whole, true, false).as_expr().fill_null(lit(7))],
        Move::Swap => {
            let mut swapped = vec![col(first.clone()).alias("swapped"), lit(3).alias("three")];
            swapped.extend(
                schema
                    .iter_names()
                    .filter(|name| !["swapped", "three"].contains(&name.as_str()) && **name != first)
                    .cloned()
                    .map(col),
            );
            return (plan.select(&swapped).unwrap(), frame.select(swapped));
        }
        Move::Drop if !others.is_empty() => return (plan.select(&others).unwrap(), frame.select(others)),
        Move::Explode if matches!(schema.get("list"), Some(DataType::List(_))) => {
            let exploded = plan::explode(frame, &["list".into()]);
            return (plan.explode(&["list"]).unwrap(), exploded);
        }
        Move::Unnest if schema.contains("pair") && !schema.contains("left") => {
            return (plan.unnest(&["pair"]).unwrap(), plan::unnest(frame, &["pair".into()]));
        }
        Move::Literals => vec![lit(1).alias("one")],
        Move::Unique => {
            let subset = by_name([first.clone()], true, false);
            let unique = frame.unique_stable(Some(subset), UniqueKeepStrategy::First);
            return (plan.unique(Some(&[first.as_str()])).unwrap(), unique);
        }
        Move::Drop | Move::Explode | Move::Unnest => return (plan, frame),
    };
    (plan.with_columns(&exprs).unwrap(), frame.with_columns(exprs))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: common::cases_or(64), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_equals_polars_whatever_is_left_out(moves in moves(), kept in 0..6usize, counts: bool) {
        let begun = (source(), rows().lazy());
        let (plan, frame) = moves.into_iter().fold(begun, |so_far, made| step(made, so_far));
        let name = plan.schema().iter_names().nth(kept % plan.schema().len()).unwrap().clone();
        let (plan, frame) = (plan.select(&[col(name.clone())]).unwrap(), frame.select([col(name.clone())]));
        let (plan, frame) = if counts {
            (plan.group_by(&[], &[len().alias("n"), col(name.clone()).count().alias("known")]).unwrap(),
             frame.select([len().alias("n"), col(name).count().alias("known")]))
        } else {
            (plan, frame)
        };
        let (streamed, _) = run(&plan);
        let expected = frame.collect().unwrap();
        prop_assert!(streamed.equals_missing(&expected), "{}\n{streamed}\n{expected}", PhysicalPlan::of(&plan).explain());
        prop_assert_eq!(PhysicalPlan::of(&plan).explain(), PhysicalPlan::of(&plan).optimized().explain());
    }
}

#[test]
fn a_window_needs_its_time_and_what_it_aggregates_alone() {
    let plan = source().with_watermark("time", "1s").unwrap().filter(col("c").neq(lit("z"))).unwrap();
    let plan = plan.with_columns(&[(col("a") + lit(1)).alias("more")]).unwrap();
    let plan = plan.group_by_dynamic(&col("time"), &[], &tumbling("1m"), &[col("b").sum()]).unwrap();
    check(&plan, &["time", "b", "c"]);
}
