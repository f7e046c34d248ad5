//! From a record's bytes to a row: the contract that every format keeps, and what can be wrong with a record. A format
//! runs on the thread that fetches; it knows neither Kafka nor the engine.

pub(crate) mod filter;
pub(crate) mod json;
mod rows;
mod time;

use polars::prelude::SchemaRef;

pub use json::Json;
pub use rows::Rows;
pub(crate) use time::InstantText;

/// A way to read records.
///
/// Contract: [`Format::decode`] gives exactly one row to `rows`, which may know that it is not needed, or says why not and
/// leaves `rows` as they were. It never panics, whatever the bytes. The same bytes give the same row. A record that is wrong
/// is so whether or not its row is needed.
pub trait Format: Send {
    /// The columns that are decoded, in order.
    fn schema(&self) -> &SchemaRef;

    /// Appends the row that `record` holds to `rows`, which have this format's schema.
    ///
    /// # Errors
    /// What is wrong with the record.
    fn decode(&mut self, record: &[u8], rows: &mut Rows) -> Result<(), Malformed>;

    /// Names the fields of the record that was decoded last which the sample did not have, where the columns were told from one.
    fn each_new_field(&self, take: &mut dyn FnMut(&str)) {
        let _ = take;
    }

    /// One more that decodes the same, for another thread; without one, one thread decodes all partitions.
    fn another(&self) -> Option<Box<dyn Format>> {
        None
    }
}

/// Why a record cannot be decoded, in the words that its dead letter carries. Places count bytes from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A record without a value, as a compacted topic keeps for a deleted key.
    #[error("the record has no value (a tombstone)")]
    NoValue,
    /// A value of no bytes, or of white space.
    #[error("the record is empty")]
    Empty,
    /// Bytes that are no text.
    #[error("the record is not UTF-8 text: byte {at} belongs to no character")]
    NotUtf8 {
        /// The first byte that is none.
        at: usize,
    },
    /// Text that breaks off.
    #[error("the record is cut off: it ends at byte {at} in the middle of its JSON")]
    Truncated {
        /// The record's length.
        at: usize,
    },
    /// Text that is not JSON.
    #[error("the record is not JSON: at byte {at} there must be {expected}, not {found}")]
    Syntax {
        /// The first byte that is wrong.
        at: usize,
        /// What would be right.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// Objects in objects without end.
    #[error("the record is nested more than {limit} levels deep at byte {at}")]
    TooDeep {
        /// Where the limit is passed.
        at: usize,
        /// The limit.
        limit: usize,
    },
    /// JSON that has no fields.
    #[error("the record is {found}, and not an object with fields")]
    NotAnObject {
        /// What it is.
        found: String,
    },
    /// A field that does not fit its column.
    #[error("field \"{field}\" is {found}, and {expected} was expected")]
    WrongType {
        /// The field.
        field: String,
        /// What the column takes.
        expected: String,
        /// What the record has.
        found: String,
        /// Of a number with a fraction where a whole one was expected, how many decimals it has.
        decimals: Option<usize>,
    },
    /// A time or a date that is none of the years 0 to 9999, or of those that nanoseconds reach.
    #[error("time out of range: field \"{field}\" is {found}, and {expected} was expected")]
    TimeOutOfRange {
        /// The field.
        field: String,
        /// What the column takes.
        expected: &'static str,
        /// What the record has.
        found: String,
    },
}

impl Malformed {
    /// The field that does not fit, where it is one: a record that is JSON otherwise.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Malformed::WrongType { field, .. } | Malformed::TimeOutOfRange { field, .. } => Some(field),
            _ => None,
        }
    }
}
