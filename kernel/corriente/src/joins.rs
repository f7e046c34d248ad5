//! Joins of a stream: with a frame that stands beside it, and with another stream.

use plan::{Asof, Refreshed, Table, Within};
use polars::prelude::{DataFrame, Expr, JoinType};

use crate::exprs::Exprs;
use crate::frame::StreamFrame;

impl StreamFrame {
    /// Looks rows up in a frame that stands still, as Polars' `join`:
    /// `txns.join(&customers, [col("account_id")], [col("id")], JoinType::Left)`. `Inner`, `Left`, `Semi` and `Anti` go with a
    /// stream.
    ///
    /// Another stream can be joined so where the rows of one of the two change, as those of an aggregation do: the result has each
    /// pair as long as both of its rows are there, and a pair changes with them, as in Flink's regular join. Any kind of join goes,
    /// and the result may be joined and aggregated again. Both sides are kept, at most 2 GiB of them; where a key is the time of
    /// windows behind a watermark on both sides, until it has passed them, and such rows can be written when they are final. Two
    /// streams whose rows never change are joined with [`join_stream`](StreamFrame::join_stream).
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// # let payments = read_kafka("127.0.0.1:9092").topic("payments").json()?;
    /// let spent = txns.group_by([col("account_id")]).agg([col("amount").sum().alias("spent")]);
    /// let paid = payments.group_by([col("account_id")]).agg([col("amount").sum().alias("paid")]);
    /// let balance = spent.join(&paid, [col("account_id")], [col("account_id")], JoinType::Full);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// A frame that changes is read anew by a function of yours, between two batches, and as often as it says. Where that fails,
    /// or the columns are others than before, the frame from before is used further, and the query's `status()` says why. A
    /// batch that is repeated after a crash sees the frame as it is then.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// let customers = refreshed("10m", || ParquetReader::new(std::fs::File::open("customers.parquet")?).finish());
    /// let known = txns.join(&customers, [col("account_id")], [col("id")], JoinType::Left);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn join(&self, right: &impl Joinable, left_on: impl Exprs, right_on: impl Exprs, how: JoinType) -> StreamFrame {
        self.matched(right.other(), &left_on.into_exprs(), &right_on.into_exprs(), &how)
    }

    /// Joins the rows with those of another stream that come at about the same time:
    /// `txns.join_stream(&clicks, [col("card")], [col("card")], JoinType::Inner, within("event_time", "clicked_at", "5m"))`.
    /// One of the two must have a watermark: it says how long rows are kept, and when a row has waited in vain that is in the
    /// result alone: of the left in a `Left` or `Full` join, of the right in a `Right` or `Full` one. `Semi` gives a row of the left
    /// once, as soon as anything belongs to it, `Anti` those to which nothing did. Columns are called as in Polars' `join`.
    #[must_use]
    #[track_caller]
    pub fn join_stream(
        &self,
        other: &StreamFrame,
        left_on: impl Exprs,
        right_on: impl Exprs,
        how: JoinType,
        within: Within,
    ) -> StreamFrame {
        self.joined(other, &left_on.into_exprs(), &right_on.into_exprs(), &how, &within)
    }

    /// Gives each row the one of another frame that is nearest in time among those of the same keys, as Polars' `join_asof`: the
    /// newest that is not after it, unless [`Asof::strategy`] says otherwise. With `[]` for the keys, among all.
    ///
    /// Another stream's rows come when they come: a row is in the result as soon as the watermark has passed its time, for then
    /// it is known which row is nearest (looking forward, as soon as it has passed the tolerance too). One of the two streams must
    /// have a watermark. Of the other stream the newest row of each key is kept, and those that the watermark has not passed;
    /// with [`Asof::tolerance`] keys are forgotten that give nothing any more. A DataFrame, or one that is
    /// [`refreshed`](plan::refreshed), is looked into at once. Of several rows of one time and key the last in their log is the
    /// nearest, as in Polars; of rows that are themselves those of a join or of a function, one that is the same in every run.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// # let rates = read_kafka("127.0.0.1:9092").topic("rates").json()?;
    /// let txns = txns.with_watermark("event_time", "30s");
    /// let on = asof("event_time", "quoted_at").tolerance("1h");
    /// let in_euros = txns.join_asof(&rates, [col("currency")], [col("currency")], on);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    #[track_caller]
    pub fn join_asof(&self, other: &impl Joinable, by_left: impl Exprs, by_right: impl Exprs, on: Asof) -> StreamFrame {
        self.nearest(other.other(), &by_left.into_exprs(), &by_right.into_exprs(), &on)
    }

    // These are not generic, so that a cell does not compile them.

    #[track_caller]
    fn matched(&self, right: Other, left_on: &[Expr], right_on: &[Expr], how: &JoinType) -> StreamFrame {
        match right {
            Other::Table(table) => self.with(self.plan.join(table, left_on, right_on, how)),
            Other::Stream(stream) => self.with(self.plan.join_changing(&stream.plan, left_on, right_on, how)),
        }
    }

    #[track_caller]
    fn joined(
        &self,
        other: &StreamFrame,
        left: &[Expr],
        right: &[Expr],
        how: &JoinType,
        within: &Within,
    ) -> StreamFrame {
        self.with(self.plan.join_stream(&other.plan, left, right, how, within))
    }

    #[track_caller]
    fn nearest(&self, other: Other, by_left: &[Expr], by_right: &[Expr], on: &Asof) -> StreamFrame {
        match other {
            Other::Table(table) => self.with(self.plan.join_asof(table, by_left, by_right, on)),
            Other::Stream(stream) => self.with(self.plan.join_stream_asof(&stream.plan, by_left, by_right, on)),
        }
    }
}

/// A frame that a stream can be joined with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no frame that a stream can be joined with",
    label = "a stream, a DataFrame, or one that is read anew is wanted here: refreshed(\"10m\", || …)"
)]
pub trait Joinable {
    /// The frame.
    fn other(&self) -> Other;
}

/// What a stream is joined with.
pub enum Other {
    /// A frame that stands beside it.
    Table(Table),
    /// Another stream.
    Stream(Box<StreamFrame>),
}

impl Joinable for StreamFrame {
    fn other(&self) -> Other {
        Other::Stream(Box::new(self.clone()))
    }
}

impl Joinable for DataFrame {
    fn other(&self) -> Other {
        Other::Table(self.clone().into())
    }
}

impl Joinable for Refreshed {
    fn other(&self) -> Other {
        Other::Table(self.clone().into())
    }
}

impl<T: Joinable> Joinable for &T {
    fn other(&self) -> Other {
        (*self).other()
    }
}
