//! The handles by which a language puts things out. They queue and return; the iopub task sends.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::iopub::Output;
use crate::kernel::Event;
use crate::language::{Bundle, Outcome};
use crate::message::Header;

/// Which stream a text belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A cell; usable from any thread, also after it has finished: outputs then still belong to it.
#[derive(Clone)]
pub struct Cell {
    pub(crate) parent: Header,
    pub(crate) execution_count: u64,
    pub(crate) silent: bool,
    pub(crate) outputs: UnboundedSender<Output>,
    pub(crate) events: UnboundedSender<Event>,
}

impl Cell {
    /// Text that was printed.
    pub fn stream(&self, stream: Stream, text: &str) {
        self.put(Output::Stream { parent: Some(self.parent.clone()), stream, text: text.to_owned() });
    }

    /// An output; `display_id` is the name under which it can be updated.
    pub fn display(&self, bundle: Bundle, display_id: Option<String>) {
        self.publish("display_data", shown(bundle, display_id));
    }

    /// An output in the place of those under `display_id`.
    pub fn update_display(&self, bundle: Bundle, display_id: String) {
        self.publish("update_display_data", shown(bundle, Some(display_id)));
    }

    /// The value of the cell.
    pub fn result(&self, bundle: Bundle) {
        let content =
            json!({"execution_count": self.execution_count, "data": bundle.data, "metadata": bundle.metadata});
        self.publish("execute_result", content);
    }

    /// Takes the cell's outputs away; with `wait`, when the next one comes.
    pub fn clear_output(&self, wait: bool) {
        self.publish("clear_output", json!({"wait": wait}));
    }

    /// The cell has ended.
    pub fn finish(&self, outcome: Outcome) {
        if let Outcome::Error { ename, evalue, traceback } = &outcome {
            self.publish("error", json!({"ename": ename, "evalue": evalue, "traceback": traceback}));
        }
        // Without a kernel there is nobody who waits for the end.
        let _ = self.events.send(Event::Finished(self.parent.msg_id.clone(), outcome));
    }

    fn publish(&self, msg_type: &'static str, content: Value) {
        self.put(Output::Message { parent: Some(self.parent.clone()), msg_type, content, buffers: Vec::new() });
    }

    fn put(&self, output: Output) {
        if !self.silent {
            // As above.
            let _ = self.outputs.send(output);
        }
    }
}

/// For what belongs to no cell.
#[derive(Clone)]
pub struct Publisher {
    pub(crate) outputs: UnboundedSender<Output>,
    pub(crate) events: UnboundedSender<Event>,
}

impl Publisher {
    /// A message on a comm.
    pub fn comm_message(&self, id: &str, data: Value, buffers: Vec<Vec<u8>>) {
        let content = json!({"comm_id": id, "data": data});
        let buffers = buffers.into_iter().map(Bytes::from).collect();
        // Without a kernel there is nobody to hear it.
        let _ = self.outputs.send(Output::Message { parent: None, msg_type: "comm_msg", content, buffers });
    }

    /// A comm ends.
    pub fn comm_close(&self, id: &str, data: Value) {
        let content = json!({"comm_id": id, "data": data});
        let _ =
            self.outputs.send(Output::Message { parent: None, msg_type: "comm_close", content, buffers: Vec::new() });
        let _ = self.events.send(Event::CommClosed(id.to_owned()));
    }

    /// Text that nobody knows the cell of.
    pub fn stream(&self, stream: Stream, text: &str) {
        let _ = self.outputs.send(Output::Stream { parent: None, stream, text: text.to_owned() });
    }
}

fn shown(bundle: Bundle, display_id: Option<String>) -> Value {
    let mut transient = Map::new();
    if let Some(id) = display_id {
        transient.insert("display_id".to_owned(), Value::String(id));
    }
    json!({"data": bundle.data, "metadata": bundle.metadata, "transient": transient})
}
