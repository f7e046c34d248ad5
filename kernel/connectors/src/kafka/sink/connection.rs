//! A connection of a sink: a transactional producer, which is the only one with its id, and the mark of the newest batch.
//! The mark is an offset of the query's own group, committed with the rows; no consumer reads from it.

use std::time::{Duration, Instant};

use engine::{SinkError, SourceError};
use polars::prelude::DataFrame;
use rdkafka::consumer::{Consumer as _, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer as _, PurgeConfig};
use rdkafka::{Offset, TopicPartitionList};

use super::KafkaSinkOptions;
use super::deliver::{Deliveries, Record, send};
use super::form::RecordForm;
use super::record::Records;
use crate::kafka::client::{ANSWER, Consumer, Context, heard, reach};
use crate::kafka::error::from_kafka;
use crate::kafka::options::{KafkaOptions, group_config, transactional_config};
use crate::kafka::topics::create;

/// How long the broker may take to end what an older producer with the id left open.
const REPLACE: Duration = Duration::from_secs(10);
/// How long a batch may take. The broker aborts a transaction later than we do, for it would take us for replaced.
const WRITE: Duration = Duration::from_secs(30);
const TRANSACTION: Duration = Duration::from_secs(60);
/// How long a commit or an abort may take, however late it is.
const END: Duration = Duration::from_secs(5);
/// How often it is looked whether a wait is over, or in vain; rdkafka waits for all of it, so a batch takes no less.
const TICK: Duration = Duration::from_millis(2);
/// Records between two looks at the broker's answers.
const AT_ONCE: usize = 1_000;

/// What is written in one transaction.
pub(super) struct Batch {
    number: u64,
    rows: Records,
    gone: Records,
}

impl Batch {
    /// A batch's rows, and the keys of those that left.
    pub(super) fn new(form: &RecordForm, number: u64, rows: &DataFrame, gone: &DataFrame) -> Result<Batch, SinkError> {
        Ok(Batch { number, rows: Records::new(form, rows)?, gone: Records::gone(form, gone)? })
    }
}

/// A producer that may write.
pub(super) struct Connection {
    producer: BaseProducer<Deliveries>,
    group: ConsumerGroupMetadata,
    /// How many the topic has, where rows name theirs.
    partitions: i64,
    /// The newest batch that is in the topic.
    pub(super) mark: Option<u64>,
}

/// Why a batch was not written.
pub(super) enum Failure {
    /// A newer producer has the id.
    Replaced,
    Other(SinkError),
}

impl Connection {
    /// Makes the topic if it is not there, shuts out older producers with the id, and only then reads the mark: nobody
    /// can move it any more.
    pub(super) fn open(options: &KafkaSinkOptions) -> Result<Connection, SinkError> {
        let kafka = &options.kafka;
        let what = cannot_write(options);
        reach(kafka).map_err(sink_error)?;
        let context = Context::default();
        let words = context.words.clone();
        let consumer: Consumer = group_config(kafka, &options.name())
            .create_with_context(context)
            .map_err(|error| sink_error(from_kafka(kafka, &what, &error, &words)))?;
        make_topic(options, &consumer)?;
        let deliveries = Deliveries::default();
        let words = deliveries.context.words.clone();
        let producer: BaseProducer<Deliveries> = transactional_config(kafka, &options.name(), TRANSACTION)
            .create_with_context(deliveries)
            .map_err(|error| sink_error(from_kafka(kafka, &what, &error, &words)))?;
        producer.init_transactions(REPLACE).map_err(|error| said(options, &producer, &error))?;
        let mark = read_mark(options, &consumer)?;
        let group = consumer.group_metadata().ok_or_else(|| SinkError {
            fact: what,
            detail: "the Kafka client has no group".to_owned(),
            hint: "Try again.".to_owned(),
            retry: true,
        })?;
        Ok(Connection { producer, group, partitions: 0, mark })
    }

