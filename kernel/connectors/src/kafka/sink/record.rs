//! The rows of a batch as records, by a [`RecordForm`]. Functions of values: who sends them is no concern of this file.

use engine::SinkError;
use polars::prelude::*;
use rdkafka::message::{Header, OwnedHeaders};

use super::deliver::Record;
use super::form::{RecordForm, ValueForm};
use super::value::{Fields, put_csv, put_plain};

/// A batch whose rows are handed out as records.
pub(super) struct Records {
    /// The columns of the rows, and behind them those of the headers.
    rows: DataFrame,
    key: Key,
    value: Value,
    /// The names of the headers, whose columns are the last.
    headers: Vec<String>,
    times: Option<Int64Chunked>,
    partitions: Option<Int64Chunked>,
}

/// Columns by their places.
enum Key {
    None,
    Plain(usize),
    Object(Fields, Vec<usize>),
}

enum Value {
    /// The record has none.
    None,
    Object(Fields, Vec<usize>),
    Csv(Vec<usize>),
    Raw(usize),
}

impl Records {
    /// The records of rows whose columns are as [`RecordForm::check`] wants them.
    pub(super) fn new(form: &RecordForm, rows: &DataFrame) -> Result<Records, SinkError> {
        let names: Vec<String> = rows.schema().iter_names().map(ToString::to_string).collect();
        let all = |columns: &Vec<String>| if columns.is_empty() { names.clone() } else { columns.clone() };
        let value = match &form.value {
            ValueForm::Json(columns) => {
                let columns = all(columns);
                Value::Object(Fields::new(columns.iter().map(String::as_str)), places(rows, &columns))
            }
            ValueForm::Csv(columns) => Value::Csv(places(rows, &all(columns))),
            ValueForm::Raw(column) => places(rows, std::slice::from_ref(column)).pop().map_or(Value::None, Value::Raw),
        };
        let headers = form.headers.iter().enumerate();
        let headers: Vec<Expr> =
            headers.map(|(n, (_, expr))| expr.clone().alias(format!("__corriente_header_{n}"))).collect();
        let with_headers = match headers.is_empty() {
            true => Ok(rows.clone()),
            false => rows.clone().lazy().with_columns(headers).collect(),
        };
        let names = form.headers.iter().map(|(name, _)| name.clone()).collect();
        Records::of(form, with_headers.map_err(failed)?, value, names)
    }

    /// The records by which a topic forgets rows: their keys, and no values.
    pub(super) fn gone(form: &RecordForm, rows: &DataFrame) -> Result<Records, SinkError> {
        let form = RecordForm { timestamp: None, ..form.clone() };
        Records::of(&form, rows.clone(), Value::None, Vec::new())
    }

    fn of(form: &RecordForm, rows: DataFrame, value: Value, headers: Vec<String>) -> Result<Records, SinkError> {
        let key = match form.key.as_slice() {
            [] => Key::None,
            [one] if !form.json_key => places(&rows, std::slice::from_ref(one)).pop().map_or(Key::None, Key::Plain),
            several => Key::Object(Fields::new(several.iter().map(String::as_str)), places(&rows, several)),
        };
        let column = |name: &Option<String>| match name {
            Some(name) if rows.height() > 0 => rows.column(name).map(Some),
            _ => Ok(None),
        };
        let times = column(&form.timestamp).map_err(failed)?.map(milliseconds).transpose().map_err(failed)?;
        let partitions = column(&form.partition).map_err(failed)?.map(whole).transpose().map_err(failed)?;
        if let Some(early) = times.as_ref().and_then(|times| times.min()).filter(|time| *time < 0) {
            return Err(SinkError {
                fact: format!("a record cannot have the time {early} ms"),
                detail: "Kafka knows no times before 1970".to_owned(),
                hint: "Filter such rows out, or let .timestamp(…) name another column.".to_owned(),
                retry: false,
            });
        }
        Ok(Records { rows, key, value, headers, times, partitions })
    }

