//! Exactly once: a query that crashes after any step of any batch, and is started again, leaves in its sink what one leaves
//! that never crashed. And what a checkpoint refuses.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    BatchStep, Crash, OpenSource, Options, OutputMode, Query, QueryOutput, Sink, SinkError, StartError, Trigger,
    approx_quantile,
};
use plan::{Moment, Plan, StateFunction, hopping, session, tumbling};
use polars::prelude::*;

mod common;
#[path = "restart/identity.rs"]
mod identity;
#[path = "restart/keys.rs"]
mod keys;

use common::query::{Kept, STEPS, crash_after};

const DEADLINE: Duration = Duration::from_secs(30);
const PARTITIONS: i32 = 2;
/// Rows in each partition.
const ROWS: i64 = 60;

fn schema() -> SchemaRef {
    let fields = [
        Field::new("time".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
        Field::new("key".into(), DataType::String),
        Field::new("value".into(), DataType::Int64),
        Field::new("price".into(), DataType::Float64),
    ];
    Arc::new(Schema::from_iter(fields))
}

/// Offset `n` of a partition is the row of the time `n` s, now and then an old one.
fn rows(partition: i32, offsets: std::ops::Range<i64>) -> DataFrame {
    let offsets: Vec<i64> = offsets.collect();
    let time = |n: &i64| if n % 11 == 10 { (n - 9) * 1000 } else { n * 1000 + i64::from(partition) };
    let frame = df![
        "time" => offsets.iter().map(time).collect::<Vec<_>>(),
        "key" => offsets.iter().map(|n| ["a", "b", "c"][(n % 3) as usize]).collect::<Vec<_>>(),
        "value" => offsets.iter().map(|n| n * 7 % 13 - 5).collect::<Vec<_>>(),
        "price" => offsets.iter().map(|n| *n as f64 / 3.0).collect::<Vec<_>>(),
    ];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.unwrap().lazy().with_columns([time]).collect().unwrap()
}

fn open() -> OpenSource {
    common::log::open((0..PARTITIONS).map(|partition| rows(partition, 0..ROWS)).collect(), usize::MAX)
}

/// Runs a query over everything that is there; gives why it failed, if it did.
fn run(
    plan: &Plan,
    mode: OutputMode,
    folder: &Path,
    sink: &Kept,
    snapshot_rows: usize,
    crash: Option<Crash>,
) -> Option<String> {
    ended(plan, sink.output(mode, folder), snapshot_rows, crash).exception()
}

/// A query that has run over everything that is there, or failed.
fn ended(plan: &Plan, output: QueryOutput, snapshot_rows: usize, crash: Option<Crash>) -> Query {
    let options = Options { max_rows: 20, trigger: Trigger::AvailableNow, snapshot_rows, crash, ..Options::default() };
    let query = Query::write("test", plan, open(), options, output).unwrap();
    assert!(query.await_termination(DEADLINE), "the query has not ended: {:?}", query.status());
    query
}

fn source() -> Plan {
    Plan::source("memory rows", schema())
}

fn plans() -> Vec<(&'static str, Plan, OutputMode)> {
    let marked = source().with_watermark("time", "5s").unwrap();
    let time = col("time");
    let merged = [len().alias("n"), col("value").sum(), col("price").mean(), col("price").std(1).alias("std")];
    let kept =
        [col("value").mode(false).len().alias("modes"), col("value").first().alias("first"), col("price").n_unique()];
    let collected = [
        col("value").median().alias("median"),
        col("price").quantile(lit(0.9), QuantileMethod::Linear).alias("ninth"),
        col("key").first().alias("first"),
        col("price").last().alias("last"),
        col("value").n_unique().alias("different"),
        col("key").n_unique().alias("keys"),
        col("price").top_k(lit(2)).alias("largest"),
        col("key").bottom_k(lit(2)).alias("smallest"),
        col("value").gt(lit(0)).any(false).alias("any"),
        col("value").approx_n_unique().alias("about different"),
        approx_quantile(col("price"), 0.5).alias("about the middle"),
    ];
    let windows = |aggs: &[Expr]| marked.group_by_dynamic(&time, &[col("key")], &tumbling("10s"), aggs).unwrap();
    let window = hopping("20s", "10s").offset("3s").closed(ClosedWindow::Right).label(Label::Right);
    vec![
        ("rows", source().filter(col("value").gt(lit(0))).unwrap(), OutputMode::Append),
        ("unique", marked.unique(Some(&["key", "value"])).unwrap(), OutputMode::Append),
        ("limit", source().limit(35).unwrap(), OutputMode::Append),
        ("final windows", windows(&merged), OutputMode::Append),
        ("changed windows", windows(&merged), OutputMode::Update),
        ("kept rows", windows(&kept), OutputMode::Append),
        ("late rows", windows(&kept).late_rows().unwrap(), OutputMode::Append),
        ("windows with options", marked.group_by_dynamic(&time, &[], &window, &merged).unwrap(), OutputMode::Append),
        ("collected values", windows(&collected), OutputMode::Append),
        ("collected by keys", source().group_by(&[col("value").alias("by")], &collected).unwrap(), OutputMode::Update),
        (
            "sessions",
            marked.group_by_dynamic(&time, &[col("key")], &session("4s"), &merged).unwrap(),
            OutputMode::Append,
        ),
        ("a function with a state", counted(&marked), OutputMode::Append),
        (
            "the largest of an aggregation",
            source()
                .group_by(&[col("value").alias("by")], &merged)
                .unwrap()
                .top_k(3, &[col("n"), col("price")], &Default::default())
                .unwrap(),
            OutputMode::Complete,
        ),
        ("the largest rows", source().top_k(4, &[col("price")], &Default::default()).unwrap(), OutputMode::Update),
        ("keys", source().group_by(&[col("key")], &merged).unwrap(), OutputMode::Complete),
        (
            "an aggregate of an aggregate",
            windows(&merged).group_by(&[col("key")], &[col("n").max(), col("value").sum()]).unwrap(),
            OutputMode::Update,
        ),
        (
            "groups of groups that come and go",
            source()
                .group_by(&[(col("value") % lit(7)).alias("by")], &merged)
                .unwrap()
                .filter(col("n").gt(lit(1)))
                .unwrap()
                .group_by(
                    &[(col("n") % lit(5)).alias("of")],
                    &[
                        len().alias("groups"),
                        col("value").median(),
                        col("price").var(1),
                        col("std").max(),
                        col("by").sum(),
                    ],
                )
                .unwrap(),
            OutputMode::Complete,
        ),
    ]
}

/// The running total of each key, and a last one ten seconds after its newest row.
fn counted(marked: &Plan) -> Plan {
    let function = StateFunction::new(|total: &mut (String, i64), rows: DataFrame, moment: &mut Moment| {
        let (keys, values) = (rows.column("key")?.str()?.clone(), rows.column("value")?.i64()?.clone());
        for (key, value) in keys.iter().zip(values.iter()) {
            *total = (key.unwrap_or_default().to_owned(), total.1 + value.unwrap_or_default());
        }
        let newest = rows.column("time")?.to_physical_repr().i64()?.max();
        if let Some(newest) = newest {
            moment.set_timeout_ms(newest + 10_000);
        }
        if moment.timed_out() {
            moment.forget();
        }
        let n = usize::from(newest.is_some() || moment.timed_out());
        let last = moment.timed_out();
        df!["key" => vec![total.0.clone(); n], "total" => vec![total.1; n], "last" => vec![last; n]]
    });
    marked.with_state(&[col("key")], function).unwrap()
}

#[test]
fn a_function_with_a_state_is_called_when_a_keys_time_is_up() {
    let marked = source().with_watermark("time", "1s").unwrap();
    let once = marked.filter(col("key").eq(lit("a")).or(col("value").gt(lit(5)))).unwrap();
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&counted(&once), OutputMode::Append, folder.path(), &kept, 45, None), None);
    let batches = kept.batches();
    let all = batches.iter().skip(1).fold(batches[0].1.clone(), |all, (_, rows)| all.vstack(rows).unwrap());
    let last = all.lazy().filter(col("last")).collect().unwrap();
    assert!(last.height() > 0, "a key without rows for ten seconds is called once more");
}

