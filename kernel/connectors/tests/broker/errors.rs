//! What a reader is told when something is not there, and how soon. On the embedded broker, or on CORRIENTE_TEST_KAFKA.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use broker::{Broker, Config};
use connectors::bank::{ProduceConfig, Producer};
use connectors::{KafkaOptions, KafkaSource, check_topic, create_topic, sample_schema, topics};
use engine::{Source as _, SourceError};
use polars::prelude::{DataType, Schema, SchemaRef};

use crate::place::*;

fn schema_x() -> SchemaRef {
    Schema::from_iter([("x".into(), DataType::Int64)]).into()
}

fn at(bootstrap: &str) -> KafkaOptions {
    KafkaOptions { bootstrap: bootstrap.to_owned(), ..options("t") }
}

/// The error, which must come within five seconds.
fn soon<T>(what: impl FnOnce() -> Result<T, SourceError>) -> SourceError {
    let begun = Instant::now();
    let error = what().err().expect("an error");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    error
}

#[test]
fn a_bad_address_is_told_before_anything_is_connected() {
    for bad in ["", "localhost", "localhost:kafka", "kafka://localhost:9092", "a:1,,b:2"] {
        for error in [
            soon(|| KafkaSource::open(at(bad), schema_x(), None)),
            soon(|| sample_schema(&at(bad))),
            soon(|| check_topic(&at(bad))),
            soon(|| topics(&at(bad))),
            soon(|| create_topic(bad, "t", 1)),
            soon(|| Producer::start(ProduceConfig { bootstrap: bad.to_owned(), ..ProduceConfig::default() })),
        ] {
            assert_eq!(error.fact, format!("\"{bad}\" is no Kafka address"));
            assert!(!error.retry);
        }
    }
}

#[test]
fn an_absent_broker_is_told_with_its_address() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for error in [
        soon(|| KafkaSource::open(at(&nobody), schema_x(), None)),
        soon(|| sample_schema(&at(&nobody))),
        soon(|| create_topic(&nobody, "t", 1)),
        soon(|| Producer::start(ProduceConfig { bootstrap: nobody.clone(), ..ProduceConfig::default() })),
    ] {
        assert_eq!(error.fact, format!("there is no Kafka broker at {nobody}"));
        assert_eq!(error.detail, format!("{nobody}: nothing listens there"));
        assert!(error.retry);
    }
    let error = soon(|| topics(&at("no-such-host.invalid:9092")));
    assert_eq!(error.detail, "there is no host \"no-such-host.invalid\"");
}

#[test]
fn something_that_listens_and_does_not_speak_kafka_is_told_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let error = soon(|| KafkaSource::open(at(&address), schema_x(), None));
    assert!(error.retry, "{error}");
    assert!(error.to_string().contains(&address), "{error}");
}

#[test]
fn an_unknown_topic_names_the_similar_one() {
    let topic = topic_of("transactions", &["{}"]);
    let asked = topic.replacen("transactions", "transaction", 1);
    for error in [
        soon(|| check_topic(&options(&asked))),
        soon(|| sample_schema(&options(&asked))),
        soon(|| KafkaSource::open(options(&asked), schema_x(), None)),
    ] {
        assert_eq!(error.fact, format!("there is no topic \"{asked}\" at {}", bootstrap()));
        assert_eq!(error.hint, format!("Did you mean \"{topic}\"?"), "{error}");
        assert!(!error.retry);
    }
}

#[test]
fn a_topic_that_tells_no_schema_says_so() {
    let empty = fresh("empty");
    create_topic(&bootstrap(), &empty, 2).unwrap();
    let error = soon(|| sample_schema(&options(&empty)));
    assert_eq!(error.fact, format!("the topic \"{empty}\" is empty"));
    assert!(error.hint.contains(".schema("), "{error}");
    let words = topic_of("words", &["hello", "world"]);
    let error = soon(|| sample_schema(&options(&words)));
    assert_eq!(error.fact, format!("the columns of topic \"{words}\" cannot be told"));
    assert!(error.detail.starts_with("none of its 2 newest records is a JSON object"), "{error}");
}

