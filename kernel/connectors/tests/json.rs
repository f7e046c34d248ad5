//! The decoder against serde_json, which reads the same text in another way, and against bytes that are none.
#![allow(clippy::unwrap_used, missing_docs)]

use connectors::{Format as _, Json, Malformed, Rows};
use polars::prelude::*;
use proptest::prelude::*;

fn utc() -> DataType {
    DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC))
}

fn schema_of(columns: &[(&str, DataType)]) -> Schema {
    columns.iter().map(|(name, dtype)| (PlSmallStr::from(*name), dtype.clone())).collect()
}

/// Decodes one record whose only column is `x`.
fn decode_x(dtype: DataType, value: &str) -> Result<AnyValue<'static>, String> {
    let schema = schema_of(&[("x", dtype)]);
    let mut json = Json::new(&schema, None).unwrap();
    let mut rows = Rows::new(json.schema().clone()).unwrap();
    json.decode(format!("{{\"x\":{value}}}").as_bytes(), &mut rows).map_err(|error| error.to_string())?;
    Ok(rows.take().unwrap().column("x").unwrap().get(0).unwrap().into_static())
}

fn check(dtype: DataType, value: &str, expect: AnyValue<'_>) {
    assert_eq!(decode_x(dtype, value).unwrap(), expect, "{value}");
}

fn refuse(dtype: DataType, value: &str, expect: &str) {
    assert_eq!(decode_x(dtype, value).unwrap_err(), expect, "{value}");
}

#[test]
fn a_time_that_the_calendar_does_not_hold_is_refused() {
    let unit = |unit| DataType::Datetime(unit, None);
    let millis = |value: &str| decode_x(unit(TimeUnit::Milliseconds), value);
    for value in ["1700000000000000000", "9223372036854775807", "-9223372036854775808", "99999999999999999999", "1e30"]
    {
        let refused = millis(value).unwrap_err();
        assert!(refused.starts_with(&format!("time out of range: field \"x\" is the number {value}")), "{refused}");
        assert!(decode_x(DataType::Date, value).unwrap_err().starts_with("time out of range: "));
    }
    assert!(millis("253402300800000").is_err() && millis("253402300799999").is_ok(), "the year 10000");
    assert!(millis("\"9999-12-31T23:59:59-05:00\"").unwrap_err().starts_with("time out of range: "));
    assert!(millis("1.5").unwrap_err().contains("and a time (a whole number since the epoch"));
    let nanos = |value: &str| decode_x(unit(TimeUnit::Nanoseconds), value);
    assert!(nanos("1700000000000000000").is_ok() && nanos("9223372036854775807").is_err());
    assert!(nanos("\"2300-01-01T00:00Z\"").unwrap_err().contains("of the years 1678 to 2261"));
    assert!(decode_x(DataType::Date, "2932896").is_ok() && decode_x(DataType::Date, "2932897").is_err());
}

