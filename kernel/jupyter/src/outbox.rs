//! The queue between whoever puts something out, on any thread, and the iopub task, which takes from it. The only lock in
//! the crate: a printing thread cannot await, so it waits here for room, never for long.
//!
//! Text that is printed in pieces becomes one message every [`GATHER`]; anything else sends the text before it first. A
//! full queue makes the one who prints wait up to [`PATIENCE`]; where that does not help, outputs are dropped, and once
//! there is room again the page is told how many. What the protocol itself says (statuses, ends of cells) is never dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Notify;

use crate::cell::Stream;
use crate::message::Header;

/// How long printed text is gathered.
const GATHER: Duration = Duration::from_millis(20);
/// Bytes of text that are sent without waiting for more.
const ENOUGH: usize = 64 << 10;
/// Bytes that wait before a thread that puts out has to.
const ROOM: usize = 8 << 20;
/// How long such a thread waits.
const PATIENCE: Duration = Duration::from_millis(500);

/// The request that an output belongs to.
pub(crate) type Parent = Option<Arc<Header>>;

/// Something to put out.
#[derive(Debug)]
pub(crate) enum Output {
    /// Printed text.
    Text { parent: Parent, stream: Stream, text: String },
    /// Any other message; the content is JSON.
    Message { parent: Parent, msg_type: &'static str, content: Bytes, buffers: Vec<Bytes> },
    /// A new listener, who is told that it is heard.
    Welcome { subscription: Bytes },
}

impl Output {
    pub(crate) fn message(parent: Parent, msg_type: &'static str, content: &Value, buffers: Vec<Bytes>) -> Output {
        Output::Message { parent, msg_type, content: Bytes::from(content.to_string()), buffers }
    }

    fn bytes(&self) -> usize {
        match self {
            Output::Text { text, .. } => text.len(),
            Output::Message { content, buffers, .. } => content.len() + buffers.iter().map(Bytes::len).sum::<usize>(),
            Output::Welcome { .. } => 0,
        }
    }

    fn is_text(&self) -> bool {
        matches!(self, Output::Text { .. })
    }

    fn parent(&self) -> Parent {
        match self {
            Output::Text { parent, .. } | Output::Message { parent, .. } => parent.clone(),
            Output::Welcome { .. } => None,
        }
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// There is room again.
    room: Condvar,
    /// There is something to send.
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(Instant, Output)>,
    bytes: usize,
    /// How many in the queue are no text, so that the text before them need not be gathered longer.
    whole: usize,
    /// How many have been taken.
    taken: u64,
    /// Nobody took anything for as long as a thread waited; until there is room, no other waits.
    stuck: bool,
    dropped: Option<Dropped>,
    closed: bool,
}

#[derive(Debug)]
struct Dropped {
    parent: Parent,
    outputs: usize,
    bytes: usize,
}

enum Next {
    Now(Output),
    At(Instant),
    Nothing,
    End,
}

impl Outbox {
    /// Puts in a message of the protocol: at once and always.
    pub(crate) fn put(&self, output: Output) {
        let state = self.state();
        self.push(state, output);
    }

    /// Puts in what a cell or a comm produced: waits for room, and drops it when there is none.
    pub(crate) fn put_when_room(&self, output: Output) {
        let mut state = self.state();
        if state.full() {
            let taken = state.taken;
            state = self
                .room
                .wait_timeout_while(state, PATIENCE, |state| state.full())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            // Where other threads were quicker to fill the room, this output goes in all the same.
            state.stuck |= state.full() && state.taken == taken;
        }
        if state.stuck {
            state.drop_output(&output);
        } else {
            self.push(state, output);
        }
    }

    /// What is to be sent next; `None` once the outbox is closed and empty. One task may ask.
    pub(crate) async fn next(&self) -> Option<Output> {
        loop {
            let next = self.state().next(Instant::now());
            match next {
                Next::Now(output) => {
                    self.room.notify_all();
                    return Some(output);
                }
                Next::At(time) => drop(tokio::time::timeout_at(time.into(), self.arrived.notified()).await),
                Next::Nothing => self.arrived.notified().await,
                Next::End => return None,
            }
        }
    }

    /// Nothing follows; what is in it is still taken.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.room.notify_all();
        self.arrived.notify_one();
    }

    fn push(&self, mut state: MutexGuard<'_, State>, output: Output) {
        if state.closed {
            return;
        }
        let wakes = state.push(output);
        drop(state);
        if wakes {
            self.arrived.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether one who puts out has to wait.
    fn full(&self) -> bool {
        self.bytes >= ROOM && !self.stuck && !self.closed
    }

    /// Whether the one who takes has to look again.
    fn push(&mut self, output: Output) -> bool {
        self.bytes += output.bytes();
        let output = match output {
            Output::Text { parent, stream, text } => match self.gathering(&parent, stream) {
                Some(held) => {
                    held.push_str(&text);
                    return held.len() >= ENOUGH;
                }
                None => Output::Text { parent, stream, text },
            },
            whole => {
                self.whole += 1;
                whole
            }
        };
        let wakes = self.queue.is_empty() || !output.is_text() || output.bytes() >= ENOUGH;
        self.queue.push_back((Instant::now(), output));
        wakes
    }

    /// The text that more of the same can be added to. The two streams of a cell are gathered side by side, as two pipes
    /// would be, so that a loop that prints to both does not become two messages a round.
    fn gathering(&mut self, parent: &Parent, stream: Stream) -> Option<&mut String> {
        let texts = self.queue.iter_mut().rev().map_while(|(_, output)| match output {
            Output::Text { parent, stream, text } => Some((parent, stream, text)),
            _ => None,
        });
        let mut same = texts.filter(|(of, into, _)| of == &parent && **into == stream);
        same.next().map(|(_, _, text)| text).filter(|text| text.len() < ENOUGH)
    }

    fn next(&mut self, now: Instant) -> Next {
        if let Some(told) = self.tell_dropped() {
            return Next::Now(told);
        }
        match self.queue.front() {
            None if self.closed => Next::End,
            None => Next::Nothing,
            Some((since, output)) => {
                let due = *since + GATHER;
                let send = self.closed || self.whole > 0 || output.bytes() >= ENOUGH || due <= now;
                if send { self.take() } else { Next::At(due) }
            }
        }
    }

    fn take(&mut self) -> Next {
        let Some((_, output)) = self.queue.pop_front() else { return Next::Nothing };
        self.bytes -= output.bytes();
        self.taken += 1;
        self.whole -= usize::from(!output.is_text());
        if self.bytes < ROOM / 2 {
            self.stuck = false;
        }
        Next::Now(output)
    }

    fn drop_output(&mut self, output: &Output) {
        let dropped = self.dropped.get_or_insert_with(|| Dropped { parent: output.parent(), outputs: 0, bytes: 0 });
        dropped.outputs += 1;
        dropped.bytes += output.bytes();
    }

    fn tell_dropped(&mut self) -> Option<Output> {
        if self.stuck {
            return None;
        }
        let Dropped { parent, outputs, bytes } = self.dropped.take()?;
        let text = format!(
            "[{outputs} outputs of {bytes} bytes in all were dropped: they came faster than the page took them]\n"
        );
        Some(Output::Text { parent, stream: Stream::Stderr, text })
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
