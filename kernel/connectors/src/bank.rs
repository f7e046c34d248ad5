//! A bank to play with: card transactions as JSON, repeatable from a seed, and a producer that writes them to a topic.
//! The records are made by pure functions ([`Generator`]); only [`Producer`] knows Kafka and the time.
#![doc = include_str!("bank/schema.md")]

mod category;
mod generator;
mod producer;
mod schedule;
mod world;

pub use generator::{Generator, Record};
pub use producer::{ProduceConfig, Producer};

/// What the records are, as Markdown: the fields with their types and meanings, and what can be found in them.
pub const SCHEMA_DOC: &str = include_str!("bank/schema.md");
