//! Messages as frames: identities, a delimiter, the signature, four JSON parts, buffers. Functions of bytes; the socket
//! is elsewhere.

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value};
use sha2::Sha256;

use crate::message::{Header, Message};
use crate::{Frames, JupyterError};

const DELIMITER: &[u8] = b"<IDS|MSG>";
/// Bytes a message may have; the largest that a page has reason to send are the buffers of a comm.
const MAX_MESSAGE: usize = 32 << 20;

/// Signs and checks messages with the connection's key; without a key it does neither.
#[derive(Clone)]
pub struct Signer(Option<Hmac<Sha256>>);

impl Signer {
    /// A signer for `key`.
    #[must_use]
    pub fn new(key: &str) -> Signer {
        // HMAC takes a key of any length, so that only the empty one gives none.
        Signer(if key.is_empty() { None } else { Hmac::new_from_slice(key.as_bytes()).ok() })
    }

    fn sign(&self, parts: &[Bytes]) -> String {
        let Some(mac) = &self.0 else { return String::new() };
        let mut mac = mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        hex::encode(mac.finalize().into_bytes())
    }

    fn check(&self, signature: &[u8], parts: &[Bytes]) -> Result<(), JupyterError> {
        let Some(mac) = &self.0 else { return Ok(()) };
        let mut mac = mac.clone();
        parts.iter().for_each(|part| mac.update(part));
        let signature = hex::decode(signature).map_err(|_| JupyterError::Signature)?;
        // In constant time.
        mac.verify_slice(&signature).map_err(|_| JupyterError::Signature)
    }

    /// A message's frames.
    #[must_use]
    pub fn encode(&self, message: &Message) -> Frames {
        let Message { identities, header, parent, metadata, content, buffers } = message;
        self.seal(identities.clone(), header, parent.as_ref(), metadata, content.to_string().into(), buffers.clone())
    }

    /// The frames of a message whose content is JSON already.
    pub(crate) fn seal(
        &self,
        mut frames: Frames,
        header: &Header,
        parent: Option<&Header>,
        metadata: &Map<String, Value>,
        content: Bytes,
        buffers: Vec<Bytes>,
    ) -> Frames {
        // A header is text only: it cannot fail.
        let json = |header: &Header| Bytes::from(serde_json::to_vec(header).unwrap_or_default());
        let nothing = Bytes::from_static(b"{}");
        let metadata =
            if metadata.is_empty() { nothing.clone() } else { Value::Object(metadata.clone()).to_string().into() };
        let parts = [json(header), parent.map_or(nothing, json), metadata, content];
        frames.push(Bytes::from_static(DELIMITER));
        frames.push(Bytes::from(self.sign(&parts)));
        frames.extend(parts);
        frames.extend(buffers);
        frames
    }

    /// The message in frames.
    ///
    /// # Errors
    /// When they are no message, or the signature is wrong.
    pub fn decode(&self, mut frames: Frames) -> Result<Message, JupyterError> {
        let malformed = |detail: &str| JupyterError::Malformed { detail: detail.to_owned() };
        let at = frames.iter().position(|f| f.as_ref() == DELIMITER).ok_or_else(|| malformed("it has no delimiter"))?;
        let rest = frames.split_off(at);
        let [_, signature, header, parent, metadata, content, buffers @ ..] = rest.as_slice() else {
            return Err(malformed("parts are missing"));
        };
        let parts = [header.clone(), parent.clone(), metadata.clone(), content.clone()];
        if rest.iter().map(Bytes::len).sum::<usize>() > MAX_MESSAGE {
            return Err(malformed("it is larger than 32 MiB"));
        }
        self.check(signature, &parts)?;
        let bad = |error: serde_json::Error| JupyterError::Malformed { detail: error.to_string() };
        let parent: Value = serde_json::from_slice(parent).map_err(bad)?;
        Ok(Message {
            identities: frames,
            header: serde_json::from_slice(header).map_err(bad)?,
            parent: serde_json::from_value(parent).ok(),
            metadata: serde_json::from_slice(metadata).map_err(bad)?,
            content: serde_json::from_slice(content).map_err(bad)?,
            buffers: buffers.to_vec(),
        })
    }
}

