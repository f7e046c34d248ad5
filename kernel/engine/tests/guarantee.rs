//! The guarantee: for any cut of the same input into micro-batches and any interleaving of its partitions, the final
//! result equals what Polars gives for the same expressions over the same rows, less the rows that the watermark dropped.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Clock, LiveResult, ManualClock, Mode, PartitionRows, Pipeline, Saved, Status};
use plan::{Plan, hopping, session, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

const WINDOW_MS: i64 = 10_000;

#[derive(Clone, Debug)]
struct Row {
    partition: i32,
    time: i64,
    key: Option<String>,
    whole: Option<i64>,
    float: Option<f64>,
    cents: Option<i64>,
    small: Option<i32>,
}

fn row() -> impl Strategy<Value = Row> {
    let key = prop_oneof![4 => (0..4u8).prop_map(|k| Some(format!("key {k}"))), 1 => Just(Some(String::new())), 1 => Just(None)];
    let whole = prop_oneof![8 => (-1000..1000i64).prop_map(Some), 1 => Just(None), 1 => Just(Some(i64::MAX))];
    let float = prop_oneof![8 => (-1e6..1e6f64).prop_map(Some), 1 => Just(None), 1 => Just(Some(1e-9))];
    let cents = prop_oneof![8 => (-100_000..100_000i64).prop_map(Some), 1 => Just(None)];
    let small = prop_oneof![8 => (-50..50i32).prop_map(Some), 1 => Just(None)];
    (0..3i32, -30_000..60_000i64, key, whole, float, cents, small).prop_map(
        |(partition, time, key, whole, float, cents, small)| Row { partition, time, key, whole, float, cents, small },
    )
}

fn frame(rows: &[Row]) -> DataFrame {
    let frame = df![
        "event_time" => rows.iter().map(|r| r.time).collect::<Vec<_>>(),
        "key" => rows.iter().map(|r| r.key.clone()).collect::<Vec<_>>(),
        "whole" => rows.iter().map(|r| r.whole).collect::<Vec<_>>(),
        "float" => rows.iter().map(|r| r.float).collect::<Vec<_>>(),
        "small" => rows.iter().map(|r| r.small).collect::<Vec<_>>(),
        "cents" => rows.iter().map(|r| r.cents.map(|c| c as f64 / 100.0)).collect::<Vec<_>>(),
    ];
    frame
        .unwrap()
        .lazy()
        .with_columns([
            col("event_time").cast(DataType::Datetime(TimeUnit::Milliseconds, None)),
            col("cents").cast(DataType::Decimal(38, 2)),
        ])
        .collect()
        .unwrap()
}

/// Aggregates whose values are merged.
fn merged() -> Vec<Expr> {
    vec![
        len().alias("n"),
        col("whole").count().alias("known"),
        col("whole").sum(),
        col("whole").min().alias("whole min"),
        col("whole").max().alias("whole max"),
        col("whole").mean().alias("whole mean"),
        col("float").sum(),
        (col("float").mean() + lit(1.0)).alias("float mean + 1"),
        col("float").min().alias("float min"),
        col("float").max().alias("float max"),
        col("cents").sum(),
        col("cents").mean().alias("cents mean"),
        col("cents").max().alias("cents max"),
        col("key").min().alias("key min"),
        (col("float") * lit(2.0)).max().alias("twice"),
        (col("whole").max() - col("whole").min()).alias("spread"),
        col("event_time").max().alias("newest"),
        col("small").var(1).alias("variance"),
        col("small").std(0).alias("deviation"),
        col("small").filter(col("whole").gt(lit(0))).sum().alias("sum where positive"),
        col("key").filter(col("whole").gt(lit(0))).len().alias("rows where positive"),
        when(col("small").gt(lit(0))).then(col("small")).otherwise(lit(0)).sum().alias("positive"),
    ]
}

/// Aggregates that need a group's rows.
fn regrouped() -> Vec<Expr> {
    vec![
        len().alias("n"),
        col("key").n_unique().alias("keys"),
        col("small").median().alias("median"),
        col("small").quantile(lit(0.9), QuantileMethod::Linear).alias("ninth"),
        col("whole").first().alias("first"),
        col("whole").last().alias("last"),
        col("key")
            .sort_by([col("small")], SortMultipleOptions::default().with_maintain_order(true))
            .first()
            .alias("smallest"),
        col("whole").gt(lit(0)).any(true).alias("any"),
        col("whole").gt(lit(0)).all(true).alias("all"),
        (col("small") - col("small").mean()).abs().max().alias("farthest"),
        (col("small").sum() * lit(2)).alias("doubled"),
        col("small").alias("list"),
    ]
}

/// How a random plan groups.
#[derive(Clone, Debug)]
struct Grouping {
    keys: usize,
    window: Shape,
    regroup: bool,
    again: Again,
    /// Whether rows are looked up in a frame that stands still, which has one key twice.
    join: Option<JoinType>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    None,
    Tumbling(&'static str),
    Hopping(&'static str, &'static str),
    Session(i64),
}

/// An aggregate of the aggregate.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Again {
    No,
    ByCount,
    Tumbling,
}

fn grouping() -> impl Strategy<Value = Grouping> {
    let window = prop_oneof![
        1 => Just(Shape::None),
        2 => Just(Shape::Tumbling("10s")),
        1 => Just(Shape::Tumbling("1mo")),
        1 => Just(Shape::Hopping("30s", "10s")),
        1 => Just(Shape::Hopping("25s", "10s")),
        1 => (1..20_000i64).prop_map(Shape::Session),
    ];
    let again = prop_oneof![3 => Just(Again::No), 1 => Just(Again::ByCount), 1 => Just(Again::Tumbling)];
    let join = prop_oneof![
        3 => Just(None), 1 => Just(Some(JoinType::Inner)), 1 => Just(Some(JoinType::Left)), 1 => Just(Some(JoinType::Anti))
    ];
    (0..3usize, window, any::<bool>(), again, join).prop_map(|(keys, window, regroup, again, join)| {
        // Polars has no group_by without keys; a window is needed for a window of windows.
        let again = if window == Shape::None && again == Again::Tumbling { Again::ByCount } else { again };
        Grouping { keys, window, regroup, again, join }
    })
}

impl Grouping {
    fn by(&self) -> Vec<Expr> {
        [col("key"), col("small").gt(lit(0)).alias("sign")].into_iter().take(self.keys).collect()
    }

    fn aggs(&self) -> Vec<Expr> {
        if self.regroup { regrouped() } else { merged() }
    }

    /// The columns that tell the rows of the result apart.
    fn identity(&self) -> Vec<&'static str> {
        match self.again {
            Again::ByCount => vec!["n"],
            Again::Tumbling => vec!["event_time"],
            Again::No => {
                let time = (self.window != Shape::None).then_some("event_time");
                ["key", "sign"].into_iter().take(self.keys).chain(time).collect()
            }
        }
    }

    fn plan(&self, watermark: Option<i64>) -> Plan {
        let plan = Plan::source("memory rows", frame(&[]).schema().clone());
        let plan = plan.filter(passes()).unwrap();
        let plan = match watermark {
            Some(delay) => plan.with_watermark("event_time", &format!("{delay}ms")).unwrap(),
            None => plan,
        };
        let plan = match &self.join {
            Some(how) => plan.join(names(), &[col("key")], &[col("name")], how).unwrap(),
            None => plan,
        };
        let time = col("event_time");
        let plan = match self.window {
            Shape::None => plan.group_by(&self.by(), &self.aggs()),
            Shape::Tumbling(every) => plan.group_by_dynamic(&time, &self.by(), &tumbling(every), &self.aggs()),
            Shape::Hopping(period, every) => {
                plan.group_by_dynamic(&time, &self.by(), &hopping(period, every), &self.aggs())
            }
            Shape::Session(gap) => {
                plan.group_by_dynamic(&time, &self.by(), &session(&format!("{gap}ms")), &self.aggs())
            }
        };
        let plan = plan.unwrap().filter(col("n").gt(lit(1))).unwrap();
        let plan = plan.with_columns(&[(col("n") * lit(10)).alias("tenfold")]).unwrap();
        match self.again {
            Again::No => plan,
            Again::ByCount => plan.group_by(&[col("n")], &again()).unwrap(),
            Again::Tumbling => plan.group_by_dynamic(&time, &[], &tumbling("1m"), &again()).unwrap(),
        }
    }

    /// Polars over all rows at once, in the order of time, partition and offset.
    fn reference(&self, rows: &[Row]) -> DataFrame {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| row.partition);
        let kept = frame(&rows).lazy().filter(passes());
        let kept = match &self.join {
            Some(how) => {
                let order = JoinArgs { maintain_order: MaintainOrderJoin::LeftRight, ..JoinArgs::new(how.clone()) };
                kept.join(names().lazy(), [col("key")], [col("name")], order)
            }
            None => kept,
        };
        let by_time = || kept.clone().sort(["event_time"], SortMultipleOptions::default().with_maintain_order(true));
        let dynamic = |every: &str, period: &str| DynamicGroupOptions {
            every: Duration::parse(every),
            period: Duration::parse(period),
            offset: Duration::parse("0ns"),
            ..Default::default()
        };
        let time = col("event_time");
        let grouped = match self.window {
            Shape::None if self.keys == 0 => {
                kept.with_columns([lit(1).alias("one")]).group_by([col("one")]).agg(self.aggs()).drop(cols(["one"]))
            }
            Shape::None => kept.group_by(self.by()).agg(self.aggs()),
            Shape::Tumbling(every) => {
                by_time().group_by_dynamic(time, self.by(), dynamic(every, every)).agg(self.aggs())
            }
            Shape::Hopping(period, every) => self.hops(by_time().collect().unwrap(), period, every),
            Shape::Session(gap) => self.sessions(by_time().collect().unwrap(), gap),
        };
        let grouped = grouped.filter(col("n").gt(lit(1))).with_columns([(col("n") * lit(10)).alias("tenfold")]);
        let result = match self.again {
            Again::No => grouped,
            Again::ByCount => grouped.group_by([col("n")]).agg(again()),
            Again::Tumbling => grouped
                .sort(["event_time"], SortMultipleOptions::default())
                .group_by_dynamic(col("event_time"), [], dynamic("1m", "1m"))
                .agg(again()),
        };
        self.sorted(result.collect().unwrap())
    }

    /// Overlapping windows by the definition: a row is in each that spans it. Polars leaves out those that start before the
    /// first row's own, which a stream cannot: a row that comes later may be older.
    fn hops(&self, rows: DataFrame, period: &str, every: &str) -> LazyFrame {
        let (period, every) =
            (Duration::parse(period).duration_ns() / 1_000_000, Duration::parse(every).duration_ns() / 1_000_000);
        let time = rows.column("event_time").unwrap().clone();
        let (mut from, mut starts) = (Vec::new(), Vec::new());
        for (row, at) in time.to_physical_repr().i64().unwrap().into_no_null_iter().enumerate() {
            let mut start = at.div_euclid(every) * every;
            while start + period > at {
                from.push(row as IdxSize);
                starts.push(start);
                start -= every;
            }
        }
        let rows = rows.take(&IdxCa::from_vec("".into(), from)).unwrap();
        self.by_start(rows, starts)
    }

    fn by_start(&self, rows: DataFrame, starts: Vec<i64>) -> LazyFrame {
        let starts = Series::new("start".into(), starts).cast(rows.column("event_time").unwrap().dtype()).unwrap();
        let mut rows = rows;
        rows.with_column(starts.into()).unwrap();
        let by: Vec<Expr> = self.by().into_iter().chain([col("start")]).collect();
        let result = rows.lazy().group_by_stable(by).agg(self.aggs());
        result.rename(["start"], ["event_time"], true)
    }

    /// Sessions by the definition: rows in the order of time, key by key.
    fn sessions(&self, rows: DataFrame, gap: i64) -> LazyFrame {
        let names = ["key 0", "key 1"];
        let keys = self.by().into_iter().zip(names).map(|(expr, name)| expr.alias(name));
        let keyed = rows.clone().lazy().select(keys.chain([col("event_time")]).collect::<Vec<_>>()).collect().unwrap();
        let times: Vec<i64> =
            keyed.column("event_time").unwrap().to_physical_repr().i64().unwrap().into_no_null_iter().collect();
        let mut last: BTreeMap<String, (i64, i64)> = BTreeMap::new();
        let mut starts = Vec::new();
        for (row, time) in times.into_iter().enumerate() {
            let key: Vec<String> =
                (0..self.keys).map(|n| format!("{:?}", keyed.column(names[n]).unwrap().get(row))).collect();
            let (start, newest) = last.entry(key.join(" ")).or_insert((time, time));
            if time - *newest >= gap {
                *start = time;
            }
            *newest = time;
            starts.push(*start);
        }
        self.by_start(rows, starts)
    }

    fn sorted(&self, frame: DataFrame) -> DataFrame {
        let by = self.identity();
        if by.is_empty() { frame } else { frame.sort(by, SortMultipleOptions::default()).unwrap() }
    }
}

