//! What a notebook's pages see of the cell process: outputs go to the cell that they belong to, comm messages to their
//! comms. Called by the evaluator's threads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use evaluator::{Evaluated, Event, ToProcess};
use jupyter::{Bundle, Cell, CommEvent, Input, Outcome, Publisher, Stream};
use link::{Framed, ToCell, ToKernel};
use serde_json::json;

use crate::overflow::Overflow;

/// Cells that are known to threads that they started.
const CELLS: usize = 1_000;

/// Where outputs go: to the cell that runs, or that ran last.
pub(crate) struct Pages {
    publisher: Publisher,
    cell: Mutex<Option<Running>>,
    /// The newest cells: a thread that one of them started may print long after.
    cells: Mutex<BTreeMap<u64, Cell>>,
    overflow: Mutex<Overflow>,
    /// Comms that pages have open with the cell process.
    comms: Mutex<BTreeSet<String>>,
    process: OnceLock<ToProcess>,
}

/// A cell that runs, or that ran last.
struct Running {
    id: u64,
    cell: Cell,
    /// Whether a console is to show its result in the pager.
    paged: bool,
}

impl Pages {
    pub(crate) fn new(publisher: Publisher, overflow: Overflow) -> Pages {
        let (cell, cells, comms, process) = (Mutex::default(), Mutex::default(), Mutex::default(), OnceLock::new());
        Pages { publisher, cell, cells, overflow: Mutex::new(overflow), comms, process }
    }

    /// Gives the way to the cell process; there is one.
    pub(crate) fn reach(&self, process: ToProcess) {
        let _ = self.process.set(process);
    }

    /// A cell begins; what comes from now on is its.
    pub(crate) fn begin(&self, id: u64, execution_count: u64, cell: Cell, paged: bool) {
        self.overflow().begin(execution_count);
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.insert(id, cell.clone());
        if cells.len() > CELLS {
            cells.pop_first();
        }
        drop(cells);
        *self.cell() = Some(Running { id, cell, paged });
    }

    pub(crate) fn put(&self, event: Event) {
        match event {
            Event::Stream { channel, text, cell } => self.stream(stream_of(channel), &text, cell),
            Event::FromCell(framed) => self.put_frame(framed),
            Event::Finished { id, outcome, expressions } => self.finished(id, outcome, expressions),
            Event::ProcessLost { message } => self.stream(Stream::Stderr, &format!("{message}\n"), None),
            Event::ProcessGone => self.close_comms(),
            Event::Ready(Err(error)) => self.stream(Stream::Stderr, &format!("{error}\n"), None),
            Event::Ready(Ok(())) => {}
        }
    }

    fn put_frame(&self, framed: Framed<ToKernel>) {
        match framed.frame {
            ToKernel::CommMessage { id, data } => self.publisher.comm_message(&id, data, framed.buffers),
            ToKernel::CommClose { id, data } => self.publisher.comm_close(&id, data),
            ToKernel::Result { bundle, display_id } => self.result(bundle, display_id),
            ToKernel::ClearOutput { wait } => self.with_cell(|cell| cell.clear_output(wait)),
            ToKernel::Ask { id, prompt, password } => self.ask(id, &prompt, password),
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

    pub(crate) fn note(&self, event: &CommEvent) {
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

    fn result(&self, bundle: link::Bundle, display_id: Option<String>) {
        if let Some(running) = &*self.cell() {
            if running.paged {
                running.cell.page(shown(bundle.clone()));
            }
            // JupyterLab updates displays, and no results.
            match display_id {
                Some(id) => running.cell.display(shown(bundle), Some(id)),
                None => running.cell.result(shown(bundle)),
            }
        }
    }

    fn ask(&self, id: u64, prompt: &str, password: bool) {
        let process = self.process.get().cloned();
        let answer = move |input| {
            if let Some(process) = process {
                process.send(ToCell::Answer { id, input: answered(input) }.into());
            }
        };
        self.with_cell(|cell| cell.ask(prompt, password, answer));
    }

    fn finished(&self, id: u64, outcome: evaluator::Outcome, expressions: Vec<Evaluated>) {
        let outcome = match outcome {
            evaluator::Outcome::Ok => Outcome::Ok,
            evaluator::Outcome::Error { name, value, traceback } => {
                Outcome::Error { ename: name, evalue: value, traceback }
            }
        };
        let cell = self.cell().as_ref().filter(|running| running.id == id).map(|running| running.cell.clone());
        if let Some(cell) = cell {
            let notice = self.overflow().end();
            if let Some(notice) = notice {
                cell.stream(Stream::Stderr, &notice);
            }
            expressions.into_iter().for_each(|(name, value)| cell.expression(&name, value.map(shown)));
            cell.finish(outcome);
        }
    }

    /// Text of the cell `of`, or of the one that runs.
    fn stream(&self, stream: Stream, text: &str, of: Option<u64>) {
        let (text, notice) = self.overflow().take(text);
        let started = of.and_then(|id| self.cells.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned());
        let cell = started.or_else(|| self.cell().as_ref().map(|running| running.cell.clone()));
        let put = |stream, text: &str| match &cell {
            Some(cell) => cell.stream(stream, text),
            None => self.publisher.stream(stream, text),
        };
        if !text.is_empty() {
            put(stream, text);
        }
        if let Some(notice) = notice {
            put(Stream::Stderr, &notice);
        }
    }

    fn with_cell(&self, put: impl FnOnce(&Cell)) {
        if let Some(running) = &*self.cell() {
            put(&running.cell);
        }
    }

    fn overflow(&self) -> MutexGuard<'_, Overflow> {
        self.overflow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self) -> MutexGuard<'_, Option<Running>> {
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

fn answered(input: Input) -> link::Input {
    match input {
        Input::Text(text) => link::Input::Text(text),
        Input::NotAllowed => link::Input::NotAllowed,
        Input::Dropped => link::Input::Dropped,
    }
}

pub(crate) fn shown(bundle: link::Bundle) -> Bundle {
    Bundle { data: bundle.data, metadata: bundle.metadata }
}