#[test]
fn a_crash_after_any_step_of_any_batch_changes_nothing() {
    for (name, plan, mode) in plans() {
        let whole = Kept::default();
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run(&plan, mode, folder.path(), &whole, 45, None), None, "{name}");
        let expected = whole.batches();
        assert_eq!(expected.len(), 6, "{name}");
        for step in STEPS {
            for batch in 0..6 {
                let (folder, kept) = (tempfile::tempdir().unwrap(), Kept::default());
                let crash = crash_after(batch, step);
                // Once with a state after every batch, some of which say only what changed.
                let rows = if batch == 3 { 1 } else { 45 };
                let failed = run(&plan, mode, folder.path(), &kept, rows, Some(crash));
                assert!(failed.is_some(), "{name}: there is a crash after {step:?} of batch {batch}");
                assert_eq!(
                    run(&plan, mode, folder.path(), &kept, rows, None),
                    None,
                    "{name} after {step:?} of {batch}"
                );
                let found = kept.batches();
                assert_eq!(found.len(), expected.len(), "{name} after {step:?} of batch {batch}");
                for ((number, ours), (_, theirs)) in found.iter().zip(&expected) {
                    assert!(
                        ours.equals_missing(theirs),
                        "{name} after {step:?} of batch {batch}: batch {number}\n{ours}\n{theirs}"
                    );
                }
            }
        }
    }
}