fn again() -> Vec<Expr> {
    vec![len().alias("groups"), col("tenfold").sum().alias("sum"), col("n").max().alias("most")]
}

fn names() -> DataFrame {
    df!["name" => ["key 0", "key 1", "key 1"], "weight" => [1, 2, 3]].unwrap()
}

fn passes() -> Expr {
    col("float").is_null().or(col("float").gt(lit(-9e5)))
}

/// The rows in micro-batches, partition by partition within each.
fn batches(rows: &[Row], cuts: &[usize]) -> Vec<Vec<Row>> {
    let mut batches = Vec::new();
    let mut rest = rows;
    for cut in cuts {
        let (batch, after) = rest.split_at((*cut).min(rest.len()));
        batches.push(batch.to_vec());
        rest = after;
    }
    batches.push(rest.to_vec());
    batches
}

fn parts(batch: &[Row]) -> Vec<PartitionRows> {
    let mut by_partition: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
    for row in batch {
        by_partition.entry(row.partition).or_default().push(row.clone());
    }
    by_partition
        .into_iter()
        .map(|(partition, rows)| PartitionRows { partition, rows: frame(&rows), newest_ms: None })
        .collect()
}

/// Runs a plan over batches; before the batches that are named it is restarted with its state.
fn streamed(plan: &Plan, batches: &[Vec<Row>], restarts: &[usize]) -> (DataFrame, usize) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let begin = || Pipeline::new(plan, frame(&[]).schema(), Mode::Stream, &clock).unwrap();
    let mut pipeline = begin();
    pipeline.expect(0..3);
    let result = LiveResult::new(plan.schema().clone(), Status::default());
    let mut late = 0;
    let mut kept: Option<Saved> = None;
    for (number, batch) in batches.iter().enumerate() {
        if restarts.contains(&number) {
            // As a checkpoint does: all the first time, and then what changed.
            let later = pipeline.snapshot(kept.is_none()).unwrap();
            let saved = kept.get_or_insert_default();
            saved.go_on(later);
            pipeline = begin();
            pipeline.restore(saved.clone()).unwrap();
        }
        let output = pipeline.execute(parts(batch)).unwrap();
        late += output.late;
        result.apply(&output.changes, |_| {}).unwrap();
    }
    (result.frame(), late)
}

