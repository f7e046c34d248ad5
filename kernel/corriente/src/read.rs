//! The way to a frame over a Kafka topic: where, which topic, which format.

mod kafka;
mod known_columns;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use connectors::{KafkaOptions, OnDataLoss, StartingOffsets};
use engine::{Connectors, SourceError};
use plan::Plan;
use polars::prelude::{DataType, Schema, SchemaRef};

use crate::StreamFrame;
pub(crate) use known_columns::note_checkpoint;

/// Begins a frame over Kafka; `bootstrap` is `host:port`, several with commas. Nothing is read before the format is
/// named.
///
/// ```no_run
/// # use corriente::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn read_kafka(bootstrap: impl Into<String>) -> KafkaReader {
    KafkaReader {
        bootstrap: bootstrap.into(),
        topic: None,
        settings: BTreeMap::new(),
        start: StartingOffsets::Earliest,
        on_data_loss: OnDataLoss::Fail,
        discovery_interval: None,
        schema: None,
        hints: Vec::new(),
    }
}

/// A Kafka frame in the making.
#[derive(Clone)]
pub struct KafkaReader {
    bootstrap: String,
    topic: Option<String>,
    settings: BTreeMap<String, String>,
    start: StartingOffsets,
    on_data_loss: OnDataLoss,
    discovery_interval: Option<String>,
    schema: Option<Schema>,
    hints: Vec<(String, DataType)>,
}

impl KafkaReader {
    /// The topic to read.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> KafkaReader {
        self.topic = Some(topic.into());
        self
    }

    /// A setting of librdkafka, as in `.option("security.protocol", "SASL_SSL")`. Values never appear in an output.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> KafkaReader {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Where a query begins: at the earliest record unless told otherwise.
    #[must_use]
    pub fn starting_offsets(mut self, start: StartingOffsets) -> KafkaReader {
        self.start = start;
        self
    }

    /// What becomes of a query whose next records are gone, because the topic was made again or they were deleted before they were
    /// read: it fails, and says what is gone, unless it is told to go on at the earliest or the latest record. Then `status()` tells
    /// what it lost.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let txns = read_kafka("127.0.0.1:9092").topic("transactions").on_data_loss(OnDataLoss::Earliest).json()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn on_data_loss(mut self, then: OnDataLoss) -> KafkaReader {
        self.on_data_loss = then;
        self
    }

    /// How often a query that runs asks for partitions that were added, and whether the topic is still the same, as in `"1s"`;
    /// unless it is said, every five seconds. As Flink's `partition.discovery.interval.ms`.
    #[must_use]
    pub fn partition_discovery(mut self, interval: impl Into<String>) -> KafkaReader {
        self.discovery_interval = Some(interval.into());
        self
    }

    /// The columns and their types, instead of what a sample of the topic says. A column that is named here and is
    /// not in a record is null; a field of a record that is not named here is not read.
    #[must_use]
    pub fn schema(mut self, schema: Schema) -> KafkaReader {
        self.schema = Some(schema);
        self
    }

    /// The types of some columns, where a sample of the topic says others or does not have them: the other columns are as the
    /// sample says. For example `.schema_hints([("amount", DataType::Decimal(38, 2))])`.
    #[must_use]
    pub fn schema_hints<'a>(mut self, hints: impl IntoIterator<Item = (&'a str, DataType)>) -> KafkaReader {
        self.hints.extend(hints.into_iter().map(|(name, dtype)| (name.to_owned(), dtype)));
        self
    }

    /// A frame over records that are JSON objects. Without [`KafkaReader::schema`] up to 1,000 records are looked at.
    ///
    /// A query that goes on from a checkpoint reads the columns that it had, whatever the sample says now, and its `status()` tells
    /// the difference; a hint holds in any case. Columns that the sample does not have, because the topic is empty or its newest
    /// records have no such field, are as the newest checkpoint on this machine has them that reads the topic, and that is printed.
    ///
    /// # Errors
    /// When the broker cannot be reached, the topic is not there, or there is nothing to take the schema from.
    pub fn json(self) -> Result<StreamFrame, SourceError> {
        let topic = self.topic.ok_or_else(|| SourceError {
            fact: "read_kafka() has no topic".to_owned(),
            detail: "json() needs to know what to read".to_owned(),
            hint: "Name it with .topic(\"…\") before .json().".to_owned(),
            retry: false,
        })?;
        let discovery_interval = self.discovery_interval.as_deref().map(interval).transpose()?;
        let options = KafkaOptions {
            bootstrap: self.bootstrap,
            topic,
            settings: self.settings,
            start: self.start,
            on_data_loss: self.on_data_loss,
            discovery_interval,
            sampled: self.schema.is_none(),
        };
        let mut schema = match self.schema {
            Some(schema) => {
                connectors::check_topic(&options)?;
                schema
            }
            None => known_columns::sampled(&options)?,
        };
        for (name, dtype) in &self.hints {
            schema.with_column(name.as_str().into(), dtype.clone());
        }
        let schema: SchemaRef = Arc::new(schema);
        offer_topics(options.clone());
        let said = self.hints.iter().map(|(name, _)| name.as_str());
        Ok(StreamFrame::new(Plan::scan(kafka::scan(&options, schema, said).format("json"))))
    }
}

/// A length of time between two questions.
fn interval(text: &str) -> Result<Duration, SourceError> {
    let parsed = plan::parse_duration("partition_discovery", text).map_err(|error| error.to_string());
    let fixed = parsed.and_then(|parsed| match parsed.months() {
        0 => Ok(Duration::from_nanos(parsed.duration_ns().unsigned_abs())),
        _ => Err("a month has no fixed length".to_owned()),
    });
    fixed.map_err(|detail| SourceError {
        fact: format!("\"{text}\" is no interval for partition_discovery"),
        detail,
        hint: "Write 500ms, 5s or 1m.".to_owned(),
        retry: false,
    })
}

/// The connectors of this process. Kafka's is there from the start; a source of one's own is registered with its frame.
pub(crate) fn connectors() -> &'static Connectors {
    static CONNECTORS: OnceLock<Connectors> = OnceLock::new();
    CONNECTORS.get_or_init(|| {
        let connectors = Connectors::default();
        connectors.register(kafka::NAME, Arc::new(kafka::open));
        connectors
    })
}

/// Has completion know the broker's topics; in the background, for it is a convenience.
fn offer_topics(options: KafkaOptions) {
    let listing = move || {
        if let Ok(topics) = connectors::topics(&options) {
            crate::cell::offer_names(Vec::new(), topics.into_iter().map(|topic| topic.name).collect());
        }
    };
    drop(std::thread::Builder::new().name("topic names".into()).spawn(listing));
}
