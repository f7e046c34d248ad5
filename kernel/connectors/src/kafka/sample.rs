//! Reads the newest records of a topic, a few from each partition, for the schema to be told from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::SourceError;
use polars::prelude::{PlSmallStr, Schema, SchemaExt as _};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::client::{Ask, Consumer, consumer, offsets, partitions};
use super::error::from_kafka;
use super::options::KafkaOptions;
use crate::schema::{Inference, Sample};

/// Records that are looked at.
const RECORDS: usize = 1_000;
/// How long an empty topic may take to get its first record: a producer may just be starting.
const FIRST: Duration = Duration::from_secs(3);
/// How long a sample may take once it has a record.
const REST: Duration = Duration::from_millis(400);

/// Tells the columns of a topic of JSON objects and their types from up to 1,000 of its newest records; the rules stand
/// at the head of `schema.rs`, and in short: whole numbers, times, decimals, floats, text and booleans as they are
/// written. Returns as soon as it has seen them, or the topic's end.
///
/// # Errors
/// A bad address or option, no broker, no such topic, a topic without records, or one whose records are no JSON objects.
pub fn sample_schema(options: &KafkaOptions) -> Result<Sample, SourceError> {
    let inference = sampled(options)?;
    let sample = inference.finish();
    if sample.schema.is_empty() {
        return Err(nothing(options, &inference));
    }
    Ok(sample)
}

/// As [`sample_schema`], where columns are known of earlier records: those that the sample does not have are as they were, and are
/// told beside it. So a topic without records has columns too.
///
/// # Errors
/// A bad address or option, no broker, or no such topic.
pub fn sample_schema_beside(options: &KafkaOptions, known: &Schema) -> Result<(Sample, Vec<PlSmallStr>), SourceError> {
    let sample = sampled(options)?.finish();
    let mut schema = sample.schema.as_ref().clone();
    let missing: Vec<PlSmallStr> = known.iter_names().filter(|name| !schema.contains(name)).cloned().collect();
    schema.extend(known.iter_fields().filter(|field| missing.contains(field.name())));
    Ok((Sample { schema: Arc::new(schema), ..sample }, missing))
}

/// Looks at a topic's newest records.
fn sampled(options: &KafkaOptions) -> Result<Inference, SourceError> {
    let consumer = consumer(options)?;
    let partitions = partitions(&consumer, options)?;
    let share = i64::try_from(RECORDS.div_ceil(partitions.len())).unwrap_or(i64::MAX);
    let [lows, highs] = [
        offsets(&consumer, options, &partitions, Ask::Earliest)?,
        offsets(&consumer, options, &partitions, Ask::Latest)?,
    ];
    let mut list = TopicPartitionList::new();
    let mut records = 0;
    for partition in &partitions {
        let (low, high) = (lows.0[partition], highs.0[partition]);
        let from = high.saturating_sub(share).max(low);
        records += high - from;
        let what = format!("the topic \"{}\" cannot be read", options.topic);
        list.add_partition_offset(&options.topic, *partition, Offset::Offset(from))
            .map_err(|error| from_kafka(options, &what, &error, &consumer.context().words))?;
    }
    read(&consumer, options, &list, records > 0)
}

/// Reads until there is enough, the end of every partition was seen, or time is up.
fn read(
    consumer: &Consumer,
    options: &KafkaOptions,
    list: &TopicPartitionList,
    until_ends: bool,
) -> Result<Inference, SourceError> {
    let what = format!("the topic \"{}\" cannot be read", options.topic);
    consumer.assign(list).map_err(|error| from_kafka(options, &what, &error, &consumer.context().words))?;
    let mut inference = Inference::default();
    let mut ends = std::collections::BTreeSet::new();
    let mut deadline = Instant::now() + FIRST;
    while inference.records() < RECORDS {
        let left = deadline.saturating_duration_since(Instant::now());
        match consumer.poll(left) {
            Some(Ok(record)) => {
                if inference.records() == 0 {
                    deadline = Instant::now() + REST;
                }
                inference.add(record.payload().unwrap_or_default());
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ends.insert(partition);
                // At the end with records in hand there is no more to wait for.
                if until_ends && ends.len() == list.count() && inference.records() > 0 {
                    break;
                }
            }
            // Gone between the question for its offset and now: what the other partitions have will do.
            Some(Err(KafkaError::MessageConsumption(rdkafka::error::RDKafkaErrorCode::AutoOffsetReset))) => {}
            Some(Err(error)) => return Err(from_kafka(options, &what, &error, &consumer.context().words)),
            None if left.is_zero() => break,
            None => {}
        }
    }
    Ok(inference)
}

fn nothing(options: &KafkaOptions, inference: &Inference) -> SourceError {
    let topic = &options.topic;
    let (fact, detail) = match (inference.records(), inference.last_error()) {
        (0, _) => (format!("the topic \"{topic}\" is empty"), "there is no record to tell the columns from".to_owned()),
        (count, Some(error)) => (
            format!("the columns of topic \"{topic}\" cannot be told"),
            format!("none of its {count} newest records is a JSON object; of the last one: {error}"),
        ),
        (count, None) => (
            format!("the columns of topic \"{topic}\" cannot be told"),
            format!("its {count} newest records are objects without fields"),
        ),
    };
    SourceError {
        fact,
        detail,
        hint: "Give the columns and their types with .schema(…), or wait until there are records.".to_owned(),
        retry: false,
    }
}
