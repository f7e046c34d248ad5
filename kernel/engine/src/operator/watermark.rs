//! The watermark: how far event time has come for certain. It is the minimum over the partitions being read, so that a
//! partition read later than another makes no row late (a global maximum dropped 16 % of a backlog's rows). Streams that are joined
//! have one watermark together, the lowest of theirs, as in Spark.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use plan::Watermark;
use polars::prelude::*;

use crate::Clock;
use crate::position::{Offsets, TopicPartition};

/// A partition without new rows for this long no longer holds the watermark back, if it was read to its end.
pub(crate) const IDLE: Duration = Duration::from_secs(30);
/// How long it holds that a partition was read to its end: afterwards rows may have come that nobody has fetched.
const END_HOLDS: Duration = Duration::from_secs(1);

/// Follows the event times of each partition. What it tells is in the finest unit of all the streams' times.
pub(crate) struct WatermarkTracker {
    marks: Vec<Mark>,
    unit: TimeUnit,
    /// Those of the streams that have a watermark.
    partitions: BTreeMap<TopicPartition, Seen>,
    /// When the source was last asked where the partitions end.
    asked: Option<Duration>,
    clock: Arc<dyn Clock>,
    current: Option<i64>,
}

/// How far event time has come in one stream.
pub(crate) struct Mark {
    /// The stream's scans.
    scans: Range<u32>,
    /// In the column's own unit.
    delay: i64,
    unit: TimeUnit,
    /// Whether it goes on as the clock does.
    by_clock: bool,
    /// How far a time may be ahead of the clock and still move the watermark, in milliseconds.
    ahead_ms: i64,
}

impl Mark {
    /// `unit` is that of the watermark's column.
    pub(crate) fn new(scans: Range<u32>, watermark: &Watermark, unit: TimeUnit) -> Mark {
        Mark {
            scans,
            delay: watermark.delay_ms.saturating_mul(per_ms(unit)),
            unit,
            by_clock: watermark.by_clock,
            ahead_ms: watermark.ahead_ms,
        }
    }

    /// The newest time that moves the watermark.
    fn bound(&self, moment_ms: i64) -> i64 {
        moment_ms.saturating_add(self.ahead_ms).saturating_mul(per_ms(self.unit))
    }

    /// Up to where event time has come when a row of this time has, in another unit.
    fn reached(&self, newest: i64, unit: TimeUnit) -> i64 {
        newest.saturating_sub(self.delay).saturating_mul(per_ms(unit) / per_ms(self.unit))
    }
}

#[derive(Clone, Copy, Default)]
struct Seen {
    newest: Option<i64>,
    /// When its last rows came.
    at: Duration,
    /// When it was last known to be read to its end.
    ended: Option<Duration>,
    /// Whether nothing more of it is read: the query ends where it stands.
    is_done: bool,
    /// Rows that had no time, while none had one.
    without_time: u64,
}

impl Seen {
    fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.at) >= IDLE
    }

    /// Whether it gives no rows because it has none, which only the log itself can say: a reader that pauses, or cannot reach its
    /// broker, gets none either.
    fn is_idle(&self, now: Duration) -> bool {
        self.is_silent(now) && self.ended.is_some_and(|ended| now.saturating_sub(ended) <= END_HOLDS)
    }
}

impl WatermarkTracker {
    /// Follows no partition yet. There is a mark at the least.
    pub(crate) fn new(marks: Vec<Mark>, clock: Arc<dyn Clock>) -> WatermarkTracker {
        let unit = marks.iter().map(|mark| mark.unit).max_by_key(|unit| per_ms(*unit));
        let unit = unit.unwrap_or(TimeUnit::Milliseconds);
        WatermarkTracker { marks, unit, partitions: BTreeMap::new(), asked: None, clock, current: None }
    }

    /// The mark of the stream that a partition is of, where that has one.
    fn mark(&self, partition: &TopicPartition) -> Option<&Mark> {
        self.marks.iter().find(|mark| mark.scans.contains(&partition.scan))
    }

