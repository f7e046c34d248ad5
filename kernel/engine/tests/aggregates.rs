//! Aggregates that are merged although they need more than a few numbers a group: they give what Polars gives, whatever the
//! values, the cut into batches and the restarts; the approximate ones are as near as they say.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{
    Clock, LiveResult, ManualClock, Mode, PartitionRows, PhysicalPlan, Pipeline, QuantileSketch, Status,
    approx_quantile,
};
use plan::{Plan, tumbling};
use polars::prelude::*;
use proptest::prelude::*;

use common::cases_or;
use common::states::States;

const METHODS: [QuantileMethod; 6] = [
    QuantileMethod::Nearest,
    QuantileMethod::Lower,
    QuantileMethod::Higher,
    QuantileMethod::Midpoint,
    QuantileMethod::Linear,
    QuantileMethod::Equiprobable,
];

#[derive(Clone, Debug)]
struct Row {
    partition: i32,
    time: i64,
    key: u8,
    whole: Option<i64>,
    large: Option<u64>,
    float: Option<f64>,
    text: Option<String>,
    flag: Option<bool>,
    cents: Option<i64>,
}

fn row() -> impl Strategy<Value = Row> {
    let whole = prop_oneof![8 => (-20..20i64).prop_map(Some), 1 => Just(None), 1 => Just(Some(i64::MIN)), 1 => Just(Some(i64::MAX))];
    let large = prop_oneof![8 => (0..9u64).prop_map(Some), 1 => Just(None), 1 => Just(Some(u64::MAX))];
    let float = prop_oneof![
        6 => (-9..9i8).prop_map(|n| Some(f64::from(n) / 4.0)), 1 => Just(None), 1 => Just(Some(f64::NAN)), 1 => Just(Some(-0.0)),
        1 => Just(Some(f64::INFINITY)), 1 => Just(Some(f64::NEG_INFINITY)), 1 => Just(Some(5e-324)), 1 => (-1e300..1e300).prop_map(Some),
    ];
    let text = prop_oneof![4 => "[ab]{0,2}".prop_map(Some), 1 => Just(None), 1 => "[a-c]{15,19}".prop_map(Some)];
    let flag = prop_oneof![3 => Just(Some(true)), 3 => Just(Some(false)), 1 => Just(None)];
    let cents = prop_oneof![8 => (-500..500i64).prop_map(Some), 1 => Just(None), 1 => Just(Some(i64::MAX))];
    let scalars = (0..3i32, -30_000..60_000i64, 0..3u8, whole, large);
    (scalars, float, text, flag, cents).prop_map(|((partition, time, key, whole, large), float, text, flag, cents)| {
        Row { partition, time, key, whole, large, float, text, flag, cents }
    })
}

fn frame(rows: &[Row]) -> DataFrame {
    let frame = df![
        "time" => rows.iter().map(|r| r.time).collect::<Vec<_>>(),
        "key" => rows.iter().map(|r| u32::from(r.key)).collect::<Vec<_>>(),
        "whole" => rows.iter().map(|r| r.whole).collect::<Vec<_>>(),
        "large" => rows.iter().map(|r| r.large).collect::<Vec<_>>(),
        "float" => rows.iter().map(|r| r.float).collect::<Vec<_>>(),
        "text" => rows.iter().map(|r| r.text.clone()).collect::<Vec<_>>(),
        "flag" => rows.iter().map(|r| r.flag).collect::<Vec<_>>(),
        "cents" => rows.iter().map(|r| r.cents).collect::<Vec<_>>(),
    ];
    let cents: Int128Chunked = rows.iter().map(|r| r.cents.map(i128::from)).collect();
    let mut frame = frame.unwrap();
    frame.with_column(cents.with_name("cents".into()).into_decimal(38, 2).unwrap().into_series().into()).unwrap();
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    let single = col("float").cast(DataType::Float32).alias("single");
    let frame = frame.lazy().with_columns([time.clone(), time.alias("seen"), single]);
    frame.with_columns([col("seen").cast(DataType::Date).alias("day")]).collect().unwrap()
}

