//! Corriente's side: the plan that a notebook would make, over the Kafka source.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connectors::{KafkaOptions, KafkaSource, sample_schema};
use engine::{OpenSource, Options, OutputMode, Query, QueryOutput, Sink, Source, Status, Trigger};
use plan::{Plan, tumbling};
use polars::prelude::{PlSmallStr, col, len, lit};

use super::{APPROVED, Failure, Key};

/// How late rows may be; the bank's are late by 20 s at the most.
const WATERMARK: &str = "30s";
const PATIENCE: Duration = Duration::from_secs(170);

/// A plan and the way to its source.
pub(crate) struct Frame {
    pub(crate) plan: Plan,
    pub(crate) open: OpenSource,
}

/// The query of both sides.
pub(crate) fn frame(bootstrap: &str, topic: &str, key: Key) -> Result<Frame, Failure> {
    let options = KafkaOptions { bootstrap: bootstrap.to_owned(), topic: topic.to_owned(), ..KafkaOptions::default() };
    let schema = sample_schema(&options)?.schema;
    let amount = || col("amount");
    let plan = Plan::source(format!("kafka {topic} at {bootstrap}"), schema.clone())
        .with_watermark("event_time", WATERMARK)?
        .filter(col("status").eq(lit(APPROVED)))?
        .group_by_dynamic(
            &col("event_time"),
            &[col(key.column())],
            &tumbling("10s"),
            &[
                len().alias("count"),
                amount().sum().alias("sum"),
                amount().mean().alias("mean"),
                amount().max().alias("largest"),
            ],
        )?;
    let open: OpenSource = Arc::new(move |columns: &[PlSmallStr]| {
        let columns = columns.iter().map(ToString::to_string).collect();
        let source = KafkaSource::open(options.clone(), schema.clone(), Some(columns))?;
        Ok(Box::new(source) as Box<dyn Source>)
    });
    Ok(Frame { plan, open })
}

impl Frame {
    /// Writes all that is in the topic to `sink`, with a checkpoint.
    pub(crate) fn write_all(&self, sink: Box<dyn Sink>, checkpoint: &Path) -> Result<Status, Failure> {
        let options = Options { trigger: Trigger::AvailableNow, ..Options::default() };
        let output = QueryOutput {
            sink,
            mode: OutputMode::Update,
            checkpoint: Some(checkpoint.to_owned()),
            use_newest_good_state: false,
        };
        let query = Query::write("throughput", &self.plan, Arc::clone(&self.open), options, output)?;
        if !query.await_termination(PATIENCE) {
            return Err(format!("the query is not done after {} s: {:?}", PATIENCE.as_secs(), query.status()).into());
        }
        match query.exception() {
            Some(message) => Err(message.into()),
            None => Ok(query.status()),
        }
    }
}
