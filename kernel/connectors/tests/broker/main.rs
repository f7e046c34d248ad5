//! Tests that need a broker. They run on the embedded one; with CORRIENTE_TEST_KAFKA=host:port the very same run on the
//! Kafka that is there.
#![allow(clippy::unwrap_used, missing_docs)]

mod bank;
mod errors;
mod growth;
mod idle;
mod notices;
mod place;
mod records;
mod requests;
mod shared;
mod sink;
mod source;