#[test]
fn crash_upon_crash_comes_to_the_same_end() {
    let (_, plan, mode) = plans().swap_remove(3);
    let (whole, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&plan, mode, folder.path(), &whole, 45, None), None);
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let mut starts = 0;
    // Each start gets one step further than the one before.
    loop {
        starts += 1;
        let left = Mutex::new(starts);
        let crash: Crash = Arc::new(move |_, _| {
            let mut left = left.lock().unwrap();
            *left -= 1;
            *left == 0
        });
        if run(&plan, mode, folder.path(), &kept, 25, Some(crash)).is_none() {
            break;
        }
        assert!(starts < 200);
    }
    assert!(starts > 6);
    let frames = |kept: &Kept| kept.batches().into_iter().map(|(_, rows)| rows).collect::<Vec<_>>();
    assert!(frames(&kept).iter().zip(&frames(&whole)).all(|(a, b)| a.equals_missing(b)));
    assert_eq!(kept.batches().len(), whole.batches().len());
}

#[test]
fn a_whole_result_is_the_same_after_crash_upon_crash() {
    // No batch changes what an earlier one gave.
    let groups = source().group_by(&[col("time"), col("price")], &[len().alias("n")]).unwrap();
    let (whole, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&groups, OutputMode::Complete, folder.path(), &whole, 25, None), None);
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    // What a start repeats is in the sink already, but not yet in a state.
    for batch in 1..5 {
        let crash = crash_after(batch, BatchStep::Committed);
        assert!(run(&groups, OutputMode::Complete, folder.path(), &kept, 25, Some(crash)).is_some());
    }
    assert_eq!(run(&groups, OutputMode::Complete, folder.path(), &kept, 25, None), None);
    let (ours, theirs) = (kept.batches(), whole.batches());
    assert_eq!(ours.len(), theirs.len());
    for ((_, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        assert!(ours.equals_missing(theirs), "{ours}\n{theirs}");
    }
}

#[test]
fn a_query_that_ended_well_repeats_nothing() {
    let (_, plan, mode) = plans().swap_remove(3);
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    for _ in 0..2 {
        assert_eq!(run(&plan, mode, folder.path(), &kept, 45, None), None);
    }
    assert!(kept.has_each_once());
}

