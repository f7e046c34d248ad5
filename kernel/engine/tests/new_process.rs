//! A restart is a new process, in which Polars gives categories other codes than the one before gave them: what a checkpoint has
//! of a category must be its text. The test starts itself twice as a process of its own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use common::frames::{Frame, join_asof, join_changing, join_stream};
use engine::{Options, OutputMode, Query, QueryOutput, Sink, SinkError, Trigger};
use plan::{Moment, Plan, StateFunction, asof, session, tumbling, within};
use polars::prelude::*;

mod common;

/// Which part of the test a process is, and where it finds the checkpoints.
const PART: &str = "CORRIENTE_TEST_PART";
const FOLDER: &str = "CORRIENTE_TEST_FOLDER";

/// What the first process reads of the log.
const FIRST: usize = 4;

fn log() -> DataFrame {
    let rows = df![
        "time" => [0i64, 1_000, 2_000, 3_000, 4_000, 5_000, 6_000, 60_000],
        "word" => ["food", "food", "food", "travel", "travel", "rent", "food", "rent"],
        "value" => [1i64, 2, 3, 4, 5, 6, 7, 8],
    ];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    rows.unwrap().lazy().with_columns([time]).collect().unwrap()
}

/// Queries with a key `k` of some type, how they give their rows, and what their sinks know rows by.
fn queries(key: &DataType, rows: usize) -> Vec<(&'static str, Frame, OutputMode, Vec<PlSmallStr>)> {
    let stream = |name: &str| -> Frame {
        let plan = Plan::source(name, log().schema().clone()).with_columns(&[col("word").cast(key.clone()).alias("k")]);
        (plan.unwrap(), common::log::open(vec![log().head(Some(rows))], 2))
    };
    let (plan, open) = stream("memory rows");
    let marked = plan.with_watermark("time", "5s").unwrap();
    let counted = [len().alias("n"), col("value").sum()];
    let listed = [col("value").alias("all").implode(true).list().len().alias("n"), col("k").last().alias("last")];
    let (time, by) = (col("time"), [col("k")]);
    let of = |plan: Plan| (plan, open.clone());
    let groups = plan.group_by(&by, &counted).unwrap();
    let marked_stream = |name: &str| {
        let (plan, open) = stream(name);
        (plan.with_watermark("time", "5s").unwrap(), open)
    };
    let joined = {
        let (left, right) = (marked_stream("memory left"), marked_stream("memory right"));
        join_stream(&left, &right, (&by, &by), &JoinType::Inner, &within("time", "time", "1h")).unwrap()
    };
    let nearest = {
        let (left, right) = (marked_stream("memory left"), marked_stream("memory right"));
        join_asof(&left, &right, (&by, &by), &asof("time", "time").tolerance("1h")).unwrap()
    };
    let (pairs, windows) = {
        let grouped = |name: &str, is_windowed: bool| {
            let (plan, open) = marked_stream(name);
            let grouped = match is_windowed {
                true => plan.group_by_dynamic(&time, &by, &tumbling("10s"), &counted),
                false => plan.group_by(&by, &counted),
            };
            (grouped.unwrap(), open)
        };
        let joined = |by: &[Expr], is_windowed: bool| {
            let (left, right) = (grouped("memory left", is_windowed), grouped("memory right", is_windowed));
            join_changing(&left, &right, (by, by), &JoinType::Left).unwrap()
        };
        (joined(&by, false), joined(&[time.clone(), col("k")], true))
    };
    let so_far = StateFunction::new(|seen: &mut i64, rows: DataFrame, _: &mut Moment| {
        *seen += rows.height() as i64;
        let seen = Column::new_scalar("seen".into(), (*seen).into(), rows.height());
        Ok(rows.select(["k"])?.with_column(seen)?.clone())
    });
    let update = OutputMode::Update;
    vec![
        ("groups", of(groups.clone()), update, vec![]),
        (
            "windows",
            of(marked.group_by_dynamic(&time, &by, &tumbling("10s"), &counted).unwrap()),
            OutputMode::Append,
            vec![],
        ),
        ("kept rows", of(plan.group_by(&by, &listed).unwrap()), update, vec![]),
        (
            "sessions",
            of(marked.group_by_dynamic(&time, &by, &session("10s"), &counted).unwrap()),
            OutputMode::Append,
            vec![],
        ),
        ("unique", of(plan.unique(Some(&["k"])).unwrap()), OutputMode::Append, vec![]),
        ("join", joined, OutputMode::Append, vec![]),
        ("nearest", nearest, OutputMode::Append, vec![]),
        ("state", of(plan.with_state(&by, so_far).unwrap()), OutputMode::Append, vec![]),
        (
            "largest",
            of(plan.top_k(3, &[col("value")], &SortMultipleOptions::default()).unwrap()),
            OutputMode::Complete,
            vec![],
        ),
        (
            "sorted groups",
            of(groups.sort(&[col("n"), col("value")], &SortMultipleOptions::default()).unwrap()),
            OutputMode::Complete,
            vec![],
        ),
        ("groups that pass", of(groups.filter(col("value").lt(lit(12))).unwrap()), update, vec!["k".into()]),
        ("join of groups", pairs, update, vec!["k".into()]),
        ("join of windows", windows, OutputMode::Append, vec![]),
        ("groups of groups", of(groups.group_by(&[col("n")], &[col("k").first()]).unwrap()), update, vec![]),
        (
            "groups that subtract",
            of(groups.group_by(&by, &[col("value").max(), len().alias("n")]).unwrap()),
            update,
            vec![],
        ),
    ]
}