fn all_columns() -> [&'static str; 9] {
    ["whole", "large", "float", "single", "text", "flag", "cents", "seen", "day"]
}

fn positive() -> Expr {
    col("whole").gt(lit(0))
}

/// What follows Polars to the letter.
fn exact() -> Vec<Expr> {
    let mut exprs = vec![len().alias("n")];
    let mut add = |name: String, expr: Expr| exprs.push(expr.alias(name));
    for column in all_columns() {
        let of = || col(column);
        add(format!("{column} first"), of().first());
        add(format!("{column} last"), of().last());
        add(format!("{column} first known"), of().first_non_null());
        add(format!("{column} last known"), of().last_non_null());
        add(format!("{column} first positive"), of().filter(positive()).first());
        add(format!("{column} last positive"), of().filter(positive()).last());
        add(format!("{column} different"), of().n_unique());
        add(format!("{column} different positive"), of().filter(positive()).n_unique());
        add(format!("{column} unique"), of().unique().len());
        add(format!("{column} unique known"), of().unique().count());
        add(format!("{column} known"), of().drop_nulls().len());
        add(format!("{column} different known"), of().drop_nulls().n_unique());
        add(format!("{column} nulls"), of().null_count());
        add(format!("{column} has nulls"), of().has_nulls());
        add(format!("{column} largest"), of().top_k(lit(3)));
        add(format!("{column} smallest"), of().bottom_k(lit(2)));
        add(format!("{column} largest positive"), of().filter(positive()).top_k(lit(2)));
        if !["text", "flag"].contains(&column) {
            add(format!("{column} median"), of().median());
            for method in METHODS {
                add(format!("{column} {method:?}"), of().quantile(lit(0.3), method));
            }
            add(format!("{column} positive ninth"), of().filter(positive()).quantile(lit(0.9), QuantileMethod::Linear));
        }
    }
    add("flag median".to_owned(), col("flag").median());
    for ignore_nulls in [true, false] {
        for (name, flag) in [("flag", col("flag")), ("positive", positive()), ("some", col("flag").filter(positive()))]
        {
            add(format!("any {name} {ignore_nulls}"), flag.clone().any(ignore_nulls));
            add(format!("all {name} {ignore_nulls}"), flag.all(ignore_nulls));
        }
    }
    add("spread".to_owned(), col("whole").last() - col("whole").first());
    add("most are different".to_owned(), (col("text").n_unique() * lit(2)).gt(len()));
    exprs
}

/// A plan as it runs, in words.
fn runs(plan: &Plan) -> String {
    PhysicalPlan::of(plan).explain()
}

fn source() -> Plan {
    Plan::source("memory rows", frame(&[]).schema().clone())
}

fn grouped(aggs: &[Expr], windowed: bool) -> Plan {
    let plan = if windowed {
        source().group_by_dynamic(&col("time"), &[col("key")], &tumbling("10s"), aggs)
    } else {
        source().group_by(&[col("key")], aggs)
    };
    plan.unwrap()
}

/// Polars over all rows at once, in the order of time, partition and offset.
fn reference(rows: &[Row], aggs: &[Expr], windowed: bool) -> DataFrame {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.partition);
    let rows = frame(&rows).lazy();
    let grouped = if windowed {
        let every = Duration::parse("10s");
        let options =
            DynamicGroupOptions { every, period: every, offset: Duration::parse("0ns"), ..Default::default() };
        let in_order = rows.sort(["time"], SortMultipleOptions::default().with_maintain_order(true));
        in_order.group_by_dynamic(col("time"), [col("key")], options).agg(aggs)
    } else {
        rows.group_by([col("key")]).agg(aggs)
    };
    sorted(grouped.collect().unwrap(), windowed)
}