    /// Says which partitions are read from now on, so that one not read yet holds the watermark back, and one that is no more does
    /// not.
    pub(crate) fn assign(&mut self, partitions: &Offsets) {
        let at = self.clock.now();
        self.partitions.retain(|partition, _| partitions.0.contains_key(partition));
        for partition in partitions.0.keys() {
            if self.mark(partition).is_some() {
                self.partitions.entry(partition.clone()).or_insert(Seen { at, ..Seen::default() });
            }
        }
    }

    /// Counts all partitions as read just now, after a time in which none was read: their rows are still to come.
    pub(crate) fn wake(&mut self) {
        let at = self.clock.now();
        self.partitions.values_mut().for_each(|seen| (seen.at, seen.ended) = (at, None));
    }

    /// Whether the source is to be asked where its partitions end: one gives no rows, and the watermark would go on without it.
    pub(crate) fn wants_ends(&self, moment_ms: i64) -> bool {
        let now = self.clock.now();
        if self.marks.iter().all(|mark| mark.by_clock)
            || self.asked.is_some_and(|asked| now.saturating_sub(asked) <= END_HOLDS)
        {
            return false;
        }
        let is_known = |seen: &Seen| seen.is_done || !seen.is_silent(now) || seen.is_idle(now);
        !self.partitions.values().all(is_known) && self.without(moment_ms, |seen| seen.is_silent(now)) > self.current
    }

    /// Says where the partitions end, and up to where they are read.
    pub(crate) fn ends(&mut self, read: &Offsets, ends: &Offsets) {
        let now = self.clock.now();
        self.asked = Some(now);
        for (partition, seen) in &mut self.partitions {
            let is_at_end = read.0.get(partition).zip(ends.0.get(partition)).is_some_and(|(read, end)| read >= end);
            seen.ended = is_at_end.then_some(now);
        }
    }

    /// Says up to where the partitions are read, in a query that ends at `end`.
    pub(crate) fn read_to(&mut self, read: &Offsets, end: &Offsets) {
        for (partition, seen) in &mut self.partitions {
            seen.is_done = end.0.get(partition).is_none_or(|end| read.0.get(partition).is_some_and(|read| read >= end));
        }
    }

    /// Takes in the event times of a partition's rows; gives how many are further ahead of the clock than they may be.
    pub(crate) fn observe(&mut self, partition: &TopicPartition, times: &Int64Chunked, moment_ms: i64) -> usize {
        let Some(bound) = self.mark(partition).map(|mark| mark.bound(moment_ms)) else { return 0 };
        let (mut newest, mut ahead) = (times.max(), 0);
        if newest.is_some_and(|newest| newest > bound) {
            ahead = times.iter().flatten().filter(|time| *time > bound).count();
            newest = times.iter().flatten().filter(|time| *time <= bound).max();
        }
        self.saw(partition, newest, times.len());
        ahead
    }

    /// Takes in the newest event time of rows that are not there; says whether it is further ahead of the clock than it may be.
    pub(crate) fn observe_newest(
        &mut self,
        partition: &TopicPartition,
        newest: Option<i64>,
        rows: usize,
        moment_ms: i64,
    ) -> bool {
        let Some(bound) = self.mark(partition).map(|mark| mark.bound(moment_ms)) else { return false };
        let is_ahead = newest.is_some_and(|newest| newest > bound);
        self.saw(partition, newest.filter(|_| !is_ahead), rows);
        is_ahead
    }

    fn saw(&mut self, partition: &TopicPartition, newest: Option<i64>, rows: usize) {
        let at = self.clock.now();
        let seen = self.partitions.entry(partition.clone()).or_default();
        seen.newest = seen.newest.max(newest);
        seen.without_time = if seen.newest.is_some() { 0 } else { seen.without_time + rows as u64 };
        seen.at = at;
    }

