//! Two streams of two partitions each, as fixed logs; and the run of a join over them, batch by batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{
    Clock, LiveResult, ManualClock, Mode, Offsets, OpenSource, PartitionRows, PhysicalPlan, Pipeline, Source,
    SourceBatch, SourceError, Status, TopicPartition,
};
use plan::{Plan, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

use crate::common::cases_or;
use crate::common::frames::Frame;
use crate::common::states::States;

pub(crate) const DELAY_MS: i64 = 500;
/// Partitions of a stream.
pub(crate) const PARTITIONS: i32 = 2;

#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) partition: i32,
    pub(crate) time: Option<i64>,
    pub(crate) key: Option<u8>,
    pub(crate) rank: Option<i64>,
    /// Of its own in its stream.
    pub(crate) number: i64,
}

/// Rows whose times run forward, with some that are too late.
pub(crate) fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop_oneof![6 => (0..3u8).prop_map(Some), 1 => Just(None)];
    let rank = prop_oneof![6 => (0..2i64).prop_map(Some), 1 => Just(None)];
    let time = prop_oneof![12 => (0..900i64).prop_map(Some), 1 => Just(None)];
    let row = (0..PARTITIONS, time, key, rank).prop_map(|(partition, time, key, rank)| Row {
        partition,
        time,
        key,
        rank,
        number: 0,
    });
    prop::collection::vec(row, 0..60).prop_map(|rows| {
        let placed = |(n, row): (usize, Row)| {
            // Not finer than so, that several are of one time.
            let time = row.time.map(|time| (n as i64 * 50 + time) / 20 * 20);
            Row { time, number: n as i64, ..row }
        };
        rows.into_iter().enumerate().map(placed).collect()
    })
}

/// How many rows of each of the four partitions a batch has; the last batch has the rest.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<[usize; 4]>> {
    prop::collection::vec(prop::array::uniform4(0..12usize), 0..12)
}

/// The rows in the order of partition and offset. The left has a `rank`, the right a `place` of another type.
pub(crate) fn table(rows: &[Row], is_right: bool) -> DataFrame {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.partition);
    let frame = df![
        "time" => rows.iter().map(|row| row.time).collect::<Vec<_>>(),
        "key" => rows.iter().map(|row| row.key.map(|key| format!("key {key}"))).collect::<Vec<_>>(),
        "number" => rows.iter().map(|row| row.number).collect::<Vec<_>>(),
        "rank" => rows.iter().map(|row| row.rank).collect::<Vec<_>>(),
    ];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    let rank = if is_right { col("rank").cast(DataType::Int32).alias("place") } else { col("rank") };
    frame.unwrap().lazy().select([time, col("key"), col("number"), rank]).collect().unwrap()
}

/// A log of two partitions.
struct Log {
    rows: Arc<[Vec<Row>; PARTITIONS as usize]>,
    is_right: bool,
}

impl Log {
    fn of(&self, partition: i32) -> &[Row] {
        &self.rows[partition as usize]
    }
}

impl Source for Log {
    fn schema(&self) -> SchemaRef {
        table(&[], self.is_right).schema().clone()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok((0..PARTITIONS).map(|partition| (partition, 0)).collect())
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok((0..PARTITIONS).map(|partition| (partition, self.of(partition).len() as i64)).collect())
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, _: Duration) -> Result<Offsets, SourceError> {
        let each = (max_rows as i64 / i64::from(PARTITIONS)).max(1);
        let end = self.latest()?;
        Ok(from.0.iter().map(|(partition, at)| (partition.clone(), (at + each).min(end.0[partition]))).collect())
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let part = |(partition, end): (&TopicPartition, &i64)| {
            let rows = table(&self.of(partition.partition)[from.0[partition] as usize..*end as usize], self.is_right);
            PartitionRows { partition: partition.clone(), rows, newest_ms: None }
        };
        Ok(SourceBatch { parts: to.0.iter().map(part).collect(), dead_letters: Vec::new(), ..SourceBatch::default() })
    }
}

fn of_partition(rows: &[Row], partition: i32) -> Vec<Row> {
    rows.iter().filter(|row| row.partition == partition).cloned().collect()
}

/// A stream of these rows, without a watermark.
pub(crate) fn bare(rows: &[Row], is_right: bool) -> Frame {
    let rows = Arc::new([0, 1].map(|partition| of_partition(rows, partition)));
    let open: OpenSource =
        Arc::new(move |_| Ok(Box::new(Log { rows: Arc::clone(&rows), is_right }) as Box<dyn Source>));
    let name = if is_right { "memory right" } else { "memory left" };
    (Plan::source(name, table(&[], is_right).schema().clone()), open)
}

/// The same with a watermark.
pub(crate) fn stream(rows: &[Row], is_right: bool) -> Frame {
    let (plan, open) = bare(rows, is_right);
    (plan.with_watermark("time", &format!("{DELAY_MS}ms")).unwrap(), open)
}

/// What a run of a join led to.
pub(crate) struct Ran {
    /// The rows that came out while batches came in.
    pub(crate) streamed: DataFrame,
    /// All rows, when the streams have ended.
    pub(crate) all: DataFrame,
    pub(crate) watermark: Option<i64>,
    pub(crate) late: usize,
    /// Rows that were kept at the end, of the left and of the right.
    pub(crate) held: [usize; 2],
}