/// Writes what it is given down as text, a file a batch.
struct Texts {
    stem: std::path::PathBuf,
    keys: Vec<PlSmallStr>,
}

impl Sink for Texts {
    fn keys(&self) -> Vec<PlSmallStr> {
        self.keys.clone()
    }

    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError> {
        self.write_changes(batch, rows, &DataFrame::default())
    }

    fn write_changes(&mut self, batch: u64, rows: &DataFrame, gone: &DataFrame) -> Result<(), SinkError> {
        let all = format!("{}gone\n{}", text(rows), text(gone));
        std::fs::write(self.stem.with_extension(batch.to_string()), all).unwrap();
        Ok(())
    }
}

fn text(rows: &DataFrame) -> String {
    let columns: Vec<Column> = rows.columns().iter().map(|column| column.cast(&DataType::String).unwrap()).collect();
    let line = |row| columns.iter().map(|column| column.get(row).unwrap().to_string()).collect::<Vec<_>>().join(" ");
    let mut lines: Vec<String> = (0..rows.height()).map(|row| line(row) + "\n").collect();
    lines.sort_unstable();
    lines.concat()
}

/// Has every query go on to where the log ends for now.
fn go_on(folder: &Path, key: &DataType, rows: usize) {
    for (name, (plan, open), mode, keys) in queries(key, rows) {
        let sink = Box::new(Texts { stem: folder.join(name), keys });
        let checkpoint = Some(folder.join(format!("{name} checkpoint")));
        let output = QueryOutput { sink, mode, checkpoint, use_newest_good_state: false };
        let options = Options { max_rows: 2, trigger: Trigger::AvailableNow, ..Options::default() };
        let query = Query::write(name, &plan, open, options, output).unwrap();
        assert!(query.await_termination(Duration::from_secs(60)), "{name} does not end: {:?}", query.status());
        assert_eq!(query.exception(), None, "{name}");
    }
}

/// What the sinks have, by query and batch.
fn written(folder: &Path) -> Vec<(String, String)> {
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).filter(|path| path.is_file());
    let mut all: Vec<(String, String)> = files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect();
    all.sort();
    all
}

#[test]
fn a_category_is_the_same_in_a_new_process() {
    let category = DataType::from_categories(Categories::global());
    if let (Ok(part), Ok(folder)) = (std::env::var(PART), std::env::var(FOLDER)) {
        // The codes are given in the order in which the words come first.
        let other = if part == "second" { ["rent", "travel", "food"] } else { ["food", "travel", "rent"] };
        let known = Series::new("known".into(), other).cast(&category).unwrap();
        go_on(Path::new(&folder), &category, if part == "second" { log().height() } else { FIRST });
        assert_eq!(known.len(), 3);
        return;
    }
    let (coded, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for part in ["first", "second"] {
        let mut process = Command::new(std::env::current_exe().unwrap());
        process.args(["a_category_is_the_same_in_a_new_process", "--exact", "--nocapture"]);
        let status = process.env(PART, part).env(FOLDER, coded.path()).status().unwrap();
        assert!(status.success(), "the {part} process failed");
    }
    for rows in [FIRST, log().height()] {
        go_on(plain.path(), &DataType::String, rows);
    }
    let (coded, plain) = (written(coded.path()), written(plain.path()));
    assert!(plain.len() >= queries(&DataType::String, FIRST).len() * 3, "each query has several batches");
    for (ours, theirs) in coded.iter().zip(&plain) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(coded.len(), plain.len());
}
