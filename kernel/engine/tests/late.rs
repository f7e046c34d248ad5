//! The rows that come too late: as a frame of their own, together with those that were in time they are all rows. And which
//! columns a watermark says something of.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration as Pause;

use engine::{Clock, ManualClock, Mode, OutputMode, PartitionRows, PhysicalPlan, Pipeline, natural_mode, open_plan};
use plan::{Plan, Window, hopping, session, tumbling, within};
use polars::prelude::*;
use polars::series::IsSorted;
use proptest::prelude::*;

use common::cases_or;
use common::cuts::batches;
use common::states::States;

/// Partition, time, and a number of its own.
type Row = (i32, i64, i64);

fn frame(rows: &[Row]) -> DataFrame {
    let time = |of: fn(&Row) -> i64| rows.iter().map(of).collect::<Vec<_>>();
    let frame = df![
        "time" => time(|row| row.1),
        "other" => time(|row| -row.1),
        "id" => time(|row| row.2),
        "key" => time(|row| row.2 % 3),
    ];
    let times = [col("time"), col("other")].map(|time| time.cast(DataType::Datetime(TimeUnit::Milliseconds, None)));
    frame.unwrap().lazy().with_columns(times).collect().unwrap()
}

fn source() -> Plan {
    Plan::source("rows", frame(&[]).schema().clone())
}

fn marked(delay: i64) -> Plan {
    source().with_watermark("time", &format!("{delay}ms")).unwrap()
}

fn parts(batch: &[Row]) -> Vec<PartitionRows> {
    let mut parts: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
    batch.iter().for_each(|row| parts.entry(row.0).or_default().push(*row));
    parts
        .into_iter()
        .map(|(partition, rows)| PartitionRows { partition: partition.into(), rows: frame(&rows), newest_ms: None })
        .collect()
}

/// What came of a plan.
struct Given {
    /// The rows it gave, all that there ever were.
    rows: Vec<DataFrame>,
    /// Rows counted as late.
    late: usize,
    /// The watermark before each batch.
    before: Vec<i64>,
}

/// Runs a plan over batches; before the batches that are named it is restarted with its state.
fn run(plan: &Plan, batches: &[Vec<Row>], restarts: &[usize]) -> Given {
    run_in(OutputMode::Update, plan, batches, restarts)
}

fn run_in(mode: OutputMode, plan: &Plan, batches: &[Vec<Row>], restarts: &[usize]) -> Given {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let begin = || {
        let mut pipeline =
            Pipeline::new(plan, std::slice::from_ref(frame(&[]).schema()), Mode::Stream, &clock).unwrap();
        if mode == OutputMode::Append {
            pipeline.append();
        }
        pipeline
    };
    let (mut pipeline, mut states) = (begin(), States::default());
    pipeline.assign(&(0..2).map(|partition| (partition, 0)).collect());
    let mut given = Given { rows: Vec::new(), late: 0, before: Vec::new() };
    for (number, batch) in batches.iter().enumerate() {
        if restarts.contains(&number) {
            states.keep(&mut pipeline).unwrap();
            pipeline = begin();
            states.restore(&mut pipeline).unwrap();
        }
        given.before.push(pipeline.watermark().unwrap_or(i64::MIN));
        let output = pipeline.execute(parts(batch)).unwrap();
        given.late += output.late;
        given.rows.push(output.changes.rows);
    }
    given
}

fn ids(frames: &[DataFrame]) -> Vec<i64> {
    let mut ids: Vec<i64> = Vec::new();
    for frame in frames {
        ids.extend(frame.column("id").unwrap().i64().unwrap().iter().flatten());
    }
    ids.sort_unstable();
    ids
}

