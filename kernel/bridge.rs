//! Joins the protocol and the evaluator: cells go one way, outputs and comms the other. The only place that knows both.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use evaluator::{Evaluator, EvaluatorError, Event, Place, Toolchain};
use jupyter::{
    Bundle, Cell, CommEvent, Completeness, ExecuteRequest, Language, LanguageInfo, Outcome, Publisher, Stream,
};
use link::{Framed, ToCell, ToKernel};
use serde_json::json;

/// Rust, as Jupyter sees it.
pub(crate) struct Bridge {
    evaluator: Result<Evaluator, EvaluatorError>,
    pages: Arc<Pages>,
    next: u64,
}

impl Bridge {
    pub(crate) fn new(
        publisher: Publisher,
        place: Option<&Place>,
        toolchain: Result<Toolchain, EvaluatorError>,
    ) -> Bridge {
        let pages = Arc::new(Pages { publisher, cell: Mutex::default(), comms: Mutex::default() });
        let evaluator = toolchain.and_then(|toolchain| {
            let place = place.ok_or_else(|| EvaluatorError::Evcxr { detail: "it has no folder".to_owned() })?;
            let heard = Arc::clone(&pages);
            Evaluator::start(place, toolchain, move |event| heard.put(event))
        });
        Bridge { evaluator, pages, next: 0 }
    }
}

impl Language for Bridge {
    fn info(&self) -> LanguageInfo {
        LanguageInfo {
            implementation: "corriente".to_owned(),
            implementation_version: env!("CARGO_PKG_VERSION").to_owned(),
            banner: "Corriente: Rust cells, live DataFrames over Kafka".to_owned(),
            language_info: json!({
                "name": "rust", "version": "2024", "mimetype": "text/rust", "file_extension": ".rs",
                "pygments_lexer": "rust", "codemirror_mode": "rust", "nbconvert_exporter": "rust",
            }),
        }
    }

    fn start_execute(&mut self, request: ExecuteRequest, cell: Cell) {
        self.next += 1;
        match &self.evaluator {
            Ok(evaluator) => {
                *self.pages.cell() = Some((self.next, cell));
                evaluator.execute(self.next, request.code);
            }
            Err(error) => {
                let text = error.to_string();
                cell.finish(Outcome::Error {
                    ename: "KernelError".to_owned(),
                    evalue: text.clone(),
                    traceback: vec![text],
                });
            }
        }
    }

    fn is_complete(&mut self, code: &str) -> Completeness {
        match evaluator::is_complete(code) {
            evaluator::Completeness::Complete => Completeness::Complete,
            evaluator::Completeness::Incomplete { indent } => Completeness::Incomplete { indent },
            evaluator::Completeness::Invalid => Completeness::Invalid,
        }
    }

    fn interrupt(&mut self) {
        if let Ok(evaluator) = &self.evaluator {
            evaluator.interrupt();
        }
    }

    fn comm(&mut self, event: CommEvent) {
        let Ok(evaluator) = &self.evaluator else { return };
        self.pages.note(&event);
        evaluator.send(match event {
            CommEvent::Open { id, target, data, buffers } => {
                Framed { frame: ToCell::CommOpen { id, target, data }, buffers }
            }
            CommEvent::Message { id, data, buffers } => Framed { frame: ToCell::CommMessage { id, data }, buffers },
            CommEvent::Close { id, data } => Framed::from(ToCell::CommClose { id, data }),
        });
    }

    fn shutdown(&mut self, _restart: bool) {
        if let Ok(evaluator) = &mut self.evaluator {
            evaluator.shutdown();
        }
    }
}

/// Where outputs go: to the cell that runs, or that ran last.
struct Pages {
    publisher: Publisher,
    cell: Mutex<Option<(u64, Cell)>>,
    /// Comms that pages have open with the cell process.
    comms: Mutex<BTreeSet<String>>,
}

impl Pages {
    fn put(&self, event: Event) {
        match event {
            Event::Stream { channel, text } => self.stream(stream_of(channel), &text),
            Event::FromCell(framed) => self.put_frame(framed),
            Event::Finished { id, outcome } => self.finished(id, outcome),
            Event::ProcessLost { message } => self.stream(Stream::Stderr, &format!("{message}\n")),
            Event::ProcessGone => self.close_comms(),
            Event::Ready(Err(error)) => self.stream(Stream::Stderr, &format!("{error}\n")),
            Event::Ready(Ok(())) => {}
        }
    }

    fn put_frame(&self, framed: Framed<ToKernel>) {
        match framed.frame {
            ToKernel::CommMessage { id, data } => self.publisher.comm_message(&id, data, framed.buffers),
            ToKernel::CommClose { id, data } => self.publisher.comm_close(&id, data),
            ToKernel::Result { bundle } => self.with_cell(|cell| cell.result(shown(bundle))),
            ToKernel::Display { bundle, display_id: Some(id), update: true } => {
                self.with_cell(|cell| cell.update_display(shown(bundle), id));
            }
            ToKernel::Display { bundle, display_id, .. } => {
                self.with_cell(|cell| cell.display(shown(bundle), display_id))
            }
            // The evaluator keeps the other frames to itself.
            _ => {}
        }
    }

    fn note(&self, event: &CommEvent) {
        let mut comms = self.comms.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            CommEvent::Open { id, .. } => drop(comms.insert(id.clone())),
            CommEvent::Close { id, .. } => drop(comms.remove(id)),
            CommEvent::Message { .. } => {}
        }
    }

    /// Tells the pages that what they looked at is gone, so that they show its last state.
    fn close_comms(&self) {
        let open = std::mem::take(&mut *self.comms.lock().unwrap_or_else(PoisonError::into_inner));
        let reason = json!({"reason": "unknown", "text": "The cell process has ended. Run the cell again."});
        open.iter().for_each(|id| self.publisher.comm_close(id, reason.clone()));
    }

    fn finished(&self, id: u64, outcome: evaluator::Outcome) {
        let outcome = match outcome {
            evaluator::Outcome::Ok => Outcome::Ok,
            evaluator::Outcome::Error { name, value, traceback } => {
                Outcome::Error { ename: name, evalue: value, traceback }
            }
        };
        let cell = self.cell().as_ref().filter(|(running, _)| *running == id).map(|(_, cell)| cell.clone());
        if let Some(cell) = cell {
            cell.finish(outcome);
        }
    }

    fn stream(&self, stream: Stream, text: &str) {
        match &*self.cell() {
            Some((_, cell)) => cell.stream(stream, text),
            None => self.publisher.stream(stream, text),
        }
    }

    fn with_cell(&self, put: impl FnOnce(&Cell)) {
        if let Some((_, cell)) = &*self.cell() {
            put(cell);
        }
    }

    fn cell(&self) -> MutexGuard<'_, Option<(u64, Cell)>> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The protocol's name for a stream of the link.
fn stream_of(channel: link::Channel) -> Stream {
    match channel {
        link::Channel::Stdout => Stream::Stdout,
        link::Channel::Stderr => Stream::Stderr,
    }
}

fn shown(bundle: link::Bundle) -> Bundle {
    Bundle { data: bundle.data, metadata: bundle.metadata }
}