#[test]
fn fields_that_the_sample_did_not_have_are_named() {
    let sampled = schema_of(&[("a", DataType::Int64), ("b", DataType::Int64)]);
    let mut json = Json::new(&sampled, Some(&["a".to_owned()])).unwrap().sampled(&sampled);
    let mut rows = Rows::new(json.schema().clone()).unwrap();
    let mut of = |record: &str| {
        json.decode(record.as_bytes(), &mut rows).unwrap();
        let mut fields = Vec::new();
        json.each_new_field(&mut |field| fields.push(field.to_owned()));
        fields
    };
    let none: [&str; 0] = [];
    assert_eq!(of(r#"{"a":1,"b":2}"#), none, "b is known, and not wanted");
    assert_eq!(of(r#"{"a":1,"b":2,"c":3,"d\n":{"e":4}}"#), ["c", "d\n"]);
    assert_eq!(of(r#"{"a":1,"b":2,"c":3,"d\n":{"e":4}}"#), ["c", "d\n"], "as the record before");
    assert_eq!(of(r#"{"a":1,"b":2}"#), none);
    assert_eq!(of(r#"{"c":1,"a":2,"b":2}"#), ["c"]);
}

#[test]
fn each_type_takes_what_it_says() {
    check(DataType::Int64, "-9223372036854775808", AnyValue::Int64(i64::MIN));
    check(DataType::Int64, "3.0", AnyValue::Int64(3));
    check(DataType::Int64, "1e2", AnyValue::Int64(100));
    check(DataType::Int64, "-12.50e1", AnyValue::Int64(-125));
    check(DataType::Int64, "-0.0", AnyValue::Int64(0));
    check(DataType::Int64, "9223372036854775807.000", AnyValue::Int64(i64::MAX));
    check(DataType::UInt64, "18446744073709551615", AnyValue::UInt64(u64::MAX));
    check(DataType::UInt64, "1.8446744073709551615e19", AnyValue::UInt64(u64::MAX));
    check(DataType::Decimal(38, 0), "18446744073709551616", AnyValue::Decimal(1 << 64, 38, 0));
    check(DataType::Int32, "7", AnyValue::Int32(7));
    check(DataType::UInt32, "4294967295", AnyValue::UInt32(u32::MAX));
    check(DataType::Float64, "2", AnyValue::Float64(2.0));
    check(DataType::Float64, "-1.5e-3", AnyValue::Float64(-0.0015));
    check(DataType::Float32, "0.5", AnyValue::Float32(0.5));
    check(DataType::Boolean, "true", AnyValue::Boolean(true));
    check(DataType::String, "\"a\\nb\"", AnyValue::String("a\nb"));
    check(DataType::String, "{ \"a\": [1, {}] }", AnyValue::String("{ \"a\": [1, {}] }"));
    check(DataType::String, "12.50", AnyValue::String("12.50"));
    check(DataType::String, "false", AnyValue::String("false"));
    check(DataType::Date, "\"1970-01-02\"", AnyValue::Date(1));
    check(DataType::Date, "-1", AnyValue::Date(-1));
    check(
        DataType::Datetime(TimeUnit::Microseconds, None),
        "\"1970-01-01T00:00:01Z\"",
        AnyValue::DatetimeOwned(1_000_000, TimeUnit::Microseconds, None),
    );
    assert_eq!(decode_x(utc(), "1795446245123").unwrap(), decode_x(utc(), "\"2026-11-23T15:04:05.123Z\"").unwrap());
    for dtype in [
        DataType::Int64,
        DataType::Float64,
        DataType::String,
        DataType::Boolean,
        utc(),
        DataType::Date,
        DataType::Decimal(38, 2),
    ] {
        check(dtype, "null", AnyValue::Null);
    }
}

#[test]
fn decimals_never_see_a_float() {
    let money = || DataType::Decimal(38, 2);
    check(money(), "0.07", AnyValue::Decimal(7, 38, 2));
    check(money(), "-12.5", AnyValue::Decimal(-1250, 38, 2));
    check(money(), "90071992547409.93", AnyValue::Decimal(9_007_199_254_740_993, 38, 2));
    check(money(), "1.5000", AnyValue::Decimal(150, 38, 2));
    check(
        money(),
        "123456789012345678901234567890.12",
        AnyValue::Decimal(12_345_678_901_234_567_890_123_456_789_012, 38, 2),
    );
    check(money(), "1.5e3", AnyValue::Decimal(150_000, 38, 2));
    check(money(), "150e-1", AnyValue::Decimal(1_500, 38, 2));
    check(money(), "-0.000", AnyValue::Decimal(0, 38, 2));
    check(DataType::Decimal(4, 1), "999.9", AnyValue::Decimal(9_999, 4, 1));
    refuse(
        money(),
        "0.075",
        "field \"x\" is the number 0.075, and a number of at most 38 digits, 2 of them decimals, was expected",
    );
    refuse(
        DataType::Decimal(4, 1),
        "1000.0",
        "field \"x\" is the number 1000.0, and a number of at most 4 digits, 1 of them decimals, was expected",
    );
    refuse(
        money(),
        "1e999999999999",
        "field \"x\" is the number 1e999999999999, and a number of at most 38 digits, 2 of them decimals, was expected",
    );
}

#[test]
fn a_wrong_type_names_field_expected_and_found() {
    refuse(DataType::Int64, "1.5", "field \"x\" is the number 1.5, and a whole number was expected");
    refuse(
        DataType::Int64,
        "9223372036854775808",
        "field \"x\" is the number 9223372036854775808, and a whole number was expected",
    );
    refuse(
        DataType::UInt32,
        "-1",
        "field \"x\" is the number -1, and a whole number from 0 to 4294967295 was expected",
    );
    refuse(DataType::Float64, "\"n/a\"", "field \"x\" is the text \"n/a\", and a number was expected");
    refuse(
        DataType::UInt64,
        "18446744073709551616",
        "field \"x\" is the number 18446744073709551616, and a whole number from 0 to 18446744073709551615 was expected",
    );
    refuse(
        DataType::UInt64,
        "0.5",
        "field \"x\" is the number 0.5, and a whole number from 0 to 18446744073709551615 was expected",
    );
    refuse(DataType::Float64, "1e999", "field \"x\" is the number 1e999, and a number was expected");
    refuse(DataType::Boolean, "[1]", "field \"x\" is the array [1], and true or false was expected");
    refuse(
        utc(),
        "\"yesterday\"",
        "field \"x\" is the text \"yesterday\", and a time (a whole number since the epoch, or text as \"2026-11-23T15:04:05Z\") was expected",
    );
}

#[test]
fn what_is_no_object_says_what_it_is() {
    let reason = |record: &[u8]| {
        let schema = schema_of(&[("x", DataType::Int64)]);
        let mut json = Json::new(&schema, None).unwrap();
        let mut rows = Rows::new(json.schema().clone()).unwrap();
        json.decode(record, &mut rows).unwrap_err().to_string()
    };
    assert_eq!(reason(b""), "the record is empty");
    assert_eq!(reason(b"{\"x\": 12"), "the record is cut off: it ends at byte 8 in the middle of its JSON");
    assert_eq!(
        reason(b"{\"x\": 1} 2"),
        "the record is not JSON: at byte 9 there must be nothing after the object, not 2"
    );
    assert_eq!(reason(b"[1, 2]"), "the record is the array [1, 2], and not an object with fields");
    assert_eq!(reason(b"\"hello\""), "the record is the text \"hello\", and not an object with fields");
    assert_eq!(reason(b"<xml/>"), "the record is not JSON: at byte 0 there must be a value, not <");
    assert_eq!(reason(b"{\"x\": \xff}"), "the record is not UTF-8 text: byte 6 belongs to no character");
    assert_eq!(
        reason("{\"x\": ".to_owned().as_bytes()),
        "the record is cut off: it ends at byte 6 in the middle of its JSON"
    );
    assert_eq!(
        reason(format!("{{\"y\":{}", "[".repeat(1_000)).as_bytes()),
        "the record is nested more than 128 levels deep at byte 133"
    );
}

#[test]
fn a_record_that_fails_leaves_the_rows_as_they_were() {
    let schema = schema_of(&[("a", DataType::String), ("b", DataType::Int64)]);
    let mut json = Json::new(&schema, None).unwrap();
    let mut rows = Rows::new(json.schema().clone()).unwrap();
    json.decode(b"{\"a\":\"one\",\"b\":1}", &mut rows).unwrap();
    for bad in [&b"{\"a\":\"two\",\"b\":\"x\"}"[..], b"{\"a\":\"two\",\"b\":2", b"{\"a\":\"t\\u00e9\",\"b\":2}}"] {
        json.decode(bad, &mut rows).unwrap_err();
        assert_eq!(rows.height(), 1);
    }
    json.decode(b"{\"b\":3}", &mut rows).unwrap();
    let expect = df!("a" => [Some("one"), None], "b" => [1i64, 3]).unwrap();
    assert!(rows.take().unwrap().equals_missing(&expect));
    assert_eq!(rows.height(), 0);
}

#[test]
fn only_the_columns_asked_for_are_decoded() {
    let schema = schema_of(&[("a", DataType::String), ("b", DataType::Int64), ("c", DataType::Int64)]);
    let mut json = Json::new(&schema, Some(&["c".to_owned(), "a".to_owned()])).unwrap();
    let mut rows = Rows::new(json.schema().clone()).unwrap();
    json.decode(b"{\"a\":\"x\",\"b\":\"not looked at\",\"c\":3}", &mut rows).unwrap();
    assert!(rows.take().unwrap().equals(&df!("a" => ["x"], "c" => [3i64]).unwrap()));
    assert!(Json::new(&schema, Some(&["d".to_owned()])).is_err());
    let mut none = Json::new(&schema, Some(&[])).unwrap();
    let mut rows = Rows::new(none.schema().clone()).unwrap();
    none.decode(b"{}", &mut rows).unwrap();
    assert_eq!(rows.take().unwrap().shape(), (1, 0));
}

#[test]
fn a_key_may_be_escaped_may_move_and_may_come_twice() {
    let schema = schema_of(&[("é", DataType::Int64), ("b", DataType::Int64)]);
    let mut json = Json::new(&schema, None).unwrap();
    let mut rows = Rows::new(json.schema().clone()).unwrap();
    for record in [
        "{\"é\":1,\"b\":2}",
        "{\"b\":2,\"\\u00e9\":1}",
        "{\"x\":0,\"\\u00e9\":1,\"b\":9,\"b\":2}",
        " { \"b\" : 2 , \"é\" : 1 } ",
        " { \"b\" : 2 , \"é\" :   1 } ",
        " { \"b\" : 2 , \"é\" :1 } ",
    ] {
        json.decode(record.as_bytes(), &mut rows).unwrap();
    }
    assert!(rows.take().unwrap().equals(&df!("é" => [1i64; 6], "b" => [2i64; 6]).unwrap()));
}

#[test]
fn a_column_that_cannot_be_decoded_is_refused() {
    let error = Json::new(&schema_of(&[("t", DataType::Time)]), None).err().unwrap().to_string();
    assert!(error.contains("column \"t\" is time"), "{error}");
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|fields| fields.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

fn any_record() -> impl Strategy<Value = serde_json::Value> {
    let field = |name: &'static str| any_json().prop_map(move |value| (name.to_owned(), value));
    let typed = (any::<i64>(), any::<f64>(), ".{0,20}", any::<bool>())
        .prop_map(|(i, f, s, b)| serde_json::json!({"i": i, "f": f, "s": s, "b": b}).as_object().cloned().unwrap());
    (typed, prop::collection::vec(prop_oneof![field("i"), field("f"), field("s"), field("b"), field("other")], 0..3))
        .prop_map(|(mut record, more)| {
            record.extend(more);
            record.into()
        })
}

/// What serde_json makes of a field, by the rules that [`Json`] documents; an error if it does not fit.
fn reference(name: &str, value: Option<&serde_json::Value>) -> Result<AnyValue<'static>, ()> {
    use serde_json::Value;
    Ok(match (name, value) {
        (_, None | Some(Value::Null)) => AnyValue::Null,
        ("i", Some(Value::Number(number))) => AnyValue::Int64(number.as_i64().or_else(|| whole(number)).ok_or(())?),
        ("f", Some(Value::Number(number))) => AnyValue::Float64(number.as_f64().ok_or(())?),
        ("s", Some(Value::String(text))) => AnyValue::StringOwned(text.as_str().into()),
        ("s", Some(other)) => AnyValue::StringOwned(other.to_string().into()),
        ("b", Some(Value::Bool(value))) => AnyValue::Boolean(*value),
        _ => return Err(()),
    })
}

/// The whole number that a number with a point or an exponent is, if it is one.
fn whole(number: &serde_json::Number) -> Option<i64> {
    let text = number.to_string();
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut power = exponent.parse::<i32>().ok()? - i32::try_from(after.len()).ok()?;
    let mut digits = format!("{before}{after}").parse::<i128>().ok()?;
    while power < 0 && digits % 10 == 0 && digits != 0 {
        (digits, power) = (digits / 10, power + 1);
    }
    let value = match u32::try_from(power) {
        _ if digits == 0 => Some(0),
        Ok(power) => 10i128.checked_pow(power).and_then(|ten| digits.checked_mul(ten)),
        Err(_) => None,
    };
    i64::try_from(value?).ok()
}

fn typed_schema() -> Schema {
    schema_of(&[("i", DataType::Int64), ("f", DataType::Float64), ("s", DataType::String), ("b", DataType::Boolean)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_reads_what_serde_json_reads(records in prop::collection::vec((any_record(), any::<bool>()), 1..8)) {
        let mut json = Json::new(&typed_schema(), None).unwrap();
        let mut rows = Rows::new(json.schema().clone()).unwrap();
        let mut expected: Vec<Vec<AnyValue<'static>>> = Vec::new();
        for (record, pretty) in &records {
            let text = if *pretty { serde_json::to_string_pretty(record).unwrap() } else { record.to_string() };
            // A nested value comes as it is written, so with its spaces; those have their own test.
            if *pretty && record["s"].is_object() | record["s"].is_array() {
                continue;
            }
            let cells: Result<Vec<_>, ()> = ["i", "f", "s", "b"].iter().map(|name| reference(name, record.get(name))).collect();
            prop_assert_eq!(json.decode(text.as_bytes(), &mut rows).is_ok(), cells.is_ok(), "{}", text);
            expected.extend(cells.ok());
            prop_assert_eq!(rows.height(), expected.len());
        }
        let frame = rows.take().unwrap();
        for (at, cells) in expected.iter().enumerate() {
            for (column, cell) in frame.columns().iter().zip(cells) {
                prop_assert_eq!(&column.get(at).unwrap().into_static(), cell, "row {} of {:?}", at, records);
            }
        }
    }

    #[test]
    fn it_accepts_a_text_exactly_if_serde_json_does(record in any_record(), cut in any::<prop::sample::Index>(), with in ".{0,2}") {
        // A small change anywhere makes texts that are nearly JSON.
        let text = record.to_string();
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let at = places[cut.index(places.len())];
        let next = text[at..].chars().next().map_or(0, char::len_utf8);
        let changed = format!("{}{with}{}", &text[..at], &text[at + next..]);
        // Columns of text take every value, so only the grammar decides.
        let mut json = Json::new(&schema_of(&[("s", DataType::String)]), None).unwrap();
        let mut rows = Rows::new(json.schema().clone()).unwrap();
        let ours = json.decode(changed.as_bytes(), &mut rows);
        // serde_json also refuses numbers that no float can hold, which are JSON all the same.
        let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&changed);
        let too_large = theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range"));
        prop_assert!(ours.is_ok() == theirs.is_ok() || too_large, "{} {:?} {:?}", changed, ours, theirs);
    }

    #[test]
    fn garbage_never_panics(record in prop::collection::vec(any::<u8>(), 0..80), open in any::<bool>()) {
        let mut json = Json::new(&typed_schema(), None).unwrap();
        let mut rows = Rows::new(json.schema().clone()).unwrap();
        let record = if open { [b"{\"s\":", record.as_slice()].concat() } else { record };
        let decoded = json.decode(&record, &mut rows);
        prop_assert_eq!(rows.height(), usize::from(decoded.is_ok()));
    }

    #[test]
    fn jumbled_json_letters_never_panic(record in "[{}\\[\\]\",:0-9.eE+\\-truefalsn\\\\u d8]{0,60}") {
        let mut json = Json::new(&typed_schema(), None).unwrap();
        let mut rows = Rows::new(json.schema().clone()).unwrap();
        let theirs = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&record).is_ok();
        let ours = json.decode(record.as_bytes(), &mut rows);
        prop_assert!(!theirs || ours.is_ok() || matches!(ours, Err(Malformed::WrongType { .. })), "{} {:?}", record, ours);
    }

    #[test]
    fn floats_are_the_nearest(value in any::<f64>().prop_filter("JSON has no others", |value| value.is_finite()), digits in 0usize..20) {
        for text in [format!("{value}"), format!("{value:e}"), format!("{:.*}", digits, value % 1e6)] {
            let Ok(AnyValue::Float64(read)) = decode_x(DataType::Float64, &text) else { panic!("{text}") };
            prop_assert_eq!(read, text.parse::<f64>().unwrap(), "{}", text);
        }
    }

    #[test]
    fn decimals_are_their_digits(value in any::<i64>(), scale in 0u32..10) {
        let whole = i128::from(value);
        let ten = 10i128.pow(scale);
        let sign = if whole < 0 { "-" } else { "" };
        let (before, after) = (whole.abs() / ten, whole.abs() % ten);
        let text = if scale == 0 { format!("{sign}{before}") } else { format!("{sign}{before}.{after:0width$}", width = scale as usize) };
        prop_assert_eq!(decode_x(DataType::Decimal(38, scale as usize), &text).unwrap(), AnyValue::Decimal(whole, 38, scale as usize), "{}", text);
    }
}
