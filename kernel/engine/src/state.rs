//! What operators keep: tables of a few kinds. Each kind can give all of itself or what changed since it was last given, and be
//! taken over again. The physical plan names the tables of an operation, its operator owns them, and the pipeline writes and
//! restores them in one loop. The tables belong to the query's thread; what [`StateTable::freeze`] gives may be made into a frame
//! on another one.

/// The groups of an aggregation with fixed-size values.
pub(crate) mod groups;

/// Values of a fixed size for each group.
pub(crate) mod accumulator;
/// Values that grow with the group.
pub(crate) mod collected;
/// Sums without rounding.
mod exact;
/// Compensated sums.
mod sum;

/// The states of a person's function, by key.
pub(crate) mod function_states;
/// The rows of groups.
pub(crate) mod group_rows;
/// Keys, each with a time.
pub(crate) mod key_times;
/// Pairs of rows.
pub(crate) mod pairs;
/// Rows by their identities.
pub(crate) mod row_table;
/// The spans of time of groups and sessions.
pub(crate) mod spans;
/// Rows with a time and a key.
pub(crate) mod timed_rows;

/// A vector whose copy is cheap.
mod cow_vec;
/// Tables whose rows have numbers, and what changed of them.
pub(crate) mod numbered;
/// The memory of what is kept, and its cap.
pub(crate) mod retained;
/// Rows that are kept until they are freed.
pub(crate) mod segments;

use polars::prelude::{DataFrame, PolarsResult};

/// A table of an operator's state.
pub(crate) trait StateTable: Send {
    /// A number that is written beside the rows; mostly the identity that the next row gets.
    fn number(&mut self) -> Option<&mut u64> {
        None
    }

    /// The table as it is now, or with `all` false what changed of it since this was last called or the table was restored.
    /// It holds the query up, so it is cheap: the work that can wait is left to what it gives.
    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable>;

    /// Takes over a table that was written, and what changed of it afterwards, oldest first. The table is empty.
    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()>;
}

/// A table as it was at one moment, to be made into a frame on whichever thread, while the table goes on.
pub(crate) type PendingTable = Box<dyn FnOnce() -> PolarsResult<DataFrame> + Send>;

/// The tables of an operator, in the order in which the physical plan [names](crate::physical::Stage::tables) them.
pub(crate) type StateTables<'a> = Vec<&'a mut dyn StateTable>;

/// A table without rows: its number is all there is.
pub(crate) struct Counter(pub(crate) u64);

impl StateTable for Counter {
    fn number(&mut self) -> Option<&mut u64> {
        Some(&mut self.0)
    }

    fn freeze(&mut self, _: bool) -> PolarsResult<PendingTable> {
        Ok(Box::new(|| Ok(DataFrame::default())))
    }

    fn restore(&mut self, _: DataFrame, _: Vec<DataFrame>) -> PolarsResult<()> {
        Ok(())
    }
}

/// Whether rows are added to what an aggregation has, or taken away from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Added,
    Subtracted,
}