    /// A partition that holds the watermark back although it gives rows, for none of them has a time; and how many they are.
    pub(crate) fn timeless(&self) -> Option<(&TopicPartition, u64)> {
        self.partitions.iter().find(|(_, seen)| seen.without_time > 0).map(|(at, seen)| (at, seen.without_time))
    }

    /// Moves the watermark to where it is after what was observed.
    pub(crate) fn advance(&mut self, moment_ms: i64) -> Option<i64> {
        self.current = self.next(moment_ms);
        self.current
    }

    /// Where the watermark would be after what was observed. It never goes back. Where no partition has new rows event time
    /// stands still, as in Flink: only a partition that is idle among others is passed over.
    pub(crate) fn next(&self, moment_ms: i64) -> Option<i64> {
        let now = self.clock.now();
        self.without(moment_ms, |seen| seen.is_idle(now))
    }

    /// Where the watermark would be if these partitions held it back no longer.
    fn without(&self, moment_ms: i64, is_passed: impl Fn(&Seen) -> bool) -> Option<i64> {
        let by_clock = self.marks.iter().filter(|mark| mark.by_clock);
        let clock = by_clock.map(|mark| mark.reached(moment_ms.saturating_mul(per_ms(mark.unit)), self.unit)).min();
        let marked = || self.partitions.iter().filter_map(|(at, seen)| Some((self.mark(at)?, seen)));
        let all = || marked().filter(|(mark, _)| !mark.by_clock);
        let reached = |(mark, seen): (&Mark, &Seen)| Some(mark.reached(seen.newest?, self.unit));
        let held = || all().filter(|(_, seen)| !seen.is_done && !is_passed(seen));
        let low = if all().all(|(_, seen)| seen.is_done) {
            // The query ends: whatever may still come is not its concern.
            all().filter_map(reached).max()
        } else if held().any(|(_, seen)| seen.newest.is_none()) {
            return self.current;
        } else {
            held().filter_map(reached).min()
        };
        self.current.max([low, clock].into_iter().flatten().min())
    }

    /// The newest time of each partition.
    pub(crate) fn newest(&self) -> BTreeMap<TopicPartition, Option<i64>> {
        self.partitions.iter().map(|(partition, seen)| (partition.clone(), seen.newest)).collect()
    }

    /// Takes over a watermark and the newest times that were saved; partitions count as read just now.
    pub(crate) fn restore(&mut self, current: Option<i64>, newest: &BTreeMap<TopicPartition, Option<i64>>) {
        let at = self.clock.now();
        let seen = |newest: &Option<i64>| Seen { newest: *newest, at, ..Seen::default() };
        self.partitions = newest.iter().map(|(partition, newest)| (partition.clone(), seen(newest))).collect();
        self.current = current;
    }

    /// Moves the watermark to where it stood once: a batch that is repeated closes what it closed then.
    pub(crate) fn set(&mut self, watermark: Option<i64>) {
        self.current = self.current.max(watermark);
    }

    /// The watermark as it stands.
    pub(crate) fn current(&self) -> Option<i64> {
        self.current
    }

    /// The watermark as it stands, in milliseconds since the epoch.
    pub(crate) fn current_ms(&self) -> Option<i64> {
        self.current.map(|at| at.div_euclid(per_ms(self.unit)))
    }
}

/// Nanoseconds in steps of a time unit.
pub(crate) fn steps(nanoseconds: i64, unit: TimeUnit) -> i64 {
    (i128::from(nanoseconds) * i128::from(per_ms(unit)) / 1_000_000) as i64
}

