//! Values in a text: exact, whatever their size. A float is the shortest text that is read as the same float.

use polars::prelude::*;
use serde::{Deserialize, Serialize};

use super::NoText;
use super::dtype::TypeText;
use crate::PlanError;

/// A value; its type stands beside it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ValueText {
    Null,
    Bool(bool),
    /// Of numbers, and of times in their unit.
    Int(String),
    Float(String),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<ValueText>),
    Struct(Vec<ValueText>),
}

/// A column of values.
#[derive(Serialize, Deserialize)]
pub(super) struct ColumnText {
    name: String,
    dtype: TypeText,
    values: Vec<ValueText>,
}

impl ValueText {
    pub(super) fn of(value: &AnyValue<'_>) -> Result<ValueText, NoText> {
        Ok(match value {
            AnyValue::Null => ValueText::Null,
            AnyValue::Boolean(value) => ValueText::Bool(*value),
            AnyValue::Int8(value) => ValueText::Int(value.to_string()),
            AnyValue::Int16(value) => ValueText::Int(value.to_string()),
            AnyValue::Int32(value) | AnyValue::Date(value) => ValueText::Int(value.to_string()),
            AnyValue::Int64(value)
            | AnyValue::Time(value)
            | AnyValue::Datetime(value, ..)
            | AnyValue::DatetimeOwned(value, ..)
            | AnyValue::Duration(value, _) => ValueText::Int(value.to_string()),
            AnyValue::Int128(value) | AnyValue::Decimal(value, ..) => ValueText::Int(value.to_string()),
            AnyValue::UInt8(value) => ValueText::Int(value.to_string()),
            AnyValue::UInt16(value) => ValueText::Int(value.to_string()),
            AnyValue::UInt32(value) => ValueText::Int(value.to_string()),
            AnyValue::UInt64(value) => ValueText::Int(value.to_string()),
            AnyValue::UInt128(value) => ValueText::Int(value.to_string()),
            AnyValue::Float32(value) => ValueText::Float(format!("{value:?}")),
            AnyValue::Float64(value) => ValueText::Float(format!("{value:?}")),
            AnyValue::Binary(bytes) => ValueText::Bytes(bytes.to_vec()),
            AnyValue::BinaryOwned(bytes) => ValueText::Bytes(bytes.clone()),
            AnyValue::List(values) => ValueText::List(values_of(values)?),
            AnyValue::Struct(..) | AnyValue::StructOwned(_) => {
                let AnyValue::StructOwned(both) = value.clone().into_static() else {
                    return Err(NoText(format!("the value {value}")));
                };
                ValueText::Struct(both.0.iter().map(ValueText::of).collect::<Result<_, _>>()?)
            }
            value => match value.get_str() {
                Some(text) => ValueText::Text(text.to_owned()),
                None => return Err(NoText(format!("a value of the type {}", value.dtype()))),
            },
        })
    }

    /// The value of a type.
    pub(super) fn read(&self, dtype: &DataType) -> Result<AnyValue<'static>, PlanError> {
        let wrong = || super::nothing(&format!("a value that is no {dtype}"));
        Ok(match (self, dtype) {
            (ValueText::Null, _) => AnyValue::Null,
            (ValueText::Bool(value), DataType::Boolean) => AnyValue::Boolean(*value),
            (ValueText::Int(text), dtype) => {
                fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
                    text.parse().ok()
                }
                let value = match dtype {
                    DataType::Int8 => number(text).map(AnyValue::Int8),
                    DataType::Int16 => number(text).map(AnyValue::Int16),
                    DataType::Int32 => number(text).map(AnyValue::Int32),
                    DataType::Int64 => number(text).map(AnyValue::Int64),
                    DataType::Int128 => number(text).map(AnyValue::Int128),
                    DataType::UInt8 => number(text).map(AnyValue::UInt8),
                    DataType::UInt16 => number(text).map(AnyValue::UInt16),
                    DataType::UInt32 => number(text).map(AnyValue::UInt32),
                    DataType::UInt64 => number(text).map(AnyValue::UInt64),
                    DataType::UInt128 => number(text).map(AnyValue::UInt128),
                    DataType::Date => number(text).map(AnyValue::Date),
                    DataType::Time => number(text).map(AnyValue::Time),
                    DataType::Duration(unit) => number(text).map(|value| AnyValue::Duration(value, *unit)),
                    DataType::Datetime(unit, zone) => number(text)
                        .map(|value| AnyValue::DatetimeOwned(value, *unit, zone.clone().map(std::sync::Arc::new))),
                    DataType::Decimal(precision, scale) => {
                        number(text).map(|value| AnyValue::Decimal(value, *precision, *scale))
                    }
                    _ => None,
                };
                value.ok_or_else(wrong)?
            }
            (ValueText::Float(text), DataType::Float32) => AnyValue::Float32(text.parse().map_err(|_| wrong())?),
            (ValueText::Float(text), DataType::Float64) => AnyValue::Float64(text.parse().map_err(|_| wrong())?),
            (ValueText::Text(text), DataType::String | DataType::Categorical(..)) => {
                AnyValue::StringOwned(text.as_str().into())
            }
            (ValueText::Bytes(bytes), DataType::Binary) => AnyValue::BinaryOwned(bytes.clone()),
            (ValueText::List(values), DataType::List(of)) => AnyValue::List(series("", of, values)?),
            (ValueText::Struct(values), DataType::Struct(fields)) if values.len() == fields.len() => {
                let values = values.iter().zip(fields).map(|(value, field)| value.read(field.dtype()));
                AnyValue::StructOwned(Box::new((values.collect::<Result<_, _>>()?, fields.clone())))
            }
            _ => return Err(wrong()),
        })
    }
}

impl ColumnText {
    pub(super) fn of(series: &Series) -> Result<ColumnText, NoText> {
        let (name, dtype) = (series.name().to_string(), TypeText::of(series.dtype())?);
        Ok(ColumnText { name, dtype, values: values_of(series)? })
    }

    pub(super) fn read(&self) -> Result<Series, PlanError> {
        series(&self.name, &self.dtype.read()?, &self.values)
    }
}

fn values_of(series: &Series) -> Result<Vec<ValueText>, NoText> {
    series.rechunk().iter().map(|value| ValueText::of(&value)).collect()
}

fn series(name: &str, dtype: &DataType, values: &[ValueText]) -> Result<Series, PlanError> {
    let values = values.iter().map(|value| value.read(dtype)).collect::<Result<Vec<_>, _>>()?;
    Series::from_any_values_and_dtype(name.into(), &values, dtype, true)
        .map_err(|error| PlanError::Polars { operation: "from_text", detail: error.to_string() })
}
