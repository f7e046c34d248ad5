//! The columns of a query's sources, as a cell names them. They may come from a sample of a topic, which says other things on
//! other days: then the query would be another one, and whoever starts it is told how to have the columns that it had.

use std::path::Path;

use polars::prelude::*;
use serde::{Deserialize, Serialize};

use super::{CheckpointError, Hint, damaged, read, replace};
use crate::disk::Disk;

/// The version of the file's format.
const VERSION: u32 = 1;
const FILE: &str = "source.json";

#[derive(Serialize, Deserialize)]
struct SampledColumns {
    version: u32,
    /// What gives each source its columns, as it is written in a cell.
    sources: Vec<String>,
}

/// Writes down the columns of a query's sources.
pub(super) fn keep(disk: &dyn Disk, folder: &Path, sources: &[SchemaRef]) -> Result<(), CheckpointError> {
    let path = folder.join(FILE);
    let kept = SampledColumns { version: VERSION, sources: sources.iter().map(|schema| call(schema)).collect() };
    let text = serde_json::to_vec_pretty(&kept).map_err(|error| damaged(&path, &error, Hint::Copy))?;
    replace(disk, &path, &text)
}

/// Says how to have the columns that the sources had, where a query is refused and they are others now.
pub(super) fn explained(error: CheckpointError, sources: &[SchemaRef]) -> CheckpointError {
    let CheckpointError::Changed { folder, difference } = error else { return error };
    // Where they are not known there is nothing to add.
    let text = read(&folder.join(FILE)).ok().flatten().unwrap_or_default();
    let kept: Option<SampledColumns> = serde_json::from_slice(&text).ok();
    let then = kept.filter(|kept| kept.version == VERSION && kept.sources.len() == sources.len());
    let then = then.map(|kept| kept.sources).unwrap_or_default();
    let others: Vec<String> =
        then.into_iter().zip(sources).filter(|(then, now)| *then != call(now)).map(|(then, _)| then).collect();
    if others.is_empty() {
        return CheckpointError::Changed { folder, difference };
    }
    CheckpointError::OtherColumns { folder, difference, call: others.join("\n") }
}

/// As in `.schema(Schema::from_iter([Field::new("v".into(), DataType::Int64)]))`.
fn call(schema: &Schema) -> String {
    format!(".schema(Schema::from_iter([{}]))", fields(schema.iter_fields()))
}

fn fields(all: impl Iterator<Item = Field>) -> String {
    let field = |field: Field| format!("Field::new({:?}.into(), {})", field.name().as_str(), dtype(field.dtype()));
    all.map(field).collect::<Vec<_>>().join(", ")
}

fn dtype(of: &DataType) -> String {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Nanoseconds => "TimeUnit::Nanoseconds",
        TimeUnit::Microseconds => "TimeUnit::Microseconds",
        TimeUnit::Milliseconds => "TimeUnit::Milliseconds",
    };
    match of {
        DataType::Datetime(of, None) => format!("DataType::Datetime({}, None)", unit(of)),
        DataType::Datetime(of, Some(zone)) => {
            format!("DataType::Datetime({}, TimeZone::opt_try_new(Some({:?}))?)", unit(of), zone.to_string())
        }
        DataType::Duration(of) => format!("DataType::Duration({})", unit(of)),
        DataType::List(inner) => format!("DataType::List(Box::new({}))", dtype(inner)),
        DataType::Struct(of) => format!("DataType::Struct(vec![{}])", fields(of.iter().cloned())),
        // A name, or a name with numbers.
        other => format!("DataType::{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_written_as_a_cell_names_them() {
        let inner = Field::new("a".into(), DataType::List(Box::new(DataType::Boolean)));
        let schema = Schema::from_iter([
            Field::new("v".into(), DataType::Int64),
            Field::new("say \"x\"".into(), DataType::String),
            Field::new("t".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
            Field::new("d".into(), DataType::Decimal(38, 2)),
            Field::new("s".into(), DataType::Struct(vec![inner])),
        ]);
        let expected = ".schema(Schema::from_iter([Field::new(\"v\".into(), DataType::Int64), \
            Field::new(\"say \\\"x\\\"\".into(), DataType::String), \
            Field::new(\"t\".into(), DataType::Datetime(TimeUnit::Milliseconds, None)), \
            Field::new(\"d\".into(), DataType::Decimal(38, 2)), \
            Field::new(\"s\".into(), DataType::Struct(vec![Field::new(\"a\".into(), DataType::List(Box::new(DataType::Boolean)))]))]))";
        assert_eq!(call(&schema), expected);
    }
}
