//! Why a broker cannot start, or a connection is closed.

/// What goes wrong outside a request that can be answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("the broker cannot listen at {listen}: {detail}. Choose another port, or port 0 for any")]
    Listen {
        /// The address.
        listen: String,
        /// What the operating system said.
        detail: String,
    },
    /// The machine gives no thread.
    #[error("the broker cannot start its threads: {detail}")]
    Threads {
        /// What the operating system said.
        detail: String,
    },
    /// What came is no request of Kafka's.
    #[error("a connection was closed: {detail}")]
    NotKafka {
        /// What is wrong with it.
        detail: String,
    },
}
