//! Windows with their options, held equal to Polars' own: of each row alone, of all rows of an aggregation, and of the calendar.
//! And which windows a watermark closes.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;

use engine::{Clock, LiveResult, ManualClock, Mode, PartitionRows, Pipeline, Status};
use plan::{Cut, Plan, Window, hopping, session, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

use common::cases_or;
use common::cuts::batches;

const HOUR: i64 = 3_600_000;

fn rows(times: &[i64], zone: Option<&str>) -> DataFrame {
    let dtype = DataType::Datetime(TimeUnit::Milliseconds, TimeZone::opt_try_new(zone).unwrap());
    let values: Vec<i64> = times.iter().map(|time| time.rem_euclid(97)).collect();
    let keys: Vec<&str> = times.iter().map(|time| if time % 2 == 0 { "even" } else { "odd" }).collect();
    let frame = df!["time" => times, "key" => keys, "value" => values].unwrap();
    frame.lazy().with_columns([col("time").cast(dtype)]).collect().unwrap()
}

const ZONES: [Option<&str>; 5] =
    [None, Some("UTC"), Some("Europe/Berlin"), Some("America/New_York"), Some("Asia/Kolkata")];

fn options(window: &Window) -> DynamicGroupOptions {
    let Cut::Every(hops) = window.cut().unwrap() else { panic!("{window:?} is a session") };
    DynamicGroupOptions {
        every: hops.every,
        period: hops.period,
        offset: hops.offset,
        label: hops.label,
        include_boundaries: hops.boundaries,
        closed_window: hops.closed,
        ..Default::default()
    }
}

fn aggs(regroup: bool) -> Vec<Expr> {
    let mut aggs = vec![len().alias("n"), col("value").sum(), col("time").max().alias("newest")];
    if regroup {
        aggs.push(col("value").median().alias("median"));
    }
    aggs
}

/// What a stream makes of the batches; each is in a partition of its own.
fn streamed(plan: &Plan, zone: Option<&str>, batches: &[Vec<i64>]) -> DataFrame {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline =
        Pipeline::new(plan, std::slice::from_ref(rows(&[], zone).schema()), Mode::Batch, &clock).unwrap();
    let result = LiveResult::new(plan.schema().clone(), Status::default());
    for batch in batches {
        let part = PartitionRows { partition: 0.into(), rows: rows(batch, zone), newest_ms: None };
        result.apply(&pipeline.execute(vec![part]).unwrap().changes, |_| {}).unwrap();
    }
    result.frame()
}

fn source(zone: Option<&str>) -> Plan {
    Plan::source("rows", rows(&[], zone).schema().clone())
}

fn sorted(frame: DataFrame) -> DataFrame {
    let by: Vec<PlSmallStr> = frame.schema().iter_names().cloned().collect();
    frame.sort(by, SortMultipleOptions::default()).unwrap()
}

fn polars(times: &[i64], zone: Option<&str>, window: &Window, keys: &[Expr], aggs: Vec<Expr>) -> DataFrame {
    let rows = rows(times, zone).sort(["time"], SortMultipleOptions::default().with_maintain_order(true)).unwrap();
    rows.lazy().group_by_dynamic(col("time"), keys, options(window)).agg(aggs).collect().unwrap()
}

fn closes_both(window: &Window) -> bool {
    options(window).closed_window == ClosedWindow::Both
}

/// Without the windows that hold the first row alone. Of the two that hold a row on their border Polars gives one, where that row
/// is the first; a stream does not know that it is.
fn without_first(frame: DataFrame, times: &[i64], keys: usize) -> DataFrame {
    let least = |of: &dyn Fn(i64) -> bool| times.iter().copied().filter(|time| of(*time)).min().unwrap_or(0);
    let (even, odd) = (least(&|time| time % 2 == 0), least(&|time| time % 2 != 0));
    let first = match keys {
        0 => lit(least(&|_| true)),
        _ => when(col("key").eq(lit("even"))).then(lit(even)).otherwise(lit(odd)),
    };
    frame.lazy().filter(col("newest").cast(DataType::Int64).neq(first)).collect().unwrap()
}

fn closed() -> impl Strategy<Value = ClosedWindow> {
    use ClosedWindow::{Both, Left, None, Right};
    prop_oneof![Just(Left), Just(Right), Just(Both), Just(None)]
}

fn label() -> impl Strategy<Value = Label> {
    prop_oneof![Just(Label::Left), Just(Label::Right), Just(Label::DataPoint)]
}

/// Windows without overlap, and the offsets that go with them.
fn tumblings() -> impl Strategy<Value = Window> {
    let even = (prop::sample::select(vec!["7ms", "10s", "90s", "1h", "6h"]), -50_000..50_000i64)
        .prop_map(|(every, offset)| tumbling(every).offset(&format!("{offset}ms")));
    let days = (prop::sample::select(vec!["1d", "3d", "1w", "2w"]), -20..20i64)
        .prop_map(|(every, offset)| tumbling(every).offset(&format!("{offset}d")));
    let months = (prop::sample::select(vec!["1mo", "1q", "1y", "5mo"]), 0..28i64)
        .prop_map(|(every, offset)| tumbling(every).offset(&format!("{offset}d")));
    let years = (-20..20i64).prop_map(|offset| tumbling("1y").offset(&format!("{offset}mo")));
    (prop_oneof![even, days, months, years], closed(), label(), any::<bool>()).prop_map(
        |(window, closed, label, boundaries)| {
            let window = window.closed(closed).label(label);
            if boundaries { window.include_boundaries() } else { window }
        },
    )
}

/// Times of ten years around the epoch, thick enough that windows hold several; many are on a border.
fn times() -> impl Strategy<Value = Vec<i64>> {
    let near = -100_000..100_000i64;
    let border = (-200..200i64).prop_map(|n| n * 10_000);
    let far = (-40_000..40_000i64).prop_map(|n| n * HOUR);
    prop::collection::vec(prop_oneof![near, border, far], 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases_or(300), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_without_overlap_are_those_of_polars(
        times in times(),
        cuts in prop::collection::vec(0..20usize, 0..5),
        window in tumblings(),
        zoned in 0..2usize,
        keys in 0..2usize,
        regroup: bool,
    ) {
        let zone = ZONES[zoned];
        // Polars makes room for every window between the first row and the last.
        let short = options(&window).every.duration_ms() < HOUR;
        let times: Vec<i64> = times.iter().map(|time| if short { time % 2_000_000 } else { *time }).collect();
        let keys: Vec<Expr> = [col("key")].into_iter().take(keys).collect();
        let plan = source(zone).group_by_dynamic(&col("time"), &keys, &window, &aggs(regroup)).unwrap();
        let less = |frame: DataFrame| if closes_both(&window) { without_first(frame, &times, keys.len()) } else { frame };
        let ours = sorted(less(streamed(&plan, zone, &batches(&times, &cuts))));
        let theirs = sorted(less(polars(&times, zone, &window, &keys, aggs(regroup))));
        prop_assert!(ours.equals_missing(&theirs), "{:?}\nours {ours}\npolars {theirs}", window);
        prop_assert_eq!(ours.schema(), theirs.schema());
    }

    /// In a time zone Polars' windows of hours depend on which row is the first, but not those of days and longer.
    #[test]
    fn windows_of_the_calendar_are_those_of_polars_in_any_time_zone(
        times in prop::collection::vec((-400..400i64).prop_map(|n| n * 7 * HOUR / 3), 1..40),
        window in (prop::sample::select(vec!["1d", "1w", "1mo", "1q"]), closed(), label()),
        offset in 0..5i64,
        zone in 0..ZONES.len(),
    ) {
        let (every, closed, label) = window;
        let window = tumbling(every).offset(&format!("{offset}d")).closed(closed).label(label).include_boundaries();
        let times: Vec<i64> = times.iter().map(|time| 1_700_000_000_000 + time).collect();
        let plan = source(ZONES[zone]).group_by_dynamic(&col("time"), &[], &window, &aggs(false)).unwrap();
        let ours = sorted(streamed(&plan, ZONES[zone], &batches(&times, &[7, 9])));
        let theirs = sorted(polars(&times, ZONES[zone], &window, &[], aggs(false)));
        prop_assert!(ours.equals_missing(&theirs), "{:?} {:?}\nours {ours}\npolars {theirs}", window, ZONES[zone]);
    }

    /// Polars leaves out windows that start before the first row's own, which a stream cannot: a row that comes later may be
    /// older. A first row in front of all others, with all windows that matter behind it, makes the two the same.
    #[test]
    fn overlapping_windows_are_those_of_polars(
        times in times(),
        window in prop::sample::select(vec![("30s", "10s"), ("25s", "10s"), ("3h", "1h"), ("1d", "7h"), ("3mo", "1mo"), ("10d", "1w"), ("1mo", "1d")]),
        chosen in (closed(), label(), 0..5_000i64),
        regroup: bool,
    ) {
        let ((period, every), (closed, label, offset)) = (window, chosen);
        let window = hopping(period, every).offset(&format!("{offset}ms")).closed(closed).label(label).include_boundaries();
        let first = -41 * HOUR - 3 * options(&window).period.duration_ms();
        let times: Vec<i64> = [first].into_iter().chain(times.iter().map(|time| time % (40 * HOUR))).collect();
        let plan = source(None).group_by_dynamic(&col("time"), &[], &window, &aggs(regroup)).unwrap();
        let later = |frame: DataFrame| {
            let frame = frame.lazy().filter(col("_lower_boundary").cast(DataType::Int64).gt(lit(first)));
            frame.sort(["_lower_boundary"], SortMultipleOptions::default()).collect().unwrap()
        };
        let ours = later(streamed(&plan, None, &batches(&times, &[5, 20])));
        let theirs = later(polars(&times, None, &window, &[], aggs(regroup)));
        prop_assert!(ours.equals_missing(&theirs), "{:?}\nours {ours}\npolars {theirs}", window);
    }

    #[test]
    fn windows_of_hours_in_a_time_zone_are_those_that_polars_gives_a_row_alone(
        time in (0..20_000i64).prop_map(|n| 1_700_000_000_000 + n * HOUR * 3 / 2),
        every in prop::sample::select(vec!["1h", "6h", "30m", "12h"]),
        zone in 2..ZONES.len(),
    ) {
        let window = tumbling(every).include_boundaries();
        let plan = source(ZONES[zone]).group_by_dynamic(&col("time"), &[], &window, &aggs(false)).unwrap();
        let ours = streamed(&plan, ZONES[zone], &[vec![time]]);
        // On a day when the clocks change, Polars' depend on which row is the first.
        let bound = |name: &str| ours.column(name).unwrap().to_physical_repr().i64().unwrap().get(0).unwrap();
        let length = bound("_upper_boundary") - bound("_lower_boundary");
        prop_assume!(length == options(&window).every.duration_ms());
        let theirs = polars(&[time], ZONES[zone], &window, &[], aggs(false));
        prop_assert!(ours.equals_missing(&theirs), "{:?} {:?}\nours {ours}\npolars {theirs}", window, ZONES[zone]);
    }
}

/// The windows that are final after rows with these times, in one partition and one batch a row.
fn finals(window: &Window, delay: &str, times: &[i64]) -> Vec<(i64, u32)> {
    let marked = source(None).with_watermark("time", delay).unwrap();
    let plan = marked.group_by_dynamic(&col("time"), &[], window, &[len().alias("n")]).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline =
        Pipeline::new(&plan, std::slice::from_ref(rows(&[], None).schema()), Mode::Stream, &clock).unwrap();
    pipeline.append();
    let mut all = Vec::new();
    for time in times {
        let part = PartitionRows { partition: 0.into(), rows: rows(&[*time], None), newest_ms: None };
        let given = pipeline.execute(vec![part]).unwrap().changes.rows;
        let starts = given.column("time").unwrap().to_physical_repr().i64().unwrap().clone();
        let counts = given.column("n").unwrap().u32().unwrap().clone();
        all.extend(starts.iter().zip(counts.iter()).map(|(start, n)| (start.unwrap(), n.unwrap())));
    }
    all
}

#[test]
fn a_window_that_holds_its_end_waits_for_the_watermark_to_pass_it() {
    let right = tumbling("10ms").closed(ClosedWindow::Right);
    assert!(finals(&right, "1ms", &[5, 10, 11]).is_empty(), "a row of the time 10 may still come");
    assert_eq!(finals(&right, "1ms", &[5, 10, 11, 10, 12]), [(0, 3)]);
    let left = tumbling("10ms");
    assert_eq!(finals(&left, "1ms", &[5, 10, 11]), [(0, 1)]);
    assert_eq!(finals(&tumbling("10ms").closed(ClosedWindow::Both), "1ms", &[10, 12, 25]), [(0, 1), (10, 2)]);
}

#[test]
fn a_window_is_closed_under_the_name_it_has() {
    let named = |label| tumbling("10ms").offset("3ms").label(label);
    assert_eq!(finals(&named(Label::Left), "1ms", &[5, 7, 20]), [(3, 2)]);
    assert_eq!(finals(&named(Label::Right), "1ms", &[5, 7, 20]), [(13, 2)]);
    assert_eq!(finals(&named(Label::DataPoint), "1ms", &[7, 5, 20]), [(5, 2)]);
}

#[test]
fn windows_of_windows_wait_for_the_windows_they_are_made_of() {
    let marked = source(None).with_watermark("time", "1ms").unwrap();
    let outer = marked.group_by_dynamic(&col("time"), &[], &tumbling("100ms"), &[len().alias("n")]).unwrap();
    let plan = outer.group_by_dynamic(&col("time"), &[], &tumbling("10ms"), &[col("n").sum()]).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let mut pipeline =
        Pipeline::new(&plan, std::slice::from_ref(rows(&[], None).schema()), Mode::Stream, &clock).unwrap();
    pipeline.append();
    let (mut given, mut late) = (Vec::new(), 0);
    for time in [5, 50, 60, 101, 150, 202, 350] {
        let part = PartitionRows { partition: 0.into(), rows: rows(&[time], None), newest_ms: None };
        let output = pipeline.execute(vec![part]).unwrap();
        late += output.late;
        given.extend(output.changes.rows.column("n").unwrap().u32().unwrap().iter().map(Option::unwrap));
    }
    assert_eq!(late, 0, "the row of a window that is still open is not late, however far back the window begins");
    assert_eq!(given, [3, 2, 1], "each window of ten milliseconds has the sum of the whole window in it, once");
}

#[test]
fn windows_that_depend_on_the_first_row_are_refused() {
    let refused = |zone, window: &Window| match source(zone).group_by_dynamic(&col("time"), &[], window, &[len()]) {
        Err(error) => error.to_string(),
        Ok(plan) => panic!("{}", plan.explain()),
    };
    let berlin = Some("Europe/Berlin");
    assert!(refused(None, &tumbling("1mo").offset("-1d")).contains("less than 28 days"));
    assert!(refused(None, &tumbling("1d").offset("1mo")).contains("no fixed length"));
    assert!(refused(berlin, &tumbling("1d").offset("6h")).contains("not the same hours"));
    assert!(refused(berlin, &tumbling("6h").offset("1d")).contains("no fixed length"));
    assert!(refused(berlin, &session("1d")).contains("Write hours"));
    assert!(refused(None, &tumbling("1d12h")).contains("cannot be mixed"));
    assert!(refused(None, &tumbling("1us")).contains("shorter than a step"));
    assert!(refused(None, &session("5m").label(Label::Right)).contains("session"));
    assert!(refused(None, &tumbling("10s").offset("soon")).contains("not a duration"));
}

#[test]
fn a_windows_options_are_in_the_plans_words() {
    let window = tumbling("1d").offset("6h").closed(ClosedWindow::Right).label(Label::Right).include_boundaries();
    let plan = source(None).group_by_dynamic(&col("time"), &[], &window, &[len().alias("n")]).unwrap();
    let words = "tumbling(\"1d\").offset(\"6h\").closed(Right).label(Right).include_boundaries()";
    assert!(plan.explain().contains(words), "{}", plan.explain());
    assert_eq!(plan.title(), "rows, every 1d");
}
