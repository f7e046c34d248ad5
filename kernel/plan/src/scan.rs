//! Where rows come from, as data: which connector reads what, in which format, with which columns. How a connector is opened is
//! the engine's concern, so that a plan can be looked at, written down, and run by somebody else. A secret is never here: it is
//! known by a name that the connector resolves.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::SchemaRef;

use crate::node::{Node, Plan};

/// What is read.
#[derive(Clone, Debug, PartialEq)]
pub struct Scan {
    /// The name under which the connector is registered.
    pub connector: String,
    /// The topics, or what the connector has in their place.
    pub topics: Vec<String>,
    /// Where the connector finds them, as in `127.0.0.1:9092`. The same topics elsewhere are the same rows to a query.
    pub address: Option<String>,
    /// What else the connector is told. Nothing of it is a secret.
    pub options: BTreeMap<String, String>,
    /// How records become rows; `None` where the connector gives rows.
    pub format: Option<Format>,
    /// The columns.
    pub schema: SchemaRef,
    /// The columns whose types a person said, where a sample of the records says the others; `None` where a person says them all.
    /// Another sample may say others, and a query that goes on from a checkpoint reads those that it had.
    pub sampled: Option<BTreeSet<String>>,
}

/// How records become rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    /// As in `json`.
    pub name: String,
    /// What it is told.
    pub options: BTreeMap<String, String>,
}

impl Scan {
    /// Of a connector that needs no more than its name.
    #[must_use]
    pub fn new(connector: impl Into<String>, schema: SchemaRef) -> Scan {
        let (topics, options) = (Vec::new(), BTreeMap::new());
        Scan { connector: connector.into(), topics, address: None, options, format: None, schema, sampled: None }
    }

    /// Reads this topic, too.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Scan {
        self.topics.push(topic.into());
        self
    }

    /// Finds the topics there.
    #[must_use]
    pub fn at(mut self, address: impl Into<String>) -> Scan {
        self.address = Some(address.into());
        self
    }

    /// Tells the connector something that is no secret.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Scan {
        self.options.insert(name.into(), value.into());
        self
    }

    /// Reads records of this format.
    #[must_use]
    pub fn format(mut self, name: impl Into<String>) -> Scan {
        self.format = Some(Format { name: name.into(), options: BTreeMap::new() });
        self
    }

    /// Has the columns be those of a sample, but for those whose types a person said.
    #[must_use]
    pub fn sampled<'a>(mut self, said: impl IntoIterator<Item = &'a str>) -> Scan {
        self.sampled = Some(said.into_iter().map(str::to_owned).collect());
        self
    }

    /// What is read, in a word or two: the topics, or the connector that has none.
    #[must_use]
    pub fn title(&self) -> String {
        if self.topics.is_empty() { self.connector.clone() } else { self.topics.join(" + ") }
    }

    /// As in `kafka transactions at 127.0.0.1:9092`.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut words = self.connector.clone();
        if !self.topics.is_empty() {
            words += &format!(" {}", self.topics.join(", "));
        }
        if let Some(address) = &self.address {
            words += &format!(" at {address}");
        }
        words
    }
}

impl Plan {
    /// A plan that reads, and does nothing else.
    #[must_use]
    pub fn scan(scan: Scan) -> Plan {
        let schema = scan.schema.clone();
        Plan::of(Node::Scan(scan), schema)
    }

    /// A plan over a source of one's own, by the name under which its connector is registered.
    #[must_use]
    pub fn source(connector: impl Into<String>, schema: SchemaRef) -> Plan {
        Plan::scan(Scan::new(connector, schema))
    }

    /// What the plan reads, from left to right. Their numbers are those of the engine's partitions.
    #[must_use]
    pub fn scans(&self) -> Vec<&Scan> {
        match self.node() {
            Node::Scan(scan) => vec![scan],
            Node::Union(inputs) => inputs.iter().flat_map(Plan::scans).collect(),
            Node::Join(join) => join.sides.iter().flat_map(|side| side.plan.scans()).collect(),
            Node::Step { input, .. } => input.scans(),
        }
    }
}
