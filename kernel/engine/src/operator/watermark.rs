//! The watermark: how far event time has come for certain. It is the minimum over the partitions being read, so that a
//! partition read later than another makes no row late (a global maximum dropped 16 % of a backlog's rows).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plan::Watermark;
use polars::prelude::*;

use crate::Clock;

/// A partition without new rows for this long no longer holds the watermark back.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

/// Follows the event times of each partition.
pub(crate) struct WatermarkTracker {
    column: PlSmallStr,
    /// In the column's own unit.
    delay: i64,
    unit: TimeUnit,
    /// Whether it goes on as the clock does.
    by_clock: bool,
    partitions: BTreeMap<i32, Seen>,
    clock: Arc<dyn Clock>,
    current: Option<i64>,
}

#[derive(Clone, Copy)]
struct Seen {
    newest: Option<i64>,
    at: Duration,
}

impl WatermarkTracker {
    /// Follows `partitions`, none of which has given a row yet.
    pub(crate) fn new(watermark: &Watermark, unit: TimeUnit, clock: Arc<dyn Clock>) -> WatermarkTracker {
        WatermarkTracker {
            column: watermark.column.clone(),
            delay: watermark.delay_ms.saturating_mul(per_ms(unit)),
            unit,
            by_clock: watermark.by_clock,
            partitions: BTreeMap::new(),
            clock,
            current: None,
        }
    }

    /// Says which partitions there are, so that one not read yet holds the watermark back.
    pub(crate) fn expect(&mut self, partitions: impl Iterator<Item = i32>) {
        let at = self.clock.now();
        for partition in partitions {
            self.partitions.entry(partition).or_insert(Seen { newest: None, at });
        }
    }

    /// Counts all partitions as read just now, after a time in which none was read: their rows are still to come.
    pub(crate) fn wake(&mut self) {
        let at = self.clock.now();
        self.partitions.values_mut().for_each(|seen| seen.at = at);
    }

    /// Takes in the event times of a partition's rows.
    pub(crate) fn observe(&mut self, partition: i32, rows: &DataFrame) -> PolarsResult<()> {
        let newest = rows.column(&self.column)?.to_physical_repr().i64()?.max();
        let seen = self.partitions.entry(partition).or_insert(Seen { newest: None, at: Duration::ZERO });
        seen.newest = seen.newest.max(newest);
        seen.at = self.clock.now();
        Ok(())
    }

    /// Takes in the newest event time of rows that are not there.
    pub(crate) fn observe_newest(&mut self, partition: i32, newest: Option<i64>) {
        let seen = self.partitions.entry(partition).or_insert(Seen { newest: None, at: Duration::ZERO });
        seen.newest = seen.newest.max(newest);
        seen.at = self.clock.now();
    }

    /// Moves the watermark to where it is after what was observed.
    pub(crate) fn advance(&mut self, moment_ms: i64) -> Option<i64> {
        self.current = self.next(moment_ms);
        self.current
    }

    /// Where the watermark would be after what was observed, in the column's unit. It never goes back. Where no partition has
    /// new rows event time stands still, as in Flink: only a partition that is idle among others is passed over.
    pub(crate) fn next(&self, moment_ms: i64) -> Option<i64> {
        if self.by_clock {
            return self.current.max(Some(moment_ms.saturating_mul(per_ms(self.unit)).saturating_sub(self.delay)));
        }
        let now = self.clock.now();
        let active: Vec<Seen> =
            self.partitions.values().filter(|seen| now.saturating_sub(seen.at) < IDLE).copied().collect();
        let low = if active.iter().any(|seen| seen.newest.is_none()) {
            None
        } else {
            active.iter().filter_map(|seen| seen.newest).min()
        };
        self.current.max(low.map(|newest| newest.saturating_sub(self.delay)))
    }

    /// Steps of the column's unit in a millisecond.
    pub(crate) fn steps_per_ms(&self) -> i64 {
        per_ms(self.unit)
    }

    /// The newest time of each partition.
    pub(crate) fn newest(&self) -> BTreeMap<i32, Option<i64>> {
        self.partitions.iter().map(|(partition, seen)| (*partition, seen.newest)).collect()
    }

    /// Takes over a watermark and the newest times that were saved; partitions count as read just now.
    pub(crate) fn restore(&mut self, current: Option<i64>, newest: &BTreeMap<i32, Option<i64>>) {
        let at = self.clock.now();
        self.partitions = newest.iter().map(|(partition, newest)| (*partition, Seen { newest: *newest, at })).collect();
        self.current = current;
    }

    /// Moves the watermark to where it stood once: a batch that is repeated closes what it closed then.
    pub(crate) fn set(&mut self, watermark: Option<i64>) {
        self.current = self.current.max(watermark);
    }

    /// The watermark as it stands, in the column's unit.
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

    fn rows(times: &[i64]) -> DataFrame {
        let times = Series::new("t".into(), times).cast(&DataType::Datetime(TimeUnit::Milliseconds, None)).unwrap();
        DataFrame::new(times.len(), vec![times.into()]).unwrap()
    }

    fn tracker(clock: &Arc<ManualClock>) -> WatermarkTracker {
        let watermark = Watermark { column: "t".into(), delay: "10ms".into(), delay_ms: 10, by_clock: false };
        let mut tracker = WatermarkTracker::new(&watermark, TimeUnit::Milliseconds, clock.clone());
        tracker.expect([0, 1].into_iter());
        tracker
    }

    #[test]
    fn it_is_the_minimum_over_partitions() {
        let mut tracker = tracker(&Arc::default());
        tracker.observe(0, &rows(&[100, 500])).unwrap();
        assert_eq!(tracker.advance(0), None, "partition 1 has not been read");
        tracker.observe(1, &rows(&[200])).unwrap();
        assert_eq!(tracker.advance(0), Some(190));
    }

    #[test]
    fn it_never_goes_back_and_an_idle_partition_lets_it_go() {
        let clock = Arc::new(ManualClock::default());
        let mut tracker = tracker(&clock);
        tracker.observe(0, &rows(&[500])).unwrap();
        tracker.observe(1, &rows(&[200])).unwrap();
        assert_eq!(tracker.advance(0), Some(190));
        clock.advance(IDLE);
        tracker.observe(0, &rows(&[400])).unwrap();
        assert_eq!(tracker.advance(0), Some(490));
        tracker.observe(1, &rows(&[210])).unwrap();
        assert_eq!(tracker.advance(0), Some(490));
    }
}
