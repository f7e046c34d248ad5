//! Rows are left out before columns grow exactly where Polars' filter would drop them.
#![allow(clippy::unwrap_used, missing_docs)]

use connectors::{Format, Json, Rows};
use engine::RowFilter;
use polars::prelude::*;
use proptest::prelude::*;

fn schema() -> Schema {
    let field = |(name, dtype): (&str, DataType)| Field::new(name.into(), dtype);
    let fields = [
        ("text", DataType::String),
        ("long", DataType::Int64),
        ("short", DataType::Int32),
        ("positive", DataType::UInt32),
        ("float", DataType::Float64),
        ("single", DataType::Float32),
        ("money", DataType::Decimal(38, 2)),
        ("yes", DataType::Boolean),
        ("time", DataType::Datetime(TimeUnit::Milliseconds, None)),
    ];
    Schema::from_iter(fields.map(field))
}

const LARGE: [i64; 8] =
    [0, i64::MAX, i64::MIN, (1 << 53) + 1, 1 << 53, i32::MAX as i64, i32::MIN as i64, u32::MAX as i64];

fn whole() -> impl Strategy<Value = i64> {
    prop_oneof![6 => -3..4i64, 1 => prop::sample::select(&LARGE[..])]
}

fn float() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-6..7i32).prop_map(|n| f64::from(n) / 2.0),
        1 => prop::sample::select(&[-0.0, 1e300, -1e300, 9_007_199_254_740_993.0, 0.1][..]),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(&["", "a", "ab", "b", "é", "\"", "\u{7f}\n", "1"][..]).prop_map(str::to_owned)
}

fn record() -> impl Strategy<Value = String> {
    let some = |value: BoxedStrategy<String>| prop_oneof![5 => value.prop_map(Some), 1 => Just(None)];
    let json = |value: serde_json::Value| value.to_string();
    let fields = (
        some(text().prop_map(move |text| json(text.into())).boxed()),
        some(whole().prop_map(|n| n.to_string()).boxed()),
        some((-3..4i32).prop_map(|n| n.to_string()).boxed()),
        some((0..4u32).prop_map(|n| n.to_string()).boxed()),
        some(float().prop_map(|n| format!("{n:?}")).boxed()),
        some(float().prop_map(|n| format!("{n:?}")).boxed()),
        some((-300..300i64).prop_map(|n| format!("{:.2}", n as f64 / 100.0)).boxed()),
        some(any::<bool>().prop_map(|yes| yes.to_string()).boxed()),
        some((-3..4i64).prop_map(|n| n.to_string()).boxed()),
    );
    fields.prop_map(|(a, b, c, d, e, f, g, h, i)| {
        let names = schema().iter_names().cloned().collect::<Vec<_>>();
        let pairs = names.iter().zip([a, b, c, d, e, f, g, h, i]);
        let pairs: Vec<String> = pairs.filter_map(|(name, value)| Some(format!("\"{name}\":{}", value?))).collect();
        format!("{{{}}}", pairs.join(","))
    })
}

