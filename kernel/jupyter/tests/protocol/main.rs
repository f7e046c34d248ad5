//! The protocol as a page sees it, over the in-memory transport.
#![allow(clippy::unwrap_used)]

mod cells;
mod echo;
mod page;
mod requests;
