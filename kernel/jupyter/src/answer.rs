//! The handles by which a language answers a question later, from any thread. One that is dropped has answered that it
//! knows nothing, so that no page waits for ever.

use serde_json::{Value, json};

use crate::answers::Request;
use crate::kernel::{Event, Events};
use crate::language::{Bundle, Completion};

/// Where the answer to a `complete_request` goes.
pub struct CompletionAnswer(pub(crate) Pending);

impl CompletionAnswer {
    pub(crate) fn new(request: Request, events: Events) -> CompletionAnswer {
        let cursor = request.message.content["cursor_pos"].as_u64().unwrap_or(0);
        let nothing =
            json!({"status": "ok", "matches": [], "cursor_start": cursor, "cursor_end": cursor, "metadata": {}});
        CompletionAnswer(Pending { request: Some(Box::new(request)), events, content: nothing })
    }

    /// Answers.
    pub fn give(mut self, completion: Completion) {
        let Completion { matches, start, end, metadata } = completion;
        self.0.content =
            json!({"status": "ok", "matches": matches, "cursor_start": start, "cursor_end": end, "metadata": metadata});
    }
}

/// Where the answer to an `inspect_request` goes.
pub struct InspectionAnswer(pub(crate) Pending);

impl InspectionAnswer {
    pub(crate) fn new(request: Request, events: Events) -> InspectionAnswer {
        let nothing = json!({"status": "ok", "found": false, "data": {}, "metadata": {}});
        InspectionAnswer(Pending { request: Some(Box::new(request)), events, content: nothing })
    }

    /// Answers.
    pub fn give(mut self, found: Bundle) {
        self.0.content = json!({"status": "ok", "found": true, "data": found.data, "metadata": found.metadata});
    }
}

/// A question that waits for its answer; the answer leaves when this goes.
pub(crate) struct Pending {
    request: Option<Box<Request>>,
    events: Events,
    content: Value,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(request) = self.request.take() {
            // Without a kernel there is nobody who waits.
            let _ = self.events.send(Event::Answered { request, content: self.content.take() });
        }
    }
}