    /// Writes a batch and its mark, or nothing. After a failure the connection is of no more use: a commit whose answer
    /// is lost may have happened, and only a new connection's mark tells.
    pub(super) fn write(&mut self, options: &KafkaSinkOptions, batch: &Batch) -> Result<(), Failure> {
        self.check_partitions(options, batch).map_err(Failure::Other)?;
        let Err(error) = self.transaction(options, batch) else {
            self.mark = Some(batch.number);
            return Ok(());
        };
        // Before what is purged fails too.
        let first = self.producer.context().answers.failed().cloned();
        // An abort waits for the records that are not sent any more, and it does not itself hear what became of them.
        self.producer.purge(PurgeConfig::default().queue().inflight());
        let _ = self.producer.flush(END);
        // It may be that there is nothing to abort; the next connection aborts what is left in any case.
        let aborted = self.producer.abort_transaction(END);
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        let codes = [error.rdkafka_error_code(), aborted.err().and_then(|error| error.rdkafka_error_code()), fatal];
        if codes.iter().flatten().any(|code| matches!(code, Code::ProducerFenced | Code::Fenced)) {
            return Err(Failure::Replaced);
        }
        Err(Failure::Other(said(options, &self.producer, &first.unwrap_or(error))))
    }

    fn transaction(&self, options: &KafkaSinkOptions, batch: &Batch) -> Result<(), KafkaError> {
        let deadline = Instant::now() + WRITE;
        let left = || deadline.saturating_duration_since(Instant::now()).max(END);
        self.producer.begin_transaction()?;
        let mut sent = 0;
        let mut to_topic = |record: Record<'_>| {
            sent += 1;
            if sent % AT_ONCE == 0 {
                self.producer.poll(Duration::ZERO);
            }
            send(&self.producer, &options.kafka.topic, record, |full| self.go_on(deadline, full))
        };
        batch.rows.each(&mut to_topic)?;
        batch.gone.each(&mut to_topic)?;
        while let Err(late) = self.producer.flush(TICK) {
            self.go_on(deadline, late)?;
        }
        self.go_on(deadline, KafkaError::Flush(Code::OperationTimedOut))?;
        let mark = mark(&options.kafka.topic, batch.number)?;
        self.producer.send_offsets_to_transaction(&mark, &self.group, left())?;
        self.producer.commit_transaction(left())
    }

    /// Whether the topic has the partitions that rows name; librdkafka would take one that it has not for a lost topic.
    fn check_partitions(&mut self, options: &KafkaSinkOptions, batch: &Batch) -> Result<(), SinkError> {
        let asked = [batch.rows.partitions(), batch.gone.partitions()];
        for (least, greatest) in asked.into_iter().flatten() {
            if greatest >= self.partitions {
                // It may have been given more.
                self.partitions = self.count_partitions(options)?;
            }
            let Some(wrong) = [least, greatest].into_iter().find(|n| !(0..self.partitions).contains(n)) else {
                continue;
            };
            return Err(SinkError {
                fact: format!("a row is to go into partition {wrong} of the topic \"{}\"", options.kafka.topic),
                detail: format!("the topic has {} partitions, from 0 on", self.partitions),
                hint: "Correct the column that .partition(…) names; where it is null, the key decides.".to_owned(),
                retry: false,
            });
        }
        Ok(())
    }

    fn count_partitions(&self, options: &KafkaSinkOptions) -> Result<i64, SinkError> {
        let deadline = Instant::now() + ANSWER;
        loop {
            let found = self.producer.client().fetch_metadata(Some(&options.kafka.topic), ANSWER);
            let found = found.map_err(|error| said(options, &self.producer, &error))?;
            let count = found.topics().first().map_or(0, |topic| topic.partitions().len());
            // Just made: the broker knows the name, and not yet who leads it. The answer's way paces this.
            if count > 0 || Instant::now() >= deadline {
                return Ok(count as i64);
            }
        }
    }

    /// Whether to wait on: not past the deadline, and not when the producer is done for.
    fn go_on(&self, deadline: Instant, late: KafkaError) -> Result<(), KafkaError> {
        if let Some(failed) = self.producer.context().answers.failed() {
            return Err(failed.clone());
        }
        match self.producer.client().fatal_error() {
            Some((code, _)) => Err(KafkaError::MessageProduction(code)),
            None if Instant::now() >= deadline => Err(late),
            None => Ok(()),
        }
    }
}

