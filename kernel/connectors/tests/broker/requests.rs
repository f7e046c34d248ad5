//! What a query asks of the broker before its first row comes: not more than it needs, for a start waits for each answer, and a
//! restart of many queries is asked for by all of them at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Config};
use connectors::{KafkaOptions, KafkaSource, create_topic};
use engine::{ForeachBatch, OpenSource, Options, OutputMode, Query, QueryOutput, Sharing, Source, Trigger};
use plan::Plan;
use polars::prelude::*;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

const TOPIC: &str = "numbers";

fn schema() -> SchemaRef {
    Arc::new(Schema::from_iter([("v".into(), DataType::Int64)]))
}

fn send(broker: &Broker, value: i64) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", broker.bootstrap()).create().unwrap();
    let value = format!("{{\"v\":{value}}}");
    producer.send(BaseRecord::<(), str>::to(TOPIC).partition(0).payload(&value)).map_err(|(error, _)| error).unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
}

fn open(broker: &Broker) -> OpenSource {
    let options = KafkaOptions { bootstrap: broker.bootstrap(), topic: TOPIC.to_owned(), ..KafkaOptions::default() };
    let alone: OpenSource = Arc::new(move |columns| {
        let columns = columns.iter().map(ToString::to_string).collect();
        Ok(Box::new(KafkaSource::open(options.clone(), schema(), Some(columns))?) as Box<dyn Source>)
    });
    Sharing::default().share(TOPIC, schema(), alone)
}

/// Runs a query until it has so many rows; gives what was asked of the broker for it.
fn asked(broker: &Broker, folder: &Path, trigger: Trigger, rows: u64) -> BTreeMap<String, u64> {
    let before = broker.requests();
    let output = QueryOutput {
        sink: Box::new(ForeachBatch::new(Box::new(|_, _| Ok(())))),
        mode: OutputMode::Append,
        checkpoint: Some(folder.to_owned()),
        use_newest_good_state: false,
    };
    let plan = Plan::source("kafka numbers", schema());
    let mut query =
        Query::write("test", &plan, open(broker), Options { trigger, ..Options::default() }, output).unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(30);
    while query.status().rows_read < rows || (trigger == Trigger::AvailableNow && query.is_active()) {
        assert!(std::time::Instant::now() < end, "{:?}", query.status());
        let _ = query.result().wait(query.status().version, Duration::from_millis(20));
    }
    query.stop();
    assert_eq!(query.exception(), None);
    let after = broker.requests().into_iter();
    after.map(|(kind, count)| (kind.clone(), count - before.get(&kind).copied().unwrap_or(0))).collect()
}

#[test]
fn a_query_asks_once_where_it_begins_and_how_the_topic_is() {
    let broker = Broker::start(Config::default()).unwrap();
    create_topic(&broker.bootstrap(), TOPIC, 3).unwrap();
    send(&broker, 1);
    let folder = tempfile::tempdir().unwrap();
    // librdkafka itself asks for the brokers when it connects, and for the topic when it begins to fetch; on a busy machine it does
    // both again before the first answer has come.
    let own = 6;
    let check = |what: &str, asked: BTreeMap<String, u64>, descriptions: u64, offsets: u64| {
        let count = |kind: &str| asked.get(kind).copied().unwrap_or(0);
        assert!(count("Metadata") <= own + descriptions, "{what}: {asked:?}");
        assert_eq!(count("ListOffsets"), offsets, "{what}: {asked:?}");
    };
    check("a new query", asked(&broker, folder.path(), Trigger::Continuous, 1), 1, 1);
    send(&broker, 2);
    check("a restart", asked(&broker, folder.path(), Trigger::Continuous, 1), 1, 2);
    send(&broker, 3);
    check("a restart that ends", asked(&broker, folder.path(), Trigger::AvailableNow, 1), 1, 2);
    let folder = tempfile::tempdir().unwrap();
    check("a new query that ends", asked(&broker, folder.path(), Trigger::AvailableNow, 3), 2, 2);
}
