//! The seam to the sockets: frames in, frames out, by channel. Behind it stand ZeroMQ, and memory for tests.

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};

use crate::{Connection, JupyterError};

/// Requests that wait to be taken; a page that sends more waits in its own socket.
pub(crate) const REQUESTS: usize = 1024;
/// Outputs that are with the sockets. Few, so that a slow page is felt where outputs are made.
pub(crate) const OUTPUTS: usize = 16;

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
    pub incoming: Receiver<(Channel, Frames)>,
    /// Replies; to each one its request waits, so they need no bound of their own.
    pub replies: UnboundedSender<(Channel, Frames)>,
    /// Outputs, to all who listen.
    pub outputs: Sender<Frames>,
}

/// The page's ends of an in-memory transport.
pub struct Page {
    /// Requests to the kernel.
    pub requests: Sender<(Channel, Frames)>,
    /// Its replies.
    pub replies: UnboundedReceiver<(Channel, Frames)>,
    /// Its outputs.
    pub outputs: Receiver<Frames>,
}

/// Opens the sockets of a connection.
///
/// Contract: frames of one channel keep their order; a peer that is gone loses what was for it, and nothing else.
pub trait Transport {
    /// Binds and serves, in the runtime it is called from, for as long as the wires are held.
    fn open(self, connection: &Connection) -> impl Future<Output = Result<Wires, JupyterError>> + Send;
}

/// A transport without sockets, and the page's ends of it.
#[must_use]
pub fn in_memory() -> (impl Transport, Page) {
    let (requests, incoming) = channel(REQUESTS);
    let (to_page, replies) = unbounded_channel();
    let (show, outputs) = channel(OUTPUTS);
    (Memory(Wires { incoming, replies: to_page, outputs: show }), Page { requests, replies, outputs })
}

struct Memory(Wires);

impl Transport for Memory {
    async fn open(self, _connection: &Connection) -> Result<Wires, JupyterError> {
        Ok(self.0)
    }
}
