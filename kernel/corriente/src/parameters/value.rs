//! The types that a parameter may have, and how a text or JSON is read as each.

use std::time::Duration;

use serde_json::Value;

/// The types that a parameter may have: that of its default.
#[diagnostic::on_unimplemented(
    message = "a parameter cannot be a `{Self}`",
    label = "the default of a parameter",
    note = "it is a number (`i64` or `f64`), a `bool`, a text, a `std::time::Duration`, a `Vec` or an `Option` of these, or a `serde_json::Value`; others are made of it, as in `param(\"rows\", 10)? as usize`"
)]
pub trait ParameterValue {
    /// What `param` gives.
    type Value: Clone;
    /// What it is called in errors.
    const WANTED: &'static str;
    /// The default.
    fn or_default(self) -> Self::Value;
    /// The default in writing.
    fn write(value: &Self::Value) -> String;
    /// Reads a text as a person writes it.
    fn read(text: &str) -> Option<Self::Value>;
    /// Reads JSON. By default, what is one value reads as its text does.
    fn read_json(json: &Value) -> Option<Self::Value> {
        match json {
            Value::String(text) => Self::read(text),
            Value::Number(_) | Value::Bool(_) => Self::read(&json.to_string()),
            _ => None,
        }
    }
}

macro_rules! parameter {
    ($type:ty, $wanted:literal, $read:expr) => {
        impl ParameterValue for $type {
            type Value = $type;
            const WANTED: &'static str = $wanted;
            fn or_default(self) -> $type {
                self
            }
            fn write(value: &$type) -> String {
                value.to_string()
            }
            fn read(text: &str) -> Option<$type> {
                $read(text)
            }
        }
    };
}

// One type of each kind of number, so that the type of a bare `10` is known.
parameter!(i64, "whole number", |text: &str| text.trim().parse().ok());
parameter!(f64, "number", |text: &str| text.trim().parse().ok());
parameter!(String, "text", |text: &str| Some(text.to_owned()));
parameter!(bool, "true or false", |text: &str| match text.trim() {
    "true" | "True" => Some(true),
    "false" | "False" => Some(false),
    _ => None,
});

impl ParameterValue for &str {
    type Value = String;
    const WANTED: &'static str = "text";
    fn or_default(self) -> String {
        self.to_owned()
    }
    fn write(value: &String) -> String {
        value.clone()
    }
    fn read(text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

impl ParameterValue for Duration {
    type Value = Duration;
    const WANTED: &'static str = "time with a unit, such as 90s or 5m,";
    fn or_default(self) -> Duration {
        self
    }
    fn write(value: &Duration) -> String {
        format!("{value:?}")
    }
    fn read(text: &str) -> Option<Duration> {
        let time = plan::parse_duration("param", text.trim()).ok()?;
        Some(Duration::from_nanos(u64::try_from(time.duration_ns()).ok()?))
    }
}

impl ParameterValue for Value {
    type Value = Value;
    const WANTED: &'static str = "JSON";
    fn or_default(self) -> Value {
        self
    }
    fn write(value: &Value) -> String {
        value.to_string()
    }
    fn read(text: &str) -> Option<Value> {
        Some(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())))
    }
    fn read_json(json: &Value) -> Option<Value> {
        Some(json.clone())
    }
}

impl<P: ParameterValue> ParameterValue for Vec<P> {
    type Value = Vec<P::Value>;
    const WANTED: &'static str = "list, such as [1, 2],";
    fn or_default(self) -> Vec<P::Value> {
        self.into_iter().map(P::or_default).collect()
    }
    fn write(value: &Vec<P::Value>) -> String {
        format!("[{}]", value.iter().map(P::write).collect::<Vec<_>>().join(", "))
    }
    fn read(text: &str) -> Option<Vec<P::Value>> {
        Self::read_json(&serde_json::from_str(text).ok()?)
    }
    fn read_json(json: &Value) -> Option<Vec<P::Value>> {
        json.as_array()?.iter().map(P::read_json).collect()
    }
}

impl<P: ParameterValue> ParameterValue for Option<P> {
    type Value = Option<P::Value>;
    const WANTED: &'static str = P::WANTED;
    fn or_default(self) -> Option<P::Value> {
        self.map(P::or_default)
    }
    fn write(value: &Option<P::Value>) -> String {
        value.as_ref().map_or_else(|| "null".to_owned(), P::write)
    }
    fn read(text: &str) -> Option<Option<P::Value>> {
        P::read(text).map(Some)
    }
    fn read_json(json: &Value) -> Option<Option<P::Value>> {
        if json.is_null() { Some(None) } else { P::read_json(json).map(Some) }
    }
}
