//! Where rows come from and go to: Kafka and the demo's bank, and the formats of records.
//!
//! - `kafka`: topics, samples of them, [`KafkaSource`], which the engine reads, and [`KafkaSink`], which it writes
//! - `format`: from a record's bytes to a row; [`Json`] is the first
//! - `schema`: what columns a topic has, told from a sample
//! - `parquet`: [`ParquetSink`], a folder of files
//! - [`bank`]: card transactions to play with

pub mod bank;
mod format;
mod kafka;
mod parquet;
mod schema;

pub use format::{Format, Json, Malformed, Rows};
pub use kafka::{
    KafkaOptions, KafkaSink, KafkaSinkOptions, KafkaSource, OnDataLoss, RecordForm, StartingOffsets, Topic, ValueForm,
    check_topic, create_topic, sample_schema, sample_schema_beside, topics,
};
pub use parquet::ParquetSink;
pub use schema::Sample;