/// Runs a join of two streams over batches; before the batches that are named it is restarted with its state.
pub(crate) fn run((plan, open): &Frame, cuts: &[[usize; 4]], restarts: &[usize]) -> Ran {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut source = open(&PhysicalPlan::of(plan).source_columns()).unwrap();
    let lanes = source.lanes();
    let begin = || Pipeline::new(plan, &lanes, Mode::Stream, &clock).unwrap();
    let (mut pipeline, mut states) = (begin(), States::default());
    pipeline.assign(&source.start().unwrap());
    states.keep(&mut pipeline).unwrap();
    let result = LiveResult::new(plan.schema().clone(), Status::default());
    let (mut late, end) = (0, open(&PhysicalPlan::of(plan).source_columns()).unwrap().latest().unwrap());
    let mut from = source.start().unwrap();
    for (number, cut) in cuts.iter().chain([&[usize::MAX; 4]]).enumerate() {
        if restarts.contains(&number) {
            pipeline = begin();
            states.restore(&mut pipeline).unwrap();
        }
        let to = advanced(&from, &end, cut);
        let output = pipeline.execute(source.read(&from, &to).unwrap().parts).unwrap();
        late += output.late;
        states.keep(&mut pipeline).unwrap();
        result.apply(&output.changes, |_| {}).unwrap();
        from = to;
    }
    let (streamed, watermark) = (result.frame(), pipeline.watermark());
    let saved = pipeline.snapshot(true).unwrap().frames;
    let held = ["-left", "-right"].map(|side| {
        let tables = saved.iter().filter(|(name, _)| name.ends_with(side));
        tables.map(|(_, table)| table.height()).sum()
    });
    result.apply(&pipeline.finish().unwrap().changes, |_| {}).unwrap();
    Ran { streamed, all: result.frame(), watermark, late, held }
}

pub(crate) fn advanced(from: &Offsets, end: &Offsets, cut: &[usize; 4]) -> Offsets {
    let to = |(partition, at): (&TopicPartition, &i64)| {
        let left = end.0[partition] - at;
        let cut = cut[partition.partition as usize * 2 + partition.scan as usize % 2];
        (partition.clone(), at + left.min(i64::try_from(cut).unwrap_or(i64::MAX)))
    };
    from.0.iter().map(to).collect()
}

/// The rows of each side that are not late, and how many are: what the watermark says by its definition.
pub(crate) fn on_time(left: &[Row], right: &[Row], cuts: &[[usize; 4]]) -> ([Vec<Row>; 2], usize) {
    let (mut kept, mut late) = ([Vec::new(), Vec::new()], 0);
    let (mut newest, mut watermark): (BTreeMap<usize, i64>, Option<i64>) = (BTreeMap::new(), None);
    // The partitions of both sides in turns.
    let of = |number: usize| of_partition([left, right][number % 2], number as i32 / 2);
    let mut rest: Vec<std::vec::IntoIter<Row>> = (0..4).map(|number| of(number).into_iter()).collect();
    for cut in cuts.iter().chain([&[usize::MAX; 4]]) {
        for number in 0..4 {
            for row in rest[number].by_ref().take(cut[number]) {
                if row.time.zip(watermark).is_some_and(|(time, watermark)| time <= watermark) {
                    late += 1;
                } else {
                    kept[number % 2].push(row.clone());
                }
                if let Some(time) = row.time {
                    newest.entry(number).and_modify(|newest| *newest = time.max(*newest)).or_insert(time);
                }
            }
        }
        if newest.len() == 4 {
            watermark = watermark.max(newest.values().min().map(|newest| newest - DELAY_MS));
        }
    }
    (kept, late)
}

/// Rows are compared in the order of their numbers.
pub(crate) fn assert_same(ours: &DataFrame, polars: &DataFrame) {
    assert_eq!(ours.schema(), polars.schema(), "ours: {ours}\npolars: {polars}");
    let by: Vec<&str> = ["number", "number_right"].into_iter().filter(|name| ours.schema().contains(name)).collect();
    let sorted = |frame: &DataFrame| frame.sort(by.clone(), SortMultipleOptions::default()).unwrap();
    let (ours, polars) = (sorted(ours), sorted(polars));
    assert!(ours.equals_missing(&polars), "ours: {ours}\npolars: {polars}");
}

/// Windows over the rows that a join gives: all of them, for none is late in its window.
pub(crate) fn assert_windows_lose_nothing((plan, open): &Frame, cuts: &[[usize; 4]]) {
    let aggs = [len().alias("n"), col("number").sum()];
    let by_time = SortMultipleOptions::default();
    let windows = plan.group_by_dynamic(&col("time"), &[], &tumbling("400ms"), &aggs).unwrap();
    let windows = run(&(windows, Arc::clone(open)), cuts, &[]).streamed.sort(["time"], by_time.clone()).unwrap();
    let every = polars::prelude::Duration::parse("400ms");
    let options = DynamicGroupOptions {
        every,
        period: every,
        offset: polars::prelude::Duration::parse("0ns"),
        ..Default::default()
    };
    let rows = run(&(plan.clone(), Arc::clone(open)), cuts, &[]).streamed.lazy();
    let rows = rows.filter(col("time").is_not_null()).sort(["time"], by_time);
    let expected = rows.group_by_dynamic(col("time"), [], options).agg(aggs).collect().unwrap();
    assert!(windows.equals_missing(&expected), "ours: {windows}\npolars: {expected}");
}

/// How many random cases a property is tried with.
pub(crate) fn cases() -> u32 {
    cases_or(200)
}