/// The rows that are in some window of the aggregation, as its own lists say.
fn aggregated(window: &Window, delay: i64, batches: &[Vec<Row>], restarts: &[usize]) -> (Vec<i64>, usize) {
    let aggs = [col("id").unique().alias("ids")];
    let plan = marked(delay).group_by_dynamic(&col("time"), &[], window, &aggs).unwrap();
    let given = run(&plan, batches, restarts);
    let mut all: Vec<i64> = Vec::new();
    for rows in &given.rows {
        let lists = rows.column("ids").unwrap().list().unwrap().clone();
        for list in lists.amortized_iter().flatten() {
            all.extend(list.as_ref().i64().unwrap().iter().flatten());
        }
    }
    all.sort_unstable();
    all.dedup();
    (all, given.late)
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    prop::collection::vec((0..2i32, -300..600i64), 0..90)
        .prop_map(|rows| rows.into_iter().zip(0..).map(|((partition, time), id)| (partition, time, id)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases_or(200), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn late_rows_and_aggregated_rows_are_all_rows(
        rows in rows(),
        cuts in prop::collection::vec(0..30usize, 0..12),
        restarts in prop::collection::vec(0..12usize, 0..3),
        delay in 1..200i64,
        window in prop::sample::select(vec![tumbling("50ms"), tumbling("50ms").offset("13ms").closed(ClosedWindow::Right), hopping("90ms", "30ms"), session("20ms")]),
    ) {
        let batches = batches(&rows, &cuts);
        let aggs = [len().alias("n")];
        let plan = marked(delay).group_by_dynamic(&col("time"), &[], &window, &aggs).unwrap();
        let given = run(&plan.late_rows().unwrap(), &batches, &restarts);
        prop_assert_eq!(given.late, 0, "what is late is the result");
        let (in_time, counted) = aggregated(&window, delay, &batches, &restarts);
        let late = ids(&given.rows);
        prop_assert!(late.iter().all(|id| !in_time.contains(id)));
        let mut all: Vec<i64> = [late.clone(), in_time].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..rows.len() as i64).collect::<Vec<_>>());
        // Of windows that overlap, a row may be late for some and in time for others.
        prop_assert!(counted >= late.len() && (window.text().starts_with("hopping") || counted == late.len()));
        for (rows, before) in given.rows.iter().zip(&given.before) {
            let times = rows.column("time").unwrap().to_physical_repr().i64().unwrap().clone();
            prop_assert!(times.iter().flatten().all(|time| time <= *before), "each was behind the watermark");
        }
    }

    #[test]
    fn late_rows_of_unique_are_those_behind_the_watermark(
        rows in rows(),
        cuts in prop::collection::vec(0..30usize, 0..12),
        delay in 1..200i64,
    ) {
        let batches = batches(&rows, &cuts);
        let plan = marked(delay).unique(Some(&["id"])).unwrap();
        let late = run(&plan.late_rows().unwrap(), &batches, &[]);
        let unique = run(&plan, &batches, &[]);
        prop_assert_eq!(unique.late, ids(&late.rows).len());
        let mut all = [ids(&late.rows), ids(&unique.rows)].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..rows.len() as i64).collect::<Vec<_>>());
    }
}

/// The final windows of a plan once event time has come far beyond all rows.
fn finals(plan: &Plan, batches: &[Vec<Row>], restarts: &[usize]) -> (DataFrame, usize) {
    let far = vec![(0, FAR, -1), (1, FAR, -1)];
    let given = run_in(OutputMode::Append, plan, &[batches, &[far]].concat(), restarts);
    let none = DataFrame::empty_with_schema(plan.schema());
    (given.rows.iter().fold(none, |all, rows| all.vstack(rows).unwrap()), given.late)
}

/// Later than every other row.
const FAR: i64 = 100_000;

