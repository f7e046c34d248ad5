//! The way to a frame over a Kafka topic: where, which topic, which format.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use connectors::{KafkaOptions, KafkaSource, StartingOffsets};
use engine::{OpenSource, Sharing, Source, SourceError};
use plan::Plan;
use polars::prelude::{PlSmallStr, Schema, SchemaRef};

use crate::StreamFrame;

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
        schema: None,
    }
}

/// A Kafka frame in the making.
#[derive(Clone)]
pub struct KafkaReader {
    bootstrap: String,
    topic: Option<String>,
    settings: BTreeMap<String, String>,
    start: StartingOffsets,
    schema: Option<Schema>,
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

    /// The columns and their types, instead of what a sample of the topic says. A column that is named here and is
    /// not in a record is null; a field of a record that is not named here is not read.
    #[must_use]
    pub fn schema(mut self, schema: Schema) -> KafkaReader {
        self.schema = Some(schema);
        self
    }

    /// A frame over records that are JSON objects. Without [`KafkaReader::schema`] up to 1,000 records are looked at.
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
        let options = KafkaOptions { bootstrap: self.bootstrap, topic, settings: self.settings, start: self.start };
        let schema: SchemaRef = match self.schema {
            Some(schema) => {
                connectors::check_topic(&options)?;
                Arc::new(schema)
            }
            None => connectors::sample_schema(&options)?.schema,
        };
        offer_topics(options.clone());
        let name = format!("kafka {} at {}", options.topic, options.bootstrap);
        let plan = Plan::source(name, schema.clone());
        // Frames of other columns and types are decoded otherwise.
        let KafkaOptions { bootstrap, topic, settings, start } = &options;
        let identity = format!("{:?}", (bootstrap, topic, settings, start, &schema));
        let all = schema.clone();
        let open: OpenSource = Arc::new(move |columns: &[PlSmallStr]| {
            let columns = columns.iter().map(ToString::to_string).collect();
            let source = KafkaSource::open(options.clone(), schema.clone(), Some(columns))?;
            Ok(Box::new(source) as Box<dyn Source>)
        });
        Ok(StreamFrame::new(plan, sharing().share(&identity, all, open)))
    }
}

/// The sources of this process that several queries read together.
fn sharing() -> &'static Sharing {
    static SHARING: OnceLock<Sharing> = OnceLock::new();
    SHARING.get_or_init(Sharing::default)
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
