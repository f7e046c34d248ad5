//! What a pipeline holds, as plain values that can be written down and read again.

pub(crate) mod numbered;

use std::collections::BTreeMap;

use polars::prelude::{DataFrame, PolarsResult};
use serde::{Deserialize, Serialize};

use crate::operator::OperatorSnapshot;
use crate::position::{Offsets, TopicPartition, by_topic};

/// The state of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// What is no table.
    pub facts: Facts,
    /// The tables of the stages, each with a name of its own.
    pub frames: BTreeMap<String, DataFrame>,
    /// What changed of a table since an earlier state, from one state to the next, oldest first. Of the tables of an operator's
    /// groups it is the operator's own, of all others it is [numbered].
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
    /// A number of each stage.
    pub stages: Vec<u64>,
}

/// A state as it was at one moment. What is large is made into tables later, on whichever thread, while the query goes on.
pub(crate) struct PendingState {
    /// What is no table.
    pub(crate) facts: Facts,
    parts: Vec<StatePart>,
}

/// Puts its tables into a state.
type StatePart = Box<dyn FnOnce(&mut Snapshot) -> PolarsResult<()> + Send>;

impl PendingState {
    /// A state without tables yet.
    pub(crate) fn new(facts: Facts) -> PendingState {
        PendingState { facts, parts: Vec::new() }
    }

    /// Adds what puts tables in.
    pub(crate) fn add(&mut self, part: impl FnOnce(&mut Snapshot) -> PolarsResult<()> + Send + 'static) {
        self.parts.push(Box::new(part));
    }

    /// Makes the tables.
    pub(crate) fn tables(self) -> PolarsResult<Snapshot> {
        let mut saved = Snapshot { facts: self.facts, ..Snapshot::default() };
        self.parts.into_iter().try_for_each(|part| part(&mut saved))?;
        Ok(saved)
    }
}

impl Snapshot {
    /// Puts a stage's state in.
    pub(crate) fn put(&mut self, number: usize, kept: OperatorSnapshot) {
        self.facts.stages.push(kept.number);
        self.frames.extend(kept.tables.into_iter().map(|(name, table)| (format!("{number}-{name}"), table)));
        self.changes
            .extend(kept.changes.into_iter().map(|(name, changes)| (format!("{number}-{name}"), vec![changes])));
    }

    /// Puts a table in, or what changed of it.
    pub(crate) fn put_table(&mut self, name: &str, all: bool, table: DataFrame) {
        if all {
            self.frames.insert(name.to_owned(), table);
        } else {
            self.changes.insert(name.to_owned(), vec![table]);
        }
    }

    /// Takes a table out, with all that changed of it.
    pub(crate) fn take(&mut self, name: &str) -> PolarsResult<Option<DataFrame>> {
        let changes = self.take_changes(name);
        self.frames.remove(name).map(|table| numbered::changed(table, changes)).transpose()
    }

    /// Takes out what changed of a stage's table since it was whole.
    pub(crate) fn take_changes(&mut self, name: &str) -> Vec<DataFrame> {
        self.changes.remove(name).unwrap_or_default()
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
