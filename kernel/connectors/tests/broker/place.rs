//! Where the tests run: on the embedded broker, or, with CORRIENTE_TEST_KAFKA=host:port, on the Kafka that is there.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use broker::{Broker, Config};
use connectors::bank::{ProduceConfig, Producer};
use connectors::{KafkaOptions, KafkaSource, create_topic, sample_schema};
use engine::{DeadLetter, Offsets, PartitionRows, Source as _};
use polars::prelude::{DataFrame, SchemaRef};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// When the bank's records of these tests are.
pub(crate) const START_MS: i64 = 1_795_446_000_000;

/// The broker's address.
pub(crate) fn bootstrap() -> String {
    static EMBEDDED: OnceLock<Broker> = OnceLock::new();
    std::env::var("CORRIENTE_TEST_KAFKA")
        .unwrap_or_else(|_| EMBEDDED.get_or_init(|| Broker::start(Config::default()).unwrap()).bootstrap())
}

/// A topic's name that no other test or run has.
pub(crate) fn fresh(name: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!("{name}-{moment}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn options(topic: &str) -> KafkaOptions {
    KafkaOptions { bootstrap: bootstrap(), topic: topic.to_owned(), ..KafkaOptions::default() }
}

/// A topic with one partition, so that there is one order.
pub(crate) fn single(name: &str) -> String {
    let topic = fresh(name);
    assert!(create_topic(&bootstrap(), &topic, 1).unwrap());
    topic
}

/// A topic of `count` transactions, and how many of them are malformed.
pub(crate) fn bank_topic(name: &str, count: u64) -> (String, u64) {
    let topic = fresh(name);
    let config = ProduceConfig {
        bootstrap: bootstrap(),
        topic: topic.clone(),
        rate: 0.0,
        count: Some(count),
        start_ms: Some(START_MS),
        ..ProduceConfig::default()
    };
    let mut producer = Producer::start(config).unwrap();
    assert_eq!(producer.wait(), count, "{:?}", producer.error());
    (topic, producer.malformed())
}

/// A topic with one partition and these values.
pub(crate) fn topic_of(name: &str, values: &[&str]) -> String {
    let topic = single(name);
    send(&topic, values);
    topic
}

/// Writes values to partition 0.
pub(crate) fn send(topic: &str, values: &[&str]) {
    send_all(topic, 0, values);
}

/// Writes values to a partition.
pub(crate) fn send_all<V: AsRef<str>>(topic: &str, partition: i32, values: &[V]) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    for value in values {
        producer
            .send(BaseRecord::<(), str>::to(topic).partition(partition).payload(value.as_ref()))
            .map_err(|(error, _)| error)
            .unwrap();
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

/// A record as it is in a topic.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) headers: Vec<(String, Option<String>)>,
    pub(crate) timestamp_ms: Option<i64>,
    pub(crate) partition: i32,
}

/// Every record of some partitions that is committed, up to where they end now.
pub(crate) fn committed_in(topic: &str, partitions: i32) -> Vec<Found> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap())
        .set("group.id", "reader")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut from = TopicPartitionList::new();
    for partition in 0..partitions {
        from.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&from).unwrap();
    let (deadline, mut ends, mut found) = (Instant::now() + Duration::from_secs(20), 0, Vec::new());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    while ends < partitions {
        assert!(Instant::now() < deadline, "{found:?} came, and no end");
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => found.push(Found {
                key: message.key().map(text),
                value: message.payload().map(text),
                headers: message.headers().map_or_else(Vec::new, |headers| {
                    headers.iter().map(|header| (header.key.to_owned(), header.value.map(text))).collect()
                }),
                timestamp_ms: message.timestamp().to_millis(),
                partition: message.partition(),
            }),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ends += 1,
            Some(Err(error)) => panic!("{error} after {found:?}"),
            None => {}
        }
    }
    found
}

pub(crate) fn schema(topic: &str) -> SchemaRef {
    sample_schema(&options(topic)).unwrap().schema
}

pub(crate) fn open(topic: &str, schema: &SchemaRef) -> KafkaSource {
    KafkaSource::open(options(topic), schema.clone(), None).unwrap()
}

/// What was read of a topic.
#[derive(Default)]
pub(crate) struct Read {
    pub(crate) parts: Vec<PartitionRows>,
    pub(crate) dead: Vec<DeadLetter>,
    pub(crate) ranges: Vec<(Offsets, Offsets)>,
}

impl Read {
    pub(crate) fn rows(&self) -> usize {
        self.parts.iter().map(|part| part.rows.height()).sum()
    }

    /// All rows of a partition, in the order they were read.
    pub(crate) fn partition(&self, partition: i32) -> Option<DataFrame> {
        let mut parts = self.parts.iter().filter(|part| part.partition.partition == partition);
        let mut all = parts.next()?.rows.clone();
        for part in parts {
            all.vstack_mut(&part.rows).unwrap();
        }
        Some(all)
    }
}

/// Reads from `from` up to `end`, with about `max_rows` a batch.
pub(crate) fn read_up_to(source: &mut KafkaSource, mut from: Offsets, end: &Offsets, max_rows: usize) -> Read {
    let mut read = Read::default();
    let deadline = Instant::now() + Duration::from_secs(60);
    while from.distance_to(end) > 0 {
        assert!(Instant::now() < deadline, "at {from:?} of {end:?} after {} rows", read.rows());
        let reached = source.available(&from, max_rows, Duration::from_millis(200)).unwrap();
        let to: Offsets =
            reached.0.iter().map(|(partition, at)| (partition.clone(), (*at).min(end.0[partition]))).collect();
        if to == from {
            continue;
        }
        let batch = source.read(&from, &to).unwrap();
        read.parts.extend(batch.parts);
        read.dead.extend(batch.dead_letters);
        read.ranges.push((from, to.clone()));
        from = to;
    }
    read
}

/// Everything in the topic now.
pub(crate) fn read_all(source: &mut KafkaSource, max_rows: usize) -> Read {
    let (start, end) = (source.start().unwrap(), source.latest().unwrap());
    read_up_to(source, start, &end, max_rows)
}

/// Waits on this thread for a future that another thread completes.
pub(crate) fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}
