//! The iopub task: takes outputs from the outbox, in its order, and makes messages of them. The socket takes a few at a
//! time, so that a page that is slow is felt in the outbox.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc::Sender;

use crate::message::Header;
use crate::outbox::{Outbox, Output};
use crate::transport::Frames;
use crate::wire::Signer;

/// Sends outputs until the outbox is closed.
pub(crate) async fn serve(outbox: Arc<Outbox>, socket: Sender<Frames>, signer: Signer, session: String) {
    while let Some(output) = outbox.next().await {
        if socket.send(message(output, &signer, &session)).await.is_err() {
            // Sockets that are gone have no listeners either, and nobody may wait for them.
            return outbox.close();
        }
    }
}

fn message(output: Output, signer: &Signer, session: &str) -> Frames {
    // The topic comes first, for clients that do not subscribe to everything.
    let (topic, parent, msg_type, content, buffers) = match output {
        Output::Text { parent, stream, text } => {
            let content = json!({"name": stream.name(), "text": text}).to_string().into();
            (Bytes::from_static(b"stream"), parent, "stream", content, Vec::new())
        }
        Output::Message { parent, msg_type, content, buffers } => {
            (Bytes::from(msg_type), parent, msg_type, content, buffers)
        }
        Output::Welcome { subscription } => {
            let content = json!({"subscription": String::from_utf8_lossy(&subscription)}).to_string().into();
            let topic = if subscription.is_empty() { Bytes::from_static(b"iopub_welcome") } else { subscription };
            (topic, None, "iopub_welcome", content, Vec::new())
        }
    };
    let header = Header::new(msg_type, session);
    signer.seal(vec![topic], &header, parent.as_deref(), &serde_json::Map::new(), content, buffers)
}