#[test]
fn another_query_is_refused_with_the_difference() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::default();
    assert_eq!(run(&source(), OutputMode::Append, folder.path(), &kept, 45, None), None);
    let other = source().unique(Some(&["key"])).unwrap();
    let refused = run(&other, OutputMode::Append, folder.path(), &kept, 45, None).unwrap();
    assert!(refused.contains("belongs to another query") && refused.contains("+ UNIQUE"), "{refused}");
}

#[test]
fn a_query_that_is_changed_above_its_state_goes_on_and_tells_the_difference() {
    let groups = source().group_by(&[col("key")], &[len().alias("n"), col("value").sum()]).unwrap();
    let large = |least: i64| groups.filter(col("value").gt(lit(least))).unwrap();
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let crash = crash_after(3, BatchStep::Saved);
    assert!(run(&large(i64::MIN), OutputMode::Update, folder.path(), &kept, 1, Some(crash)).is_some());
    let before = kept.batches().len();
    let query = ended(&large(0), kept.output(OutputMode::Update, folder.path()), 1, None);
    assert_eq!(query.exception(), None);
    let told = query.status().changed.unwrap();
    assert!(told.lines().count() == 2 && told.contains("- FILTER") && told.contains("+ FILTER"), "{told}");
    let (whole, other) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&large(0), OutputMode::Update, other.path(), &whole, 1, None), None);
    for ((_, ours), (_, theirs)) in kept.batches().iter().zip(&whole.batches()).skip(before) {
        assert!(ours.equals_missing(theirs), "from there on it is as if it had always been so: {ours}\n{theirs}");
    }
    assert!(kept.batches().len() > before && kept.batches().len() == whole.batches().len());
    let again = ended(&large(0), kept.output(OutputMode::Update, folder.path()), 1, None);
    assert_eq!((again.exception(), again.status().changed), (None, None), "the checkpoint is the changed query's now");

    // Other columns are another result, and other rows another state.
    let other_columns = large(0).select(&[col("key")]).unwrap();
    let below = source().filter(col("value").gt(lit(0))).unwrap();
    let below = below.group_by(&[col("key")], &[len().alias("n"), col("value").sum()]).unwrap();
    for plan in [other_columns, below] {
        let refused = run(&plan, OutputMode::Update, folder.path(), &kept, 1, None).unwrap();
        assert!(refused.contains("belongs to another query"), "{refused}");
    }
    // What nobody uses is not kept, and makes no difference to what is.
    let rate = (col("price").max() - col("price").min()).alias("range");
    let two = source().group_by(&[col("key")], &[col("price").min().alias("least"), rate.clone()]).unwrap();
    let (two, one) =
        (two.select(&[col("key"), col("range")]).unwrap(), source().group_by(&[col("key")], &[rate]).unwrap());
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&two, OutputMode::Update, folder.path(), &kept, 1, None), None);
    assert_eq!(run(&one, OutputMode::Update, folder.path(), &kept, 1, None), None);
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&large(i64::MIN), OutputMode::Complete, folder.path(), &kept, 1, None), None);
    let refused = run(&large(0), OutputMode::Complete, folder.path(), &kept, 1, None).unwrap();
    assert!(
        refused.contains("belongs to another query"),
        "rows of the whole result were made by the old filter: {refused}"
    );
}

#[test]
fn a_damaged_state_is_named_and_an_older_one_is_used_when_asked() {
    let (_, plan, mode) = plans().swap_remove(3);
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&plan, mode, folder.path(), &kept, 45, None), None);
    let newest = folder.path().join("state/5/0-groups.changes.parquet");
    assert!(newest.exists());
    std::fs::write(&newest, "damaged").unwrap();
    let refused = run(&plan, mode, folder.path(), &kept, 45, None).unwrap();
    assert!(refused.contains("0-groups.changes.parquet") && refused.contains("use_newest_good_state"), "{refused}");
    let output = QueryOutput { use_newest_good_state: true, ..kept.output(mode, folder.path()) };
    assert_eq!(ended(&plan, output, 45, None).exception(), None);
}

