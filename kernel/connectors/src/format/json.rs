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

/// Records that are JSON objects, a field a column.
///
/// What becomes of a field, by its column's type:
/// - whole-number types take a whole number within their bounds, also where it is written as `3.0` or `1e2`
/// - `Float64`, `Float32` take any number
/// - `Decimal(p, s)` takes a number of at most `p` digits and `s` decimals, read from its digits and never by way of a
///   float; more decimals than `s` are refused unless they are zeros
/// - `Boolean` takes `true` and `false`
/// - `String` takes text; any other value comes as the JSON it is written in, so a nested object is kept and can be
///   taken apart with Polars' `str().json_path_match`
/// - `Datetime` takes a whole number of its unit since the epoch, or ISO 8601 text (without a zone: UTC)
/// - `Date` takes `2026-11-23`, or a whole number of days since the epoch; like a `Datetime`, of the years 0 to 9999
///
/// A field that is missing or `null` is null; fields that no column wants are checked to be JSON and passed over. If a
/// key comes twice, the last one counts. A field of the wrong type makes the whole record a dead letter.
#[derive(Clone)]
pub struct Json {
    schema: SchemaRef,
    kinds: Vec<Kind>,
    shape: Shape,
    cells: Vec<Cell>,
    scratch: String,
    /// All columns that a sample told, where it is to be said which fields it did not have.
    sampled: Option<Schema>,
    /// Such fields of the record that was decoded last.
    new_fields: Vec<String>,
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
        let (shape, scratch) = (Shape::default(), String::new());
        Ok(Json { schema, kinds, shape, cells, scratch, sampled: None, new_fields: Vec::new() })
    }

    /// Has [`Format::each_new_field`] name the fields that are not in `sampled`, all columns that a sample told.
    #[must_use]
    pub fn sampled(self, sampled: &Schema) -> Json {
        Json { sampled: Some(sampled.clone()), ..self }
    }
}

impl Format for Json {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn another(&self) -> Option<Box<dyn Format>> {
        Some(Box::new(self.clone()))
    }

    fn decode(&mut self, record: &[u8], rows: &mut Rows) -> Result<(), Malformed> {
        let record = std::str::from_utf8(record).map_err(|error| Malformed::NotUtf8 { at: error.valid_up_to() })?;
        let Json { schema, kinds, shape, cells, scratch, sampled, new_fields } = self;
        cells.fill(Cell::Null);
        scratch.clear();
        new_fields.clear();
        let sampled = sampled.as_ref();
        let (key, position, column) = (None, 0, None);
        let mut row = Row { record, schema, kinds, shape, cells, scratch, sampled, new_fields, key, position, column };
        scan::object(record, &mut row)?;
        rows.push(&self.cells, record, &self.scratch);
        Ok(())
    }

    fn each_new_field(&self, take: &mut dyn FnMut(&str)) {
        self.new_fields.iter().for_each(|field| take(field));
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
    sampled: Option<&'a Schema>,
    new_fields: &'a mut Vec<String>,
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
        if column.is_none() && self.shape.is_new(position) {
            self.tell_again(position);
        }
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
        if let Some(sampled) = self.sampled.filter(|_| self.column.is_none()) {
            let mut name = String::new();
            unescape(written, &mut name);
            if !sampled.contains(&name) {
                self.shape.set_new(position);
                self.new_fields.push(name);
            }
        }
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
        value::refused(self.key.unwrap_or_else(|| self.shape.key(self.position)), kind, value, self.record)
    }
}

impl Row<'_> {
    /// Notes that the record has a field that the sample did not have, known from the record before.
    #[cold]
    fn tell_again(&mut self, position: usize) {
        let mut name = String::new();
        unescape(self.shape.key(position), &mut name);
        self.new_fields.push(name);
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
