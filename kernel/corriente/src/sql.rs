//! SQL in a notebook: the frames that are registered under names, and queries over them. A query is a frame as any other, so that
//! words and SQL can be mixed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use plan::{PlanError, SqlTable};
use polars::prelude::DataFrame;

use crate::StreamFrame;

/// Gives a frame a name, for [`sql`] to read it by: a stream, or a `DataFrame` to look rows up in. A frame of the same name is
/// replaced; queries that run stay as they are.
///
/// ```no_run
/// # use corriente::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?.with_watermark("event_time", "30s");
/// register("txns", &txns);
/// # Ok(())
/// # }
/// ```
pub fn register(name: impl Into<String>, frame: &impl Table) {
    keep(name.into(), frame.table());
}

// Not generic, so that a cell does not compile it.
fn keep(name: String, table: SqlTable) {
    tables().insert(name, table);
}

/// A frame that says what a SQL query over the [registered](register) frames says, in Polars' dialect. It is the frame that the
/// words would make, and what a stream cannot do is refused in the same way.
///
/// A key of `GROUP BY` that cuts the event time makes windows, which the watermark closes: `tumbling(event_time, '10s')`,
/// `hopping(event_time, '1m', '10s')`, `session(event_time, '5m')`, or `DATE_TRUNC('minute', event_time)`. `ORDER BY … LIMIT`
/// keeps the first rows; `JOIN` looks rows up in a `DataFrame`; `UNION ALL` unites streams.
///
/// ```no_run
/// # use corriente::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
/// register("txns", &txns);
/// let spend = sql(
///     "SELECT category, tumbling(event_time, '10s') AS start, COUNT(*) AS n, SUM(amount) AS total
///      FROM txns WHERE status = 'approved' GROUP BY category, start",
/// )?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A text that Polars does not read, a name that is not registered, or a query that cannot be streamed.
pub fn sql(query: impl AsRef<str>) -> Result<StreamFrame, SqlError> {
    asked(query.as_ref(), None)
}

impl StreamFrame {
    /// What a SQL query says of this frame, which it calls `self`, as Polars' `LazyFrame.sql`:
    /// `txns.sql("SELECT category, COUNT(*) AS n FROM self GROUP BY category")`. Registered frames can be named too.
    ///
    /// # Errors
    /// As for [`sql`].
    pub fn sql(&self, query: impl AsRef<str>) -> Result<StreamFrame, SqlError> {
        asked(query.as_ref(), Some(self))
    }
}

/// What has a name in SQL.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be registered for SQL",
    label = "a stream or a DataFrame is wanted here, by reference, as in register(\"txns\", &txns)",
    note = "a LazyFrame becomes a DataFrame with .collect()?"
)]
pub trait Table {
    /// What the name stands for.
    #[doc(hidden)]
    fn table(&self) -> SqlTable;
}

impl Table for StreamFrame {
    fn table(&self) -> SqlTable {
        SqlTable::Stream(self.plan.clone())
    }
}

impl Table for DataFrame {
    fn table(&self) -> SqlTable {
        SqlTable::Still(self.clone())
    }
}

/// A query that is no frame.
#[derive(Clone, thiserror::Error)]
#[error("{0}")]
pub struct SqlError(#[from] PlanError);

impl fmt::Debug for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn asked(query: &str, itself: Option<&StreamFrame>) -> Result<StreamFrame, SqlError> {
    let mut all: Vec<(String, SqlTable)> = tables().clone().into_iter().collect();
    if let Some(frame) = itself {
        all.retain(|(name, _)| name != "self");
        all.push(("self".to_owned(), frame.table()));
    }
    Ok(StreamFrame::new(plan::sql(query, &all)?))
}

type Tables = BTreeMap<String, SqlTable>;

/// The registered frames of this process.
fn tables() -> MutexGuard<'static, Tables> {
    static TABLES: OnceLock<Mutex<Tables>> = OnceLock::new();
    TABLES.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}