/// The rows that a plan gives as final, and the watermark at the end.
fn appended(plan: &Plan, batches: &[Vec<Row>]) -> (DataFrame, i64) {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline = Pipeline::new(plan, frame(&[]).schema(), Mode::Stream, &clock).unwrap();
    pipeline.expect(0..3);
    pipeline.append();
    let mut all = DataFrame::empty_with_schema(plan.schema());
    for batch in batches {
        let output = pipeline.execute(parts(batch)).unwrap();
        assert!(output.changes.deletes.is_empty());
        all.vstack_mut(&output.changes.rows).unwrap();
    }
    (all, pipeline.watermark().unwrap_or(i64::MIN))
}

/// Says which rows are late, by the definition and nothing else: a row is late when its window ended at or before the
/// watermark that stood when its batch began.
fn split_late(batches: &[Vec<Row>], delay: i64) -> (Vec<Row>, usize) {
    let passes = |row: &&Row| row.float.is_none_or(|f| f > -9e5);
    let mut newest: BTreeMap<i32, i64> = BTreeMap::new();
    let mut watermark = i64::MIN;
    let (mut kept, mut late) = (Vec::new(), 0);
    for batch in batches {
        for row in batch.iter().filter(passes) {
            if row.time.div_euclid(WINDOW_MS) * WINDOW_MS + WINDOW_MS <= watermark {
                late += 1
            } else {
                kept.push(row.clone())
            }
        }
        for row in batch.iter().filter(passes) {
            newest.entry(row.partition).and_modify(|t| *t = row.time.max(*t)).or_insert(row.time);
        }
        if newest.len() == 3 {
            watermark = watermark.max(newest.values().min().unwrap() - delay);
        }
    }
    (kept, late)
}

