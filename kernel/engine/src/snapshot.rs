//! What a pipeline holds, as plain values that can be written down and read again.

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, PolarsResult};
use serde::{Deserialize, Serialize};

use crate::position::{Offsets, TopicPartition, by_topic};
use crate::state::{PendingTable, numbered};

/// The state of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What is no table.
    pub facts: Facts,
    /// The tables of the stages, each with a name of its own.
    pub frames: BTreeMap<String, DataFrame>,
    /// What changed of a table since an earlier state, from one state to the next, oldest first.
    pub changes: BTreeMap<String, Vec<DataFrame>>,
}

/// What a state has beside tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Where the next batch begins; written by the query.
    pub offsets: Offsets,
    /// The identity that the next row of the result gets.
    pub next_id: u64,
    /// The place of each partition among all, and how many rows of it were read, where their order matters.
    #[serde(default, with = "by_topic")]
    pub positions: BTreeMap<TopicPartition, [i64; 2]>,
    /// The watermark, in its column's unit.
    pub watermark: Option<i64>,
    /// The newest event time of each partition, in the same unit.
    #[serde(default, with = "by_topic")]
    pub newest: BTreeMap<TopicPartition, Option<i64>>,
    /// The newest time of processing, in milliseconds since the epoch.
    #[serde(default)]
    pub moment_ms: i64,
    /// The numbers that tables have beside their rows, by the names of the tables.
    #[serde(default)]
    pub numbers: BTreeMap<String, u64>,
}

/// A state as it was at one moment. What is large is made into tables later, on whichever thread, while the query goes on.
pub(crate) struct PendingState {
    /// What is no table.
    pub(crate) facts: Facts,
    /// Each by its name, and whether it is all of the table, or what changed.
    tables: Vec<(String, bool, PendingTable)>,
}

impl PendingState {
    /// A state without tables yet.
    pub(crate) fn new(facts: Facts) -> PendingState {
        PendingState { facts, tables: Vec::new() }
    }

    /// Adds a table, or what changed of it.
    pub(crate) fn add(&mut self, name: String, all: bool, table: PendingTable) {
        self.tables.push((name, all, table));
    }

    /// Makes the tables.
    pub(crate) fn tables(self) -> PolarsResult<Snapshot> {
        let mut saved = Snapshot { facts: self.facts, ..Snapshot::default() };
        for (name, all, table) in self.tables {
            if all {
                saved.frames.insert(name, table()?);
            } else {
                saved.changes.insert(name, vec![table()?]);
            }
        }
        Ok(saved)
    }
}

impl Snapshot {
    /// Takes a table of numbered rows out, with all that changed of it.
    pub(crate) fn take(&mut self, name: &str) -> PolarsResult<Option<DataFrame>> {
        let changes = self.changes.remove(name).unwrap_or_default();
        self.frames.remove(name).map(|table| numbered::changed(table, changes)).transpose()
    }

    /// Goes on to a later state of the same pipeline, which may say only what changed since this one.
    pub fn go_on(&mut self, later: Snapshot) {
        self.facts = later.facts;
        for (name, frame) in later.frames {
            self.changes.remove(&name);
            self.frames.insert(name, frame);
        }
        for (name, changes) in later.changes {
            self.changes.entry(name).or_default().extend(changes);
        }
    }
}
