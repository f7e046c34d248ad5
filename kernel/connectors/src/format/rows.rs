//! Typed column builders that take whole rows: a row is complete before any column grows, so a record that fails
//! leaves nothing behind.

use engine::RowFilter;
use polars::prelude::*;

use crate::format::filter::{Filter, Verdict};
use crate::format::time::{DateText, InstantText};

/// One field of a row, of its column's physical type. Texts point into the record or into the row's scratch, so that a
/// row can be gathered without allocating.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Unsigned(u64),
    Float(f64),
    Decimal(i128),
    /// From, to in the record.
    Text(usize, usize),
    /// From, to in the scratch.
    Scratch(usize, usize),
}

/// What a column takes, from its Polars type: the types a format knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    /// A whole number within these bounds.
    Int(i64, i64),
    /// A whole number of 64 bits that is not negative.
    Unsigned,
    Float,
    Decimal {
        precision: usize,
        scale: usize,
    },
    Text,
    /// Steps of the unit a second.
    Instant(i64),
    Date,
}

impl Kind {
    /// None for a type that no format decodes.
    pub(crate) fn of(dtype: &DataType) -> Option<Kind> {
        Some(match dtype {
            DataType::Boolean => Kind::Bool,
            DataType::Int32 => Kind::Int(i64::from(i32::MIN), i64::from(i32::MAX)),
            DataType::UInt32 => Kind::Int(0, i64::from(u32::MAX)),
            DataType::Int64 => Kind::Int(i64::MIN, i64::MAX),
            DataType::UInt64 => Kind::Unsigned,
            DataType::Float32 | DataType::Float64 => Kind::Float,
            DataType::Decimal(precision, scale) => Kind::Decimal { precision: *precision, scale: *scale },
            DataType::String => Kind::Text,
            DataType::Datetime(TimeUnit::Milliseconds, _) => Kind::Instant(1_000),
            DataType::Datetime(TimeUnit::Microseconds, _) => Kind::Instant(1_000_000),
            DataType::Datetime(TimeUnit::Nanoseconds, _) => Kind::Instant(1_000_000_000),
            DataType::Date => Kind::Date,
            _ => return None,
        })
    }

    /// The types by name, for a message.
    pub(crate) const NAMES: &'static str =
        "Boolean, Int32, Int64, UInt32, UInt64, Float32, Float64, Decimal, String, Datetime and Date";

    /// What a reader would call it.
    pub(crate) fn words(self) -> String {
        match self {
            Kind::Bool => "true or false".to_owned(),
            Kind::Int(i64::MIN, i64::MAX) => "a whole number".to_owned(),
            Kind::Int(low, high) => format!("a whole number from {low} to {high}"),
            Kind::Unsigned => format!("a whole number from 0 to {}", u64::MAX),
            Kind::Float => "a number".to_owned(),
            Kind::Decimal { precision, scale } => {
                format!("a number of at most {} digits, {scale} of them decimals,", precision)
            }
            Kind::Text => "text".to_owned(),
            Kind::Instant(_) => InstantText::EXPECTED.to_owned(),
            Kind::Date => DateText::EXPECTED.to_owned(),
        }
    }
}

enum Builder {
    Bool(BooleanChunkedBuilder),
    Int(PrimitiveChunkedBuilder<Int64Type>),
    Unsigned(PrimitiveChunkedBuilder<UInt64Type>),
    Float(PrimitiveChunkedBuilder<Float64Type>),
    Decimal(PrimitiveChunkedBuilder<Int128Type>),
    Text(StringChunkedBuilder),
}

impl Builder {
    fn new(name: &PlSmallStr, kind: Kind, capacity: usize) -> Builder {
        let name = name.clone();
        match kind {
            Kind::Bool => Builder::Bool(BooleanChunkedBuilder::new(name, capacity)),
            Kind::Int(..) | Kind::Instant(_) | Kind::Date => Builder::Int(PrimitiveChunkedBuilder::new(name, capacity)),
            Kind::Unsigned => Builder::Unsigned(PrimitiveChunkedBuilder::new(name, capacity)),
            Kind::Float => Builder::Float(PrimitiveChunkedBuilder::new(name, capacity)),
            Kind::Decimal { .. } => Builder::Decimal(PrimitiveChunkedBuilder::new(name, capacity)),
            Kind::Text => Builder::Text(StringChunkedBuilder::new(name, capacity)),
        }
    }

