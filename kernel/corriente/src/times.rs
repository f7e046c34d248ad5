//! What a frame says of time beside its watermark: the rows that came too late, and the time of processing.

use crate::frame::StreamFrame;

impl StreamFrame {
    /// The rows that the watermark drops from this frame because they come when all their windows are closed, as a frame of
    /// their own: with the columns that go into the windows, one after another as they come. `unique` and `join_stream` drop late
    /// rows too. Each query has its own batches, so that what is late for one may just be in time for another. In a batch nothing
    /// is late: `collect()` gives none.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?.with_watermark("event_time", "30s");
    /// let spend = txns.group_by_dynamic(col("event_time"), [col("category")], tumbling("10s")).agg([len().alias("n")]);
    /// let missed = spend.late_rows().group_by([col("category")]).agg([len().alias("too_late")]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn late_rows(&self) -> StreamFrame {
        self.with(self.plan.late_rows())
    }

    /// Adds a column with the time at which a row's batch was planned, as Spark's `current_timestamp()`: a datetime in UTC. A batch
    /// that is repeated after a crash has the time it had, and `collect()` the time of the call. Windows of it close as the clock
    /// goes on, whether rows come or not, where the watermark is on it; its delay may be `"0s"`, for such a row is never late.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// let seen = txns.with_processing_time("arrived").with_watermark("arrived", "0s");
    /// let rate = seen.group_by_dynamic(col("arrived"), [], tumbling("1s")).agg([len().alias("n")]);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_processing_time(&self, column: &str) -> StreamFrame {
        self.with(self.plan.with_processing_time(column))
    }
}
