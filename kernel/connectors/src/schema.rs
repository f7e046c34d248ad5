//! What columns a topic has, told from a sample of its records. Pure functions of the records' text; who reads the
//! sample is no concern of this file.
//!
//! The rules, for each field, over its values that are not null:
//! 1. A number is never an exception, and neither is text beside text: one number with a point makes the field a number
//!    with a point. But where up to one value in a hundred is of another kind altogether (text among numbers), it is
//!    taken for a mistake of its writer; its record will be a dead letter.
//! 2. Whole numbers are `Int64`; where one is beyond it `UInt64`, `Decimal(38, 0)` or, of more digits, `String`, whichever
//!    is the first that holds them all: the number of an account is never rounded. If the field's name speaks of time
//!    (`time`, `timestamp`, `date`, `ts`, `at` as a word of it) and every value is a time between 2000 and 2100 in
//!    milliseconds, they are `Datetime(ms, UTC)`.
//! 3. Numbers that are all written with the same number of decimals (1 to 9), one of which at least ends in 0, are
//!    `Decimal(38, decimals)`: whoever prints a float never writes that 0, so these were decimals where they came from.
//! 4. Other numbers are `Float64`.
//! 5. `true` and `false` are `Boolean`.
//! 6. Texts that are all ISO 8601 times are `Datetime(ms, UTC)`; other texts are `String`.
//! 7. Objects, arrays, a field that was always null, and kinds that go in no column together are `String`, which keeps
//!    the JSON they are written in.
//!
//! The columns come in the order in which the sample first has their fields. A field that is not in the sample is not a
//! column: who knows more than the sample gives the schema.

use std::collections::HashMap;

use polars::prelude::{DataType, Schema, SchemaRef, TimeUnit, TimeZone};

use crate::format::json::scan::{self, Fields, Number, Span, Text, Value};
use crate::format::json::unescape;
use crate::format::{InstantText, Malformed};

/// The first and the last instant that rule 2 takes for a time, in milliseconds: 2000 and 2100.
const TIMES: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;

/// One value in this many may be of another kind than the rest.
const ONE_IN: usize = 100;

/// What a sample says.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The columns and their types.
    pub schema: SchemaRef,
    /// Records that were looked at.
    pub records: usize,
    /// Those of them that are no JSON objects, and said nothing.
    pub malformed: usize,
}

/// Gathers what records say of their fields.
#[derive(Default)]
pub(crate) struct Inference {
    fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    records: usize,
    malformed: usize,
    last_error: Option<Malformed>,
}

impl Inference {
    /// Takes a record in.
    pub(crate) fn add(&mut self, record: &[u8]) {
        self.records += 1;
        let read = match std::str::from_utf8(record) {
            Ok(text) => {
                let mut fields = Collected { text, fields: Vec::new() };
                scan::object(text, &mut fields).map(|()| fields)
            }
            Err(error) => Err(Malformed::NotUtf8 { at: error.valid_up_to() }),
        };
        match read {
            Ok(Collected { text, fields }) => {
                for (name, value) in fields {
                    self.field(name).add(value, text);
                }
            }
            Err(error) => {
                self.malformed += 1;
                self.last_error = Some(error);
            }
        }
    }

    /// Records taken in so far.
    pub(crate) fn records(&self) -> usize {
        self.records
    }

    /// What is wrong with the last of the malformed ones.
    pub(crate) fn last_error(&self) -> Option<&Malformed> {
        self.last_error.as_ref()
    }

    /// What they say; a schema without columns if none of them had a field.
    pub(crate) fn finish(&self) -> Sample {
        let schema = self.fields.iter().map(|field| (field.name.as_str().into(), field.dtype())).collect::<Schema>();
        Sample { schema: schema.into(), records: self.records, malformed: self.malformed }
    }

    fn field(&mut self, name: String) -> &mut Field {
        let next = self.fields.len();
        let at = *self.by_name.entry(name).or_insert_with_key(|name| {
            self.fields.push(Field { name: name.clone(), ..Field::default() });
            next
        });
        &mut self.fields[at]
    }
}

/// The fields of one record, of which nothing may count before its end was seen.
struct Collected<'a> {
    text: &'a str,
    fields: Vec<(String, Value)>,
}

impl Collected<'_> {
    fn set(&mut self, value: Value) -> bool {
        if let Some(field) = self.fields.last_mut() {
            field.1 = value;
        }
        true
    }
}