fn assert_equal(ours: &DataFrame, polars: &DataFrame) {
    assert_eq!(ours.schema(), polars.schema(), "ours: {ours}\npolars: {polars}");
    assert_eq!(ours.height(), polars.height(), "ours: {ours}\npolars: {polars}");
    for (a, b) in ours.columns().iter().zip(polars.columns()) {
        if a.dtype().is_float() {
            for (x, y) in a.f64().unwrap().iter().zip(b.f64().unwrap().iter()) {
                let close = match (x, y) {
                    (Some(x), Some(y)) => {
                        x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1e3)
                    }
                    (x, y) => x == y,
                };
                assert!(close, "{}: {x:?} and {y:?}", a.name());
            }
        } else {
            assert!(a.equals_missing(b), "{}: {a:?} and {b:?}", a.name());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_plan_and_any_cut_equals_polars(
        rows in prop::collection::vec(row(), 0..80),
        cuts in prop::collection::vec(0..40usize, 0..8),
        restarts in prop::collection::vec(0..8usize, 0..3),
        grouping in grouping(),
    ) {
        let (ours, late) = streamed(&grouping.plan(None), &batches(&rows, &cuts), &restarts);
        prop_assert_eq!(late, 0);
        let reference = grouping.reference(&rows);
        // Polars makes a row of no rows where there are no keys; a stream has none before the first row.
        if !rows.is_empty() {
            assert_equal(&grouping.sorted(ours), &reference);
        }
    }

    #[test]
    fn with_a_watermark_only_late_rows_are_missing(
        rows in prop::collection::vec(row(), 0..120),
        cuts in prop::collection::vec(0..40usize, 0..12),
        delay in 1..40_000i64,
        restarts in prop::collection::vec(0..12usize, 0..3),
        regroup: bool,
    ) {
        let batches = batches(&rows, &cuts);
        let (kept, late) = split_late(&batches, delay);
        let grouping = Grouping { keys: 1, window: Shape::Tumbling("10s"), regroup, again: Again::No, join: None };
        let (ours, counted) = streamed(&grouping.plan(Some(delay)), &batches, &restarts);
        prop_assert_eq!(counted, late);
        let reference = grouping.reference(&kept);
        assert_equal(&grouping.sorted(ours), &reference);
        let (finals, watermark) = appended(&grouping.plan(Some(delay)), &batches);
        let ended = (col("event_time").cast(DataType::Int64) + lit(WINDOW_MS)).lt_eq(lit(watermark));
        assert_equal(&grouping.sorted(finals), &reference.lazy().filter(ended).collect().unwrap());
    }
}

/// `CORRIENTE_CASES` sets how many random cases a property is tried with.
fn cases() -> u32 {
    std::env::var("CORRIENTE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases() / 3, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_first_rows_are_those_that_polars_sorts_first(
        rows in prop::collection::vec(row(), 1..60),
        cuts in prop::collection::vec(0..40usize, 0..8),
        restarts in prop::collection::vec(0..8usize, 0..3),
        k in 1..12usize,
        descending: bool,
        aggregated: bool,
    ) {
        let plan = Plan::source("memory rows", frame(&[]).schema().clone());
        let aggs = [len().alias("n"), col("small").sum().alias("total")];
        let options = SortMultipleOptions::default().with_order_descending(descending).with_nulls_last(true);
        let all = frame(&rows).lazy();
        let (plan, all, by) = if aggregated {
            (plan.group_by(&[col("key")], &aggs).unwrap(), all.group_by([col("key")]).agg(aggs), vec![col("total"), col("key")])
        } else {
            (plan.select(&[col("small"), col("event_time")]).unwrap(), all.select([col("small"), col("event_time")]), vec![col("small"), col("event_time")])
        };
        let plan = plan.top_k(k, &by, &SortMultipleOptions::default().with_order_descending(!descending)).unwrap();
        let (ours, _) = streamed(&plan, &batches(&rows, &cuts), &restarts);
        let polars = all.sort_by_exprs(by, options).limit(k as IdxSize).collect().unwrap();
        assert_equal(&ours.reverse(), &polars);
    }
}

#[test]
fn a_row_that_stops_passing_the_filter_leaves_the_result() {
    let rows = |wholes: &[i64]| -> Vec<Row> {
        wholes
            .iter()
            .map(|w| Row { partition: 0, time: 1, key: None, whole: Some(*w), float: None, cents: None, small: None })
            .collect()
    };
    let plan = Plan::source("memory rows", frame(&[]).schema().clone());
    let plan = plan.group_by_dynamic(&col("event_time"), &[], &tumbling("10s"), &[col("whole").sum()]).unwrap();
    let plan = plan.filter(col("whole").gt(lit(10))).unwrap();
    let (result, _) = streamed(&plan, &[rows(&[20])], &[]);
    assert_eq!(result.height(), 1);
    let (result, _) = streamed(&plan, &[rows(&[20]), rows(&[-15])], &[]);
    assert_eq!(result.height(), 0);
}
