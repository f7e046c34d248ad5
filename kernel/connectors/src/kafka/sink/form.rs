//! How a row becomes a record: what a caller chooses, and whether rows of some columns can be written so.

use engine::SinkError;
use polars::prelude::{DataFrame, DataType, Expr, IntoLazy as _, PlSmallStr, Schema, SchemaRef};

use super::value::has_json;

/// How a row becomes a record. Without a choice it is a JSON object of all columns, without a key.
#[derive(Clone, Debug, Default)]
pub struct RecordForm {
    /// The columns of the key: with none there is no key, one is a text, several are a JSON object. A row whose only
    /// key column is null has no key.
    pub key: Vec<String>,
    /// Whether the key is a JSON object of one column too.
    pub json_key: bool,
    /// What the value is.
    pub value: ValueForm,
    /// Headers, in this order, each of a name and what it holds: an expression on the row, written as text. A null is a
    /// header without a value.
    pub headers: Vec<(String, Expr)>,
    /// The column with the record's time. Where it is null, or not named, it is the time of writing.
    pub timestamp: Option<String>,
    /// The column with the number of the partition. Where it is null, or not named, the key decides.
    pub partition: Option<String>,
}

/// What a record's value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueForm {
    /// A JSON object of these columns; of all if none is named.
    Json(Vec<String>),
    /// A line of CSV of these columns, without a line of names; of all if none is named.
    Csv(Vec<String>),
    /// One column as it is: bytes, or text. A null is a record without a value, by which a compacted topic forgets the key.
    Raw(String),
}

impl Default for ValueForm {
    fn default() -> ValueForm {
        ValueForm::Json(Vec::new())
    }
}

impl RecordForm {
    /// Whether rows of these columns can be records of this form.
    ///
    /// # Errors
    /// A column that is not there, is there twice, or has a type that cannot be written so.
    pub fn check(&self, schema: &SchemaRef) -> Result<(), SinkError> {
        let is_object = self.json_key || self.key.len() > 1;
        let fits: fn(&DataType) -> bool = if is_object { has_json } else { is_plain };
        check_columns(schema, "key", &self.key, fits, if is_object { JSON } else { PLAIN })?;
        match &self.value {
            ValueForm::Json(columns) => check_value(schema, columns, JSON)?,
            ValueForm::Csv(columns) => check_value(schema, columns, "CSV has no form for it")?,
            ValueForm::Raw(column) => {
                check_columns(schema, "value", std::slice::from_ref(column), is_plain, PLAIN)?;
            }
        }
        let time = |dtype: &DataType| matches!(dtype, DataType::Datetime(..) | DataType::Date);
        check_columns(schema, "time", self.timestamp.as_slice(), time, "it is no time")?;
        check_columns(schema, "partition", self.partition.as_slice(), DataType::is_integer, "it is no whole number")?;
        self.check_headers(schema)
    }

    fn check_headers(&self, schema: &SchemaRef) -> Result<(), SinkError> {
        for (name, expr) in &self.headers {
            let fact = format!("the records cannot have the header \"{name}\"");
            let frame = DataFrame::empty_with_schema(schema).lazy().select([expr.clone().alias(HEADER)]).collect();
            let frame = frame.map_err(|error| SinkError {
                fact: fact.clone(),
                detail: error.to_string(),
                hint: "Name a column of the rows, or give a text as lit(\"…\").".to_owned(),
                retry: false,
            })?;
            match frame.schema().get(HEADER).filter(|dtype| !is_plain(dtype)) {
                None => {}
                Some(dtype) => return Err(unfit(fact, "it", dtype, PLAIN)),
            }
        }
        Ok(())
    }

    /// The columns that say which record a row has: those of the key, and the partition's.
    pub(super) fn identity(&self) -> Vec<PlSmallStr> {
        if self.key.is_empty() {
            return Vec::new();
        }
        let mut names: Vec<PlSmallStr> = self.key.iter().map(PlSmallStr::from).collect();
        names.extend(self.partition.iter().filter(|name| !self.key.contains(name)).map(PlSmallStr::from));
        names
    }
}

/// The name of a header's column while it is looked at.
const HEADER: &str = "__corriente_header";
const JSON: &str = "JSON has no form for it";
const PLAIN: &str = "there is no text for it";

fn is_plain(dtype: &DataType) -> bool {
    matches!(dtype, DataType::Binary) || has_json(dtype)
}

fn check_value(schema: &Schema, columns: &[String], why: &str) -> Result<(), SinkError> {
    if columns.is_empty() {
        let all: Vec<String> = schema.iter_names().map(ToString::to_string).collect();
        return check_columns(schema, "value", &all, has_json, why);
    }
    check_columns(schema, "value", columns, has_json, why)
}

/// Whether `columns` are there once, and all fit; `why` says what is wrong with one that does not.
fn check_columns(
    schema: &Schema,
    what: &str,
    columns: &[String],
    fits: fn(&DataType) -> bool,
    why: &str,
) -> Result<(), SinkError> {
    for (n, name) in columns.iter().enumerate() {
        let fact = format!("the records cannot have the {what} \"{name}\"");
        let Some(dtype) = schema.get(name) else {
            let names: Vec<String> = schema.iter_names().map(|name| format!("\"{name}\"")).collect();
            return Err(SinkError {
                fact,
                detail: format!("the result has no column \"{name}\"; it has {}", names.join(", ")),
                hint: "Choose one of these, or leave it out.".to_owned(),
                retry: false,
            });
        };
        if columns[..n].contains(name) {
            return Err(SinkError {
                fact,
                detail: "it is named twice".to_owned(),
                hint: "Name each column once.".to_owned(),
                retry: false,
            });
        }
        if !fits(dtype) {
            return Err(unfit(fact, "the column", dtype, why));
        }
    }
    Ok(())
}

fn unfit(fact: String, what: &str, dtype: &DataType, why: &str) -> SinkError {
    SinkError {
        fact,
        detail: format!("{what} has the type {dtype}, and {why}"),
        hint: "Cast it, or leave it out with .drop(…) or .select(…).".to_owned(),
        retry: false,
    }
}
