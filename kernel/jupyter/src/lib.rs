//! The Jupyter messaging protocol and nothing else: sockets, signatures, the order of messages. What a cell means is the
//! [`Language`]'s concern; the tests run with one that echoes.

mod cell;
mod connection;
mod error;
mod iopub;
mod kernel;
mod language;
mod message;
mod replies;
mod transport;
mod wire;
mod zmq;

pub use cell::{Cell, Publisher, Stream};
pub use connection::Connection;
pub use error::JupyterError;
pub use kernel::{run, run_on};
pub use language::{Bundle, CommEvent, Completeness, ExecuteRequest, Language, LanguageInfo, Outcome};
pub use message::{Header, Message, PROTOCOL_VERSION};
pub use transport::{Channel, Frames, Transport, Wires, in_memory};
pub use wire::Signer;
