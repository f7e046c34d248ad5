//! A checkpoint that is damaged: each file is named, with a hint that helps, and nothing panics. With `use_newest_good_state`
//! the query goes on where no row can be written twice or lost, and is refused where one could.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{BatchStep, Crash, Options, OutputMode, Query, QueryOutput, Sink, SinkError, Trigger};
use plan::Plan;
use polars::prelude::*;

mod common;

use common::query::{Kept, crash_after, keyed};

const DEADLINE: Duration = Duration::from_secs(30);
/// Rows in each of two partitions: six batches.
const ROWS: i64 = 60;

fn rows(from: i64) -> DataFrame {
    keyed(from, ROWS)
}

fn plan() -> Plan {
    let source = Plan::source("memory rows", rows(0).schema().clone());
    source.group_by(&[col("k")], &[len().alias("n"), col("v").sum()]).unwrap()
}

/// Knows which batches it has.
#[derive(Clone, Default)]
struct Telling(Kept);

impl Sink for Telling {
    fn reached(&mut self) -> Result<Option<u64>, SinkError> {
        Ok(self.0.batches().last().map(|(batch, _)| *batch))
    }

    fn tells_batches(&self) -> bool {
        true
    }

    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError> {
        self.0.write(batch, rows)
    }
}

/// Runs a query over everything that is there; gives why it failed, if it did.
fn run(sink: &(impl Sink + Clone + 'static), folder: &Path, forgiving: bool, crash: Option<Crash>) -> Option<String> {
    let open = common::log::open(vec![rows(0), rows(1_000)], usize::MAX);
    let options =
        Options { max_rows: 20, trigger: Trigger::AvailableNow, snapshot_rows: 1, crash, ..Options::default() };
    let output = QueryOutput {
        sink: Box::new(sink.clone()),
        mode: OutputMode::Update,
        checkpoint: Some(folder.to_owned()),
        use_newest_good_state: forgiving,
    };
    let query = Query::write("damage", &plan(), open, options, output).unwrap();
    assert!(query.await_termination(DEADLINE), "the query has not ended: {:?}", query.status());
    query.exception()
}

/// A query that crashed in its batch 4, with a state after each batch before.
fn crashed(sink: &(impl Sink + Clone + 'static), step: BatchStep) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(sink, folder.path(), false, Some(crash_after(4, step))).is_some());
    folder
}

/// What the sink has in the end where nothing happens.
fn expected() -> Vec<(u64, DataFrame)> {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&kept, folder.path(), false, None), None);
    kept.batches()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { files.extend(self::files(&path)) } else { files.push(path) }
    }
    files
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Emptied,
    Halved,
    Bytes,
    Folder,
    Removed,
}

impl Damage {
    fn on(self, file: &Path) {
        let whole = std::fs::read(file).unwrap();
        match self {
            Damage::Emptied => std::fs::write(file, "").unwrap(),
            Damage::Halved => std::fs::write(file, &whole[..whole.len() / 2]).unwrap(),
            Damage::Bytes => std::fs::write(file, b"\xff\xfe{\x80\n\xc0\n").unwrap(),
            Damage::Folder => {
                std::fs::remove_file(file).unwrap();
                std::fs::create_dir(file).unwrap();
            }
            Damage::Removed => std::fs::remove_file(file).unwrap(),
        }
    }
}

#[test]
fn whatever_is_damaged_is_named_with_a_hint_that_helps() {
    let kept = Kept::default();
    let whole = crashed(&kept, BatchStep::Committed);
    let mut tried = 0;
    for file in files(whole.path()) {
        let name = file.strip_prefix(whole.path()).unwrap();
        // An older state may not be read, the lock says nothing, and the columns are for who is refused.
        if [Path::new("lock"), Path::new("source.json")].contains(&name) {
            continue;
        }
        if name.starts_with("state") && !name.starts_with("state/4") {
            continue;
        }
        for damage in [Damage::Emptied, Damage::Halved, Damage::Bytes, Damage::Folder, Damage::Removed] {
            let folder = tempfile::tempdir().unwrap();
            copy(whole.path(), folder.path());
            damage.on(&folder.path().join(name));
            let what = format!("{damage:?} {name:?}");
            let refused = run(&kept, folder.path(), false, None).unwrap_or_else(|| panic!("{what} is not noticed"));
            assert!(refused.contains(&*name.to_string_lossy()), "{what}: {refused}");
            assert!(refused.contains("is damaged") && !refused.contains("fault"), "{what}: {refused}");
            let is_state = name.starts_with("state");
            if is_state {
                assert!(refused.contains("use_newest_good_state"), "{what}: {refused}");
            }
            // What is recommended helps, and nothing is recommended that is done already.
            match run(&kept, folder.path(), true, None) {
                None => assert!(is_state, "{what}: there is nothing to go on from"),
                Some(refused) => {
                    assert!(!is_state && refused.contains("is damaged"), "{what}: {refused}");
                    assert!(!refused.contains("use_newest_good_state"), "{what}: {refused}");
                    assert!(refused.contains("Put a copy of the whole checkpoint back"), "{what}: {refused}");
                }
            }
            tried += 1;
        }
    }
    assert!(tried >= 20, "{tried}");
}

