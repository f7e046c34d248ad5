//! A query to be killed: it reads a topic and writes a topic or a folder, with small batches and a state every few of them.
//! `tests/kafka/test_exactly_once.py` kills it again and again, and counts what is in the sink. A line is printed after every
//! step of a batch, so that the test knows where a kill fell.
//!
//! ```text
//! exactly_once run  BOOTSTRAP TOPIC  rows|windows  kafka|parquet TARGET  CHECKPOINT  killed|end
//! exactly_once dump FOLDER
//! ```
#![allow(missing_docs, clippy::print_stdout)]

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use connectors::{KafkaOptions, KafkaSink, KafkaSinkOptions, KafkaSource, ParquetSink, RecordForm};
use engine::{OpenSource, Options, OutputMode, Query, QueryOutput, Sink, Source, Trigger};
use plan::{Plan, PlanError, tumbling};
use polars::prelude::*;

type Failed = Box<dyn Error>;

fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["run", bootstrap, topic, plan, sink, target, checkpoint, until] => {
            let (plan, sink) = (plan_of(plan)?, sink_of(sink, bootstrap, target, checkpoint)?);
            run(&plan, open(bootstrap, topic), sink, Path::new(checkpoint), trigger_of(until)?)
        }
        ["dump", folder] => dump(Path::new(folder)),
        other => Err(format!("what is {other:?}?").into()),
    }
}

fn run(plan: &Plan, open: OpenSource, sink: Box<dyn Sink>, checkpoint: &Path, trigger: Trigger) -> Result<(), Failed> {
    let options = Options {
        max_rows: 16,
        snapshot_rows: 64,
        trigger,
        crash: Some(Arc::new(|batch, step| {
            println!("{batch} {step:?}");
            false
        })),
        ..Options::default()
    };
    let checkpoint = Some(checkpoint.to_owned());
    let output = QueryOutput { sink, mode: OutputMode::Append, checkpoint, use_newest_good_state: false };
    let query = Query::write("exactly once", plan, open, options, output)?;
    while !query.await_termination(Duration::from_secs(1)) {}
    match query.exception() {
        Some(text) => Err(text.into()),
        None => Ok(()),
    }
}

fn schema() -> SchemaRef {
    let fields = [
        Field::new("id".into(), DataType::Int64),
        Field::new("key".into(), DataType::String),
        Field::new("amount".into(), DataType::Int64),
        Field::new("event_time".into(), DataType::Datetime(TimeUnit::Milliseconds, None)),
    ];
    Arc::new(Schema::from_iter(fields))
}

fn plan_of(name: &str) -> Result<Plan, PlanError> {
    let rows = Plan::source("kafka rows", schema()).with_watermark("event_time", "2s")?;
    match name {
        "windows" => {
            let totals = [len().alias("n"), col("amount").sum().alias("total")];
            rows.group_by_dynamic(&col("event_time"), &[col("key")], &tumbling("10s"), &totals)
        }
        _ => rows.filter(col("amount").gt(lit(0))),
    }
}

fn open(bootstrap: &str, topic: &str) -> OpenSource {
    let kafka = KafkaOptions { bootstrap: bootstrap.to_owned(), topic: topic.to_owned(), ..KafkaOptions::default() };
    Arc::new(move |columns| {
        let columns = columns.iter().map(ToString::to_string).collect();
        Ok(Box::new(KafkaSource::open(kafka.clone(), schema(), Some(columns))?) as Box<dyn Source>)
    })
}

fn sink_of(kind: &str, bootstrap: &str, target: &str, checkpoint: &str) -> Result<Box<dyn Sink>, Failed> {
    if kind == "parquet" {
        return Ok(Box::new(ParquetSink::new(PathBuf::from(target))));
    }
    // The test reads with another client than ours, which knows no lz4.
    let settings = [("compression.type".to_owned(), "none".to_owned())].into();
    let kafka =
        KafkaOptions { bootstrap: bootstrap.to_owned(), topic: target.to_owned(), settings, ..KafkaOptions::default() };
    // As a notebook's query gets it.
    let id = format!("{target}-{}", engine::short_hash(checkpoint));
    let form = RecordForm { key: vec!["key".to_owned()], ..RecordForm::default() };
    Ok(Box::new(KafkaSink::new(KafkaSinkOptions { kafka, form, id })?))
}

fn trigger_of(until: &str) -> Result<Trigger, Failed> {
    match until {
        "killed" => Ok(Trigger::Continuous),
        "end" => Ok(Trigger::AvailableNow),
        other => Err(format!("until {other}?").into()),
    }
}

/// Prints the rows of a folder's files as lines of JSON, with times as the Kafka sink writes them.
fn dump(folder: &Path) -> Result<(), Failed> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    // What a kill left half written has another name.
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    paths.sort();
    for path in paths {
        let rows = ParquetReader::new(File::open(&path)?).finish()?;
        let time = col("event_time").dt().to_string("%Y-%m-%dT%H:%M:%S%.3fZ");
        let mut rows = rows.lazy().with_columns([time]).collect()?;
        JsonWriter::new(std::io::stdout()).with_json_format(JsonFormat::JsonLines).finish(&mut rows)?;
    }
    Ok(())
}