    /// The least and the greatest partition that a row names, if one does.
    pub(super) fn partitions(&self) -> Option<(i64, i64)> {
        let partitions = self.partitions.as_ref()?;
        Some((partitions.min()?, partitions.max()?))
    }

    /// Hands the record of each row to `send`, in the order of the rows. What has neither a key nor a value is left out.
    ///
    /// # Errors
    /// The first of `send`.
    pub(super) fn each<E>(&self, mut send: impl FnMut(Record<'_>) -> Result<(), E>) -> Result<(), E> {
        if self.rows.height() == 0 {
            return Ok(());
        }
        let mut columns: Vec<_> =
            self.rows.columns().iter().map(|column| column.as_materialized_series().iter()).collect();
        let mut cells: Vec<AnyValue<'_>> = Vec::with_capacity(columns.len());
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for row in 0..self.rows.height() {
            cells.clear();
            cells.extend(columns.iter_mut().map(|column| column.next().unwrap_or(AnyValue::Null)));
            key.clear();
            value.clear();
            let (has_key, has_value) = (self.put_key(&mut key, &cells), self.put_value(&mut value, &cells));
            if !has_key && !has_value {
                continue;
            }
            send(Record {
                key: has_key.then_some(key.as_slice()),
                value: has_value.then_some(value.as_slice()),
                headers: self.headers(&cells),
                timestamp_ms: self.times.as_ref().and_then(|times| times.get(row)),
                partition: self.partitions.as_ref().and_then(|all| i32::try_from(all.get(row)?).ok()),
            })?;
        }
        Ok(())
    }

    fn put_key(&self, out: &mut Vec<u8>, cells: &[AnyValue<'_>]) -> bool {
        match &self.key {
            Key::None => false,
            Key::Plain(at) => put_plain(out, &cells[*at]),
            Key::Object(fields, places) => {
                fields.put(out, places.iter().map(|at| &cells[*at]));
                true
            }
        }
    }

    fn put_value(&self, out: &mut Vec<u8>, cells: &[AnyValue<'_>]) -> bool {
        match &self.value {
            Value::None => return false,
            Value::Object(fields, places) => fields.put(out, places.iter().map(|at| &cells[*at])),
            Value::Csv(places) => {
                for (n, at) in places.iter().enumerate() {
                    if n > 0 {
                        out.push(b',');
                    }
                    put_csv(out, &cells[*at]);
                }
            }
            Value::Raw(at) => return put_plain(out, &cells[*at]),
        }
        true
    }

    fn headers(&self, cells: &[AnyValue<'_>]) -> Option<OwnedHeaders> {
        if self.headers.is_empty() {
            return None;
        }
        let first = cells.len() - self.headers.len();
        let mut text = Vec::new();
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (name, cell) in self.headers.iter().zip(&cells[first..]) {
            text.clear();
            let value = put_plain(&mut text, cell).then_some(&text);
            headers = headers.insert(Header { key: name, value });
        }
        Some(headers)
    }
}

/// Times as milliseconds since the epoch.
fn milliseconds(column: &Column) -> PolarsResult<Int64Chunked> {
    let numbers = whole(&column.to_physical_repr())?;
    Ok(match column.dtype() {
        DataType::Datetime(TimeUnit::Nanoseconds, _) => numbers.apply_values(|at| at.div_euclid(1_000_000)),
        DataType::Datetime(TimeUnit::Microseconds, _) => numbers.apply_values(|at| at.div_euclid(1_000)),
        DataType::Date => numbers.apply_values(|days| days * 86_400_000),
        _ => numbers,
    })
}

fn whole(column: &Column) -> PolarsResult<Int64Chunked> {
    column.cast(&DataType::Int64)?.i64().cloned()
}

fn places(rows: &DataFrame, columns: &[String]) -> Vec<usize> {
    columns.iter().filter_map(|name| rows.get_column_index(name)).collect()
}

fn failed(error: PolarsError) -> SinkError {
    SinkError {
        fact: "the rows cannot be made records".to_owned(),
        detail: error.to_string(),
        hint: "See what the headers are made of.".to_owned(),
        retry: false,
    }
}

#[cfg(test)]
mod tests;