impl Fields for Collected<'_> {
    fn key(&mut self, _position: usize, key: Text, _before: Span) {
        let mut name = String::new();
        unescape(key.span.of(self.text), &mut name);
        self.fields.push((name, Value::Null));
    }

    fn text(&mut self, text: Text) -> bool {
        self.set(Value::Text(text))
    }

    fn number(&mut self, number: Number) -> bool {
        self.set(Value::Number(number))
    }

    fn other(&mut self, value: Value) -> bool {
        self.set(value)
    }

    fn refuse(&self, _value: Value) -> Malformed {
        // Never asked: every value will do.
        Malformed::Empty
    }
}

/// How many values of each kind a field had.
#[derive(Default)]
struct Field {
    name: String,
    bools: usize,
    whole: usize,
    /// The least and the largest whole number.
    bounds: Option<(i128, i128)>,
    /// Whether one has more digits than a decimal.
    long: bool,
    /// Whole numbers that are times by rule 2.
    times: usize,
    fractions: usize,
    /// The number of decimals, as long as every number had the same.
    decimals: Option<usize>,
    uneven: bool,
    ends_in_zero: bool,
    texts: usize,
    /// Texts that are ISO 8601 times.
    instants: usize,
    nested: usize,
}

impl Field {
    fn add(&mut self, value: Value, record: &str) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.bools += 1,
            Value::Number(number) => self.add_number(number, record),
            Value::Text(text) => {
                self.texts += 1;
                self.instants += usize::from(InstantText::parse(text.span.of(record), 1_000).is_some());
            }
            Value::Nested(_) => self.nested += 1,
        }
    }

    fn add_number(&mut self, number: Number, record: &str) {
        if number.whole {
            self.whole += 1;
            self.add_whole(number.span.of(record).parse().ok());
        } else {
            self.fractions += 1;
        }
        // An exponent is a float's, or somebody's who counts no decimals.
        let plain = number.exact && (1..=9).contains(&number.decimals);
        self.uneven |= !plain || *self.decimals.get_or_insert(number.decimals) != number.decimals;
        self.ends_in_zero |= plain && number.span.of(record).ends_with('0');
    }

    fn add_whole(&mut self, value: Option<i128>) {
        let Some(value) = value.filter(|value| value.unsigned_abs() < DECIMALS) else {
            self.long = true;
            return;
        };
        self.times += usize::from(i64::try_from(value).is_ok_and(|value| TIMES.contains(&value)));
        let (least, largest) = self.bounds.unwrap_or((value, value));
        self.bounds = Some((least.min(value), largest.max(value)));
    }

    fn dtype(&self) -> DataType {
        let numbers = self.whole + self.fractions;
        let values = numbers + self.bools + self.texts + self.nested;
        let enough = values - values / ONE_IN;
        if values == 0 {
            DataType::String
        } else if numbers >= enough {
            self.number_type()
        } else if self.bools >= enough {
            DataType::Boolean
        } else if self.texts >= enough && self.instants == self.texts {
            instant()
        } else {
            DataType::String
        }
    }

    fn number_type(&self) -> DataType {
        match self.decimals {
            _ if self.fractions == 0 && self.times == self.whole && speaks_of_time(&self.name) => instant(),
            _ if self.fractions == 0 => self.whole_type(),
            Some(decimals) if !self.uneven && self.ends_in_zero => DataType::Decimal(38, decimals),
            _ => DataType::Float64,
        }
    }

    fn whole_type(&self) -> DataType {
        let (least, largest) = self.bounds.unwrap_or_default();
        if self.long {
            DataType::String
        } else if least >= i128::from(i64::MIN) && largest <= i128::from(i64::MAX) {
            DataType::Int64
        } else if least >= 0 && largest <= i128::from(u64::MAX) {
            DataType::UInt64
        } else {
            DataType::Decimal(38, 0)
        }
    }
}

/// The first number that has more than 38 digits.
const DECIMALS: u128 = 10u128.pow(38);

fn instant() -> DataType {
    DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC))
}