fn sorted(frame: DataFrame, windowed: bool) -> DataFrame {
    let by: &[&str] = if windowed { &["key", "time"] } else { &["key"] };
    frame.sort(by.iter().copied(), SortMultipleOptions::default()).unwrap()
}

/// Runs a plan over the rows in batches; before the batches that are named it is restarted with its state.
fn streamed(plan: &Plan, rows: &[Row], cuts: &[usize], restarts: &[usize]) -> DataFrame {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let begin = || Pipeline::new(plan, std::slice::from_ref(frame(&[]).schema()), Mode::Stream, &clock).unwrap();
    let (mut pipeline, mut states) = (begin(), States::default());
    pipeline.assign(&(0..3).map(|partition| (partition, 0)).collect());
    let result = LiveResult::new(plan.schema().clone(), Status::default());
    let mut rest = rows;
    for number in 0..=cuts.len() {
        let (batch, after) = rest.split_at(cuts.get(number).map_or(rest.len(), |cut| (*cut).min(rest.len())));
        rest = after;
        if restarts.contains(&number) {
            states.keep(&mut pipeline).unwrap();
            pipeline = begin();
            states.restore(&mut pipeline).unwrap();
        }
        let mut parts: BTreeMap<i32, Vec<Row>> = BTreeMap::new();
        batch.iter().for_each(|row| parts.entry(row.partition).or_default().push(row.clone()));
        let parts = parts.into_iter().map(|(partition, rows)| PartitionRows {
            partition: partition.into(),
            rows: frame(&rows),
            newest_ms: None,
        });
        let output = pipeline.execute(parts.collect()).unwrap();
        result.apply(&output.changes, |_| {}).unwrap();
    }
    result.frame()
}

/// Every value in words. Lists have no order, zero no sign, and floats are known to nine digits.
fn words(column: &Column) -> Vec<Vec<Option<String>>> {
    let digits = if *column.dtype() == DataType::Float32 { 5 } else { 9 };
    let of = |series: &Series| -> Vec<Option<String>> {
        if series.dtype().is_float() {
            let float = series.cast(&DataType::Float64).unwrap();
            let word = |value: f64| match value {
                value if value.is_nan() => "NaN".to_owned(),
                value => format!("{:.digits$e}", value + 0.0),
            };
            return float.f64().unwrap().iter().map(|value| value.map(word)).collect();
        }
        let text = series.cast(&DataType::String).unwrap();
        text.str().unwrap().iter().map(|value| value.map(str::to_owned)).collect()
    };
    let series = column.as_materialized_series();
    let Ok(lists) = series.list() else { return of(series).into_iter().map(|word| vec![word]).collect() };
    let list = |list: Option<Series>| {
        let mut words = list.as_ref().map(&of).unwrap_or_default();
        words.sort();
        words
    };
    (0..lists.len()).map(|row| list(lists.get_as_series(row))).collect()
}

