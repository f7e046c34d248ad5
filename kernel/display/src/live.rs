//! Live views: results that a page looks at while they change. This file keeps who is who; each attached page has a
//! session with a thread of its own. How messages reach a page is the [`Port`]'s business.

mod outputs;
pub mod protocol;
mod saved;
mod session;
mod view;

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use engine::LiveResult;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bundle::Bundle;
use crate::chart::{Chart, ChartError};
use outputs::{Outputs, Stand};
use protocol::{Opening, VERSION};
use session::{Ending, Event, Session};
use view::{Kind, View};

/// Views that can be attached to. With more, those that no page has looked at for longest are forgotten.
const MAX_VIEWS: usize = 200;
/// Views that no page has opened and that the notebook cannot show again, which go on all the same.
const NEWEST: usize = 2;
const EARLIER: &str = "This view is of an earlier run. Run the cell again.";
/// A page that says nothing for so long is let go; it opens its comm again when it is back.
const PATIENCE: Duration = Duration::from_secs(60);

/// The way to the pages. Behind it stands the link to the kernel; in tests a list.
///
/// Contract: called from several threads, returns at once, and drops what it cannot deliver.
pub trait Port: Send + Sync {
    /// Sends a message on a comm.
    fn send(&self, comm_id: &str, data: Value, buffers: Vec<Vec<u8>>);
    /// Closes a comm.
    fn close(&self, comm_id: &str, data: Value);
    /// Puts an output in the place of the one that a view has in the notebook, wherever that is; while a cell runs.
    fn update(&self, view: &str, output: Bundle);
}

/// All live views of this process. Cloning gives another handle.
#[derive(Clone)]
pub struct Views(Arc<Shared>);

struct Shared {
    port: Arc<dyn Port>,
    patience: Duration,
    registry: Mutex<Registry>,
    outputs: Arc<Outputs>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.outputs.close();
    }
}

/// What keeps a view's result going: a query ends with the last view of it.
pub struct Hold {
    /// Dropped with the view.
    pub by: Box<dyn Any + Send + Sync>,
    /// There for as long as the notebook can show the same again.
    pub frame: Weak<()>,
}

#[derive(Default)]
struct Registry {
    views: HashMap<String, Known>,
    /// The least recently attached first.
    order: VecDeque<String>,
    sessions: HashMap<String, (String, Sender<Event>)>,
    /// The run of a cell that is going on, or was last, and the notebook's cell.
    run: u64,
    cell: Option<String>,
}

/// A view that can be attached to.
struct Known {
    view: Arc<View>,
    /// The notebook's cell that has shown it.
    cell: Option<String>,
    /// Whether a page has ever attached to it.
    opened: bool,
}

impl Views {
    /// No views yet.
    #[must_use]
    pub fn new(port: Arc<dyn Port>) -> Views {
        Views::with_patience(port, PATIENCE)
    }

    fn with_patience(port: Arc<dyn Port>, patience: Duration) -> Views {
        Views(Arc::new(Shared { port, patience, registry: Mutex::default(), outputs: Arc::default() }))
    }

    /// A live table of a result, as a cell's output. Waits a moment for the first rows, so that a client that takes no
    /// updates shows data too. `parameters` are the notebook's that were read before; they go into the provenance.
    #[must_use]
    pub fn add_table(&self, result: LiveResult, hold: Hold, parameters: Value) -> Bundle {
        let bundle = self.add(View::new(result, Kind::Table, hold, parameters));
        bundle.unwrap_or_else(|error| Bundle::of(error.to_string(), crate::html::message(&error.to_string(), "")))
    }

    /// A live chart of a result, as a cell's output.
    ///
    /// # Errors
    /// When the chart does not fit the result's columns.
    pub fn add_chart(
        &self,
        result: LiveResult,
        chart: Chart,
        hold: Hold,
        parameters: Value,
    ) -> Result<Bundle, ChartError> {
        chart.check(&result.schema())?;
        self.add(View::new(result, Kind::Chart(chart), hold, parameters))
    }

    /// A cell, or a part of it, begins; `cell` is the notebook's, the same when it is run again.
    pub fn cell_began(&self, run: u64, cell: Option<&str>) {
        let gone = self.registry().began(run, cell);
        gone.iter().for_each(|view| self.0.outputs.taken(view));
        self.0.outputs.began(run);
    }

    /// A cell is at its end, on its own thread. Where no page holds what it has shown, waits a moment, while `wanted`, until
    /// that has the data that there was, and brings the notebook's outputs up to date.
    pub fn cell_ends(&self, wanted: impl Fn() -> bool) {
        self.0.outputs.end(self.0.port.as_ref(), &wanted);
    }

    /// Nothing that is sent from now on is a cell's.
    pub fn cell_over(&self) {
        self.0.outputs.over();
    }

