//! What one micro-batch changes in a result: rows put in by identity, and identities taken away.

use polars::prelude::{DataFrame, PolarsResult, polars_err};

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
    Change(Revision),
}

/// Changes, and what they retract: an operator that [subtracts](crate::physical::Operation::retracts) needs the old row beside
/// the new.
#[derive(Debug)]
pub(crate) struct Revision {
    pub(crate) changes: Changes,
    /// The rows that stood until now under the identities that are replaced or deleted, in any order; a row that is new has none.
    /// `None` where nobody has asked for them.
    pub(crate) retracted: Option<DataFrame>,
}

impl Revision {
    /// The rows to take away, and those to add.
    pub(crate) fn subtracted_and_added(self) -> PolarsResult<(DataFrame, DataFrame)> {
        let retracted = self.retracted.ok_or_else(|| {
            polars_err!(ComputeError: "an operator that subtracts was given rows that change without those that they replace")
        })?;
        Ok((retracted, self.changes.rows))
    }
}

impl From<Changes> for Revision {
    fn from(changes: Changes) -> Revision {
        Revision { changes, retracted: None }
    }
}