fn assert_same(ours: &DataFrame, polars: &DataFrame) {
    assert_eq!(ours.schema(), polars.schema());
    for (a, b) in ours.columns().iter().zip(polars.columns()) {
        assert_eq!(words(a), words(b), "{}", a.name());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases_or(300) / 2, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_any_values_gives_what_polars_gives(
        rows in prop::collection::vec(row(), 1..60),
        cuts in prop::collection::vec(0..20usize, 0..8),
        restarts in prop::collection::vec(0..8usize, 0..3),
        windowed: bool,
    ) {
        let plan = grouped(&exact(), windowed);
        assert!(!runs(&plan).contains("KEEPING ROWS"), "{}", runs(&plan));
        let ours = streamed(&plan, &rows, &cuts, &restarts);
        assert_same(&sorted(ours, windowed), &reference(&rows, &exact(), windowed));
    }

    #[test]
    fn a_sketch_is_never_further_off_than_it_says(
        values in prop::collection::vec(any::<f64>(), 1..200),
        q in 0.0..=1.0f64,
    ) {
        let mut sketch = QuantileSketch::default();
        values.iter().for_each(|value| sketch.add(*value));
        let exact = Series::new("x".into(), &values).quantile_reduce(q, QuantileMethod::Lower).unwrap();
        let (exact, about) = (exact.value().extract::<f64>().unwrap(), sketch.quantile(q).unwrap());
        let near = about == exact
            || (about.is_nan() && exact.is_nan())
            || (about - exact).abs() <= 0.01 * exact.abs()
            || (about == 0.0 && exact.abs() < f64::MIN_POSITIVE);
        prop_assert!(near, "{} for {}", about, exact);
    }

    #[test]
    fn a_sketch_does_not_depend_on_the_cut(
        rows in prop::collection::vec(row(), 1..60),
        cuts in prop::collection::vec(0..20usize, 0..8),
        restarts in prop::collection::vec(0..8usize, 0..3),
        windowed: bool,
    ) {
        let aggs = [
            approx_quantile(col("float"), 0.5).alias("middle"),
            approx_quantile(col("float"), 0.99).alias("top"),
            approx_quantile(col("cents").filter(positive()), 0.1).alias("cents"),
            approx_quantile(col("single") * lit(2.0), 0.0).alias("least"),
            approx_quantile(col("flag"), 0.5).alias("flag"),
            col("text").approx_n_unique().alias("texts"),
            col("cents").filter(positive()).approx_n_unique().alias("prices"),
            col("float").approx_n_unique().alias("floats"),
        ];
        let plan = grouped(&aggs, windowed);
        assert!(!runs(&plan).contains("KEEPING"), "{}", runs(&plan));
        let ours = sorted(streamed(&plan, &rows, &cuts, &restarts), windowed);
        let whole = sorted(streamed(&plan, &rows, &[], &[]), windowed);
        assert!(ours.equals_missing(&whole) || words_of(&ours) == words_of(&whole), "{ours}\n{whole}");
        // Few values are counted to the last one.
        let exactly = [
            approx_quantile(col("float"), 0.5).alias("middle"),
            approx_quantile(col("float"), 0.99).alias("top"),
            approx_quantile(col("cents").filter(positive()), 0.1).alias("cents"),
            approx_quantile(col("single") * lit(2.0), 0.0).alias("least"),
            approx_quantile(col("flag"), 0.5).alias("flag"),
            col("text").n_unique().alias("texts"),
            col("cents").filter(positive()).n_unique().alias("prices"),
            col("float").n_unique().alias("floats"),
        ];
        assert_same(&ours, &reference(&rows, &exactly, windowed));
    }
}

fn words_of(frame: &DataFrame) -> Vec<Vec<Vec<Option<String>>>> {
    frame.columns().iter().map(words).collect()
}

/// Rows of one key with these numbers.
fn numbers(values: impl Iterator<Item = i64>) -> Vec<Row> {
    let row = |(n, whole): (usize, i64)| Row {
        partition: (n % 3) as i32,
        time: 0,
        key: 0,
        whole: Some(whole),
        large: None,
        float: Some(whole as f64),
        text: Some(format!("text {whole}")),
        flag: None,
        cents: None,
    };
    values.enumerate().map(row).collect()
}

#[test]
fn many_different_values_are_counted_to_a_few_standard_errors() {
    let aggs = [
        col("whole").approx_n_unique().alias("whole"),
        col("text").approx_n_unique().alias("text"),
        col("flag").approx_n_unique().alias("nothing"),
    ];
    let plan = grouped(&aggs, false);
    for many in [1_000_i64, 1_500, 20_000, 150_000] {
        // Each twice, in another order.
        let rows = numbers((0..many).chain((0..many).rev()));
        let ours = streamed(&plan, &rows, &[777, 10_000], &[2]);
        for (column, most) in [("whole", 0.0), ("text", 0.0)].map(|(c, _)| (c, if many <= 1024 { 0.0 } else { 0.032 }))
        {
            let count = f64::from(ours.column(column).unwrap().u32().unwrap().get(0).unwrap());
            let off = (count - many as f64).abs() / many as f64;
            assert!(off <= most, "{column}: {count} for {many}");
        }
        assert_eq!(ours.column("nothing").unwrap().u32().unwrap().get(0), Some(1), "nulls are one value");
        assert!(ours.equals(&streamed(&plan, &rows, &[], &[])), "the cut does not matter");
    }
}

#[test]
fn a_group_of_many_values_has_the_quantiles_that_polars_finds() {
    let rows = numbers((0..40_000).map(|n| n * 7919 % 40_009 - 20_000));
    let quantile = |q: f64, method| col("float").quantile(lit(q), method);
    let aggs: Vec<Expr> = METHODS
        .into_iter()
        .flat_map(|method| [0.0, 0.013, 0.5, 0.99, 1.0].map(|q| quantile(q, method).alias(format!("{q} {method:?}"))))
        .chain([col("whole").median().alias("median"), col("whole").top_k(lit(5)).alias("largest")])
        .collect();
    let cuts: Vec<usize> = (0..60).map(|n| 1 << (n % 10)).collect();
    let ours = streamed(&grouped(&aggs, false), &rows, &cuts, &[7, 33]);
    assert_same(&ours, &reference(&rows, &aggs, false));
}

#[test]
fn what_stands_for_other_values_than_the_rows_is_left_to_polars() {
    let aggs = [
        col("whole").head(Some(2)).len().alias("two"),
        lit(5).sum().alias("literal"),
        col("whole").top_k(lit(3)).sum().alias("sum of three"),
        (col("whole").filter(positive()).n_unique()
            + col("float").explode(ExplodeOptions { empty_as_null: true, keep_nulls: true }).len())
        .alias("both"),
    ];
    let rows = numbers(0..30);
    for agg in &aggs {
        let plan = grouped(std::slice::from_ref(agg), false);
        assert!(runs(&plan).contains("KEEPING ROWS, AT MOST 2 GiB, BECAUSE"), "{}", runs(&plan));
        let ours = streamed(&plan, &rows, &[7, 7], &[1]);
        assert_same(&ours, &reference(&rows, std::slice::from_ref(agg), false));
    }
}

#[test]
fn a_plan_says_what_it_keeps_and_how_far_it_may_be_off() {
    let explain = |aggs: &[Expr]| runs(&grouped(aggs, false));
    let values = explain(&[col("whole").median(), col("text").n_unique()]);
    assert!(values.contains("KEEPING VALUES OF [col(\"whole\"), col(\"text\")], AT MOST 2 GiB"), "{values}");
    let about = explain(&[col("text").approx_n_unique(), approx_quantile(col("float"), 0.99)]);
    assert!(
        about.contains(
            "APPROXIMATE: n_unique OF col(\"text\") TO 0.8 % (STANDARD ERROR), QUANTILES OF col(\"float\") TO 1 %"
        ),
        "{about}"
    );
    assert!(about.contains("approx_quantile([dyn float: 0.99])"), "{about}");
    let plain = explain(&[col("whole").first(), col("large").sum(), col("flag").any(true)]);
    assert!(!plain.contains("KEEPING") && !plain.contains("APPROXIMATE"), "{plain}");
}

#[test]
fn a_quantile_that_cannot_be_is_refused_when_the_frame_is_made() {
    let refused = |expr: Expr| source().group_by(&[col("key")], &[expr]).unwrap_err().to_string();
    assert!(refused(approx_quantile(col("float"), 1.5)).contains("1.5 is no quantile"));
    assert!(refused(approx_quantile(col("text"), 0.5)).contains("a number is needed"));
}
