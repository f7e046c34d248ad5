//! Where messages come in: each that was signed with the connection's key is taken once. Part of the kernel's loop.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;

use crate::message::Message;
use crate::wire::{Signer, signature};
use crate::{Frames, JupyterError};

/// Signatures that are remembered, as many as IPython's.
const REMEMBERED: usize = 1 << 16;

/// Decodes, and knows what it has seen.
pub(crate) struct Inbox {
    signer: Signer,
    seen: HashSet<Bytes>,
    order: VecDeque<Bytes>,
}

impl Inbox {
    pub(crate) fn new(signer: Signer) -> Inbox {
        Inbox { signer, seen: HashSet::new(), order: VecDeque::new() }
    }

    /// The message in frames.
    ///
    /// # Errors
    /// When they are none, the signature is wrong, or it has been here before.
    pub(crate) fn take(&mut self, frames: Frames) -> Result<Message, JupyterError> {
        let signed = signature(&frames).filter(|signature| !signature.is_empty());
        let message = self.signer.decode(frames)?;
        // Without a key nothing is signed, and nothing can be told from what it repeats.
        if let Some(signature) = signed {
            // Upper and lower case are the same number.
            let signature = Bytes::from(signature.to_ascii_lowercase());
            if !self.seen.insert(signature.clone()) {
                return Err(JupyterError::Replayed);
            }
            self.order.push_back(signature);
            if self.order.len() > REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.seen.remove(&oldest);
            }
        }
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::Header;

    fn frames(signer: &Signer) -> Frames {
        signer.encode(&Message { header: Header::new("x", "s"), content: serde_json::json!({}), ..Message::default() })
    }

    #[test]
    fn a_message_is_taken_once() {
        let signer = Signer::new("key");
        let mut inbox = Inbox::new(signer.clone());
        let first = frames(&signer);
        assert!(inbox.take(first.clone()).is_ok());
        assert!(inbox.take(frames(&signer)).is_ok());
        let mut shouted = first.clone();
        shouted[1] = Bytes::from(shouted[1].to_ascii_uppercase());
        for again in [first, shouted] {
            assert!(matches!(inbox.take(again), Err(JupyterError::Replayed)));
        }
    }

    #[test]
    fn a_forged_message_does_not_keep_out_the_real_one() {
        let signer = Signer::new("key");
        let mut inbox = Inbox::new(signer.clone());
        let real = frames(&signer);
        let mut forged = real.clone();
        forged[5] = Bytes::from_static(b"{\"code\": \"1\"}");
        assert!(matches!(inbox.take(forged), Err(JupyterError::Signature)));
        assert!(inbox.take(real).is_ok());
    }

    #[test]
    fn without_a_key_everything_is_taken() {
        let signer = Signer::new("");
        let mut inbox = Inbox::new(signer.clone());
        let message = frames(&signer);
        assert!(inbox.take(message.clone()).is_ok() && inbox.take(message).is_ok());
    }
}
