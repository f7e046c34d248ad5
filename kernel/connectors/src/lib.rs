//! Where rows come from and go to: Kafka and the demo's bank, and the formats of records.
//!
//! - `kafka`: topics, samples of them, and [`KafkaSource`], which the engine reads
//! - `format`: from a record's bytes to a row; [`Json`] is the first
//! - `schema`: what columns a topic has, told from a sample
//! - [`bank`]: card transactions to play with

pub mod bank;
mod format;
mod kafka;
mod schema;

pub use format::{Format, Json, Malformed, Rows};
pub use kafka::{KafkaOptions, KafkaSource, StartingOffsets, Topic, check_topic, create_topic, sample_schema, topics};
pub use schema::Sample;
