//! Joins of streams: for any rows, any cut, any interleaving of partitions and any restart, what Polars gives for the same rows less
//! those that the watermark dropped.
#![allow(clippy::unwrap_used, missing_docs)]

mod asof;
mod changing;
#[path = "../common/mod.rs"]
mod common;
mod crash;
mod log;
mod refreshed;
mod within;
