//! A bank to play with: a Kafka broker and a stream of card transactions, inside the cell process, in one line.

use std::fmt;
use std::time::Duration;

use broker::{Broker, Config};
use connectors::bank::{ProduceConfig, Producer};

/// The topic with the transactions.
pub const TOPIC: &str = "transactions";

/// What keeps the demo from starting.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The broker does not start.
    #[error("the demo's broker does not start: {0}")]
    Broker(#[from] broker::Error),
    /// The producer does not start.
    #[error("the demo's producer does not start: {0}")]
    Producer(#[from] engine::SourceError),
}

/// A broker with a topic `transactions` of four partitions, and a producer that writes 1,000 card transactions a second
/// into it, after the last five minutes' worth. It all ends with the value, or with the cell process.
///
/// ```no_run
/// # use corriente::prelude::*;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let bank = demo::bank()?;
/// let txns = read_kafka(bank.bootstrap()).topic("transactions").json()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When the machine gives no port or no thread.
pub fn bank() -> Result<Bank, DemoError> {
    BankOptions::default().start()
}

/// How the bank is.
#[derive(Clone, Debug)]
pub struct BankOptions {
    /// Transactions a second; zero for as many as the machine gives.
    pub rate: f64,
    /// Transactions in all; without it there is no end.
    pub count: Option<u64>,
    /// The same seed gives the same transactions.
    pub seed: u64,
    /// How much of the past is written first.
    pub history: Duration,
    /// Bytes the broker may hold; the oldest records go first.
    pub memory: usize,
}

impl Default for BankOptions {
    fn default() -> BankOptions {
        BankOptions { rate: 1_000.0, count: None, seed: 1, history: Duration::from_secs(300), memory: 256 << 20 }
    }
}

impl BankOptions {
    /// Starts a bank that is so.
    ///
    /// # Errors
    /// As [`bank`].
    pub fn start(self) -> Result<Bank, DemoError> {
        let broker = Broker::start(Config { memory: self.memory, ..Config::default() })?;
        let producer = Producer::start(ProduceConfig {
            bootstrap: broker.bootstrap(),
            topic: TOPIC.to_owned(),
            rate: self.rate,
            count: self.count,
            seed: self.seed,
            history: self.history,
            ..ProduceConfig::default()
        })?;
        Ok(Bank { broker, producer })
    }
}

/// A running bank.
pub struct Bank {
    // Dropped in this order: the producer flushes to a broker that still answers.
    producer: Producer,
    broker: Broker,
}

impl Bank {
    /// Where the broker listens, for `read_kafka` and any other Kafka client on this machine.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.broker.bootstrap()
    }

    /// Records the broker has acknowledged so far.
    #[must_use]
    pub fn produced(&self) -> u64 {
        self.producer.produced()
    }

    /// Stops the producer once all it has sent is acknowledged; gives the number of records. The broker goes on.
    pub fn stop(&mut self) -> u64 {
        self.producer.stop()
    }
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a bank at {}: {} card transactions in topic \"{TOPIC}\" so far", self.bootstrap(), self.produced())
    }
}
