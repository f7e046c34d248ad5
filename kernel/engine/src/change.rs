//! What one micro-batch changes in a result: rows put in by identity, and identities taken away.

use polars::prelude::DataFrame;

/// Upserts and deletes of one batch. An identity is a number that a row keeps as long as it is in the result; newer
/// rows have larger ones.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The identity of each row of `rows`, each at most once.
    pub ids: Vec<u64>,
    /// The rows to put in, in the place of those with the same identity.
    pub rows: DataFrame,
    /// Identities that leave the result; those that are not in it do not count.
    pub deletes: Vec<u64>,
}

impl Changes {
    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.deletes.is_empty()
    }
}

/// What a batch is between two operators.
#[derive(Debug)]
pub(crate) enum Delta {
    /// Rows that are added and never change.
    Append(DataFrame),
    /// Rows that are known by identities.
    Change(Changes),
}
