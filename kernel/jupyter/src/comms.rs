//! The comms that are open, and what a message on one means. Functions of messages; part of the kernel's loop.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::language::CommEvent;
use crate::message::Message;

/// Open comms, and what they are for.
#[derive(Debug, Default)]
pub(crate) struct Comms(BTreeMap<String, String>);

impl Comms {
    /// The kernel opened one.
    pub(crate) fn opened(&mut self, id: String, target: String) {
        self.0.insert(id, target);
    }

    /// The kernel closed one.
    pub(crate) fn closed(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// What the page does; `None` for a comm that is not open, such as one that both sides close at once.
    pub(crate) fn take(&mut self, message: &Message) -> Option<CommEvent> {
        let id = message.content["comm_id"].as_str()?.to_owned();
        let data = message.content["data"].clone();
        let buffers = message.buffers.iter().map(|buffer| buffer.to_vec()).collect();
        if message.header.msg_type == "comm_open" {
            let target = message.text("target_name").to_owned();
            self.0.insert(id.clone(), target.clone());
            return Some(CommEvent::Open { id, target, data, buffers });
        }
        if message.header.msg_type == "comm_close" {
            return self.0.remove(&id).map(|_| CommEvent::Close { id, data });
        }
        self.0.contains_key(&id).then_some(CommEvent::Message { id, data, buffers })
    }

    /// The open comms for `target`, or all.
    pub(crate) fn info(&self, target: Option<&str>) -> Value {
        let wanted = self.0.iter().filter(|(_, of)| target.is_none_or(|target| target == of.as_str()));
        let comms: Map<String, Value> = wanted.map(|(id, of)| (id.clone(), json!({"target_name": of}))).collect();
        json!({"status": "ok", "comms": comms})
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::message::Header;

    fn message(msg_type: &str, content: Value) -> Message {
        Message { header: Header::new(msg_type, "s"), content, ..Message::default() }
    }

    #[test]
    fn a_comm_lives_from_open_to_close() {
        let mut comms = Comms::default();
        assert_eq!(comms.take(&message("comm_msg", json!({"comm_id": "1", "data": 1}))), None);
        let open = comms.take(&message("comm_open", json!({"comm_id": "1", "target_name": "t", "data": {}})));
        assert!(matches!(open, Some(CommEvent::Open { target, .. }) if target == "t"));
        assert!(comms.take(&message("comm_msg", json!({"comm_id": "1", "data": 1}))).is_some());
        assert!(comms.take(&message("comm_close", json!({"comm_id": "1", "data": 1}))).is_some());
        assert_eq!(comms.take(&message("comm_close", json!({"comm_id": "1", "data": 1}))), None);
    }

    #[test]
    fn a_message_without_a_comm_is_none() {
        assert_eq!(Comms::default().take(&message("comm_open", json!(["not", "an", "object"]))), None);
    }

    #[test]
    fn comms_are_listed_by_target() {
        let mut comms = Comms::default();
        comms.opened("1".to_owned(), "a".to_owned());
        comms.opened("2".to_owned(), "b".to_owned());
        assert_eq!(comms.info(Some("b"))["comms"], json!({"2": {"target_name": "b"}}));
        comms.closed("2");
        assert_eq!(comms.info(None)["comms"], json!({"1": {"target_name": "a"}}));
    }
}
