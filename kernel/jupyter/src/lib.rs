//! The Jupyter messaging protocol and nothing else: sockets, signatures, the order of messages. What a cell means is the
//! [`Language`]'s concern; the tests run with one that echoes.

mod answer;
mod answers;
mod cell;
mod cells;
mod comms;
mod connection;
mod error;
mod history;
mod history_file;
mod inbox;
mod input;
mod iopub;
mod kernel;
mod language;
mod message;
mod outbox;
mod replies;
mod secrets;
mod serve;
mod transport;
mod wire;
mod zmq;

pub use answer::{CompletionAnswer, InspectionAnswer};
pub use cell::{Cell, Publisher, Stream};
pub use connection::Connection;
pub use error::JupyterError;
pub use history::History;
pub use input::Input;
pub use kernel::run_on;
pub use language::{
    Bundle, CommEvent, Completeness, Completion, Cursor, ExecuteRequest, Language, LanguageInfo, Outcome,
};
pub use message::{Header, Message, PROTOCOL_VERSION};
pub use serve::run;
pub use transport::{Channel, Frames, Page, Transport, Wires, in_memory};
pub use wire::Signer;
