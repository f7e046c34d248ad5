//! One page attached to one view. A thread `live-view` of its own owns everything the page has asked for and sends it
//! frames; a helper thread `live-watch` tells it when the result has changed. Both end when the comm closes or the
//! page has been quiet for long.
//!
//! Nothing is queued: a frame is made from the newest state at the moment it is sent, and only while the page's
//! credit lasts.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use engine::LiveResult;
use serde_json::{Value, json};

use super::Port;
use super::protocol::{self, FromPage, Viewport};
use super::view::{Frame, Kind, View};
use crate::numbers::now_ms;

/// Frames are at least this far apart: thirty a second.
const FRAME_GAP: Duration = Duration::from_micros(33_300);
/// A view may not take more than about a third of a core for its frames.
const REST: u32 = 2;
/// Messages about counts alone.
const STATUS_GAP: Duration = Duration::from_millis(250);
const SNAPSHOT_GAP: Duration = Duration::from_millis(500);
/// Credit that the page does not renew is void: a page that was reloaded or closed says no goodbye.
const CREDIT_LASTS: Duration = Duration::from_secs(3);
/// Silence after which a page that still gives credit is told that all is as it was.
const SILENCE: Duration = Duration::from_secs(2);
/// How long the watcher waits for a change before it looks at the counts.
const WATCH: Duration = Duration::from_millis(250);

/// What a session hears.
pub(super) enum Event {
    /// The page said something.
    Message(Value),
    /// The result has a new version, or a moment has passed.
    Changed,
    /// The comm is closed.
    Closed,
    /// The cell that has shown the view runs again.
    Replaced,
}

/// How a session ended.
pub(super) enum Ending {
    /// The page closed the comm, or the kernel goes.
    Closed,
    /// The page has said nothing for long.
    Quiet,
    /// The notebook does not have the view any more.
    Replaced,
}

pub(super) struct Session {
    view: Arc<View>,
    comm_id: String,
    port: Arc<dyn Port>,
    viewport: Option<Viewport>,
    /// The rows a paused page looks at.
    held: Option<LiveResult>,
    frame: u64,
    credit: u64,
    /// The version in the last frame.
    shown: Option<u64>,
    told: Option<Value>,
    /// When the page was last sent anything.
    spoke: Instant,
    /// The page's own wish changed since the last frame.
    asked: bool,
    watching: bool,
    snapshot: bool,
    due: Due,
}

/// When the next of each kind of message may go.
struct Due {
    frame: Instant,
    status: Instant,
    snapshot: Instant,
    /// When the credit becomes void.
    void: Instant,
}

impl Session {
    pub(super) fn new(view: Arc<View>, comm_id: String, port: Arc<dyn Port>) -> Session {
        let now = Instant::now();
        Session {
            view,
            comm_id,
            port,
            viewport: None,
            held: None,
            frame: 0,
            credit: 0,
            shown: None,
            told: None,
            spoke: now,
            asked: false,
            watching: false,
            snapshot: false,
            due: Due { frame: now, status: now, snapshot: now, void: now },
        }
    }