/// Whether one of the words in `event_time`, `eventTime`, `created-at` or `EVENT_TS` is one for time.
fn speaks_of_time(name: &str) -> bool {
    let mut words = String::new();
    let mut lower_before = false;
    for letter in name.chars() {
        if letter.is_uppercase() && lower_before {
            words.push(' ');
        }
        lower_before = letter.is_lowercase();
        words.extend(letter.to_lowercase().map(|letter| if letter.is_alphanumeric() { letter } else { ' ' }));
    }
    words.split(' ').any(|word| {
        matches!(word, "at" | "ts")
            || ["time", "date"].iter().any(|time| word.starts_with(time) || word.ends_with(time))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The type of the field `name` whose values are written so.
    fn check(name: &str, values: &[&str], expect: &DataType) {
        let mut inference = Inference::default();
        for value in values {
            inference.add(format!("{{\"{name}\": {value}}}").as_bytes());
        }
        let schema = inference.finish().schema;
        assert_eq!(schema.get(name).unwrap(), expect, "{name}: {values:?}");
    }

    #[test]
    fn numbers_are_told_apart_by_how_they_are_written() {
        check("n", &["1", "-2", "null"], &DataType::Int64);
        check("n", &["1", "2.5"], &DataType::Float64);
        check("n", &["1.25", "2.75"], &DataType::Float64);
        check("n", &["1.25", "2.70"], &DataType::Decimal(38, 2));
        check("n", &["1.250", "2.700", "-0.001"], &DataType::Decimal(38, 3));
        check("n", &["1.20", "2.7"], &DataType::Float64);
        check("n", &["1.20", "3"], &DataType::Float64);
        check("n", &["1.0", "2.0"], &DataType::Decimal(38, 1));
        check("n", &["1e3"], &DataType::Float64);
    }

    #[test]
    fn whole_numbers_are_never_rounded() {
        check("n", &["9223372036854775807", "-9223372036854775808"], &DataType::Int64);
        check("n", &["1", "9223372036854775808", "18446744073709551615"], &DataType::UInt64);
        check("n", &["-1", "9223372036854775808"], &DataType::Decimal(38, 0));
        check("n", &["18446744073709551616"], &DataType::Decimal(38, 0));
        check("n", &[&"9".repeat(38), &format!("-{}", "9".repeat(38))], &DataType::Decimal(38, 0));
        check("n", &["1", &"9".repeat(39)], &DataType::String);
        check("n", &["1", &"9".repeat(400)], &DataType::String);
    }

    #[test]
    fn a_time_needs_a_name_that_speaks_of_it_and_values_that_are_one() {
        for name in ["event_time", "eventTime", "created_at", "ts", "EVENT_TS", "timestamp", "date", "updateDate"] {
            check(name, &["1795446245123"], &instant());
        }
        for name in ["amount", "category", "status", "attempts", "format"] {
            check(name, &["1795446245123"], &DataType::Int64);
        }
        check("event_time", &["1795446245"], &DataType::Int64);
        check("event_time", &["1795446245123", "5"], &DataType::Int64);
        check("at", &["\"2026-11-23T15:04:05Z\"", "\"2026-11-23 15:04:05\""], &instant());
        check("at", &["\"2026-11-23T15:04:05Z\"", "\"soon\""], &DataType::String);
    }

    #[test]
    fn other_kinds() {
        check("b", &["true", "false"], &DataType::Boolean);
        check("s", &["\"a\"", "null"], &DataType::String);
        check("s", &["null"], &DataType::String);
        check("s", &["1", "\"a\""], &DataType::String);
        check("s", &["{\"a\":1}", "[1]"], &DataType::String);
    }

    #[test]
    fn one_in_a_hundred_is_a_mistake() {
        let mut values = vec!["1.50"; 99];
        values.push("\"n/a\"");
        check("n", &values, &DataType::Decimal(38, 2));
        values.push("\"n/a\"");
        check("n", &values, &DataType::String);
    }

    #[test]
    fn columns_come_as_they_first_appear_and_malformed_records_say_nothing() {
        let mut inference = Inference::default();
        for record in [&b"{\"z\":1,\"bad\":2"[..], b"{\"b\":1,\"a\":2}", b"[1]", b"{\"c\":1,\"a\":\"\"}", b"\xff"] {
            inference.add(record);
        }
        let sample = inference.finish();
        assert_eq!(sample.schema.iter_names().map(|name| name.as_str()).collect::<Vec<_>>(), ["b", "a", "c"]);
        assert_eq!((sample.records, sample.malformed), (5, 3));
    }
}
