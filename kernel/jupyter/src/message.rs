//! A message as both sides see it: header, parent's header, metadata, content, buffers.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The version of the protocol that is spoken.
pub const PROTOCOL_VERSION: &str = "5.4";

/// What a message says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// Unique.
    pub msg_id: String,
    /// The sender's session.
    #[serde(default)]
    pub session: String,
    /// The sender.
    #[serde(default)]
    pub username: String,
    /// When it was made.
    #[serde(default)]
    pub date: String,
    /// What it is.
    pub msg_type: String,
    /// The protocol's version.
    #[serde(default)]
    pub version: String,
}

impl Header {
    /// A new header.
    #[must_use]
    pub fn new(msg_type: &str, session: &str) -> Header {
        Header {
            msg_id: uuid::Uuid::new_v4().to_string(),
            session: session.to_owned(),
            username: "kernel".to_owned(),
            date: now(),
            msg_type: msg_type.to_owned(),
            version: PROTOCOL_VERSION.to_owned(),
        }
    }
}

/// The time as the protocol writes it.
pub(crate) fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// A message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    /// Who sent a request and gets its reply; the topic of an output.
    pub identities: Vec<Bytes>,
    /// What it says of itself.
    pub header: Header,
    /// The header of the request that it belongs to.
    pub parent: Option<Header>,
    /// Metadata.
    pub metadata: Map<String, Value>,
    /// Content.
    pub content: Value,
    /// Binary buffers.
    pub buffers: Vec<Bytes>,
}

impl Message {
    /// The reply to this request.
    #[must_use]
    pub fn reply(&self, session: &str, msg_type: &str, content: Value) -> Message {
        Message {
            identities: self.identities.clone(),
            header: Header::new(msg_type, session),
            parent: Some(self.header.clone()),
            content,
            ..Message::default()
        }
    }

    /// A field of the content that is text; empty where it is missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.content[name].as_str().unwrap_or("")
    }
}
