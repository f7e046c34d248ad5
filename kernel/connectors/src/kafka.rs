//! Kafka: topics, samples of them, the source that the engine reads and the sink it writes. Everything that librdkafka
//! says comes out of here as a [`SourceError`](engine::SourceError) or a [`SinkError`](engine::SinkError) in plain words;
//! nothing outside knows librdkafka.

mod client;
mod decode;
mod describe;
mod error;
mod fetch;
mod held;
mod loss;
mod native;
mod notices;
mod options;
mod sample;
mod sink;
mod source;
mod topics;

pub use options::{KafkaOptions, OnDataLoss, StartingOffsets};
pub use sample::{sample_schema, sample_schema_beside};
pub use sink::{KafkaSink, KafkaSinkOptions, RecordForm, ValueForm};
pub use source::KafkaSource;
pub use topics::{Topic, check_topic, create_topic, topics};

pub(crate) use client::LastWords;
pub(crate) use error::from_kafka;
pub(crate) use options::producer_config;
pub(crate) use sink::{Answers, Deliveries, Fields, Record, send};
pub(crate) use topics::create;
