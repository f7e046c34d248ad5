//! The seam to the sockets: frames in, frames out, by channel. Behind it stand ZeroMQ, and memory for tests.

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{Connection, JupyterError};

/// A multipart message.
pub type Frames = Vec<Bytes>;

/// Where a message comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Requests, in turn.
    Shell,
    /// Requests that do not wait.
    Control,
    /// Questions to the user.
    Stdin,
    /// Outputs, to all who listen. What comes in are subscriptions.
    Iopub,
}

/// The kernel's ends of the sockets.
pub struct Wires {
    /// What comes in.
    pub incoming: UnboundedReceiver<(Channel, Frames)>,
    /// What goes out.
    pub outgoing: UnboundedSender<(Channel, Frames)>,
}

/// Opens the sockets of a connection.
///
/// Contract: frames of one channel keep their order; a peer that is gone loses what was for it, and nothing else.
pub trait Transport {
    /// Binds and serves, in the runtime it is called from, for as long as the wires are held.
    fn open(self, connection: &Connection) -> impl Future<Output = Result<Wires, JupyterError>> + Send;
}

/// A transport without sockets; the page's ends are the second value.
#[must_use]
pub fn in_memory() -> (impl Transport, Wires) {
    let (to_kernel, incoming) = unbounded_channel();
    let (outgoing, from_kernel) = unbounded_channel();
    (Memory(Wires { incoming, outgoing }), Wires { incoming: from_kernel, outgoing: to_kernel })
}

struct Memory(Wires);

impl Transport for Memory {
    async fn open(self, _connection: &Connection) -> Result<Wires, JupyterError> {
        Ok(self.0)
    }
}