fn predicate() -> impl Strategy<Value = Expr> {
    let numbers = prop::sample::select(&["long", "short", "positive", "float", "single", "money"][..]);
    let literal = prop_oneof![
        whole().prop_map(lit),
        whole().prop_map(|n| lit(Scalar::from(n))),
        float().prop_map(lit),
        float().prop_map(|n| lit(Scalar::from(n))),
        Just(lit(f64::NAN)),
    ];
    let compared = (numbers, literal, 0..6u8, any::<bool>()).prop_map(|(name, value, operator, turned)| {
        let (left, right) = if turned { (value, col(name)) } else { (col(name), value) };
        compare(left, right, operator)
    });
    let texts = (text(), 0..6u8).prop_map(|(text, operator)| compare(col("text"), lit(text), operator));
    let list = |values: Series| lit(values).implode(true);
    let among_texts = prop::collection::vec(prop::option::weighted(0.9, text()), 0..3)
        .prop_map(move |texts| col("text").is_in(list(Series::new("".into(), texts)), false));
    let among_numbers = (prop::sample::select(&["long", "short", "float"][..]), prop::collection::vec(whole(), 0..3))
        .prop_map(move |(name, numbers)| col(name).is_in(list(Series::new("".into(), numbers)), false));
    let names: Vec<&'static str> = vec!["text", "long", "short", "float", "money", "yes", "time"];
    let nulls = (prop::sample::select(names), any::<bool>())
        .prop_map(|(name, is)| if is { col(name).is_null() } else { col(name).is_not_null() });
    let truths =
        prop_oneof![Just(col("yes")), (any::<bool>(), 0..2u8).prop_map(|(yes, o)| compare(col("yes"), lit(yes), o))];
    // What is not known here stays with Polars.
    let unknown = Just((col("short") + lit(1)).gt(col("long")));
    let leaf = prop_oneof![4 => compared, 3 => texts, 2 => among_texts, 1 => among_numbers, 1 => nulls, 1 => truths, 1 => unknown];
    leaf.prop_recursive(3, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a.and(b)),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a.or(b)),
            inner.prop_map(Expr::not),
        ]
    })
}

fn compare(left: Expr, right: Expr, operator: u8) -> Expr {
    match operator {
        0 => left.eq(right),
        1 => left.neq(right),
        2 => left.lt(right),
        3 => left.lt_eq(right),
        4 => left.gt(right),
        _ => left.gt_eq(right),
    }
}

fn decoded(records: &[String], filter: Option<&RowFilter>) -> DataFrame {
    let mut json = Json::new(&schema(), None).unwrap();
    let rows = Rows::new(json.schema().clone()).unwrap();
    let mut rows = filter.into_iter().fold(rows, Rows::with_filter);
    for record in records {
        json.decode(record.as_bytes(), &mut rows).unwrap();
    }
    rows.take().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_row_is_left_out_that_polars_would_keep(
        records in prop::collection::vec(record(), 1..12),
        predicate in predicate(),
        behind: bool,
    ) {
        let all = decoded(&records, None);
        // Polars refuses some comparisons of types; then there is no such plan.
        if let Ok(expected) = all.lazy().filter(predicate.clone()).collect() {
            let one = vec![predicate.clone()];
            let filter = match behind {
                false => RowFilter { passes: one, ..RowFilter::default() },
                true => RowFilter { needed: one, time: Some("time".into()), ..RowFilter::default() },
            };
            let kept = decoded(&records, Some(&filter)).lazy().filter(predicate).collect().unwrap();
            prop_assert!(kept.equals_missing(&expected), "{kept} and {expected}");
        }
    }
}

fn left_out(predicate: Expr, records: &[&str]) -> usize {
    let records: Vec<String> = records.iter().map(ToString::to_string).collect();
    let filter = RowFilter { passes: vec![predicate], ..RowFilter::default() };
    records.len() - decoded(&records, Some(&filter)).height()
}

#[test]
fn what_a_comparison_drops_is_left_out() {
    let records = [r#"{"text":"a","long":1}"#, r#"{"text":"b","long":2}"#, r#"{"long":3}"#, r#"{"text":"\u0061"}"#];
    assert_eq!(left_out(col("text").eq(lit("a")), &records), 2);
    assert_eq!(left_out(col("long").gt(lit(1)), &records), 2);
    assert_eq!(left_out(lit(2).lt_eq(col("long")), &records), 2);
    assert_eq!(left_out(col("text").is_null().or(col("long").is_null()), &records), 2);
    let one_of = |values: Series| lit(values).implode(true);
    assert_eq!(left_out(col("text").is_in(one_of(Series::new("".into(), ["b", "c"])), false), &records), 3);
    assert_eq!(left_out(col("long").is_in(one_of(Series::new("".into(), [1i64, 3])), false), &records), 2);
    let known = col("text").eq(lit("a"));
    assert_eq!(left_out(known.and((col("long") + lit(1)).gt(lit(5))), &records), 2, "what is known of it");
}
