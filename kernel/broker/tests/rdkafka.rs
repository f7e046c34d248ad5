//! The broker as librdkafka sees it: topics, every codec, idempotence, groups, offsets by time, damage.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use broker::{Broker, Config};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};

const DEADLINE: Duration = Duration::from_secs(20);

fn broker() -> Broker {
    Broker::start(Config::default()).unwrap()
}

fn client(broker: &Broker) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.bootstrap());
    config
}

fn create_topic(broker: &Broker, name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> = client(broker).create().unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let created = block_on(admin.create_topics(&[topic], &AdminOptions::new())).unwrap();
    assert_eq!(created, [Ok(name.to_owned())]);
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn produce(config: &ClientConfig, topic: &str, values: impl Iterator<Item = usize>) {
    let producer: BaseProducer = config.create().unwrap();
    for value in values {
        let text = value.to_string();
        let mut record = BaseRecord::to(topic).payload(&text).key(&text).timestamp(1_000 + value as i64);
        while let Err((_, refused)) = producer.send(record) {
            producer.poll(Duration::from_millis(10));
            record = refused;
        }
    }
    producer.flush(DEADLINE).unwrap();
}

/// The values of all records, once `count` have come; prints what came when they do not.
fn consume(consumer: &BaseConsumer, count: usize) -> Vec<usize> {
    let end = Instant::now() + DEADLINE;
    let mut values = Vec::new();
    while values.len() < count {
        assert!(Instant::now() < end, "{} of {count} records came", values.len());
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            values.push(std::str::from_utf8(message.payload().unwrap()).unwrap().parse().unwrap());
        }
    }
    values
}

fn assigned(config: &ClientConfig, topic: &str, partitions: i32) -> BaseConsumer {
    let consumer: BaseConsumer = config.clone().set("group.id", "none").create().unwrap();
    let mut list = TopicPartitionList::new();
    (0..partitions).for_each(|p| list.add_partition_offset(topic, p, Offset::Beginning).unwrap());
    consumer.assign(&list).unwrap();
    consumer
}

#[test]
fn every_codec_comes_back_from_four_partitions() {
    let broker = broker();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        create_topic(&broker, codec, 4);
        produce(client(&broker).set("compression.type", codec), codec, 0..1_000);
        let values: BTreeSet<usize> = consume(&assigned(&client(&broker), codec, 4), 1_000).into_iter().collect();
        assert_eq!(values.len(), 1_000, "{codec}");
    }
}

#[test]
fn an_idempotent_producer_works() {
    let broker = broker();
    create_topic(&broker, "t", 1);
    produce(client(&broker).set("enable.idempotence", "true"), "t", 0..5_000);
    assert_eq!(consume(&assigned(&client(&broker), "t", 1), 5_000), (0..5_000).collect::<Vec<_>>());
}

#[test]
fn a_group_goes_on_where_it_committed() {
    let broker = broker();
    create_topic(&broker, "t", 2);
    produce(&client(&broker), "t", 0..100);
    let config = client(&broker)
        .set("group.id", "g")
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.commit", "false")
        .clone();
    let first: BaseConsumer = config.create().unwrap();
    first.subscribe(&["t"]).unwrap();
    assert_eq!(consume(&first, 100).len(), 100);
    first.commit_consumer_state(CommitMode::Sync).unwrap();
    drop(first);
    produce(&client(&broker), "t", 100..150);
    let second: BaseConsumer = config.create().unwrap();
    second.subscribe(&["t"]).unwrap();
    let values: BTreeSet<usize> = consume(&second, 50).into_iter().collect();
    assert_eq!(values, (100..150).collect());
}

#[test]
fn two_members_share_the_partitions() {
    let broker = broker();
    create_topic(&broker, "t", 4);
    let config = client(&broker)
        .set("group.id", "g")
        .set("auto.offset.reset", "earliest")
        .set("session.timeout.ms", "6000")
        .clone();
    let members: Vec<BaseConsumer> = (0..2).map(|_| config.create().unwrap()).collect();
    members.iter().for_each(|member| member.subscribe(&["t"]).unwrap());
    let end = Instant::now() + DEADLINE;
    loop {
        members.iter().for_each(|member| drop(member.poll(Duration::from_millis(50))));
        let counts: Vec<usize> = members.iter().map(|member| member.assignment().unwrap().count()).collect();
        if counts == [2, 2] {
            return;
        }
        assert!(Instant::now() < end, "the members have {counts:?} partitions");
    }
}

#[test]
fn offsets_are_found_by_time() {
    let broker = broker();
    create_topic(&broker, "t", 1);
    produce(&client(&broker), "t", 0..100);
    let consumer: BaseConsumer = client(&broker).create().unwrap();
    let mut times = TopicPartitionList::new();
    times.add_partition_offset("t", 0, Offset::Offset(1_040)).unwrap();
    let found = consumer.offsets_for_times(times, DEADLINE).unwrap();
    assert_eq!(found.elements()[0].offset(), Offset::Offset(40));
    assert_eq!(consumer.fetch_watermarks("t", 0, DEADLINE).unwrap(), (0, 100));
}

#[test]
fn garbage_closes_its_connection_and_no_other() {
    let broker = broker();
    create_topic(&broker, "t", 1);
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0, 0, 0, 9, 0, 99, 0, 0, 0, 0, 0, 1, 0],
        &[0x7f, 0xff, 0xff, 0xff],
        &[0, 0, 0, 10, 0, 0, 0, 7, 0, 0, 0, 1, 9, 9],
    ] {
        let mut stream = TcpStream::connect(broker.address()).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(garbage).unwrap();
        let read = stream.read(&mut [0; 16]);
        let closed = matches!(&read, Ok(0))
            || read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset);
        assert!(closed, "the connection is still open: {read:?}");
    }
    produce(&client(&broker), "t", 0..10);
    assert_eq!(consume(&assigned(&client(&broker), "t", 1), 10).len(), 10);
}

#[test]
fn a_port_in_use_is_told() {
    let broker = broker();
    let again = Broker::start(Config { listen: broker.address().to_string(), ..Config::default() });
    let message = again.err().unwrap().to_string();
    assert!(message.contains(&broker.address().to_string()) && message.contains("Choose another port"), "{message}");
}