/// The rows of a table in each state of a checkpoint, and whether they are only what changed.
fn in_states(folder: &Path, table: &str) -> BTreeMap<u64, (bool, usize)> {
    let states = std::fs::read_dir(folder.join("state")).unwrap().map(|state| state.unwrap().path());
    let rows = |state: std::path::PathBuf| {
        let batch = state.file_name().unwrap().to_str().unwrap().parse().unwrap();
        let changes = state.join(format!("{table}.changes.parquet"));
        let file = if changes.exists() { changes.clone() } else { state.join(format!("{table}.parquet")) };
        let rows = ParquetReader::new(std::fs::File::open(file).unwrap()).finish().unwrap();
        (batch, (changes.exists(), rows.height()))
    };
    states.map(rows).collect()
}

#[test]
fn a_state_says_only_what_changed_since_the_one_before() {
    // Every row is a group, so a batch changes twenty of them.
    let plan = source().group_by(&[col("time"), col("price")], &[len().alias("n"), col("value").max()]).unwrap();
    for (mode, table) in [(OutputMode::Update, "0-groups"), (OutputMode::Complete, "result")] {
        let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
        assert_eq!(run(&plan, mode, folder.path(), &kept, 1, None), None);
        let states = in_states(folder.path(), table);
        assert!(
            states.values().any(|(changes, _)| *changes) && states.values().any(|(changes, _)| !*changes),
            "{states:?}"
        );
        for (batch, (changes, rows)) in &states {
            let all = 20 * (*batch as usize + 1);
            assert!(if *changes { *rows <= 20 } else { *rows > all - 20 && *rows <= all }, "{states:?}");
        }
    }
}

#[test]
fn a_damaged_state_that_others_go_with_is_named_and_an_older_one_is_used_when_asked() {
    let plan = source().group_by(&[col("key")], &[len().alias("n"), col("value").sum()]).unwrap();
    let (whole, other) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&plan, OutputMode::Update, other.path(), &whole, 1, None), None);
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let crash = crash_after(3, BatchStep::Saved);
    assert!(run(&plan, OutputMode::Update, folder.path(), &kept, 1, Some(crash)).is_some());
    let states = in_states(folder.path(), "0-groups");
    let with_all: Vec<u64> = states.iter().filter(|(_, (changes, _))| !changes).map(|(batch, _)| *batch).collect();
    assert!(with_all.len() == 2, "the last but one that has all is kept: {states:?}");
    let newest = folder.path().join(format!("state/{}/0-groups.parquet", with_all[1]));
    std::fs::write(&newest, "damaged").unwrap();
    let refused = run(&plan, OutputMode::Update, folder.path(), &kept, 1, None).unwrap();
    assert!(refused.contains("is damaged") && refused.contains(&format!("state/{}", with_all[1])), "{refused}");
    let output = QueryOutput { use_newest_good_state: true, ..kept.output(OutputMode::Update, folder.path()) };
    assert_eq!(ended(&plan, output, 45, None).exception(), None);
    for ((_, ours), (_, theirs)) in kept.batches().iter().zip(&whole.batches()) {
        assert!(ours.equals_missing(theirs), "{ours}\n{theirs}");
    }
}

#[test]
fn a_checkpoint_has_one_query_at_a_time() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let output = || kept.output(OutputMode::Append, folder.path());
    let mut first = Query::write("first", &source(), open(), Options::default(), output()).unwrap();
    let second = Query::write("second", &source(), open(), Options::default(), output()).unwrap();
    let both = [&first, &second].map(Query::exception);
    assert!(second.await_termination(DEADLINE) || first.await_termination(DEADLINE), "{both:?}");
    let refused = [&first, &second].into_iter().find_map(Query::exception).unwrap();
    assert!(refused.contains("is used by a query that runs"), "{refused}");
    first.stop();
    drop(second);
    assert_eq!(run(&source(), OutputMode::Append, folder.path(), &kept, 45, None), None);
}

