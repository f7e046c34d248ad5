//! Rows and the records they become.

#![allow(clippy::unwrap_used)]

use polars::prelude::*;

use super::*;

/// Keys and values of all rows, as text.
fn records(rows: &DataFrame, key: &[&str]) -> Vec<(Option<String>, String)> {
    let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
    check(rows.schema(), &key).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut records = Vec::new();
    each(rows, &key, |key, value| {
        records.push((key.map(text), text(value)));
        Ok::<(), ()>(())
    })
    .unwrap();
    records
}

/// What a column named "x" becomes.
fn written(column: Column, expect: &[&str]) {
    let rows = DataFrame::new_infer_height(vec![column.with_name("x".into())]).unwrap();
    let expect: Vec<(Option<String>, String)> = expect.iter().map(|x| (None, format!("{{\"x\":{x}}}"))).collect();
    assert_eq!(records(&rows, &[]), expect);
}

fn column<T, Phantom: ?Sized>(values: T) -> Column
where
    Series: NamedFrom<T, Phantom>,
{
    Series::new("x".into(), values).into()
}

#[test]
fn numbers_are_written_with_all_their_digits() {
    written(column([i64::MIN, i64::MAX]), &["-9223372036854775808", "9223372036854775807"]);
    written(column([u64::MAX]), &["18446744073709551615"]);
    written(column([0.1, 1e300, -0.0, 1.0]), &["0.1", "1e+300", "-0.0", "1.0"]);
    written(column([0.1f32]), &["0.1"]);
    written(column([f64::NAN, f64::INFINITY, f64::NEG_INFINITY]), &["null", "null", "null"]);
    written(column([Some(true), None]), &["true", "null"]);
}

#[test]
fn a_decimal_is_a_number_with_all_its_decimals() {
    let decimals = |scale| {
        column([Some(0i128), Some(-5), Some(12_340), None])
            .cast(&DataType::Int128)
            .unwrap()
            .i128()
            .unwrap()
            .clone()
            .into_decimal_unchecked(38, scale)
            .into_column()
    };
    written(decimals(2), &["0.00", "-0.05", "123.40", "null"]);
    written(decimals(0), &["0", "-5", "12340", "null"]);
}

#[test]
fn times_are_iso_8601() {
    let at = |value: i64, dtype: DataType| column([Some(value), None]).cast(&dtype).unwrap();
    let utc = Some(TimeZone::UTC);
    written(
        at(1_767_323_045_678, DataType::Datetime(TimeUnit::Milliseconds, utc.clone())),
        &["\"2026-01-02T03:04:05.678Z\"", "null"],
    );
    written(
        at(1_767_323_045_000_001, DataType::Datetime(TimeUnit::Microseconds, None)),
        &["\"2026-01-02T03:04:05.000001Z\"", "null"],
    );
    written(at(-1, DataType::Datetime(TimeUnit::Nanoseconds, utc)), &["\"1969-12-31T23:59:59.999999999Z\"", "null"]);
    written(column([20_455i32]).cast(&DataType::Date).unwrap(), &["\"2026-01-02\""]);
    written(at(1_500, DataType::Duration(TimeUnit::Milliseconds)), &["\"PT1.5S\"", "null"]);
    written(at(3_723_000_000_000, DataType::Time), &["\"01:02:03\"", "null"]);
}

#[test]
fn texts_are_escaped_and_nested_values_are_json() {
    written(column(["a\"b\\c\n\u{1}é"]), &[r#""a\"b\\c\n\u0001é""#]);
    let list = column([column([1i32, 2]).take_materialized_series(), column([0i32; 0]).take_materialized_series()]);
    written(list, &["[1,2]", "[]"]);
    let fields = [
        column(["u"]).with_name("a".into()),
        column([86_400_000i64]).with_name("b".into()).cast(&DataType::Datetime(TimeUnit::Milliseconds, None)).unwrap(),
    ];
    let nested = StructChunked::from_columns("x".into(), 1, &fields).unwrap().into_column();
    written(nested, &[r#"{"a":"u","b":"1970-01-02T00:00:00.000Z"}"#]);
}

#[test]
fn a_key_is_the_text_of_one_column_or_an_object_of_several() {
    let rows = df!("a" => [Some("q\"x"), None], "b" => [1i64, 2], "t" => [0i64, 1]).unwrap();
    let keys = |key: &[&str]| records(&rows, key).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    assert_eq!(keys(&[]), [None, None]);
    assert_eq!(keys(&["a"]), [Some("q\"x".to_owned()), None]);
    assert_eq!(keys(&["b"]), [Some("1".to_owned()), Some("2".to_owned())]);
    let expect = [r#"{"b":1,"a":"q\"x"}"#, r#"{"b":2,"a":null}"#];
    assert_eq!(keys(&["b", "a"]), expect.map(|key| Some(key.to_owned())));
    let mut rows = rows;
    let time = rows.column("t").unwrap().cast(&DataType::Datetime(TimeUnit::Milliseconds, None)).unwrap();
    rows.with_column(time).unwrap();
    assert_eq!(records(&rows, &["t"])[0].0.as_deref(), Some("1970-01-01T00:00:00.000Z"));
}

#[test]
fn rows_in_several_chunks_keep_their_order() {
    let mut rows = df!("x" => [1i64, 2]).unwrap();
    rows.vstack_mut(&df!("x" => [3i64]).unwrap()).unwrap();
    let values: Vec<String> = records(&rows, &[]).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [r#"{"x":1}"#, r#"{"x":2}"#, r#"{"x":3}"#]);
}

#[test]
fn what_cannot_be_a_record_is_told_by_its_column() {
    let rows = df!("x" => [b"bytes".as_slice()]).unwrap();
    let error = check(rows.schema(), &[]).unwrap_err();
    assert_eq!(error.fact, "the column \"x\" cannot be written as JSON");
    let error = check(rows.schema(), &["y".to_owned()]).unwrap_err();
    assert_eq!(error.detail, "the result has no column \"y\"; it has \"x\"");
    assert!(!error.retry);
}
