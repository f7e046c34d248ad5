//! JSON objects straight into columns, without a tree in between: one pass over the text, in which the fields that a
//! column wants are turned into its type as they pass.

pub(crate) mod scan;
mod shape;
mod text;
mod value;

use polars::prelude::{PolarsResult, Schema, SchemaRef};

use crate::format::rows::{Cell, Kind};
use crate::format::{Format, Malformed, Rows};
use scan::{Fields, Number, Span, Text, Value};
use shape::Shape;

pub(crate) use text::unescape;
pub(crate) use value::integer as whole;

/// Records that are JSON objects, a field a column.
///
/// What becomes of a field, by its column's type:
/// - whole-number types take a whole number within their bounds, written without point or exponent
/// - `Float64`, `Float32` take any number
/// - `Decimal(p, s)` takes a number of at most `p` digits and `s` decimals, read from its digits and never by way of a
///   float; more decimals than `s` are refused unless they are zeros
/// - `Boolean` takes `true` and `false`
/// - `String` takes text; any other value comes as the JSON it is written in, so a nested object is kept and can be
///   taken apart with Polars' `str().json_path_match`
/// - `Datetime` takes a whole number of its unit since the epoch, or ISO 8601 text (without a zone: UTC)
/// - `Date` takes `2026-11-23`, or a whole number of days since the epoch
///
/// A field that is missing or `null` is null; fields that no column wants are checked to be JSON and passed over. If a
/// key comes twice, the last one counts. A field of the wrong type makes the whole record a dead letter.
pub struct Json {
    schema: SchemaRef,
    kinds: Vec<Kind>,
    shape: Shape,
    cells: Vec<Cell>,
    scratch: String,
}

impl Json {
    /// Decodes the fields that `schema` names, or of those the ones that `columns` names, in the schema's order.
    ///
    /// # Errors
    /// When `columns` has a name that the schema has not, or a column's type cannot be decoded.
    pub fn new(schema: &Schema, columns: Option<&[String]>) -> PolarsResult<Json> {
        let schema = project(schema, columns)?;
        let kinds = Rows::new(schema.clone())?.kinds().to_vec();
        let cells = vec![Cell::Null; kinds.len()];
        Ok(Json { schema, kinds, shape: Shape::default(), cells, scratch: String::new() })
    }
}

impl Format for Json {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn decode(&mut self, record: &[u8], rows: &mut Rows) -> Result<(), Malformed> {
        let record = std::str::from_utf8(record).map_err(|error| Malformed::NotUtf8 { at: error.valid_up_to() })?;
        let Json { schema, kinds, shape, cells, scratch } = self;
        cells.fill(Cell::Null);
        scratch.clear();
        let mut row = Row { record, schema, kinds, shape, cells, scratch, key: None, position: 0, column: None };
        scan::object(record, &mut row)?;
        rows.push(&self.cells, record, &self.scratch);
        Ok(())
    }
}

/// A row in the making.
struct Row<'a> {
    record: &'a str,
    schema: &'a Schema,
    kinds: &'a [Kind],
    shape: &'a mut Shape,
    cells: &'a mut [Cell],
    scratch: &'a mut String,
    /// The field that passes: its key as it is written, if it was read; its place among the fields; the column it goes to.
    key: Option<&'a str>,
    position: usize,
    column: Option<usize>,
}

impl Fields for Row<'_> {
    #[inline(always)]
    fn ahead(&mut self, position: usize, at: usize) -> Option<usize> {
        let (length, column) = self.shape.ahead(position, self.record.as_bytes(), at)?;
        (self.key, self.position, self.column) = (None, position, column);
        Some(length)
    }

    #[inline(never)]
    fn key(&mut self, position: usize, key: Text, before: Span) {
        let written = key.span.of(self.record);
        self.key = Some(written);
        // A key with an escape is learnt as it is written, so it is found here too.
        self.column = self.shape.column(position, written).unwrap_or_else(|| {
            if !key.escaped {
                return self.schema.index_of(written);
            }
            let mut name = String::new();
            unescape(written, &mut name);
            self.schema.index_of(&name)
        });
        self.shape.learn(position, written, self.column, before.of(self.record).as_bytes());
    }

    #[inline(always)]
    fn text(&mut self, text: Text) -> bool {
        let Some(column) = self.column else { return true };
        value::put_text(&mut self.cells[column], text, self.kinds[column], self.record, self.scratch)
    }

    #[inline(always)]
    fn number(&mut self, number: Number) -> bool {
        let Some(column) = self.column else { return true };
        value::put_number(&mut self.cells[column], number, self.kinds[column], self.record)
    }

    fn other(&mut self, value: Value) -> bool {
        let Some(column) = self.column else { return true };
        value::put_other(&mut self.cells[column], value, self.kinds[column], self.scratch)
    }

    fn refuse(&self, value: Value) -> Malformed {
        let kind = self.column.map_or(Kind::Text, |column| self.kinds[column]);
        value::wrong_type(self.key.unwrap_or_else(|| self.shape.key(self.position)), kind, value, self.record)
    }
}

/// The part of `schema` that `columns` names, in the schema's order.
pub(crate) fn project(schema: &Schema, columns: Option<&[String]>) -> PolarsResult<SchemaRef> {
    let Some(columns) = columns else { return Ok(schema.clone().into()) };
    for column in columns {
        schema.try_get(column)?;
    }
    let wanted = schema.iter().filter(|(name, _)| columns.iter().any(|column| column == name.as_str()));
    Ok(wanted.map(|(name, dtype)| (name.clone(), dtype.clone())).collect::<Schema>().into())
}
