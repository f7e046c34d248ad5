//! JSON objects straight into columns, without a tree in between: one pass over the text, in which the fields that a
//! column wants are turned into its type as they pass.

pub(crate) mod scan;
mod text;
mod value;

#[cfg(test)]
mod tests;

use polars::prelude::{PolarsResult, Schema, SchemaRef};

use crate::format::rows::{Cell, Kind};
use crate::format::{Format, Malformed, Rows};
use scan::{Fields, Number, Text, Value};

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
    /// The keys in the order of the last records, and the column each goes to: records of one writer look alike, so a
    /// key is nearly always where it was the last time.
    shape: Vec<(String, Option<usize>)>,
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
        Ok(Json { schema, kinds, shape: Vec::new(), cells, scratch: String::new() })
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
        let mut row = Row { record, schema, kinds, shape, cells, scratch, key: "", column: None };
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
    shape: &'a mut Vec<(String, Option<usize>)>,
    cells: &'a mut [Cell],
    scratch: &'a mut String,
    /// The field that passes, as its key is written, and the column it goes to.
    key: &'a str,
    column: Option<usize>,
}

impl Fields for Row<'_> {
    #[inline(always)]
    fn key(&mut self, position: usize, key: Text) {
        self.key = key.span.of(self.record);
        self.column = match self.shape.get(position) {
            // A key with an escape is learnt as it is written, so it is found here too.
            Some((known, column)) if known == self.key => *column,
            _ => learn(self.shape, self.schema, position, key, self.key),
        };
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
        value::wrong_type(self.key, kind, value, self.record)
    }
}

/// Past this many fields a record's shape is not remembered.
const SHAPE_FIELDS: usize = 1_000;

#[cold]
fn learn(
    shape: &mut Vec<(String, Option<usize>)>,
    schema: &Schema,
    position: usize,
    key: Text,
    written: &str,
) -> Option<usize> {
    let column = if key.escaped {
        let mut name = String::new();
        unescape(written, &mut name);
        schema.index_of(&name)
    } else {
        schema.index_of(written)
    };
    if let Some(known) = shape.get_mut(position) {
        known.0.clear();
        known.0.push_str(written);
        known.1 = column;
    } else if position == shape.len() && position < SHAPE_FIELDS {
        shape.push((written.to_owned(), column));
    }
    column
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
