//! Where rows stand in the order of all: by partition first, then by their order in it. Rows of one time are taken in it, whenever
//! their partitions appeared.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::position::{Offsets, TopicPartition};

/// How many rows of each partition there were.
#[derive(Default)]
pub(super) struct Positions(BTreeMap<TopicPartition, Position>);

/// Where the next row of a partition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    /// The partition's place among all, which it keeps.
    ordinal: i64,
    /// How many rows there were.
    rows: i64,
}

impl Positions {
    /// Gives each of these partitions its place, in their order.
    pub(super) fn assign(&mut self, partitions: &Offsets) {
        for partition in partitions.0.keys() {
            self.of(partition);
        }
    }

    /// The positions of the next rows of a partition.
    pub(super) fn next(&mut self, partition: &TopicPartition, rows: usize) -> Range<i64> {
        let position = self.of(partition);
        let base = (position.ordinal << 40) + position.rows;
        position.rows += rows as i64;
        base..base + rows as i64
    }

    /// As it is written down.
    pub(super) fn save(&self) -> BTreeMap<TopicPartition, [i64; 2]> {
        self.0.iter().map(|(partition, at)| (partition.clone(), [at.ordinal, at.rows])).collect()
    }

    /// Takes over what was written down.
    pub(super) fn restore(&mut self, saved: &BTreeMap<TopicPartition, [i64; 2]>) {
        let position = |[ordinal, rows]: &[i64; 2]| Position { ordinal: *ordinal, rows: *rows };
        self.0 = saved.iter().map(|(partition, at)| (partition.clone(), position(at))).collect();
    }

    fn of(&mut self, partition: &TopicPartition) -> &mut Position {
        let first = if self.0.contains_key(partition) { None } else { Some(self.first(partition)) };
        self.0.entry(partition.clone()).or_insert_with(|| first.unwrap_or(Position { ordinal: 0, rows: 0 }))
    }

    /// Where the first row of a partition stands that was not there before: by the numbers of its scan and its own. A topic that was
    /// made again goes on behind the one that had its name. A place that is another's, as of a second topic of a scan or by an older
    /// checkpoint, gives way to one behind all.
    fn first(&self, partition: &TopicPartition) -> Position {
        let had_its_name = |at: &TopicPartition| {
            (at.scan, &at.topic, at.partition) == (partition.scan, &partition.topic, partition.partition)
        };
        let before = self.0.iter().filter(|(at, _)| had_its_name(at)).map(|(_, position)| *position);
        if let Some(before) = before.max_by_key(|position| position.rows) {
            return before;
        }
        let own = (i64::from(partition.scan) << PARTITION_BITS) + i64::from(partition.partition);
        let fits = partition.partition < 1 << PARTITION_BITS && partition.scan < 1 << SCAN_BITS;
        let is_free = fits && self.0.values().all(|position| position.ordinal != own);
        let behind = || self.0.values().map(|position| position.ordinal + 1).max().unwrap_or(0).max(BEHIND);
        Position { ordinal: if is_free { own } else { behind() }, rows: 0 }
    }
}

/// How many bits of an ordinal are the partition's number, and how many its scan's; those of others lie behind them.
const PARTITION_BITS: u32 = 15;
const SCAN_BITS: u32 = 7;
const BEHIND: i64 = 1 << (PARTITION_BITS + SCAN_BITS);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::TopicId;

    fn at(scan: u32, topic: &str, id: u8, partition: i32) -> TopicPartition {
        TopicPartition { scan, topic: topic.into(), topic_id: Some(TopicId([id; 16])), partition }
    }

    #[test]
    fn rows_stand_by_scan_and_partition_whenever_these_appeared() {
        let mut positions = Positions::default();
        let order = [at(1, "b", 1, 0), at(0, "a", 1, 2), at(0, "a", 1, 0), at(0, "a", 1, 1), at(1, "b", 1, 1)];
        let mut firsts: Vec<(i64, TopicPartition)> =
            order.into_iter().map(|partition| (positions.next(&partition, 5).start, partition)).collect();
        firsts.sort();
        let sorted: Vec<(u32, i32)> = firsts.iter().map(|(_, at)| (at.scan, at.partition)).collect();
        assert_eq!(sorted, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]);
    }

    #[test]
    fn a_topic_that_was_made_again_stands_behind_the_one_before_and_no_place_is_two_partitions() {
        let mut positions = Positions::default();
        let before = positions.next(&at(0, "a", 1, 0), 7);
        let after = positions.next(&at(0, "a", 2, 0), 7);
        assert_eq!(before.end, after.start);
        let mut seen = vec![before, after];
        for partition in [at(0, "other", 1, 0), at(0, "a", 1, 1 << 20), at(500, "a", 1, 0), at(0, "a", 1, 1)] {
            let rows = positions.next(&partition, 7);
            assert!(seen.iter().all(|other| other.end <= rows.start || rows.end <= other.start), "{partition}");
            seen.push(rows);
        }
        let mut again = Positions::default();
        again.restore(&positions.save());
        assert_eq!(again.next(&at(0, "a", 2, 0), 1).start, seen[1].end);
    }
}
