//! The operators: each a struct with its parameters and its state, and one `execute`. They run on the query's thread
//! and know neither sources nor sinks.

pub(crate) mod accumulator;
pub(crate) mod stateless;
pub(crate) mod sum;
pub(crate) mod watermark;
pub(crate) mod window;
