//! Why a kernel cannot start, or a message is dropped.

use std::path::PathBuf;

/// What goes wrong in the protocol.
#[derive(Debug, thiserror::Error)]
pub enum JupyterError {
    /// The connection file cannot be used.
    #[error("the connection file {path} cannot be used: {detail}")]
    ConnectionFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A socket cannot be bound.
    #[error("cannot listen at {endpoint}: {detail}. Is another kernel using this connection file?")]
    Bind {
        /// Where.
        endpoint: String,
        /// What ZeroMQ said.
        detail: String,
    },
    /// The machine gives no runtime.
    #[error("the kernel's runtime does not start: {source}")]
    Runtime {
        /// What the operating system said.
        #[from]
        source: std::io::Error,
    },
    /// A message that is not one.
    #[error("a message was dropped: {detail}")]
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
    /// A message that was not signed with the connection's key.
    #[error("a message was dropped: its signature is wrong")]
    Signature,
    /// A message that was taken before.
    #[error("a message was dropped: it has been here before")]
    Replayed,
}
