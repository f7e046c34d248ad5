//! The iopub task: the one owner of the order of outputs. Printed text is gathered for a moment, so that a loop that
//! prints does not become a message a line; anything else sends what was gathered first.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use crate::cell::Stream;
use crate::message::{Header, Message};
use crate::transport::{Channel, Frames};
use crate::wire::Signer;

/// How long printed text is gathered.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes of text after which it is sent at once.
const ENOUGH: usize = 64 << 10;

/// Something to put out.
#[derive(Debug)]
pub(crate) enum Output {
    Stream {
        parent: Option<Header>,
        stream: Stream,
        text: String,
    },
    Message {
        parent: Option<Header>,
        msg_type: &'static str,
        content: Value,
        buffers: Vec<Bytes>,
    },
    /// A new listener, who is told that it is heard.
    Welcome {
        subscription: Bytes,
    },
}

/// Sends outputs until all who could make one are gone.
pub(crate) async fn serve(
    mut outputs: UnboundedReceiver<Output>,
    sockets: UnboundedSender<(Channel, Frames)>,
    signer: Signer,
    session: String,
) {
    let mut iopub = Iopub { sockets, signer, session, gathered: None };
    loop {
        let next = if iopub.gathered.is_some() {
            match tokio::time::timeout(GATHER, outputs.recv()).await {
                Ok(next) => next,
                Err(_) => {
                    iopub.send_gathered();
                    continue;
                }
            }
        } else {
            outputs.recv().await
        };
        match next {
            Some(output) => iopub.put(output),
            None => return iopub.send_gathered(),
        }
    }
}

struct Iopub {
    sockets: UnboundedSender<(Channel, Frames)>,
    signer: Signer,
    session: String,
    gathered: Option<(Option<Header>, Stream, String)>,
}

impl Iopub {
    fn put(&mut self, output: Output) {
        match output {
            Output::Stream { parent, stream, text } => self.gather(parent, stream, &text),
            Output::Message { parent, msg_type, content, buffers } => {
                self.send_gathered();
                self.send(parent, msg_type, content, buffers, Bytes::from(msg_type));
            }
            Output::Welcome { subscription } => {
                let content = json!({"subscription": String::from_utf8_lossy(&subscription)});
                let topic = if subscription.is_empty() { Bytes::from_static(b"iopub_welcome") } else { subscription };
                self.send(None, "iopub_welcome", content, Vec::new(), topic);
            }
        }
    }

    fn gather(&mut self, parent: Option<Header>, stream: Stream, text: &str) {
        match &mut self.gathered {
            Some((of, into, held)) if *of == parent && *into == stream => held.push_str(text),
            _ => {
                self.send_gathered();
                self.gathered = Some((parent, stream, text.to_owned()));
            }
        }
        if self.gathered.as_ref().is_some_and(|(_, _, held)| held.len() >= ENOUGH) {
            self.send_gathered();
        }
    }

    fn send_gathered(&mut self) {
        if let Some((parent, stream, text)) = self.gathered.take() {
            let name = match stream {
                Stream::Stdout => "stdout",
                Stream::Stderr => "stderr",
            };
            self.send(parent, "stream", json!({"name": name, "text": text}), Vec::new(), Bytes::from_static(b"stream"));
        }
    }

    fn send(&self, parent: Option<Header>, msg_type: &str, content: Value, buffers: Vec<Bytes>, topic: Bytes) {
        let header = Header::new(msg_type, &self.session);
        let message = Message { identities: vec![topic], header, parent, content, buffers, ..Message::default() };
        // Sockets that are gone have no listeners either.
        let _ = self.sockets.send((Channel::Iopub, self.signer.encode(&message)));
    }
}
