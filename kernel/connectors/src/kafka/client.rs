//! A client of librdkafka: made, reached, and heard. librdkafka tells the reasons of its errors only in its log; they are
//! kept here for the error that follows, and never printed.

use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::{Offsets, SourceError};
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};

use super::describe::{Description, describe};
use super::error::{from_code, from_kafka};
use super::options::{KafkaOptions, addresses, consumer_config};
use super::topics::unknown_topic;

/// How long a broker may take for an answer: with the connection before it, an absent one is told in five seconds.
pub(super) const ANSWER: Duration = Duration::from_secs(3);
/// How long all addresses together may take to be reached.
const REACH: Duration = Duration::from_millis(1_500);

/// The last thing that librdkafka complained of.
#[derive(Clone, Default)]
pub(crate) struct LastWords(Arc<Mutex<Option<String>>>);

impl LastWords {
    /// In its words, without its thread's name.
    pub(crate) fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn keep(&self, words: &str) {
        // "[thrd:host:9092/bootstrap]: host:9092/bootstrap: Connect to … failed: Connection refused (after 0ms …)"
        let plain = words.split_once("]: ").map_or(words, |(_, rest)| rest);
        let plain = plain.split_once(" (after ").map_or(plain, |(before, _)| before);
        // That all are down says less than why the last one is.
        if !plain.contains("brokers are down") {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(plain.replace("/bootstrap", ""));
        }
    }
}

/// What librdkafka calls back.
#[derive(Clone, Default)]
pub(crate) struct Context {
    /// What it complained of.
    pub(crate) words: LastWords,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        if (level as i32) <= (RDKafkaLogLevel::Error as i32) {
            self.words.keep(message);
        }
    }

    fn error(&self, _error: KafkaError, reason: &str) {
        self.words.keep(reason);
    }
}

impl ConsumerContext for Context {}

/// A consumer that is told what to read.
pub(super) type Consumer = BaseConsumer<Context>;

/// A consumer whose broker is there.
///
/// # Errors
/// A bad address, a bad option, or no broker, in two seconds at most.
pub(super) fn consumer(options: &KafkaOptions) -> Result<Consumer, SourceError> {
    let config = consumer_config(options)?;
    reach(options)?;
    let context = Context::default();
    let words = context.words.clone();
    config.create_with_context(context).map_err(|error| {
        from_kafka(options, &format!("the topic \"{}\" cannot be read", options.topic), &error, &words)
    })
}

/// Whether anything listens at one of the addresses: librdkafka itself says no only after a time-out.
///
/// # Errors
/// A bad address, or nothing that listens.
pub(super) fn reach(options: &KafkaOptions) -> Result<(), SourceError> {
    let deadline = Instant::now() + REACH;
    let mut reasons = Vec::new();
    for (host, port) in addresses(&options.bootstrap)? {
        let found = match (host.as_str(), port).to_socket_addrs() {
            Ok(found) => found,
            Err(_) => {
                reasons.push(format!("there is no host \"{host}\""));
                continue;
            }
        };
        for address in found {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(200));
            match TcpStream::connect_timeout(&address, left) {
                Ok(_) => return Ok(()),
                Err(error) => reasons.push(format!("{host}:{port}: {}", plain(&error))),
            }
        }
    }
    reasons.dedup();
    Err(SourceError {
        fact: format!("there is no Kafka broker at {}", options.bootstrap),
        detail: reasons.join("; "),
        hint: "See whether it runs and listens there. `demo::bank()` starts one on this machine.".to_owned(),
        retry: true,
    })
}

fn plain(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "nothing listens there",
        std::io::ErrorKind::TimedOut => "no answer",
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => "there is no way to it",
        _ => "the connection fails",
    }
}

/// The topic's partitions.
///
/// # Errors
/// When there is no such topic, or the broker does not tell.
pub(super) fn partitions(consumer: &Consumer, options: &KafkaOptions) -> Result<Vec<i32>, SourceError> {
    let deadline = Instant::now() + ANSWER;
    let what = format!("the topic \"{}\" cannot be read", options.topic);
    loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(100));
        let found = consumer
            .fetch_metadata(Some(&options.topic), left)
            .map_err(|error| from_kafka(options, &what, &error, heard(consumer)))?;
        let Some(topic) = found.topics().first() else { return Err(unknown_topic(options, &names(&found))) };
        match topic.error().map(Code::from) {
            None if !topic.partitions().is_empty() => {
                return Ok(topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect());
            }
            // Just created: the broker knows the name and not yet who leads it. The answer's way paces this.
            None | Some(Code::LeaderNotAvailable) if Instant::now() < deadline => {}
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic) => {
                let all = consumer
                    .fetch_metadata(None, ANSWER)
                    .map_err(|error| from_kafka(options, &what, &error, heard(consumer)))?;
                return Err(unknown_topic(options, &names(&all)));
            }
            Some(code) => return Err(from_code(options, &what, code, heard(consumer))),
            None => return Err(from_code(options, &what, Code::LeaderNotAvailable, heard(consumer))),
        }
    }
}