/// Steps of a time unit in a millisecond.
pub(crate) fn per_ms(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Nanoseconds => 1_000_000,
        TimeUnit::Microseconds => 1_000,
        TimeUnit::Milliseconds => 1,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ManualClock;

    fn times(times: &[i64]) -> Int64Chunked {
        Int64Chunked::from_slice("t".into(), times)
    }

    fn at(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn offsets(at_offsets: [i64; 2]) -> Offsets {
        Offsets::from_iter(at_offsets.into_iter().zip(0..).map(|(offset, partition)| (at(partition), offset)))
    }

    fn tracker(clock: &Arc<ManualClock>) -> WatermarkTracker {
        let watermark =
            Watermark { column: "t".into(), delay: "10ms".into(), delay_ms: 10, by_clock: false, ahead_ms: 1_000 };
        let mut tracker =
            WatermarkTracker::new(vec![Mark::new(0..1, &watermark, TimeUnit::Milliseconds)], clock.clone());
        tracker.assign(&offsets([0, 0]));
        tracker
    }

    #[test]
    fn it_is_the_minimum_over_partitions() {
        let mut tracker = tracker(&Arc::default());
        tracker.observe(&at(0), &times(&[100, 500]), 0);
        assert_eq!(tracker.advance(0), None, "partition 1 has not been read");
        tracker.observe(&at(1), &times(&[200]), 0);
        assert_eq!(tracker.advance(0), Some(190));
    }

    #[test]
    fn it_never_goes_back_and_an_idle_partition_lets_it_go() {
        let clock = Arc::new(ManualClock::default());
        let mut tracker = tracker(&clock);
        tracker.observe(&at(0), &times(&[500]), 0);
        tracker.observe(&at(1), &times(&[200]), 0);
        assert_eq!(tracker.advance(0), Some(190));
        clock.advance(IDLE);
        tracker.observe(&at(0), &times(&[400]), 0);
        tracker.ends(&offsets([2, 1]), &offsets([2, 1]));
        assert_eq!(tracker.advance(0), Some(490));
        tracker.observe(&at(1), &times(&[210]), 0);
        assert_eq!(tracker.advance(0), Some(490));
    }

    #[test]
    fn a_silent_partition_is_idle_only_at_an_end_that_was_confirmed_just_now() {
        let clock = Arc::new(ManualClock::default());
        let mut tracker = tracker(&clock);
        tracker.observe(&at(0), &times(&[500]), 0);
        tracker.observe(&at(1), &times(&[200]), 0);
        tracker.advance(0);
        clock.advance(IDLE * 3);
        tracker.observe(&at(0), &times(&[700]), 0);
        assert_eq!(tracker.advance(0), Some(190), "nobody knows whether partition 1 has rows");
        assert!(tracker.wants_ends(0));
        tracker.ends(&offsets([2, 1]), &offsets([9, 5]));
        assert!(!tracker.wants_ends(0), "it was asked just now");
        assert_eq!(tracker.advance(0), Some(190), "partition 1 has rows to come");
        tracker.ends(&offsets([2, 1]), &offsets([9, 1]));
        clock.advance(END_HOLDS * 2);
        assert_eq!(tracker.advance(0), Some(190), "rows may have come since");
        assert!(tracker.wants_ends(0));
        tracker.ends(&offsets([2, 1]), &offsets([9, 1]));
        assert_eq!(tracker.advance(0), Some(690));
    }

    #[test]
    fn a_partition_that_is_read_to_the_end_of_the_query_holds_nothing_back() {
        let mut tracker = tracker(&Arc::default());
        let end = offsets([5, 0]);
        tracker.read_to(&offsets([2, 0]), &end);
        tracker.observe(&at(0), &times(&[300]), 0);
        assert_eq!(tracker.advance(0), Some(290), "partition 1 is empty");
        tracker.read_to(&offsets([5, 0]), &end);
        tracker.observe(&at(0), &times(&[400]), 0);
        assert_eq!(tracker.advance(0), Some(390));
    }

    #[test]
    fn a_clock_that_runs_ahead_does_not_move_it() {
        let mut tracker = tracker(&Arc::default());
        tracker.assign(&Offsets::from_iter([(at(0), 0)]));
        assert_eq!(tracker.observe(&at(0), &times(&[100, 9_000, 1_500, 8_000]), 500), 2);
        assert_eq!(tracker.advance(500), Some(1_490));
        assert!(tracker.observe_newest(&at(0), Some(9_000), 1, 500));
        assert_eq!(tracker.advance(500), Some(1_490));
    }
}