    /// Runs until the comm closes or the page is quiet for `patience`.
    pub(super) fn run(
        mut self,
        events: &Receiver<Event>,
        itself: &Sender<Event>,
        patience: Duration,
    ) -> std::io::Result<Ending> {
        let (watch, go) = channel();
        watcher(self.view.result.clone(), go, itself.clone())?;
        let mut heard = Instant::now();
        loop {
            self.serve();
            if self.has_credit() && !self.watching && !self.wants_frame() {
                self.watching = watch.send(self.shown.unwrap_or(0)).is_ok();
            }
            let now = Instant::now();
            let next = self.next_due().unwrap_or(heard + patience).min(heard + patience);
            match events.recv_timeout(next.saturating_duration_since(now)) {
                Ok(Event::Message(message)) => {
                    heard = Instant::now();
                    self.hear(&message);
                }
                Ok(Event::Changed) => {
                    self.watching = false;
                    self.tell();
                }
                Ok(Event::Replaced) => return Ok(Ending::Replaced),
                Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => return Ok(Ending::Closed),
                Err(RecvTimeoutError::Timeout) if heard.elapsed() >= patience => return Ok(Ending::Quiet),
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn hear(&mut self, message: &Value) {
        match protocol::read(message) {
            Ok(FromPage::Viewport(viewport)) => self.look(viewport),
            Ok(FromPage::Credit { until }) => {
                self.view.result.touch();
                self.credit = until.min(self.frame + 300);
                self.due.void = Instant::now() + CREDIT_LASTS;
                if self.spoke.elapsed() > SILENCE {
                    self.told = None;
                }
            }
            Ok(FromPage::Snapshot) => self.snapshot = true,
            Err(detail) => self.refuse(&detail),
        }
    }

    fn look(&mut self, viewport: Viewport) {
        let paused = match (&viewport, &self.view.kind) {
            (Viewport::Table(port), Kind::Table) => {
                if let Some(sort) = port.sort.as_ref().filter(|sort| !self.view.result.schema().contains(&sort.column))
                {
                    return self.refuse(&format!("there is no column \"{}\" to sort by", sort.column));
                }
                port.paused
            }
            (Viewport::Chart(port), Kind::Chart(_)) => port.paused,
            _ => return self.refuse("the viewport is of another kind than the view"),
        };
        // A pause holds the rows themselves, so that one can scroll and sort what one stopped to look at.
        self.held = match (self.held.take(), &self.view.kind) {
            (held @ Some(_), _) if paused => held,
            (None, Kind::Table) if paused => Some(LiveResult::fixed(self.view.result.tail(usize::MAX))),
            _ => None,
        };
        self.asked |= self.viewport.as_ref() != Some(&viewport);
        self.viewport = Some(viewport);
    }

    fn paused(&self) -> bool {
        match &self.viewport {
            Some(Viewport::Table(port)) => port.paused,
            Some(Viewport::Chart(port)) => port.paused,
            None => false,
        }
    }

    fn has_credit(&self) -> bool {
        self.viewport.is_some() && self.frame < self.credit && Instant::now() < self.due.void
    }

    fn wants_frame(&self) -> bool {
        self.asked || (!self.paused() && self.shown != Some(self.view.result.status().version))
    }

    fn next_due(&self) -> Option<Instant> {
        let frame = (self.has_credit() && self.wants_frame()).then_some(self.due.frame);
        let snapshot = self.snapshot.then_some(self.due.snapshot);
        frame.into_iter().chain(snapshot).min()
    }

    /// Sends what is due.
    fn serve(&mut self) {
        let now = Instant::now();
        if self.has_credit() && self.wants_frame() && now >= self.due.frame {
            self.send_frame(now);
        }
        if self.snapshot && now >= self.due.snapshot {
            self.snapshot = false;
            self.due.snapshot = now + SNAPSHOT_GAP;
            let size = match &self.viewport {
                Some(Viewport::Chart(port)) => Some((port.width, port.height)),
                _ => None,
            };
            match self.view.bundle(size) {
                Ok(bundle) => self.send(json!({"type": "snapshot", "bundle": bundle}), Vec::new()),
                Err(error) => self.refuse(&error.to_string()),
            }
        }
    }

    fn send_frame(&mut self, now: Instant) {
        // The version is read before the rows: a change in between makes one frame more, never one too few.
        let status = self.view.result.status();
        let made = match (&self.viewport, &self.view.kind) {
            (Some(Viewport::Table(port)), Kind::Table) => {
                self.view.rows(self.held.as_ref().unwrap_or(&self.view.result), port)
            }
            (Some(Viewport::Chart(port)), Kind::Chart(chart)) => self.view.drawing(chart, port),
            _ => return,
        };
        self.asked = false;
        self.shown = Some(status.version);
        self.due.frame = now + FRAME_GAP.max(now.elapsed() * REST);
        match made {
            Ok(Frame { kind, head, buffers }) => {
                self.frame += 1;
                let said = protocol::status(&status);
                let mut message = json!({"type": "frame", "frame": self.frame, "sent_ms": now_ms(), "status": said});
                message[kind] = head;
                self.told = Some(said);
                self.send(message, buffers);
            }
            Err(detail) => self.refuse(&detail),
        }
    }

    /// Tells the counts when they moved while the rows stood still.
    fn tell(&mut self) {
        let now = Instant::now();
        if !self.has_credit() || self.wants_frame() && !self.paused() || now < self.due.status {
            return;
        }
        let status = protocol::status(&self.view.result.status());
        if self.told.as_ref() != Some(&status) {
            self.due.status = now + STATUS_GAP;
            self.send(json!({"type": "status", "status": status}), Vec::new());
            self.told = Some(status);
        }
    }

    fn refuse(&mut self, detail: &str) {
        self.send(json!({"type": "refused", "detail": detail}), Vec::new());
    }

    fn send(&mut self, data: Value, buffers: Vec<Vec<u8>>) {
        self.spoke = Instant::now();
        self.port.send(&self.comm_id, data, buffers);
    }
}

/// Waits for the result on the session's behalf, once for each version it is given, and ends with the session.
fn watcher(result: LiveResult, go: Receiver<u64>, session: Sender<Event>) -> std::io::Result<()> {
    let watch = move || {
        while let Ok(shown) = go.recv() {
            let _changed = result.wait(shown, WATCH);
            if session.send(Event::Changed).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("live-watch".to_owned()).spawn(watch).map(drop)
}
