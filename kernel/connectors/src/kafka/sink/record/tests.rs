//! Rows and the records they become.

#![allow(clippy::unwrap_used)]

use polars::prelude::*;

use rdkafka::message::Headers as _;

use super::*;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn keyed(key: &[&str]) -> RecordForm {
    RecordForm { key: names(key), ..RecordForm::default() }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Keys and values of all rows, as text.
fn made(rows: &DataFrame, form: &RecordForm) -> Vec<(Option<String>, Option<String>)> {
    form.check(rows.schema()).unwrap();
    all(&Records::new(form, rows).unwrap())
}

fn all(records: &Records) -> Vec<(Option<String>, Option<String>)> {
    let mut found = Vec::new();
    let take = |record: Record<'_>| {
        found.push((record.key.map(text), record.value.map(text)));
        Ok::<(), ()>(())
    };
    records.each(take).unwrap();
    found
}

/// Keys and values of records with a key of these columns.
fn records(rows: &DataFrame, key: &[&str]) -> Vec<(Option<String>, String)> {
    made(rows, &keyed(key)).into_iter().map(|(key, value)| (key, value.unwrap())).collect()
}

fn values(rows: &DataFrame, value: ValueForm) -> Vec<Option<String>> {
    made(rows, &RecordForm { value, ..RecordForm::default() }).into_iter().map(|(_, value)| value).collect()
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
fn a_value_is_of_the_columns_that_were_named_in_their_order() {
    let rows = df!("a" => [Some("x"), None], "b" => [1i64, 2], "c" => [true, false]).unwrap();
    let some = |value: &str| Some(value.to_owned());
    let json = values(&rows, ValueForm::Json(names(&["c", "a"])));
    assert_eq!(json, [some(r#"{"c":true,"a":"x"}"#), some(r#"{"c":false,"a":null}"#)]);
    assert_eq!(values(&rows, ValueForm::Csv(Vec::new())), [some("x,1,true"), some(",2,false")]);
    assert_eq!(values(&rows, ValueForm::Csv(names(&["b"]))), [some("1"), some("2")]);
}

#[test]
fn a_line_of_csv_quotes_what_must_be_and_tells_nothing_from_null() {
    let rows = df!(
        "a" => [Some("one, two"), Some("\"so\""), Some("a\nb"), Some(""), None],
        "x" => [Some(f64::NAN), Some(f64::NEG_INFINITY), Some(0.5), None, Some(-1e300)],
    );
    let expect = ["\"one, two\",NaN", "\"\"\"so\"\"\",-inf", "\"a\nb\",0.5", "\"\",", ",-1e+300"];
    assert_eq!(values(&rows.unwrap(), ValueForm::Csv(Vec::new())), expect.map(|line| Some(line.to_owned())));
    let mut list = df!("list" => [1i32]).unwrap();
    list.with_column(column([column([1i32, 2]).take_materialized_series()]).with_name("list".into())).unwrap();
    assert_eq!(values(&list, ValueForm::Csv(Vec::new())), [Some("\"[1,2]\"".to_owned())]);
}

#[test]
fn a_raw_value_is_the_column_as_it_is_and_null_is_no_value() {
    let rows = df!("k" => ["1", "2", "3"], "v" => [Some("a \"b\""), Some(""), None]).unwrap();
    let form = RecordForm { value: ValueForm::Raw("v".to_owned()), ..keyed(&["k"]) };
    let expect = [("1", Some("a \"b\"")), ("2", Some("")), ("3", None)];
    let owned = |text: &str| text.to_owned();
    assert_eq!(made(&rows, &form), expect.map(|(key, value)| (Some(owned(key)), value.map(owned))));
    // Without a key a row without a value is no record.
    assert_eq!(values(&rows, ValueForm::Raw("v".to_owned())).len(), 2);
    let bytes = df!("v" => [b"\xff\x00".as_slice()]).unwrap();
    let form = RecordForm { value: ValueForm::Raw("v".to_owned()), ..RecordForm::default() };
    let is_same = |record: Record<'_>| (record.value == Some(b"\xff\x00")).then_some(()).ok_or(());
    assert_eq!(Records::new(&form, &bytes).unwrap().each(is_same), Ok(()));
}

#[test]
fn a_json_key_is_an_object_of_one_column_too() {
    let rows = df!("a" => [Some("x"), None]).unwrap();
    let form = RecordForm { json_key: true, ..keyed(&["a"]) };
    let keys: Vec<String> = made(&rows, &form).into_iter().filter_map(|(key, _)| key).collect();
    assert_eq!(keys, [r#"{"a":"x"}"#, r#"{"a":null}"#]);
}

#[test]
fn headers_times_and_partitions_are_of_the_row() {
    let mut rows =
        df!("a" => [Some("x"), None], "n" => [7i64, 8], "p" => [Some(3i32), None], "t" => [1_500i64, 2]).unwrap();
    let time = rows.column("t").unwrap().cast(&DataType::Datetime(TimeUnit::Microseconds, None)).unwrap();
    rows.with_column(time).unwrap();
    let header = |name: &str, expr: Expr| (name.to_owned(), expr);
    let form = RecordForm {
        headers: vec![header("a", col("a")), header("kind", lit("test")), header("twice", col("n") * lit(2))],
        timestamp: Some("t".to_owned()),
        partition: Some("p".to_owned()),
        ..RecordForm::default()
    };
    form.check(rows.schema()).unwrap();
    let records = Records::new(&form, &rows).unwrap();
    assert_eq!(records.partitions(), Some((3, 3)));
    let mut found = Vec::new();
    let take = |record: Record<'_>| {
        let headers = record.headers.unwrap();
        let headers: Vec<_> =
            headers.iter().map(|header| format!("{}={:?}", header.key, header.value.map(text))).collect();
        found.push((headers.join(" "), record.timestamp_ms, record.partition, record.value.map(text)));
        Ok::<(), ()>(())
    };
    records.each(take).unwrap();
    let expect = [
        ("a=Some(\"x\") kind=Some(\"test\") twice=Some(\"14\")", Some(1), Some(3)),
        ("a=None kind=Some(\"test\") twice=Some(\"16\")", Some(0), None),
    ];
    for ((headers, time, partition, value), expect) in found.iter().zip(expect) {
        assert_eq!((headers.as_str(), *time, *partition), expect);
        assert!(!value.as_ref().unwrap().contains("header"), "{value:?}");
    }
}

#[test]
fn of_a_row_that_left_there_is_the_key_alone() {
    let form = RecordForm {
        headers: vec![("a".to_owned(), col("b"))],
        timestamp: Some("t".to_owned()),
        partition: Some("p".to_owned()),
        ..keyed(&["k"])
    };
    assert_eq!(form.identity(), ["k", "p"]);
    let gone = df!("k" => [Some("x"), None], "p" => [2i32, 3]).unwrap();
    let records = Records::gone(&form, &gone).unwrap();
    assert_eq!(all(&records), [(Some("x".to_owned()), None)]);
    assert_eq!(records.partitions(), Some((2, 3)));
    assert!(RecordForm { partition: Some("p".to_owned()), ..RecordForm::default() }.identity().is_empty());
}

#[test]
fn what_cannot_be_a_record_is_told_by_its_column() {
    let rows = df!("x" => [b"bytes".as_slice()], "n" => [1i64], "f" => [0.5]).unwrap();
    let refused = |form: &RecordForm| {
        let error = form.check(rows.schema()).unwrap_err();
        assert!(!error.retry);
        format!("{}: {}", error.fact, error.detail)
    };
    let n = ValueForm::Json(names(&["n"]));
    let of = |key: &[&str], value: &ValueForm| RecordForm { value: value.clone(), ..keyed(key) };
    let expect = "the records cannot have the value \"x\": the column has the type binary, and JSON has no form for it";
    assert_eq!(refused(&RecordForm::default()), expect);
    assert!(refused(&of(&[], &ValueForm::Csv(Vec::new()))).contains("CSV has no form for it"));
    let expect = "the records cannot have the key \"y\": the result has no column \"y\"; it has \"x\", \"n\", \"f\"";
    assert_eq!(refused(&of(&["y"], &n)), expect);
    assert!(refused(&of(&["n", "n"], &n)).contains("it is named twice"));
    assert!(refused(&of(&["n", "x"], &n)).contains("the key \"x\""));
    assert!(of(&["x"], &n).check(rows.schema()).is_ok(), "bytes alone are a key");
    assert!(refused(&of(&[], &ValueForm::Raw("y".to_owned()))).contains("the value \"y\""));
    let time = RecordForm { timestamp: Some("n".to_owned()), ..of(&[], &n) };
    assert!(refused(&time).contains("the time \"n\": the column has the type i64, and it is no time"));
    let partition = RecordForm { partition: Some("f".to_owned()), ..of(&[], &n) };
    assert!(
        refused(&partition).contains("the partition \"f\": the column has the type f64, and it is no whole number")
    );
    let header = RecordForm { headers: vec![("h".to_owned(), col("y"))], ..of(&[], &n) };
    assert!(refused(&header).contains("the header \"h\""));
}

#[test]
fn a_time_before_kafkas_is_refused() {
    let mut rows = df!("t" => [-1i64]).unwrap();
    let time = rows.column("t").unwrap().cast(&DataType::Datetime(TimeUnit::Milliseconds, None)).unwrap();
    rows.with_column(time).unwrap();
    let form = RecordForm { timestamp: Some("t".to_owned()), ..RecordForm::default() };
    assert!(Records::new(&form, &rows).is_err_and(|error| error.detail.contains("1970")));
}
