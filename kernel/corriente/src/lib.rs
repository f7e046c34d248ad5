//! What a notebook sees: the streaming frame, the way to Kafka, the demo bank, and the cell process's side of the
//! kernel. Built as the one library that every cell links to, so that its statics exist once.

pub mod cell;
pub mod demo;
mod exprs;
mod frame;
mod graph;
mod joins;
mod parameters;
pub mod prelude;
mod read;
mod rows;
mod shown;
mod sql;
mod streaming;
mod times;
mod write;

pub use chrono;
pub use exprs::{Exprs, Predicate};
pub use frame::{StreamFrame, StreamGroupBy};
pub use graph::PlanGraph;
pub use joins::{Joinable, Other};
pub use parameters::{ParameterError, ParameterValue, Parameters, inject, inject_json, param, parameters};
pub use polars;
pub use read::{KafkaReader, read_kafka};
pub use serde;
pub use serde_json;
pub use shown::StreamChart;
pub use sql::{SqlError, Table, register, sql};
pub use streaming::{QueryFailed, QueryStatus, StreamingQuery, Streams, memory_table, streams};
pub use tokio;
pub use write::{StreamWriter, WriteError};

/// Joins the kernel and listens to its pages. Called once in each process, before the first cell.
pub fn init() {
    cell::init();
    shown::listen();
}
