//! A Kafka broker of one node, in memory, for a notebook that has no cluster: the real protocol on the `kafka-protocol`
//! crate, with bounded memory. For one machine and no production. Knows no other crate of ours.
//!
//! The core ([`state`]) is a function of its state, the time and a request; only [`server`] has sockets.

mod error;
mod server;
mod state;

use std::collections::BTreeMap;
use std::net::SocketAddr;

pub use error::Error;
use server::Server;

/// How a broker is.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen, as `host:port`; port 0 for any.
    pub listen: String,
    /// Bytes of records to hold in all; the oldest go first.
    pub memory: usize,
    /// Partitions of a topic that is made without saying how many.
    pub partitions: i32,
    /// Whether a topic that is asked for is made.
    pub auto_create: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config { listen: "127.0.0.1:0".to_owned(), memory: 256 << 20, partitions: 4, auto_create: false }
    }
}

/// A running broker; dropping it stops it.
pub struct Broker(Server);

impl Broker {
    /// Starts a broker on threads of its own. It answers when this returns.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn start(config: Config) -> Result<Broker, Error> {
        Server::start(config).map(Broker)
    }

    /// What a client's `bootstrap.servers` takes.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let address = self.0.address();
        if address.ip().is_unspecified() { format!("127.0.0.1:{}", address.port()) } else { address.to_string() }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// How many requests it was sent of each kind since it was started, by Kafka's names for them, as in `Metadata`.
    #[must_use]
    pub fn requests(&self) -> BTreeMap<String, u64> {
        self.0.counts()
    }

    /// Stops it; connections are closed.
    pub fn stop(self) {
        drop(self);
    }
}
