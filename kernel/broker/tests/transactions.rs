//! Transactions as librdkafka sees them: what is committed is read, what is aborted is not, and there is one producer an id.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use broker::{Broker, Config};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

const DEADLINE: Duration = Duration::from_secs(20);

/// A broker that makes the topic "t", of one partition, when it is asked for it.
fn broker() -> Broker {
    Broker::start(Config { auto_create: true, partitions: 1, ..Config::default() }).unwrap()
}

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap()).set("allow.auto.create.topics", "true");
    config
}

fn writer(broker: &Broker, id: &str) -> BaseProducer {
    writer_with(broker, id, DEADLINE)
}

/// One whose transactions are aborted after `timeout`.
fn writer_with(broker: &Broker, id: &str, timeout: Duration) -> BaseProducer {
    let mut config = client(broker);
    let producer: BaseProducer = config
        .set("transactional.id", id)
        .set("transaction.timeout.ms", timeout.as_millis().to_string())
        .create()
        .unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    producer
}

/// Begins a transaction with these values, which the broker has when this returns.
fn write(producer: &BaseProducer, values: &[&str]) {
    producer.begin_transaction().unwrap();
    for value in values {
        producer.send(BaseRecord::<(), str>::to("t").payload(value)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(DEADLINE).unwrap();
}

/// What a reader gets until the value `last`.
fn read(broker: &Broker, isolation: &str, last: &str) -> Vec<String> {
    let mut config = client(broker);
    let consumer: BaseConsumer = config.set("group.id", "none").set("isolation.level", isolation).create().unwrap();
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("t", 0, Offset::Beginning).unwrap();
    consumer.assign(&from).unwrap();
    let (end, mut values) = (Instant::now() + DEADLINE, Vec::<String>::new());
    while values.last().is_none_or(|value| value != last) {
        assert!(Instant::now() < end, "{values:?} came");
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            values.push(String::from_utf8(message.unwrap().payload().unwrap().to_vec()).unwrap());
        }
    }
    values
}

#[test]
fn what_is_aborted_is_never_read_and_what_is_open_not_yet() {
    let broker = broker();
    let producer = writer(&broker, "w");
    write(&producer, &["a", "b"]);
    producer.commit_transaction(DEADLINE).unwrap();
    write(&producer, &["c"]);
    producer.abort_transaction(DEADLINE).unwrap();
    write(&producer, &["d"]);
    producer.commit_transaction(DEADLINE).unwrap();
    let other = writer(&broker, "other");
    write(&other, &["e"]);
    assert_eq!(read(&broker, "read_committed", "d"), ["a", "b", "d"]);
    assert_eq!(read(&broker, "read_uncommitted", "e"), ["a", "b", "c", "d", "e"]);
    let ends = |isolation: &str| {
        let consumer: BaseConsumer = client(&broker).set("isolation.level", isolation).create().unwrap();
        consumer.fetch_watermarks("t", 0, DEADLINE).unwrap()
    };
    // Five records and three ends of transactions, and the one that is open is the last.
    assert_eq!((ends("read_committed"), ends("read_uncommitted")), ((0, 7), (0, 8)));
    other.commit_transaction(DEADLINE).unwrap();
    assert_eq!(read(&broker, "read_committed", "e"), ["a", "b", "d", "e"]);
}

#[test]
fn offsets_of_a_transaction_are_committed_with_it_and_keep_their_metadata() {
    let broker = broker();
    let producer = writer(&broker, "w");
    let group: BaseConsumer = client(&broker).set("group.id", "g").create().unwrap();
    let committed = || {
        let mut asked = TopicPartitionList::new();
        asked.add_partition("t", 0);
        let found = group.committed_offsets(asked, DEADLINE).unwrap();
        let found = &found.elements()[0];
        (found.offset(), found.metadata().to_owned())
    };
    write(&producer, &["a"]);
    producer.commit_transaction(DEADLINE).unwrap();
    assert_eq!(committed().0, Offset::Invalid);
    for (offset, end) in [(1, true), (2, false), (3, true)] {
        write(&producer, &[]);
        let mut offsets = TopicPartitionList::new();
        let mut place = offsets.add_partition("t", 0);
        place.set_offset(Offset::Offset(offset)).unwrap();
        place.set_metadata(format!("batch {offset}"));
        producer.send_offsets_to_transaction(&offsets, &group.group_metadata().unwrap(), DEADLINE).unwrap();
        if end { producer.commit_transaction(DEADLINE) } else { producer.abort_transaction(DEADLINE) }.unwrap();
        let expect = if end { offset } else { offset - 1 };
        assert_eq!(committed(), (Offset::Offset(expect), format!("batch {expect}")));
    }
}

#[test]
fn a_second_producer_with_the_id_aborts_what_the_first_wrote_and_shuts_it_out() {
    let broker = broker();
    let first = writer(&broker, "w");
    write(&first, &["a"]);
    let second = writer(&broker, "w");
    write(&second, &["b"]);
    let error = first.commit_transaction(DEADLINE).unwrap_err();
    assert!(matches!(error.rdkafka_error_code(), Some(Code::ProducerFenced | Code::Fenced)), "{error:?}");
    second.commit_transaction(DEADLINE).unwrap();
    assert_eq!(read(&broker, "read_committed", "b"), ["b"]);
}

#[test]
fn a_transaction_that_nobody_ends_is_aborted_when_its_time_is_up() {
    let broker = broker();
    let left = writer_with(&broker, "left", Duration::from_secs(1));
    write(&left, &["a"]);
    let other = writer(&broker, "other");
    write(&other, &["b"]);
    other.commit_transaction(DEADLINE).unwrap();
    assert_eq!(read(&broker, "read_committed", "b"), ["b"]);
    assert!(left.commit_transaction(DEADLINE).is_err(), "it is over");
}
