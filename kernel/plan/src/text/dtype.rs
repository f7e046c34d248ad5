//! Types of columns in a text.

use polars::prelude::*;
use serde::{Deserialize, Serialize};

use super::NoText;
use crate::PlanError;

/// A type.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum TypeText {
    Null,
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    Int128,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Uint128,
    Float32,
    Float64,
    Decimal { precision: usize, scale: usize },
    String,
    Binary,
    Date,
    Time,
    Datetime { unit: UnitText, zone: Option<String> },
    Duration { unit: UnitText },
    List { of: Box<TypeText> },
    Struct { fields: Vec<FieldText> },
    Categorical,
}

/// A column.
#[derive(Serialize, Deserialize)]
pub(super) struct FieldText {
    pub(super) name: String,
    pub(super) dtype: TypeText,
}

/// A unit of time.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum UnitText {
    Ms,
    Us,
    Ns,
}

impl UnitText {
    pub(super) fn of(unit: TimeUnit) -> UnitText {
        match unit {
            TimeUnit::Milliseconds => UnitText::Ms,
            TimeUnit::Microseconds => UnitText::Us,
            TimeUnit::Nanoseconds => UnitText::Ns,
        }
    }

    pub(super) fn read(self) -> TimeUnit {
        match self {
            UnitText::Ms => TimeUnit::Milliseconds,
            UnitText::Us => TimeUnit::Microseconds,
            UnitText::Ns => TimeUnit::Nanoseconds,
        }
    }
}

impl TypeText {
    pub(super) fn of(dtype: &DataType) -> Result<TypeText, NoText> {
        Ok(match dtype {
            DataType::Null => TypeText::Null,
            DataType::Boolean => TypeText::Boolean,
            DataType::Int8 => TypeText::Int8,
            DataType::Int16 => TypeText::Int16,
            DataType::Int32 => TypeText::Int32,
            DataType::Int64 => TypeText::Int64,
            DataType::Int128 => TypeText::Int128,
            DataType::UInt8 => TypeText::Uint8,
            DataType::UInt16 => TypeText::Uint16,
            DataType::UInt32 => TypeText::Uint32,
            DataType::UInt64 => TypeText::Uint64,
            DataType::UInt128 => TypeText::Uint128,
            DataType::Float32 => TypeText::Float32,
            DataType::Float64 => TypeText::Float64,
            DataType::Decimal(precision, scale) => TypeText::Decimal { precision: *precision, scale: *scale },
            DataType::String => TypeText::String,
            DataType::Binary => TypeText::Binary,
            DataType::Date => TypeText::Date,
            DataType::Time => TypeText::Time,
            DataType::Datetime(unit, zone) => {
                TypeText::Datetime { unit: UnitText::of(*unit), zone: zone.as_ref().map(ToString::to_string) }
            }
            DataType::Duration(unit) => TypeText::Duration { unit: UnitText::of(*unit) },
            DataType::List(of) => TypeText::List { of: Box::new(TypeText::of(of)?) },
            DataType::Struct(fields) => TypeText::Struct {
                fields: fields.iter().map(|f| FieldText::of(f.name(), f.dtype())).collect::<Result<_, _>>()?,
            },
            DataType::Categorical(..) if *dtype == DataType::from_categories(Categories::global()) => {
                TypeText::Categorical
            }
            other => return Err(NoText(format!("the type {other}"))),
        })
    }

    pub(super) fn read(&self) -> Result<DataType, PlanError> {
        Ok(match self {
            TypeText::Null => DataType::Null,
            TypeText::Boolean => DataType::Boolean,
            TypeText::Int8 => DataType::Int8,
            TypeText::Int16 => DataType::Int16,
            TypeText::Int32 => DataType::Int32,
            TypeText::Int64 => DataType::Int64,
            TypeText::Int128 => DataType::Int128,
            TypeText::Uint8 => DataType::UInt8,
            TypeText::Uint16 => DataType::UInt16,
            TypeText::Uint32 => DataType::UInt32,
            TypeText::Uint64 => DataType::UInt64,
            TypeText::Uint128 => DataType::UInt128,
            TypeText::Float32 => DataType::Float32,
            TypeText::Float64 => DataType::Float64,
            TypeText::Decimal { precision, scale } => DataType::Decimal(*precision, *scale),
            TypeText::String => DataType::String,
            TypeText::Binary => DataType::Binary,
            TypeText::Date => DataType::Date,
            TypeText::Time => DataType::Time,
            TypeText::Datetime { unit, zone } => DataType::Datetime(unit.read(), zone_of(zone.as_deref())?),
            TypeText::Duration { unit } => DataType::Duration(unit.read()),
            TypeText::List { of } => DataType::List(Box::new(of.read()?)),
            TypeText::Struct { fields } => {
                DataType::Struct(fields.iter().map(FieldText::read).collect::<Result<_, _>>()?)
            }
            TypeText::Categorical => DataType::from_categories(Categories::global()),
        })
    }
}

impl FieldText {
    pub(super) fn of(name: &str, dtype: &DataType) -> Result<FieldText, NoText> {
        Ok(FieldText { name: name.to_owned(), dtype: TypeText::of(dtype)? })
    }

    pub(super) fn read(&self) -> Result<Field, PlanError> {
        Ok(Field::new(self.name.as_str().into(), self.dtype.read()?))
    }
}

/// A zone by its name.
pub(super) fn zone_of(name: Option<&str>) -> Result<Option<TimeZone>, PlanError> {
    TimeZone::opt_try_new(name).map_err(|error| PlanError::Polars { operation: "from_text", detail: error.to_string() })
}