/// The signature in frames, if they are a message's.
pub(crate) fn signature(frames: &Frames) -> Option<Bytes> {
    let at = frames.iter().position(|frame| frame.as_ref() == DELIMITER)?;
    frames.get(at + 1).cloned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn message() -> Message {
        Message {
            identities: vec![Bytes::from_static(b"page")],
            header: Header::new("execute_request", "s"),
            parent: Some(Header::new("x", "s")),
            content: serde_json::json!({"code": "1"}),
            buffers: vec![Bytes::from_static(&[0, 1, 2])],
            ..Message::default()
        }
    }

    #[test]
    fn a_message_comes_back_as_it_went() {
        let (signer, message) = (Signer::new("key"), message());
        assert_eq!(signer.decode(signer.encode(&message)).unwrap(), message);
    }

    #[test]
    fn a_wrong_signature_is_refused() {
        let frames = Signer::new("other").encode(&message());
        assert!(matches!(Signer::new("key").decode(frames), Err(JupyterError::Signature)));
        let mut frames = Signer::new("key").encode(&message());
        frames[2] = Bytes::from_static(b"not hex");
        assert!(matches!(Signer::new("key").decode(frames), Err(JupyterError::Signature)));
        let mut frames = Signer::new("key").encode(&message());
        frames[6] = Bytes::from_static(b"{\"code\":\"2\"}");
        assert!(matches!(Signer::new("key").decode(frames), Err(JupyterError::Signature)));
    }

    #[test]
    fn without_a_key_nothing_is_signed() {
        let frames = Signer::new("").encode(&message());
        assert!(frames[2].is_empty());
        assert!(Signer::new("").decode(frames).is_ok());
    }

    #[test]
    fn garbage_is_an_error() {
        let signer = Signer::new("");
        let delimiter = Bytes::from_static(DELIMITER);
        for frames in [
            vec![],
            vec![Bytes::from_static(b"garbage")],
            vec![delimiter.clone()],
            vec![delimiter.clone(), Bytes::new(), Bytes::new(), Bytes::new(), Bytes::new(), Bytes::new()],
            vec![
                delimiter,
                Bytes::new(),
                Bytes::from_static(b"[]"),
                Bytes::from_static(b"{}"),
                Bytes::from_static(b"{}"),
                Bytes::from_static(b"{}"),
            ],
        ] {
            assert!(matches!(signer.decode(frames), Err(JupyterError::Malformed { .. })));
        }
    }

    #[test]
    fn what_is_too_large_is_dropped_unread() {
        let signer = Signer::new("key");
        let buffers = vec![Bytes::from(vec![0; MAX_MESSAGE])];
        let error = signer.decode(signer.encode(&Message { buffers, ..message() })).unwrap_err();
        assert!(error.to_string().contains("32 MiB"));
    }

    /// Bytes that look like parts of a message, and some that do not.
    fn part() -> impl Strategy<Value = Bytes> {
        let known = prop::sample::select(vec![
            "<IDS|MSG>",
            "{}",
            "[]",
            "null",
            "\"\"",
            "{\"msg_id\":\"1\",\"msg_type\":\"x\"}",
            "{\"msg_id\":1}",
            "{\"a\":",
            "00",
        ]);
        prop_oneof![
            known.prop_map(|text: &str| Bytes::from_static(text.as_bytes())),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from),
            "\\PC{0,20}".prop_map(|text| Bytes::from(text.into_bytes())),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_frames_are_a_message_or_an_error(frames in prop::collection::vec(part(), 0..12)) {
            // Without a key everything is looked at; it must not panic, and what it takes it must be able to write again.
            let signer = Signer::new("");
            if let Ok(message) = signer.decode(frames.clone()) {
                prop_assert_eq!(signer.decode(signer.encode(&message)).unwrap(), message);
            }
            prop_assert!(Signer::new("key").decode(frames).is_err(), "nobody knows the key");
        }

        #[test]
        fn one_changed_byte_is_noticed(frame in 2_usize..7, at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let signer = Signer::new("key");
            let mut frames = signer.encode(&message());
            let mut bytes = frames[frame].to_vec();
            let at = at.index(bytes.len());
            let same = bytes[at].eq_ignore_ascii_case(&to);
            bytes[at] = to;
            frames[frame] = Bytes::from(bytes);
            prop_assert!(signer.decode(frames).is_err() || same);
        }
    }
}