/// The rows that are not late for windows of 50 ms, by the definition and nothing else.
fn in_time(batches: &[Vec<Row>], delay: i64) -> Vec<Row> {
    let (mut newest, mut watermark) = (BTreeMap::<i32, i64>::new(), i64::MIN);
    let mut kept = Vec::new();
    for batch in batches {
        kept.extend(batch.iter().filter(|row| row.1.div_euclid(50) * 50 + 50 > watermark).copied());
        for row in batch {
            newest.entry(row.0).and_modify(|time| *time = row.1.max(*time)).or_insert(row.1);
        }
        if newest.len() == 2 {
            watermark = watermark.max(newest.values().min().unwrap() - delay);
        }
    }
    kept
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases_or(200), failure_persistence: None, ..ProptestConfig::default() })]

    /// The times that windows are named by are behind the watermark by as much as a window is long.
    #[test]
    fn final_windows_of_windows_are_those_of_the_rows_in_time(
        rows in rows(),
        cuts in prop::collection::vec(0..30usize, 0..12),
        restarts in prop::collection::vec(0..12usize, 0..3),
        delay in 1..200i64,
        label in prop::sample::select(vec![Label::Left, Label::Right, Label::DataPoint]),
        of in prop::sample::select(vec!["time", "_lower_boundary", "_upper_boundary", "newest"]),
        every in prop::sample::select(vec!["7ms", "50ms", "120ms"]),
        closed in prop::sample::select(vec![ClosedWindow::Left, ClosedWindow::Right]),
    ) {
        let batches = batches(&rows, &cuts);
        let inner = tumbling("50ms").label(label).include_boundaries();
        let aggs = [len().alias("n"), col("time").max().alias("newest")];
        let again = [len().alias("windows"), col("n").sum(), col("n").max().alias("most")];
        let outer = tumbling(every).closed(closed);
        let plan = marked(delay).group_by_dynamic(&col("time"), &[col("key")], &inner, &aggs).unwrap();
        let plan = plan.group_by_dynamic(&col(of), &[], &outer, &again).unwrap();
        let (ours, late) = finals(&plan, &batches, &restarts);
        let kept = in_time(&batches, delay);
        prop_assert_eq!(late, rows.len() - kept.len(), "a row of a window that is open is not late");
        let options = |every: &str, label, closed_window, include_boundaries| DynamicGroupOptions {
            every: Duration::parse(every),
            period: Duration::parse(every),
            offset: Duration::parse("0ns"),
            label,
            include_boundaries,
            closed_window,
            ..Default::default()
        };
        let mut theirs = DataFrame::empty_with_schema(plan.schema());
        if !kept.is_empty() {
            let rows = frame(&kept).sort(["time"], SortMultipleOptions::default().with_maintain_order(true)).unwrap();
            let inner = options("50ms", label, ClosedWindow::Left, true);
            let mut inner = rows.lazy().group_by_dynamic(col("time"), [col("key")], inner).agg(aggs).collect().unwrap();
            let mut times = inner.column(of).unwrap().clone();
            // Polars says that the times of first rows are sorted, where they are so for each key.
            times.set_sorted_flag(IsSorted::Not);
            inner.with_column(times).unwrap();
            let inner = inner.sort([of], SortMultipleOptions::default()).unwrap().lazy();
            let outer = options(every, Label::Left, closed, false);
            theirs = inner.group_by_dynamic(col(of), [], outer).agg(again).collect().unwrap();
        }
        let ours = ours.lazy().filter(col(of).cast(DataType::Int64).lt(lit(FAR / 2)));
        let ours = ours.sort([of], SortMultipleOptions::default()).collect().unwrap();
        prop_assert!(ours.equals_missing(&theirs), "ours {ours}\npolars {theirs}");
    }
}

#[test]
fn late_rows_have_the_columns_that_enter_the_windows() {
    let rows = marked(10).filter(col("id").gt(lit(0))).unwrap().with_columns(&[(col("id") * lit(2)).alias("twice")]);
    let plan = rows.unwrap().group_by_dynamic(&col("time"), &[], &tumbling("10ms"), &[len().alias("n")]).unwrap();
    let late = plan.filter(col("n").gt(lit(1))).unwrap().late_rows().unwrap();
    assert_eq!(
        late.schema().iter_names().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["time", "other", "id", "key", "twice"]
    );
    assert!(late.explain().starts_with("LATE ROWS OF AGGREGATE"), "{}", late.explain());
    assert_eq!(late.title(), "late rows of rows");
    let given = run(&late, &[vec![(0, 100, 1), (1, 100, 2)], vec![(0, 50, 0), (0, 60, 3), (1, 101, 4)]], &[]);
    assert_eq!(ids(&given.rows), [3]);
}