#[test]
fn a_line_that_a_crash_cut_off_says_nothing_and_a_damaged_one_is_named() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let crash = crash_after(2, BatchStep::Ran);
    assert!(run(&source(), OutputMode::Append, folder.path(), &kept, 1000, Some(crash)).is_some());
    let log = folder.path().join("log");
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{text}{{\"committed\":{{\"ba")).unwrap();
    assert_eq!(run(&source(), OutputMode::Append, folder.path(), &kept, 1000, None), None);
    std::fs::write(&log, format!("no line\n{text}")).unwrap();
    let refused = run(&source(), OutputMode::Append, folder.path(), &kept, 1000, None).unwrap();
    assert!(refused.contains("damaged") && refused.contains("line 1"), "{refused}");
}

#[test]
fn a_format_of_another_version_is_refused() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("query.json"), "{\"version\": 99, \"something\": \"else\"}").unwrap();
    let refused = run(&source(), OutputMode::Append, folder.path(), &kept, 45, None).unwrap();
    assert!(refused.contains("version 99"), "{refused}");
}

#[test]
fn an_output_mode_that_cannot_be_is_refused_with_the_way_to_do_it() {
    let refused = |plan: &Plan, mode: OutputMode| {
        let output =
            QueryOutput { sink: Box::new(Kept::default()), mode, checkpoint: None, use_newest_good_state: false };
        match Query::write("test", plan, open(), Options::default(), output) {
            Err(error @ StartError::Mode { .. }) => error.to_string(),
            other => panic!("{:?}", other.err()),
        }
    };
    let windows = source().group_by_dynamic(&col("time"), &[], &tumbling("10s"), &[len().alias("n")]).unwrap();
    assert!(refused(&windows, OutputMode::Append).contains("with_watermark"));
    let keys = source().group_by(&[col("key")], &[len().alias("n")]).unwrap();
    assert!(refused(&keys, OutputMode::Append).contains("OutputMode::Update"));
    assert!(refused(&source(), OutputMode::Complete).contains("OutputMode::Append"));
}

/// Says that it has batches.
struct Full;

impl Sink for Full {
    fn reached(&mut self) -> Result<Option<u64>, SinkError> {
        Ok(Some(5))
    }

    fn write(&mut self, _: u64, _: &DataFrame) -> Result<(), SinkError> {
        panic!("nothing is to be written")
    }
}

#[test]
fn a_sink_that_has_more_than_the_query_knows_of_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    for (checkpoint, words) in
        [(None, "has no checkpoint"), (Some(folder.path().to_owned()), "was deleted, or is an older copy")]
    {
        let options = Options { trigger: Trigger::AvailableNow, ..Options::default() };
        let output =
            QueryOutput { sink: Box::new(Full), mode: OutputMode::Append, checkpoint, use_newest_good_state: false };
        let query = Query::write("test", &source(), open(), options, output).unwrap();
        assert!(query.await_termination(DEADLINE));
        let refused = query.exception().unwrap();
        assert!(refused.contains("batches of this query up to 5") && refused.contains(words), "{refused}");
    }
}

#[test]
fn one_batch_is_one_batch() {
    let kept = Kept::default();
    let options = Options { max_rows: 20, trigger: Trigger::Once, ..Options::default() };
    let output = QueryOutput { checkpoint: None, ..kept.output(OutputMode::Append, Path::new("")) };
    let query = Query::write("test", &source(), open(), options, output).unwrap();
    assert!(query.await_termination(DEADLINE));
    assert_eq!(kept.batches().len(), 1);
    let progress = query.last_progress().unwrap();
    assert_eq!((progress.batch, progress.input_rows, progress.output_rows), (0, 20, 20));
}