/// What a consumer that reads nothing yet complained of: it is told only to who asks.
pub(super) fn heard(consumer: &Consumer) -> &LastWords {
    while consumer.poll(Duration::ZERO).is_some() {}
    &consumer.context().words
}

/// The names of topics, less Kafka's own.
fn names(metadata: &Metadata) -> Vec<String> {
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    names.filter(|name| !name.starts_with("__")).collect()
}

/// The topic when it is first asked for. An error names the topics that there are.
///
/// # Errors
/// As for [`partitions`].
pub(super) fn first_description(consumer: &Consumer, options: &KafkaOptions) -> Result<Description, SourceError> {
    match describe(consumer, &options.topic, ANSWER) {
        Ok(found) if !found.partitions.is_empty() => Ok(found),
        // It may just be made: the older question waits for its leaders, and its errors name the topics.
        Ok(_)
        | Err(Code::LeaderNotAvailable | Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::InvalidTopic) => {
            partitions(consumer, options)?;
            description(consumer, options)
        }
        found => described(consumer, options, found, heard(consumer)),
    }
}

/// The topic as it is now, with its id where the broker gives one.
///
/// # Errors
/// When there is no such topic any more, or the broker does not tell.
pub(super) fn description(consumer: &Consumer, options: &KafkaOptions) -> Result<Description, SourceError> {
    described(consumer, options, describe(consumer, &options.topic, ANSWER), &consumer.context().words)
}

fn described(
    consumer: &Consumer,
    options: &KafkaOptions,
    found: Result<Description, Code>,
    words: &LastWords,
) -> Result<Description, SourceError> {
    match found {
        Ok(found) if !found.partitions.is_empty() => Ok(found),
        // A broker that cannot be asked so, or does not know the leaders yet: the older question waits for them.
        Ok(_) | Err(Code::UnsupportedFeature | Code::LeaderNotAvailable | Code::NotImplemented) => {
            Ok(Description { id: None, partitions: partitions(consumer, options)? })
        }
        Err(code) => {
            let what = format!("the topic \"{}\" cannot be read", options.topic);
            Err(from_code(options, &what, code, words))
        }
    }
}

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// The first that is there.
    Earliest,
    /// The next that will be.
    Latest,
    /// The first whose record has this timestamp or a later one, in milliseconds since the epoch.
    Since(i64),
}

/// Offsets of several partitions, by one question to each of their leaders. One that has no such record is left out.
///
/// # Errors
/// When the broker does not tell.
pub(super) fn offsets(
    consumer: &Consumer,
    options: &KafkaOptions,
    partitions: &[i32],
    ask: Ask,
) -> Result<Offsets<i32>, SourceError> {
    if partitions.is_empty() {
        return Ok(Offsets::default());
    }
    let topic = &options.topic;
    let what = |partition: i32| format!("the offsets of topic \"{topic}\" [{partition}] cannot be read");
    let words = &consumer.context().words;
    // The protocol has the two ends as times of their own.
    let time = match ask {
        Ask::Earliest => Offset::Beginning,
        Ask::Latest => Offset::End,
        Ask::Since(time_ms) => Offset::Offset(time_ms.max(0)),
    };
    let mut times = TopicPartitionList::new();
    let listed = partitions.iter().try_for_each(|partition| times.add_partition_offset(topic, *partition, time));
    let found = listed
        .and_then(|()| consumer.offsets_for_times(times, ANSWER))
        .map_err(|error| from_kafka(options, &what(partitions[0]), &error, words))?;
    let mut offsets = Offsets::default();
    for found in found.elements() {
        found.error().map_err(|error| from_kafka(options, &what(found.partition()), &error, words))?;
        if let Offset::Offset(offset) = found.offset() {
            offsets.0.insert(found.partition(), offset);
        }
    }
    // No record may be so new; but each partition has ends.
    match partitions.iter().find(|partition| !offsets.0.contains_key(partition)) {
        Some(missing) if !matches!(ask, Ask::Since(_)) => {
            Err(from_code(options, &what(*missing), Code::UnknownPartition, words))
        }
        _ => Ok(offsets),
    }
}
