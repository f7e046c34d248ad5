//! Rows that leave the result: a sink with keys is told of them once, whatever crashes, and ends with the result itself.

use super::*;

/// Keeps what each batch wrote, and the keys of the rows that left, as a sink with keys is told of them.
#[derive(Clone)]
struct Told(Vec<PlSmallStr>, Arc<Mutex<BTreeMap<u64, (DataFrame, DataFrame)>>>);

impl Sink for Told {
    fn keys(&self) -> Vec<PlSmallStr> {
        self.0.clone()
    }

    fn write(&mut self, _: u64, _: &DataFrame) -> Result<(), SinkError> {
        panic!("a sink with keys is told of rows that leave as well")
    }

    fn write_changes(&mut self, batch: u64, rows: &DataFrame, gone: &DataFrame) -> Result<(), SinkError> {
        self.1.lock().unwrap().insert(batch, (rows.clone(), gone.clone()));
        Ok(())
    }
}

impl Told {
    /// A query's output into it, with a checkpoint in a folder.
    fn output(&self, mode: OutputMode, folder: &Path) -> QueryOutput {
        QueryOutput { sink: Box::new(self.clone()), ..Kept::default().output(mode, folder) }
    }

    fn batches(&self) -> Vec<(DataFrame, DataFrame)> {
        self.1.lock().unwrap().values().cloned().collect()
    }

    /// What is there by key when batch after batch has been applied, as text; and how many keys left on the way.
    fn table(&self) -> (BTreeMap<String, String>, usize) {
        let (mut table, mut left) = (BTreeMap::new(), 0);
        for (rows, gone) in self.batches() {
            table.extend(self.texts(&rows));
            for (key, _) in self.texts(&gone) {
                assert!(table.remove(&key).is_some(), "{key} was there");
                left += 1;
            }
        }
        (table, left)
    }

    fn texts(&self, rows: &DataFrame) -> Vec<(String, String)> {
        let keys = rows.select(self.0.iter().cloned()).unwrap();
        let text = |frame: &DataFrame, row: usize| {
            frame.get(row).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        (0..rows.height()).map(|row| (text(&keys, row), text(rows, row))).collect()
    }
}

/// Queries whose rows leave, and the columns that make a row of theirs the only one.
fn leaving() -> Vec<(&'static str, Plan, OutputMode, &'static [&'static str])> {
    let marked = source().with_watermark("time", "5s").unwrap();
    let aggs = [len().alias("n"), col("price").max()];
    let key = [col("key")];
    // Each group passes now and then, as its rows become more.
    let passes = (col("n") % lit(4)).eq(lit(2));
    let windows = marked.group_by_dynamic(&col("time"), &key, &tumbling("10s"), &aggs).unwrap();
    // Late rows join two sessions.
    let (late, high) = (source().with_watermark("time", "15s").unwrap(), col("value").gt(lit(0)).alias("high"));
    let sessions = late.group_by_dynamic(&col("time"), &[high], &session("1500ms"), &aggs).unwrap();
    let groups = source().group_by(&[col("value").alias("by")], &aggs).unwrap();
    vec![
        ("groups that pass", groups.filter(passes.clone()).unwrap(), OutputMode::Update, &["by"]),
        ("windows that pass", windows.filter(passes.clone()).unwrap(), OutputMode::Update, &["key", "time"]),
        ("sessions", sessions, OutputMode::Update, &["high", "time"]),
        (
            "groups of groups that pass",
            groups.filter(passes).unwrap().group_by(&[col("n").alias("of")], &[len().alias("groups")]).unwrap(),
            OutputMode::Update,
            &["of"],
        ),
        (
            "the largest",
            groups.top_k(3, &[col("n"), col("by")], &Default::default()).unwrap(),
            OutputMode::Complete,
            &["by"],
        ),
    ]
}

#[test]
fn a_sink_with_keys_is_told_which_rows_left_whatever_crashes() {
    for (name, plan, mode, keys) in leaving() {
        let told = || Told(keys.iter().map(|key| PlSmallStr::from(*key)).collect(), Arc::default());
        let (whole, folder) = (told(), tempfile::tempdir().unwrap());
        let query = ended(&plan, whole.output(mode, folder.path()), 45, None);
        assert_eq!(query.exception(), None, "{name}");
        let (table, left) = whole.table();
        assert!(left > 0, "{name}: rows leave");
        assert_eq!(
            table,
            whole.texts(&query.result().frame()).into_iter().collect(),
            "{name}: the table is the result"
        );
        for (step, batch) in STEPS.into_iter().flat_map(|step| (0..6).map(move |batch| (step, batch))) {
            let (again, folder) = (told(), tempfile::tempdir().unwrap());
            let crash = crash_after(batch, step);
            for crash in [Some(crash), None] {
                drop(ended(&plan, again.output(mode, folder.path()), 45, crash));
            }
            let same = again
                .batches()
                .iter()
                .zip(whole.batches())
                .all(|(ours, theirs)| ours.0.equals_missing(&theirs.0) && ours.1.equals_missing(&theirs.1));
            assert!(same && again.batches().len() == whole.batches().len(), "{name} after {step:?} of batch {batch}");
        }
    }
}

#[test]
fn rows_of_windows_that_have_closed_are_not_kept_in_mind() {
    let (_, plan, mode, keys) = leaving().swap_remove(1);
    let told = Told(keys.iter().map(|key| PlSmallStr::from(*key)).collect(), Arc::default());
    let folder = tempfile::tempdir().unwrap();
    let query = ended(&plan, told.output(mode, folder.path()), 1000, None);
    let saved = std::fs::File::open(folder.path().join("state/5/keys.parquet")).unwrap();
    let known = ParquetReader::new(saved).finish().unwrap();
    let windows = query.result().frame();
    // The watermark is at 54 s, or there about.
    let open = windows.clone().lazy().filter(col("time").cast(DataType::Int64).gt_eq(lit(40_000))).collect().unwrap();
    assert!(known.height() <= open.height() && open.height() < windows.height(), "{known} of {windows}");
}

#[test]
fn a_query_that_is_changed_after_a_crash_does_not_forget_what_its_sink_has() {
    let groups = source().group_by(&[col("value").alias("by")], &[len().alias("n")]).unwrap();
    let above = |least: u32| groups.filter(col("n").gt(lit(least))).unwrap();
    let (told, folder) = (Told(vec!["by".into()], Arc::default()), tempfile::tempdir().unwrap());
    let output = || told.output(OutputMode::Update, folder.path());
    let crashed = ended(&above(0), output(), 1_000, Some(crash_after(3, BatchStep::Committed)));
    assert!(crashed.exception().is_some());
    let refused = ended(&above(2), output(), 1_000, None).exception().unwrap();
    assert!(refused.contains("did not end as it should"), "{refused}");
    // As the text says.
    assert_eq!(ended(&above(0), output(), 1_000, None).exception(), None);
    let changed = ended(&above(2), output(), 1_000, None);
    assert!(changed.exception().is_none() && changed.status().changed.is_some(), "{:?}", changed.status());
    let bare = ended(&groups, output(), 1_000, None).exception().unwrap();
    assert!(bare.contains("belongs to another query"), "no row leaves it, so none would be known: {bare}");
}