#[test]
fn late_rows_can_be_counted_and_never_end() {
    let plan = marked(10).group_by_dynamic(&col("time"), &[], &tumbling("10ms"), &[len().alias("n")]).unwrap();
    let counted = plan.late_rows().unwrap().group_by(&[col("key")], &[len().alias("n")]).unwrap();
    let given = run(&counted, &[vec![(0, 100, 1), (1, 100, 2)], vec![(0, 50, 0), (0, 60, 3)], vec![(1, 9, 6)]], &[]);
    let last = given.rows.last().unwrap();
    assert_eq!(last.column("n").unwrap().u32().unwrap().get(0), Some(3));
    let windows = plan.late_rows().unwrap().group_by_dynamic(&col("time"), &[], &tumbling("10ms"), &[len().alias("n")]);
    assert_eq!(natural_mode(&windows.unwrap()), OutputMode::Update, "no watermark closes windows of rows behind it");
}

#[test]
fn late_rows_are_refused_where_there_are_none() {
    let refused = |plan: &Plan| plan.late_rows().unwrap_err().to_string();
    let windows = |plan: &Plan, of: &str| plan.group_by_dynamic(&col(of), &[], &tumbling("10ms"), &[len()]).unwrap();
    assert!(refused(&windows(&source(), "time")).contains("with_watermark"));
    assert!(refused(&marked(10)).contains("no step of the frame drops rows"));
    assert!(refused(&windows(&marked(10), "other")).contains("no step of the frame drops rows"));
    let keys = marked(10).group_by(&[col("key")], &[len()]).unwrap();
    assert!(refused(&keys).contains("no step of the frame drops rows"));
}

/// Two rows at 100, one at 50 behind them.
fn behind() -> Vec<Vec<Row>> {
    vec![vec![(0, 100, 1), (1, 100, 2)], vec![(0, 50, 3), (1, 200, 4)]]
}

fn late(rows: &Plan, of: &str) -> usize {
    let plan = rows.group_by_dynamic(&col(of), &[], &tumbling("10ms"), &[len().alias("n")]).unwrap();
    run(&plan, &behind(), &[]).late
}

#[test]
fn windows_of_a_column_that_the_watermark_says_nothing_of_have_no_late_rows() {
    assert_eq!(late(&marked(10), "time"), 1);
    assert_eq!(late(&marked(10), "other"), 0, "the times in it are all behind the watermark");
    let zoned =
        marked(10).with_columns(&[col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC)))]);
    assert_eq!(late(&zoned.unwrap(), "time"), 0, "it is another column now");
    let hours = marked(10).with_columns(&[col("time").dt().truncate(lit("1h")).alias("hour")]).unwrap();
    assert_eq!(late(&hours, "hour"), 0);
}

#[test]
fn the_watermark_holds_for_its_column_by_any_name() {
    assert_eq!(late(&marked(10).rename(&["time"], &["when"]).unwrap(), "when"), 1);
    assert_eq!(late(&marked(10).select(&[col("time").alias("when"), col("id")]).unwrap(), "when"), 1);
    assert_eq!(late(&marked(10).with_columns(&[cols(["id", "key"]).as_expr().fill_null(lit(0))]).unwrap(), "time"), 1);
    assert_eq!(late(&marked(10).select(&[all().as_expr()]).unwrap(), "time"), 1);
    assert_eq!(late(&marked(10).drop(&["other"]).unwrap().filter(col("id").gt(lit(0))).unwrap(), "time"), 1);
    let swapped = marked(10).select(&[col("time").alias("other"), col("other").alias("time"), col("id")]).unwrap();
    assert_eq!(late(&swapped, "time"), 0);
    assert_eq!(late(&swapped, "other"), 1);
}