#[test]
fn a_state_folder_that_is_a_file_is_named() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("query.json"), "").unwrap();
    std::fs::write(folder.path().join("state"), "").unwrap();
    assert!(run(&kept, folder.path(), false, None).unwrap().contains("query.json"));
    std::fs::remove_file(folder.path().join("query.json")).unwrap();
    std::fs::remove_file(folder.path().join("state")).unwrap();
    assert_eq!(run(&kept, folder.path(), false, None), None);
    std::fs::remove_dir_all(folder.path().join("state")).unwrap();
    std::fs::write(folder.path().join("state"), "").unwrap();
    let refused = run(&kept, folder.path(), false, None).unwrap();
    assert!(refused.contains("state\"") && !refused.contains("fault"), "{refused}");
}

/// The log with one of its lines made unreadable.
fn with_a_damaged_line(folder: &Path, line: usize) -> String {
    let log = folder.join("log");
    let text = std::fs::read_to_string(&log).unwrap();
    let damaged: String = text
        .lines()
        .enumerate()
        .map(|(number, text)| if number == line { "no line\n".into() } else { format!("{text}\n") })
        .collect();
    assert!(damaged.contains("no line"), "{text}");
    std::fs::write(&log, &damaged).unwrap();
    damaged
}

/// Where a line stands in the log.
fn line(folder: &Path, what: &str) -> usize {
    let text = std::fs::read_to_string(folder.join("log")).unwrap();
    text.lines().position(|line| line.starts_with(what)).unwrap_or_else(|| panic!("no {what} in {text}"))
}

#[test]
fn a_damaged_line_about_what_is_in_the_state_is_passed_over_when_asked() {
    for what in ["{\"planned\":{\"batch\":3", "{\"ran\":{\"batch\":3", "{\"committed\":{\"batch\":3"] {
        let kept = Kept::default();
        let folder = crashed(&kept, BatchStep::Ran);
        let place = line(folder.path(), what);
        with_a_damaged_line(folder.path(), place);
        let refused = run(&kept, folder.path(), false, None).unwrap();
        assert!(
            refused.contains(&format!("line {}", place + 1)) && refused.contains("use_newest_good_state"),
            "{refused}"
        );
        // No batch is missing, so that any sink will do.
        assert_eq!(run(&kept, folder.path(), true, None), None, "{what}");
        assert!(kept.batches() == expected(), "{what}");
    }
}

#[test]
fn a_log_that_lost_a_batch_is_gone_on_from_where_the_sink_can_tell_that_it_has_none_of_it() {
    // Batch 4 ran, and is not in the sink: its range may be chosen anew.
    let sink = Telling::default();
    let folder = crashed(&sink, BatchStep::Ran);
    let place = line(folder.path(), "{\"planned\":{\"batch\":4");
    with_a_damaged_line(folder.path(), place);
    assert_eq!(run(&sink, folder.path(), true, None), None);
    assert!(sink.0.batches() == expected());

    // A sink that cannot tell may have it.
    let kept = Kept::default();
    let folder = crashed(&kept, BatchStep::Ran);
    let damaged = with_a_damaged_line(folder.path(), place);
    let refused = run(&kept, folder.path(), true, None).unwrap();
    assert!(refused.contains("cannot tell which batches it has") && refused.contains("log"), "{refused}");
    assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), damaged, "who refuses changes nothing");

    // This one has it.
    let sink = Telling::default();
    let folder = crashed(&sink, BatchStep::Written);
    let damaged = with_a_damaged_line(folder.path(), place);
    let before = sink.0.batches();
    let refused = run(&sink, folder.path(), true, None).unwrap();
    assert!(refused.contains("the sink has batches that the log no longer knows"), "{refused}");
    assert_eq!(std::fs::read_to_string(folder.path().join("log")).unwrap(), damaged, "who refuses changes nothing");
    assert!(sink.0.batches() == before);
}

#[test]
fn a_log_without_the_batch_of_its_state_is_no_log() {
    for telling in [true, false] {
        let sink = Telling::default();
        let folder = crashed(&sink, BatchStep::Ran);
        std::fs::write(folder.path().join("log"), "").unwrap();
        let refused = run(&sink, folder.path(), false, None).unwrap();
        assert!(refused.contains("log") && refused.contains("too little of batch 3"), "{refused}");
        if telling {
            assert_eq!(run(&sink, folder.path(), true, None), None);
            assert!(sink.0.batches() == expected());
        } else {
            let refused = run(&sink.0, folder.path(), true, None).unwrap();
            assert!(refused.contains("cannot tell"), "{refused}");
        }
    }
}

#[test]
fn a_source_with_other_columns_is_refused_with_the_way_to_have_those_that_it_had() {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    assert_eq!(run(&kept, folder.path(), false, None), None);
    // As a sample says it of a topic whose newest records have other numbers.
    let other = df!["k" => [1i64], "v" => [1.5]].unwrap();
    let source = Plan::source("memory rows", other.schema().clone());
    let plan = source.group_by(&[col("k")], &[len().alias("n"), col("v").sum()]).unwrap();
    let open = common::log::open(vec![other], usize::MAX);
    let output = kept.output(OutputMode::Update, folder.path());
    let query = Query::write("damage", &plan, open, Options::default(), output).unwrap();
    assert!(query.await_termination(DEADLINE), "{:?}", query.status());
    let refused = query.exception().unwrap();
    let call = ".schema(Schema::from_iter([Field::new(\"k\".into(), DataType::Int64), Field::new(\"v\".into(), DataType::Int64)]))";
    assert!(refused.ends_with(call) && refused.contains("+ SOURCE"), "{refused}");
}
