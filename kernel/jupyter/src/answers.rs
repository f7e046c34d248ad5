//! What the kernel itself says: replies to requests, and the statuses around them. Belongs to the kernel's loop.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::message::{Header, Message};
use crate::outbox::{Outbox, Output, Parent};
use crate::transport::{Channel, Frames};
use crate::wire::Signer;

/// A request and where its reply goes.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) channel: Channel,
    pub(crate) message: Message,
    /// The message's header, for the outputs that belong to it.
    pub(crate) parent: Arc<Header>,
}

impl Request {
    pub(crate) fn new(channel: Channel, message: Message) -> Request {
        let parent = Arc::new(message.header.clone());
        Request { channel, message, parent }
    }

    /// What is asked, such as `kernel_info_request`.
    pub(crate) fn msg_type(&self) -> &str {
        &self.message.header.msg_type
    }
}

/// The way out for the kernel's loop.
pub(crate) struct Answers {
    pub(crate) sockets: UnboundedSender<(Channel, Frames)>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) signer: Signer,
    pub(crate) session: String,
}

impl Answers {
    pub(crate) fn busy(&self, parent: &Arc<Header>) {
        self.status(Some(parent), "busy");
    }

    /// The outbox keeps the order, so that whatever was put out before is sent before.
    pub(crate) fn idle(&self, parent: &Arc<Header>) {
        self.status(Some(parent), "idle");
    }

    pub(crate) fn status(&self, parent: Option<&Arc<Header>>, state: &str) {
        self.publish(parent.cloned(), "status", &json!({"execution_state": state}));
    }

    pub(crate) fn publish(&self, parent: Parent, msg_type: &'static str, content: &Value) {
        self.outbox.put(Output::message(parent, msg_type, content, Vec::new()));
    }

    pub(crate) fn reply(&self, request: &Request, content: Value) {
        self.reply_with(request, content, Map::new());
    }

    /// Sends a message to the page that asked, on another channel than it did.
    pub(crate) fn send(&self, channel: Channel, request: &Request, msg_type: &str, content: Value) {
        let message = request.message.reply(&self.session, msg_type, content);
        // Sockets that are gone have nobody who waits.
        let _ = self.sockets.send((channel, self.signer.encode(&message)));
    }

    pub(crate) fn reply_with(&self, request: &Request, content: Value, metadata: Map<String, Value>) {
        let msg_type = request.msg_type().replace("_request", "_reply");
        let mut reply = request.message.reply(&self.session, &msg_type, content);
        reply.metadata = metadata;
        // Sockets that are gone have nobody who waits.
        let _ = self.sockets.send((request.channel, self.signer.encode(&reply)));
    }
}