/// The batch's mark: the number is in the metadata too, for an offset alone could be of a reader that has this group.
fn mark(topic: &str, batch: u64) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    let mut place = list.add_partition(topic, 0);
    place.set_offset(Offset::Offset(i64::try_from(batch).unwrap_or(i64::MAX).saturating_add(1)))?;
    place.set_metadata(batch.to_string());
    Ok(list)
}

fn read_mark(options: &KafkaSinkOptions, consumer: &Consumer) -> Result<Option<u64>, SinkError> {
    let KafkaSinkOptions { kafka, id, .. } = options;
    let what = format!("it cannot be read which batches of the query \"{id}\" are in the topic \"{}\"", kafka.topic);
    let mut asked = TopicPartitionList::with_capacity(1);
    asked.add_partition(&kafka.topic, 0);
    let found = consumer.committed_offsets(asked, ANSWER);
    let failed = |error: KafkaError| sink_error(from_kafka(kafka, &what, &error, heard(consumer)));
    let found = found.map_err(failed)?;
    let Some(place) = found.elements().into_iter().next() else { return Ok(None) };
    place.error().map_err(failed)?;
    let Offset::Offset(offset) = place.offset() else { return Ok(None) };
    place.metadata().parse::<u64>().map(Some).map_err(|_| SinkError {
        fact: what.clone(),
        detail: format!(
            "the group \"{}\" has committed the offset {offset} with the metadata \"{}\", and not with a batch's number",
            options.name(),
            place.metadata()
        ),
        hint: "Something else uses this group: give the query another id.".to_owned(),
        retry: false,
    })
}

fn make_topic(options: &KafkaSinkOptions, consumer: &Consumer) -> Result<(), SinkError> {
    let KafkaSinkOptions { kafka, .. } = options;
    let found = consumer
        .fetch_metadata(Some(&kafka.topic), ANSWER)
        .map_err(|error| sink_error(from_kafka(kafka, &cannot_write(options), &error, heard(consumer))))?;
    let error = found.topics().first().and_then(|topic| topic.error()).map(Code::from);
    if let Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic) = error {
        // As many partitions as the broker makes of itself.
        create(kafka, -1).map_err(sink_error)?;
    }
    Ok(())
}

/// What a producer's error means for who writes.
fn said(options: &KafkaSinkOptions, producer: &BaseProducer<Deliveries>, error: &KafkaError) -> SinkError {
    // What librdkafka complained of is told only to who asks.
    producer.poll(Duration::ZERO);
    let KafkaOptions { topic, bootstrap, .. } = &options.kafka;
    let told = from_kafka(&options.kafka, &cannot_write(options), error, &producer.context().context.words);
    let (detail, hint) = match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize) => (
            "a row is larger than a record may be".to_owned(),
            "Leave out what is large, or raise \"message.max.bytes\" with .option(…), and at the broker.".to_owned(),
        ),
        Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed)
        | Some(Code::TransactionalIdAuthorizationFailed) => (
            told.detail,
            format!(
                "Ask for the right to write the topic, and to use the transactional id and the group \"{}\", or give other credentials with .option(…).",
                options.name()
            ),
        ),
        Some(Code::UnsupportedFeature | Code::UnsupportedVersion) => (
            format!("the broker at {bootstrap} has no transactions"),
            "A Kafka broker has them since version 0.11.".to_owned(),
        ),
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            return SinkError {
                detail: format!("the broker at {bootstrap} has no topic \"{topic}\" any more"),
                hint: "It was deleted while it was written; the query makes it again when it is started again."
                    .to_owned(),
                ..sink_error(told)
            };
        }
        _ => return sink_error(told),
    };
    SinkError { fact: told.fact, detail, hint, retry: false }
}

fn cannot_write(options: &KafkaSinkOptions) -> String {
    format!("the topic \"{}\" cannot be written", options.kafka.topic)
}

pub(super) fn sink_error(error: SourceError) -> SinkError {
    let SourceError { fact, detail, hint, retry } = error;
    SinkError { fact, detail, hint, retry }
}
