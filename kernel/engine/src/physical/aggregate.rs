//! How an aggregation becomes incremental. Inside `agg`, the maximal aggregating sub-trees become accumulators, which a
//! state can keep per group and merge batch by batch; what stands above them stays an expression over the accumulators'
//! columns, for Polars to evaluate on the groups that changed. Where that is not possible the groups' rows are kept, and
//! Polars aggregates the changed groups anew: slower, and exact for everything that Polars can aggregate.

use plan::{Aggregate, Cut, Over};
use polars::prelude::*;

use self::split::{Cannot, merge};

mod accumulator;
mod retraction;
mod split;
mod values;

pub(crate) use accumulator::{Accumulator, Function, Quantile};
pub(crate) use retraction::ChangelogMode;

/// The most memory that the rows or the values kept for one aggregation may take, in bytes.
pub(crate) const MOST_KEPT: usize = 2 << 30;

/// How an aggregation is kept up to date.
#[derive(Clone, Debug)]
pub(crate) enum Method {
    /// Values are kept, and a batch's are merged in.
    Merge {
        /// What is kept per group.
        accumulators: Vec<Accumulator>,
        /// The result's columns after keys and time, as expressions over the accumulators' columns.
        outputs: Vec<Expr>,
        /// Whether rows of the input change: the old ones are taken back.
        retracts: bool,
    },
    /// Rows are kept, and the groups that changed are aggregated anew.
    Regroup {
        /// What makes it necessary.
        because: String,
    },
}

impl Method {
    /// The way for an aggregation of rows with this schema, which come in this way.
    pub(crate) fn of(aggregate: &Aggregate, input: &SchemaRef, arrival: &ChangelogMode) -> Method {
        match &aggregate.over {
            Some(Over { cut: Cut::Session { .. }, .. }) => regroup("sessions grow together"),
            _ => match merge(input, &aggregate.written) {
                Ok((accumulators, outputs)) => match arrival.retracts(aggregate, &accumulators) {
                    Ok(retracts) => Method::Merge { accumulators, outputs, retracts },
                    Err(because) => Method::Regroup { because },
                },
                Err(Cannot::Merge(because)) => Method::Regroup { because },
                // What is wrong was told when the frame was made.
                Err(Cannot::Be(error)) => Method::Regroup { because: error.to_string() },
            },
        }
    }

    /// The way for an aggregation of the rows of a result, of which the old ones are not told.
    pub(crate) fn of_result() -> Method {
        regroup("a result tells no old rows")
    }

    /// Whether the order of rows matters, for which their positions must be known.
    pub(crate) fn is_ordered(&self) -> bool {
        match self {
            Method::Merge { accumulators, .. } => accumulators.iter().any(|a| a.function.is_ordered()),
            Method::Regroup { .. } => true,
        }
    }
}

fn regroup(because: &str) -> Method {
    Method::Regroup { because: because.to_owned() }
}
