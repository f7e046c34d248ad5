//! Where rows stand in the order of all: by partition first, then by their order in it. Rows of one time are taken in it.

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
    /// Gives each of these partitions its place.
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
        let ordinal = self.0.len() as i64;
        self.0.entry(partition.clone()).or_insert(Position { ordinal, rows: 0 })
    }
}
