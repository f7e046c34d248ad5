//! Kafka: topics, samples of them, and the source that the engine reads. Everything that librdkafka says comes out of
//! here as a [`SourceError`](engine::SourceError) in plain words; nothing outside knows librdkafka.

mod client;
mod error;
mod fetch;
mod held;
mod native;
mod options;
mod sample;
mod source;
mod topics;

pub use options::{KafkaOptions, StartingOffsets};
pub use sample::sample_schema;
pub use source::KafkaSource;
pub use topics::{Topic, check_topic, create_topic, topics};

pub(crate) use client::Context;
pub(crate) use error::from_kafka;
pub(crate) use options::producer_config;
pub(crate) use topics::create;
