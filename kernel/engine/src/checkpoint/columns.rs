//! The columns of a query's scans. They may come from a sample of a topic, which says other things on other days: then a restart
//! goes on with those that the query had, and tells what the sample says otherwise. What a person says of columns holds, and where
//! the query would be another one by it, whoever starts it is told how to have the columns that it had.

use std::path::Path;

use plan::{Plan, Scan, text};
use polars::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CheckpointError, Hint, damaged, read, replace};
use crate::disk::Disk;

/// The version of the file's format. The first had no columns but as a cell names them.
const VERSION: u32 = 2;
const FILE: &str = "source.json";

#[derive(Serialize, Deserialize)]
struct SourceColumns {
    version: u32,
    /// One a scan, in their order.
    sources: Vec<ScanColumns>,
}

/// The columns of a scan, and what it is known by.
#[derive(Serialize, Deserialize)]
struct ScanColumns {
    connector: String,
    topics: Vec<String>,
    columns: Vec<Value>,
}

/// A plan as it goes on from a checkpoint.
#[derive(Clone, Debug)]
pub struct ResumedPlan {
    /// The plan, over the columns that the checkpoint has where a sample says others now.
    pub plan: Plan,
    /// What a sample says otherwise now, in words.
    pub difference: Option<String>,
}

/// Has a plan go on with the columns that a checkpoint has of its scans, where a sample says others now. A column whose type a person
/// says, or that only a person names, is as they say. A folder without a checkpoint, and a scan that it does not know, change nothing.
///
/// # Errors
/// A step that needs a column which the checkpoint does not have, or has as another type.
pub fn resumed_plan(plan: &Plan, checkpoint: &Path) -> Result<ResumedPlan, CheckpointError> {
    let scans = plan.scans();
    let before = of_scans(checkpoint, &scans);
    let mut differences = Vec::new();
    let schema = |(scan, before): (&&Scan, Option<Schema>)| match (&scan.sampled, before) {
        (Some(said), Some(mut before)) => {
            let said = said.iter().filter_map(|name| Some((name, scan.schema.get(name)?)));
            said.for_each(|(name, dtype)| drop(before.with_column(name.as_str().into(), dtype.clone())));
            differences.extend(difference(scan, &before));
            Arc::new(before)
        }
        _ => scan.schema.clone(),
    };
    let schemas: Vec<SchemaRef> = scans.iter().zip(before).map(schema).collect();
    let difference = (!differences.is_empty()).then(|| differences.join("; "));
    let plan = plan.with_schemas(&schemas).map_err(|error| CheckpointError::NotItsColumns {
        folder: checkpoint.to_owned(),
        error: error.to_string(),
        difference: difference.clone().unwrap_or_default(),
    })?;
    Ok(ResumedPlan { plan, difference })
}

/// The columns that a checkpoint has of what reads these topics.
#[must_use]
pub fn columns_in_checkpoint(checkpoint: &Path, connector: &str, topics: &[String]) -> Option<Schema> {
    let found = found(checkpoint)?;
    found.sources.iter().find(|one| one.connector == connector && one.topics == topics)?.schema()
}

/// Writes down the columns of a query's scans.
pub(super) fn keep(disk: &dyn Disk, folder: &Path, scans: &[&Scan]) -> Result<(), CheckpointError> {
    let path = folder.join(FILE);
    let sources = scans.iter().map(|scan| ScanColumns {
        connector: scan.connector.clone(),
        topics: scan.topics.clone(),
        columns: text::columns(&scan.schema),
    });
    let kept = SourceColumns { version: VERSION, sources: sources.collect() };
    let text = serde_json::to_vec_pretty(&kept).map_err(|error| damaged(&path, &error, Hint::Copy))?;
    replace(disk, &path, &text)
}

/// Whether a folder has the columns of a query's scans, in this version.
pub(super) fn has(folder: &Path) -> bool {
    found(folder).is_some()
}

/// Says how to have the columns that the scans had, where a query is refused and they are others now.
pub(super) fn explained(error: CheckpointError, scans: &[&Scan]) -> CheckpointError {
    let CheckpointError::Changed { folder, difference } = error else { return error };
    let then = scans.iter().zip(of_scans(&folder, scans));
    let others: Vec<String> =
        then.filter_map(|(scan, then)| then.filter(|then| *then != *scan.schema).map(|then| call(&then))).collect();
    if others.is_empty() {
        return CheckpointError::Changed { folder, difference };
    }
    CheckpointError::OtherColumns { folder, difference, call: others.join("\n") }
}

/// What is in the file. Where it cannot be read there is nothing to go by: a query with other columns is refused as another one.
fn found(folder: &Path) -> Option<SourceColumns> {
    let text = read(&folder.join(FILE)).ok()??;
    serde_json::from_slice(&text).ok().filter(|kept: &SourceColumns| kept.version == VERSION)
}

/// The columns that each of these scans had. Of several scans of the same topics the first is the one that was the first.
fn of_scans(folder: &Path, scans: &[&Scan]) -> Vec<Option<Schema>> {
    let mut left = found(folder).map(|found| found.sources).unwrap_or_default();
    let before = |scan: &&Scan| {
        let at = left.iter().position(|one| one.connector == scan.connector && one.topics == scan.topics)?;
        left.remove(at).schema()
    };
    scans.iter().map(before).collect()
}

impl ScanColumns {
    fn schema(&self) -> Option<Schema> {
        text::read_columns(&self.columns)
    }
}

/// What a sample says otherwise than the columns that are read, if anything.
fn difference(scan: &Scan, read: &Schema) -> Option<String> {
    let new = scan.schema.iter().filter(|(name, _)| !read.contains(name));
    let new = new.map(|(name, dtype)| format!("\"{name}\" ({dtype}) is in the sample and is not read"));
    let others = read.iter().filter_map(|(name, dtype)| match scan.schema.get(name) {
        None => Some(format!("\"{name}\" ({dtype}) is not in the sample")),
        Some(sampled) if sampled != dtype => Some(format!("\"{name}\" is {dtype}, and {sampled} in the sample")),
        Some(_) => None,
    });
    let all: Vec<String> = others.chain(new).collect();
    (!all.is_empty()).then(|| format!("of {}, {}", scan.title(), all.join(", ")))
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