    /// Appends `cell`; one of another kind, which no format makes, becomes null.
    // The cell comes by reference: copied, its sixteen bytes would be loaded right after they were stored in eights,
    // which a processor waits for.
    #[inline(always)]
    fn push(&mut self, cell: &Cell, record: &str, scratch: &str) {
        match (self, cell) {
            (Builder::Text(builder), Cell::Text(from, to)) => match record.get(*from..*to) {
                Some(text) => builder.append_value(text),
                None => builder.append_null(),
            },
            (Builder::Text(builder), Cell::Scratch(from, to)) => match scratch.get(*from..*to) {
                Some(text) => builder.append_value(text),
                None => builder.append_null(),
            },
            (Builder::Int(builder), Cell::Int(value)) => builder.append_value(*value),
            (Builder::Unsigned(builder), Cell::Unsigned(value)) => builder.append_value(*value),
            (Builder::Float(builder), Cell::Float(value)) => builder.append_value(*value),
            (Builder::Decimal(builder), Cell::Decimal(value)) => builder.append_value(*value),
            (Builder::Bool(builder), Cell::Bool(value)) => builder.append_value(*value),
            (Builder::Text(builder), _) => builder.append_null(),
            (Builder::Int(builder), _) => builder.append_null(),
            (Builder::Unsigned(builder), _) => builder.append_null(),
            (Builder::Float(builder), _) => builder.append_null(),
            (Builder::Decimal(builder), _) => builder.append_null(),
            (Builder::Bool(builder), _) => builder.append_null(),
        }
    }

    fn finish(self, dtype: &DataType) -> PolarsResult<Series> {
        Ok(match (self, dtype) {
            (Builder::Bool(builder), _) => builder.finish().into_series(),
            (Builder::Int(builder), DataType::Datetime(unit, zone)) => {
                builder.finish().into_datetime(*unit, zone.clone()).into_series()
            }
            // Bounds were checked when the cell was made, so these casts lose nothing.
            (Builder::Int(builder), DataType::Date) => {
                builder.finish().into_series().cast(&DataType::Int32)?.cast(dtype)?
            }
            (Builder::Int(builder), DataType::Int64) => builder.finish().into_series(),
            (Builder::Int(builder), _) => builder.finish().into_series().strict_cast(dtype)?,
            (Builder::Unsigned(builder), _) => builder.finish().into_series(),
            (Builder::Float(builder), DataType::Float64) => builder.finish().into_series(),
            (Builder::Float(builder), _) => builder.finish().into_series().cast(dtype)?,
            (Builder::Decimal(builder), DataType::Decimal(precision, scale)) => {
                builder.finish().into_decimal_unchecked(*precision, *scale).into_series()
            }
            (Builder::Decimal(builder), _) => builder.finish().into_series().cast(dtype)?,
            (Builder::Text(builder), _) => builder.finish().into_series(),
        })
    }
}

/// Rows in the making, for the columns of one schema.
pub struct Rows {
    schema: SchemaRef,
    kinds: Vec<Kind>,
    builders: Vec<Builder>,
    height: usize,
    filter: Option<Filter>,
    /// What became of the last row.
    last: Verdict,
}

impl Rows {
    /// No rows yet.
    ///
    /// # Errors
    /// When a column has a type that no format decodes.
    pub fn new(schema: SchemaRef) -> PolarsResult<Rows> {
        let kind = |(name, dtype): (&PlSmallStr, &DataType)| {
            Kind::of(dtype).ok_or_else(
                || polars_err!(SchemaMismatch: "column \"{name}\" is {dtype}; {} can be decoded", Kind::NAMES),
            )
        };
        let kinds = schema.iter().map(kind).collect::<PolarsResult<Vec<Kind>>>()?;
        let builders = schema.iter_names().zip(&kinds).map(|(name, kind)| Builder::new(name, *kind, 0)).collect();
        Ok(Rows { schema, kinds, builders, height: 0, filter: None, last: Verdict::Needed })
    }

    /// Leaves out rows from now on that `filter` does not need, as far as that can be told from a row's cells.
    #[must_use]
    pub fn with_filter(self, filter: &RowFilter) -> Rows {
        let filter = Filter::new(filter, &self.schema);
        Rows { filter, ..self }
    }

    /// What became of the row that was pushed last.
    pub(crate) fn last(&self) -> Verdict {
        self.last
    }

    /// What each column takes.
    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// How many rows there are.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// Appends a row: one cell a column. One that is not needed is left out.
    #[inline]
    pub(crate) fn push(&mut self, cells: &[Cell], record: &str, scratch: &str) {
        if let Some(filter) = &self.filter {
            self.last = filter.judge(cells, record, scratch);
            if self.last != Verdict::Needed {
                return;
            }
        }
        for (builder, cell) in self.builders.iter_mut().zip(cells) {
            builder.push(cell, record, scratch);
        }
        self.height += 1;
    }

    /// The rows as a frame; none are left.
    ///
    /// # Errors
    /// Never for rows that a format made; what Polars says otherwise.
    pub fn take(&mut self) -> PolarsResult<DataFrame> {
        let height = std::mem::take(&mut self.height);
        // The next rows will be about as many.
        let next =
            self.schema.iter_names().zip(&self.kinds).map(|(name, kind)| Builder::new(name, *kind, height)).collect();
        let done = std::mem::replace(&mut self.builders, next);
        let columns =
            done.into_iter().zip(self.schema.iter_values()).map(|(builder, dtype)| Ok(builder.finish(dtype)?.into()));
        DataFrame::new(height, columns.collect::<PolarsResult<Vec<Column>>>()?)
    }
}