/// The join of two streams whose rows are not further apart than 50 ms.
fn joined() -> Plan {
    let on = [col("id")];
    marked(10).join_stream(&marked(10), &on, &on, &JoinType::Left, &within("time", "time", "50ms")).unwrap()
}

/// What a plan gives of batches of a row of each of the two sides, and how many rows were late.
fn of_sides(plan: &Plan, batches: &[[&[Row]; 2]]) -> (Vec<DataFrame>, usize) {
    let side = |side: usize| {
        let rows: Vec<Row> = batches.iter().flat_map(|batch| batch[side].to_vec()).collect();
        common::log::open(vec![frame(&rows)], 1)
    };
    let columns = PhysicalPlan::of(plan).source_columns();
    let mut source = open_plan(plan, &[side(0), side(1)])(&columns).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline = Pipeline::new(plan, &source.lanes(), Mode::Stream, &clock).unwrap();
    let mut from = source.start().unwrap();
    pipeline.assign(&from);
    pipeline.append();
    let (mut given, mut late) = (Vec::new(), 0);
    for _ in batches {
        let to = source.available(&from, 100, Pause::ZERO).unwrap();
        let output = pipeline.execute(source.read(&from, &to).unwrap().parts).unwrap();
        late += output.late;
        given.push(output.changes.rows);
        from = to;
    }
    (given, late)
}

#[test]
fn a_row_that_waited_in_vain_for_another_stream_is_not_late_for_its_window() {
    let plan = joined().group_by_dynamic(&col("time"), &[], &tumbling("10ms"), &[len().alias("n")]).unwrap();
    let batches: [[&[Row]; 2]; 5] = [
        [&[(0, 5, 1)], &[(1, 5, 9)]],
        [&[(0, 62, 2)], &[(1, 62, 9)]],
        [&[(0, 70, 3)], &[(1, 70, 9)]],
        [&[(0, 200, 4)], &[(1, 200, 9)]],
        [&[(0, 400, 5)], &[(1, 400, 9)]],
    ];
    let (given, late) = of_sides(&plan, &batches);
    assert_eq!(late, 0, "a row comes out of the join when the watermark is far beyond it");
    let mut counts: Vec<i64> = Vec::new();
    for rows in &given {
        counts.extend(rows.column("time").unwrap().to_physical_repr().i64().unwrap().iter().flatten());
    }
    assert_eq!(counts, [0, 60, 70, 200], "each window once, in the order in which they close");
}

#[test]
fn late_rows_of_a_join_have_the_columns_of_the_result() {
    let joined = joined();
    let late = joined.late_rows().unwrap();
    assert_eq!(late.schema(), joined.schema());
    let batches: [[&[Row]; 2]; 2] = [[&[(0, 100, 1)], &[(1, 100, 1)]], [&[(0, 50, 2)], &[(1, 120, 1)]]];
    let (given, counted) = of_sides(&late, &batches);
    assert_eq!((ids(&given), counted), (vec![2], 0));
}

#[test]
fn a_row_before_the_watermark_is_late_for_a_session_it_would_have_joined() {
    let plan = marked(1_000).group_by_dynamic(&col("time"), &[], &session("10s"), &[len().alias("n")]).unwrap();
    // The second batch moves the watermark to 11 s.
    let batches: Vec<Vec<Row>> =
        [0, 12_000, 9_000, 11_000].into_iter().zip(0..).map(|(at, id)| vec![(0, at, id), (1, at, id)]).collect();
    let given = run(&plan, &batches, &[]);
    assert_eq!(given.late, 2, "9 s, of both partitions");
    let last = given.rows.last().unwrap();
    let found = (last.column("time").unwrap().to_physical_repr().i64().unwrap().get(0), last.column("n").unwrap());
    assert_eq!((found.0, found.1.u32().unwrap().get(0)), (Some(11_000), Some(4)), "{last}");
    let late = run(&plan.late_rows().unwrap(), &batches, &[]);
    assert_eq!(ids(&late.rows), [2, 2]);
}
