//! The link between the kernel and the cell process: typed frames with binary buffers over a Unix-domain socket. It
//! carries everything live; evcxr's own stdout protocol carries only evcxr's lines. What a cell writes to its standard
//! output and error goes into two named pipes beside the socket. Knows no other crate of ours.

mod codec;
mod frame;
mod socket;

pub use codec::{MAX_FRAME, VERSION, read_frame, write_frame};
pub use frame::{Bundle, Channel, Framed, Giver, Input, Parameter, ToCell, ToKernel};
pub use socket::{ENV, Listener, Receiver, Sender, connect, pipe, stopped};

/// Why the link cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The socket failed, or the other side is gone.
    #[error("the link to the other process failed: {source}")]
    Io {
        /// What the operating system said.
        #[from]
        source: std::io::Error,
    },
    /// The other side speaks another version.
    #[error(
        "the other process speaks version {found} of the link and this one version {VERSION}; build both anew with ./install/demo"
    )]
    Version {
        /// Its version.
        found: u8,
    },
    /// A frame that is larger than any of ours.
    #[error("a frame of {size} bytes is above the link's limit of {MAX_FRAME}")]
    TooLarge {
        /// What its header says.
        size: u64,
    },
    /// A frame that does not read.
    #[error("a frame of the link does not read: {detail}")]
    Malformed {
        /// What is wrong with it.
        detail: String,
    },
}
