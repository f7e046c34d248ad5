//! The join of two streams: for any rows in order of time, any cut and any restart, the pairs that two nested loops find, and of
//! a left join the rows that have waited in vain.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Offsets, OpenSource, Options, OutputMode, PartitionRows, Query, QueryOutput, Sink, SinkError, Source, SourceBatch,
    SourceError, Trigger, join_stream,
};
use plan::{Plan, within};
use polars::prelude::*;
use proptest::prelude::*;

const DELAY_MS: i64 = 500;

/// A row: its time, its key, and a number of its own.
type Row = (i64, Option<u8>, i64);

/// A log of one partition.
struct Log(Vec<Row>);

fn schema() -> SchemaRef {
    let fields = [
        Field::new("time".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
        Field::new("key".into(), DataType::String),
        Field::new("number".into(), DataType::Int64),
    ];
    Arc::new(Schema::from_iter(fields))
}

impl Source for Log {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets([(0, 0)].into()))
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok(Offsets([(0, self.0.len() as i64)].into()))
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, _: Duration) -> Result<Offsets, SourceError> {
        Ok(Offsets([(0, (from.0[&0] + max_rows as i64).min(self.0.len() as i64))].into()))
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let rows = &self.0[from.0[&0] as usize..to.0[&0] as usize];
        let frame = df![
            "time" => rows.iter().map(|row| row.0).collect::<Vec<_>>(),
            "key" => rows.iter().map(|row| row.1.map(|key| key.to_string())).collect::<Vec<_>>(),
            "number" => rows.iter().map(|row| row.2).collect::<Vec<_>>(),
        ];
        let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
        let rows = frame.unwrap().lazy().with_columns([time]).collect().unwrap();
        Ok(SourceBatch { parts: vec![PartitionRows { partition: 0, rows, newest_ms: None }], dead_letters: Vec::new() })
    }
}

fn frame(name: &str, rows: &[Row]) -> (Plan, OpenSource) {
    let rows = rows.to_vec();
    let open: OpenSource = Arc::new(move |_| Ok(Box::new(Log(rows.clone())) as Box<dyn Source>));
    let plan = Plan::source(format!("memory {name}"), schema());
    (plan.with_watermark("time", &format!("{DELAY_MS}ms")).unwrap(), open)
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<BTreeMap<u64, DataFrame>>>);

impl Sink for Kept {
    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError> {
        self.0.lock().unwrap().insert(batch, rows.clone());
        Ok(())
    }
}

/// The numbers of each pair, sorted; a row that has waited in vain has none beside it.
fn ours(
    left: &[Row],
    right: &[Row],
    how: JoinType,
    bound: i64,
    max_rows: usize,
    crash_at: u64,
) -> Vec<(i64, Option<i64>)> {
    let on = [col("key")];
    let bound = within("time", "time", format!("{bound}ms"));
    let (plan, open) = join_stream(&frame("left", left), &frame("right", right), (&on, &on), &how, &bound).unwrap();
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    for crashes in [true, false] {
        let crash: Option<engine::Crash> = crashes
            .then(|| Arc::new(move |batch, step| batch == crash_at && step == engine::Step::Ran) as engine::Crash);
        let options =
            Options { max_rows, trigger: Trigger::AvailableNow, snapshot_rows: 10, crash, ..Options::default() };
        let output = QueryOutput {
            sink: Box::new(kept.clone()),
            mode: OutputMode::Append,
            checkpoint: Some(folder.path().to_owned()),
            use_newest_good_state: false,
        };
        let query = Query::write("join", &plan, open.clone(), options, output).unwrap();
        assert!(query.await_termination(Duration::from_secs(30)));
        assert!(crashes || query.exception().is_none(), "{:?}", query.exception());
    }
    let mut pairs = Vec::new();
    for rows in kept.0.lock().unwrap().values() {
        let (left, right) =
            (rows.column("number").unwrap().i64().unwrap(), rows.column("number_right").unwrap().i64().unwrap());
        pairs.extend(left.iter().map(Option::unwrap).zip(right.iter()));
    }
    pairs.sort_unstable();
    pairs
}

fn expected(left: &[Row], right: &[Row], keeps_left: bool, bound: i64) -> Vec<(i64, Option<i64>)> {
    let newest = |rows: &[Row]| rows.iter().map(|row| row.0).max();
    let watermark = newest(left).and_then(|l| newest(right).map(|r| l.min(r) - DELAY_MS));
    let mut pairs = Vec::new();
    for l in left {
        let near: Vec<i64> =
            right.iter().filter(|r| l.1.is_some() && r.1 == l.1 && (r.0 - l.0).abs() <= bound).map(|r| r.2).collect();
        if keeps_left && near.is_empty() && watermark.is_some_and(|watermark| l.0 + bound <= watermark) {
            pairs.push((l.2, None));
        }
        pairs.extend(near.into_iter().map(|r| (l.2, Some(r))));
    }
    pairs.sort_unstable();
    pairs
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let key = prop_oneof![6 => (0..3u8).prop_map(Some), 1 => Just(None)];
    prop::collection::vec((0..5_000i64, key), 1..50).prop_map(|rows| {
        let mut rows: Vec<Row> = rows.into_iter().enumerate().map(|(n, (time, key))| (time, key, n as i64)).collect();
        rows.sort_by_key(|row| row.0);
        rows
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_pairs_are_those_of_two_nested_loops(
        left in rows(),
        right in rows(),
        bound in 1..2_000i64,
        keeps_left: bool,
        max_rows in 2..30usize,
        crash_at in 0..6u64,
    ) {
        // The two are read at one pace, so that neither makes the other late.
        let how = if keeps_left { JoinType::Left } else { JoinType::Inner };
        prop_assert_eq!(ours(&left, &right, how, bound, max_rows, crash_at), expected(&left, &right, keeps_left, bound));
    }
}

fn cases() -> u32 {
    std::env::var("CORRIENTE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

#[test]
fn what_does_not_go_together_is_refused() {
    let (plan, open) = frame("left", &[]);
    let on = [col("key")];
    let refused = |right: Plan, how: JoinType, bound: &str| {
        let other = (right, Arc::clone(&open));
        let joined =
            join_stream(&(plan.clone(), Arc::clone(&open)), &other, (&on, &on), &how, &within("time", "time", bound));
        joined.err().unwrap().to_string()
    };
    assert!(refused(plan.clone(), JoinType::Full, "5s").contains("put the other frame in front"));
    assert!(refused(plan.clone(), JoinType::Inner, "soon").contains("is not a duration"));
    assert!(refused(plan.limit(3).unwrap(), JoinType::Inner, "5s").contains("has a state already"));
    let renamed = plan.rename(&["time"], &["other"]).unwrap();
    assert!(refused(renamed, JoinType::Inner, "5s").contains("no column \"time\""));
    let bare = Plan::source("memory bare", schema());
    let joined = join_stream(
        &(bare.clone(), open.clone()),
        &(bare, open),
        (&on, &on),
        &JoinType::Inner,
        &within("time", "time", "5s"),
    );
    assert!(joined.err().unwrap().to_string().contains("with_watermark"));
}
