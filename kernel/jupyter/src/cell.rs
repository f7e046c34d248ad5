//! The handles by which a language puts things out, on any thread. They queue and return; the iopub task sends.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::input::{Asking, Input};
use crate::kernel::{Event, Events};
use crate::language::{Bundle, Outcome};
use crate::message::Header;
use crate::outbox::{Outbox, Output, Parent};

/// Which stream a text belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The protocol's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// A cell; usable from any thread, also after it has finished: outputs then still belong to it. A cell whose last handle
/// goes before it was finished has failed, so that a thread that panics does not leave the notebook waiting.
///
/// Text that is printed in pieces is gathered for 20 ms. A thread that puts out faster than the page takes waits, at most
/// half a second; what is then still too much is dropped, and the page is told.
#[derive(Clone)]
pub struct Cell(Arc<Inner>);

struct Inner {
    parent: Arc<Header>,
    execution_count: u64,
    silent: bool,
    outbox: Arc<Outbox>,
    events: Events,
    finished: AtomicBool,
    extras: Mutex<Extras>,
}

/// What a reply to a cell holds beside how it ended.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    pub(crate) expressions: Map<String, Value>,
    pub(crate) payload: Vec<Value>,
}

impl Cell {
    pub(crate) fn new(
        parent: Arc<Header>,
        execution_count: u64,
        silent: bool,
        outbox: Arc<Outbox>,
        events: Events,
    ) -> Cell {
        let (finished, extras) = (AtomicBool::new(false), Mutex::default());
        Cell(Arc::new(Inner { parent, execution_count, silent, outbox, events, finished, extras }))
    }

    /// Text that was printed.
    pub fn stream(&self, stream: Stream, text: &str) {
        self.0.put(Output::Text { parent: self.0.parent(), stream, text: text.to_owned() });
    }

    /// An output; `display_id` is the name under which it can be updated.
    pub fn display(&self, bundle: Bundle, display_id: Option<String>) {
        self.publish("display_data", &shown(bundle, display_id));
    }

    /// An output in the place of those under `display_id`.
    pub fn update_display(&self, bundle: Bundle, display_id: String) {
        self.publish("update_display_data", &shown(bundle, Some(display_id)));
    }

    /// The value of the cell.
    pub fn result(&self, bundle: Bundle) {
        let content =
            json!({"execution_count": self.0.execution_count, "data": bundle.data, "metadata": bundle.metadata});
        self.publish("execute_result", &content);
    }

    /// Takes the cell's outputs away; with `wait`, when the next one comes.
    pub fn clear_output(&self, wait: bool) {
        self.publish("clear_output", &json!({"wait": wait}));
    }

    /// Asks the person in front of the page; `answer` is called once, on the kernel's thread. `password` hides what is
    /// typed.
    pub fn ask(&self, prompt: &str, password: bool, answer: impl FnOnce(Input) + Send + 'static) {
        let (id, prompt, asking) = (self.0.parent.msg_id.clone(), prompt.to_owned(), Asking::new(answer));
        // Without a kernel the question is dropped, which answers it.
        let _ = self.0.events.send(Event::Asked { id, prompt, password, asking });
    }

    /// The value of one of the request's `user_expressions`; before the cell is finished.
    pub fn expression(&self, name: &str, value: Result<Bundle, (String, String)>) {
        let value = match value {
            Ok(bundle) => json!({"status": "ok", "data": bundle.data, "metadata": bundle.metadata}),
            Err((ename, evalue)) => {
                json!({"status": "error", "ename": ename, "evalue": evalue, "traceback": [evalue]})
            }
        };
        self.0.extras().expressions.insert(name.to_owned(), value);
    }

    /// Has a console show a text in its pager; before the cell is finished. Notebooks ignore it, so show it too.
    pub fn page(&self, bundle: Bundle) {
        self.0.extras().payload.push(json!({"source": "page", "data": bundle.data, "start": 0}));
    }

    /// The cell has ended; an error is shown. Only the first end counts.
    pub fn finish(&self, outcome: Outcome) {
        self.0.finish(outcome);
    }

    fn publish(&self, msg_type: &'static str, content: &Value) {
        self.0.put(Output::message(self.0.parent(), msg_type, content, Vec::new()));
    }
}

impl Inner {
    fn parent(&self) -> Parent {
        Some(Arc::clone(&self.parent))
    }

    fn extras(&self) -> std::sync::MutexGuard<'_, Extras> {
        self.extras.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, output: Output) {
        if !self.silent {
            self.outbox.put_when_room(output);
        }
    }

    fn finish(&self, outcome: Outcome) {
        if self.finished.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Outcome::Error { ename, evalue, traceback } = &outcome
            && !self.silent
        {
            let content = json!({"ename": ename, "evalue": evalue, "traceback": traceback});
            self.outbox.put(Output::message(self.parent(), "error", &content, Vec::new()));
        }
        // Without a kernel there is nobody who waits for the end.
        let extras = std::mem::take(&mut *self.extras());
        let _ = self.events.send(Event::Finished { id: self.parent.msg_id.clone(), outcome, extras });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let text = "the cell was given up before it ended".to_owned();
        self.finish(Outcome::Error { ename: "CellLost".to_owned(), evalue: text.clone(), traceback: vec![text] });
    }
}

/// For what belongs to no cell. The waiting is as for a [`Cell`].
#[derive(Clone)]
pub struct Publisher {
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) events: Events,
}

impl Publisher {
    /// Opens a comm on the page, for `target`.
    pub fn comm_open(&self, id: &str, target: &str, data: &Value, metadata: Map<String, Value>, buffers: Vec<Vec<u8>>) {
        // Known before the page can answer on it.
        let _ = self.events.send(Event::CommOpened { id: id.to_owned(), target: target.to_owned() });
        let content = json!({"comm_id": id, "target_name": target, "data": data, "metadata": metadata});
        self.publish("comm_open", &content, buffers);
    }

    /// A message on a comm.
    pub fn comm_message(&self, id: &str, data: Value, buffers: Vec<Vec<u8>>) {
        self.publish("comm_msg", &json!({"comm_id": id, "data": data}), buffers);
    }

    /// A comm ends.
    pub fn comm_close(&self, id: &str, data: Value) {
        // Without a kernel there is nobody to hear it.
        let _ = self.events.send(Event::CommClosed { id: id.to_owned() });
        self.publish("comm_close", &json!({"comm_id": id, "data": data}), Vec::new());
    }

    /// Text that nobody knows the cell of.
    pub fn stream(&self, stream: Stream, text: &str) {
        self.outbox.put_when_room(Output::Text { parent: None, stream, text: text.to_owned() });
    }

    fn publish(&self, msg_type: &'static str, content: &Value, buffers: Vec<Vec<u8>>) {
        let buffers = buffers.into_iter().map(Bytes::from).collect();
        self.outbox.put_when_room(Output::message(None, msg_type, content, buffers));
    }
}

fn shown(bundle: Bundle, display_id: Option<String>) -> Value {
    let transient: Map<String, Value> =
        display_id.into_iter().map(|id| ("display_id".to_owned(), Value::String(id))).collect();
    json!({"data": bundle.data, "metadata": bundle.metadata, "transient": transient})
}