#[test]
fn an_empty_topic_is_given_a_moment_to_fill() {
    let topic = fresh("filling");
    create_topic(&bootstrap(), &topic, 1).unwrap();
    let sampling = std::thread::Builder::new().name("sampling".into()).spawn({
        let options = options(&topic);
        move || sample_schema(&options)
    });
    send(&topic, &["{\"x\":1}"]);
    assert_eq!(sampling.unwrap().join().unwrap().unwrap().schema, schema_x());
}

#[test]
fn a_column_that_is_not_in_the_schema_is_refused() {
    let topic = topic_of("column", &["{}"]);
    let error = soon(|| KafkaSource::open(options(&topic), schema_x(), Some(vec!["y".to_owned()])));
    assert!(error.detail.contains('y'), "{error}");
}

#[test]
fn an_option_that_librdkafka_does_not_know_is_named_and_its_value_is_not() {
    let with = |name: &str, value: &str| KafkaOptions {
        settings: [(name.to_owned(), value.to_owned())].into(),
        ..options("t")
    };
    let error = soon(|| KafkaSource::open(with("no.such.password", "hunter2"), schema_x(), None));
    assert!(error.fact.contains("no.such.password") && !error.to_string().contains("hunter2"), "{error}");
    let error = soon(|| KafkaSource::open(with("auto.offset.reset", "latest"), schema_x(), None));
    assert!(error.hint.contains("starting_offsets"), "{error}");
}

#[test]
fn a_topic_that_is_deleted_while_it_is_read_ends_the_source() {
    let topic = topic_of("deleted", &["{\"x\":1}"]);
    let mut source = open(&topic, &schema_x());
    let mut from = source.start().unwrap();
    from = source.available(&from, 100, Duration::from_secs(5)).unwrap();
    let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> =
        rdkafka::ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let options = rdkafka::admin::AdminOptions::new();
    let deleting = admin.delete_topics(&[&topic], &options);
    let deadline = Instant::now() + Duration::from_secs(20);
    let error = loop {
        match source.available(&from, 100, Duration::from_millis(500)) {
            Ok(_) => assert!(Instant::now() < deadline, "no error"),
            Err(error) if error.retry => eprintln!("{error}"),
            Err(error) => break error,
        }
    };
    drop(deleting);
    assert!(error.to_string().contains(&topic), "{error}");
    assert!(!error.retry);
}

#[test]
fn a_broker_that_goes_away_is_told_and_found_again_when_it_is_back() {
    // A broker of this test's own: the one that the others use must stay.
    let broker = Broker::start(Config::default()).unwrap();
    let at = KafkaOptions { bootstrap: broker.bootstrap(), ..options("t") };
    create_topic(&at.bootstrap, "t", 1).unwrap();
    let mut source = KafkaSource::open(at.clone(), schema_x(), None).unwrap();
    let from = source.start().unwrap();
    assert_eq!(source.available(&from, 100, Duration::from_millis(100)).unwrap(), from);
    let address = broker.address().to_string();
    broker.stop();
    let gone = Instant::now();
    let error = loop {
        match source.available(&from, 100, Duration::from_millis(500)) {
            Ok(_) => assert!(gone.elapsed() < Duration::from_secs(10), "no error"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.fact, format!("there is no Kafka broker at {}", at.bootstrap));
    assert!(error.retry);
    let broker = Broker::start(Config { listen: address, ..Config::default() }).unwrap();
    create_topic(&at.bootstrap, "t", 1).unwrap();
    let mut source = KafkaSource::open(at, schema_x(), None).unwrap();
    let again = source.start().unwrap();
    assert!(again.0.values().eq(from.0.values()) && again != from, "the topic of a new broker is another one");
    drop(source);
    broker.stop();
}
