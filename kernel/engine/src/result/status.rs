//! Where a query is: what a view's foot line shows and a saved output's metadata keeps.

use std::collections::BTreeMap;

use crate::position::{Offsets, TopicPartition};

/// What a query does now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It has not read anything yet.
    #[default]
    Starting,
    /// It reads.
    Running,
    /// The source is away for now, as the text says; the query goes on when it is back.
    Waiting(String),
    /// No one looks at its result; it goes on from where it was when someone does.
    Suspended,
    /// It was stopped, or its source has an end and that was reached.
    Ended,
    /// It cannot go on, as the text says.
    Failed(String),
}

/// Where a query is.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The query's name.
    pub name: String,
    /// The first sixteen hex digits of the SHA-256 of the plan.
    pub fingerprint: String,
    /// What it does now.
    pub state: State,
    /// Rises with each change of the rows.
    pub version: u64,
    /// Rows of the result that are held to be looked at.
    pub rows: usize,
    /// Rows of the result that are not, because only so many are held; the oldest.
    pub dropped_rows: u64,
    /// Rows read from the source.
    pub rows_read: u64,
    /// Rows dropped because they came after the watermark had closed their window.
    pub late_rows: u64,
    /// Records that could not be decoded, and rows without an event time where a window needs one.
    pub dead_letters: u64,
    /// Why the newest dead letter is one, with topic, partition and offset.
    pub last_dead_letter: Option<String>,
    /// Why a frame that rows are looked up in could not be read anew, as long as it could not.
    pub stale: Option<String>,
    /// Rows whose time is so far ahead of the clock that it does not move the watermark.
    pub ahead_rows: u64,
    /// Why the watermark does not go on although rows come.
    pub held_back: Option<String>,
    /// Why a part of the source cannot be read on at the moment, while other parts can.
    pub failing: Option<String>,
    /// What can no longer be read, where the query was told to go on all the same.
    pub data_loss: Option<String>,
    /// What else is to be known of the records that were read, in a sentence each.
    pub notices: Vec<String>,
    /// What is asked otherwise than before by a query that goes on from a checkpoint, line by line: then (-) and now (+).
    pub changed: Option<String>,
    /// What a sample says otherwise now than the columns with which the query goes on from its checkpoint.
    pub columns: Option<String>,
    /// The watermark, in milliseconds since the epoch.
    pub watermark_ms: Option<i64>,
    /// When the newest row included was produced, in milliseconds since the epoch.
    pub newest_ms: Option<i64>,
    /// How many queries are fetched and decoded for together, this one among them.
    pub readers: usize,
    /// The topic read.
    pub topic: Option<String>,
    /// For each partition, the first offset read and the one after the last.
    pub offsets: BTreeMap<TopicPartition, (i64, i64)>,
    /// For each partition, where the log ended when the query began; nothing before that is known.
    pub log_ends: Option<Offsets>,
}

impl Status {
    /// Whether all is read that was there when the query began, or nothing more is going to be.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        let is_read = |ends: &Offsets| {
            let read = |(at, end): (&TopicPartition, &i64)| self.offsets.get(at).is_none_or(|(_, read)| read >= end);
            ends.0.iter().all(read)
        };
        matches!(self.state, State::Ended | State::Failed(_)) || self.log_ends.as_ref().is_some_and(is_read)
    }

    /// What a reader must know of the numbers: what they lack, and what they wait for.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let ahead = (self.ahead_rows > 0).then(|| {
            format!("the times of {} rows are too far ahead of the clock to move the watermark", self.ahead_rows)
        });
        let lost = self.data_loss.as_ref().map(|lost| format!("records are gone that were not read: {lost}"));
        let held_back = self.held_back.clone();
        let columns = self.columns.as_ref().map(|difference| {
            format!("it goes on with the columns that its checkpoint has, where a sample says others now: {difference}")
        });
        let own = [lost, self.failing.clone(), self.stale.clone(), held_back, ahead, columns];
        own.into_iter().flatten().chain(self.notices.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_caught_up_when_it_is_where_the_log_ended() {
        let at = |partition| TopicPartition::new("t", partition);
        let mut status = Status { offsets: [(at(0), (3, 7)), (at(1), (0, 2))].into(), ..Status::default() };
        assert!(!status.is_caught_up(), "nobody has said where the log ends");
        status.log_ends = Some(Offsets::from_iter([(at(0), 7), (at(1), 5)]));
        assert!(!status.is_caught_up());
        status.offsets.insert(at(1), (0, 5));
        assert!(status.is_caught_up());
        let failed = Status { state: State::Failed("gone".to_owned()), ..Status::default() };
        assert!(failed.is_caught_up());
    }
}