    /// A page has opened a comm on [`protocol::TARGET`].
    pub fn open(&self, comm_id: &str, data: &Value) {
        let refuse = |reason: &str, text: &str| self.0.port.close(comm_id, json!({"reason": reason, "text": text}));
        let Ok(opening) = Opening::deserialize(data) else {
            return refuse("failed", "the page's first message is not understood");
        };
        if opening.version != VERSION {
            return refuse(
                "failed",
                "the page's extension and the kernel are of different versions; run `./install/demo` and reload the page",
            );
        }
        let mut registry = self.registry();
        let Some(known) = registry.views.get_mut(&opening.view) else {
            drop(registry);
            return refuse("unknown", EARLIER);
        };
        known.opened = true;
        let view = Arc::clone(&known.view);
        registry.order.retain(|id| *id != opening.view);
        registry.order.push_back(opening.view.clone());
        let (sender, events) = channel();
        registry.sessions.insert(comm_id.to_owned(), (opening.view, sender.clone()));
        drop(registry);
        self.0.outputs.taken(&view);
        let session = Session::new(view, comm_id.to_owned(), Arc::clone(&self.0.port));
        let shared = Arc::downgrade(&self.0);
        let (comm, patience) = (comm_id.to_owned(), self.0.patience);
        let run = move || {
            let ending = session.run(&events, &sender, patience);
            end(&shared, &comm, ending);
        };
        if thread::Builder::new().name("live-view".to_owned()).spawn(run).is_err() {
            self.registry().sessions.remove(comm_id);
            refuse("failed", "the machine gives no more threads");
        }
    }

    /// A page has said something on a comm.
    pub fn message(&self, comm_id: &str, data: Value, _buffers: Vec<Vec<u8>>) {
        let session = self.registry().sessions.get(comm_id).cloned();
        let heard = session.is_some_and(|(_, session)| session.send(Event::Message(data)).is_ok());
        if !heard {
            self.0.port.close(comm_id, json!({"reason": "quiet", "text": "the view was let go"}));
        }
    }

    /// A comm is gone.
    pub fn closed(&self, comm_id: &str) {
        if let Some((_, session)) = self.registry().sessions.remove(comm_id) {
            let _gone_already = session.send(Event::Closed);
        }
    }

    fn add(&self, view: View) -> Result<Bundle, ChartError> {
        self.0.outputs.await_rows(&view);
        let (status, bundle) = view.snapshot(None)?;
        let view = Arc::new(view);
        let mut registry = self.registry();
        registry.order.push_back(view.id.clone());
        let known = Known { view: Arc::clone(&view), cell: registry.cell.clone(), opened: false };
        registry.views.insert(view.id.clone(), known);
        let mut forgotten = Vec::new();
        while registry.views.len() > MAX_VIEWS {
            let Some(oldest) = registry.order.pop_front() else { break };
            forgotten.extend(registry.views.remove(&oldest));
        }
        drop(registry);
        forgotten.iter().for_each(|known| self.0.outputs.taken(&known.view));
        if self.0.outputs.shown(&view, Stand::of(&status)) {
            let (outputs, port) = (Arc::clone(&self.0.outputs), Arc::clone(&self.0.port));
            // Without a thread they are brought up to date at the ends of cells alone.
            drop(thread::Builder::new().name("live-outputs".to_owned()).spawn(move || outputs.keep(port.as_ref())));
        }
        Ok(bundle)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.0.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Another run of a cell begins; gives the views that nobody needs any more. Those are what an earlier run of the same cell
    /// has shown; and where the page does not say which cell it is, as other clients do not, what no page has ever opened and
    /// the notebook cannot show again, but for the newest.
    fn began(&mut self, run: u64, cell: Option<&str>) -> Vec<Arc<View>> {
        if self.run == run {
            return Vec::new();
        }
        (self.run, self.cell) = (run, cell.map(str::to_owned));
        let again = |known: &Known| cell.is_some() && known.cell.as_deref() == cell;
        let loose = |known: &Known| known.cell.is_none() && !known.opened && known.view.hold.frame.strong_count() == 0;
        let newest: Vec<&String> =
            self.order.iter().rev().filter(|id| self.views.get(*id).is_some_and(loose)).take(NEWEST).collect();
        let gone: Vec<String> = self
            .order
            .iter()
            .filter(|id| self.views.get(*id).is_some_and(|known| again(known) || loose(known) && !newest.contains(id)))
            .cloned()
            .collect();
        self.order.retain(|id| !gone.contains(id));
        let views: Vec<Arc<View>> =
            gone.iter().filter_map(|id| self.views.remove(id)).map(|known| known.view).collect();
        for (_, session) in self.sessions.values().filter(|(view, _)| gone.contains(view)) {
            // Whoever looks at one is told that it is of an earlier run; one that has ended meanwhile has ended.
            drop(session.send(Event::Replaced));
        }
        views
    }
}

/// A session's thread has come to its end.
fn end(shared: &Weak<Shared>, comm_id: &str, ending: std::io::Result<Ending>) {
    let Some(shared) = shared.upgrade() else { return };
    shared.registry.lock().unwrap_or_else(PoisonError::into_inner).sessions.remove(comm_id);
    match ending {
        Ok(Ending::Closed) => {}
        Ok(Ending::Replaced) => shared.port.close(comm_id, json!({"reason": "unknown", "text": EARLIER})),
        Ok(Ending::Quiet) => shared.port.close(comm_id, json!({"reason": "quiet", "text": "the page was quiet"})),
        Err(error) => shared.port.close(comm_id, json!({"reason": "failed", "text": error.to_string()})),
    }
}

#[cfg(test)]
mod tests;
