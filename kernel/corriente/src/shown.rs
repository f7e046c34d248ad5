//! What a cell's last expression shows: a frame as a live table, a chart as a live chart, a DataFrame as a table. Showing
//! a frame starts a query; the views in a page look at its result.

use std::sync::{Arc, OnceLock, Weak};

use display::{Chart, Port, Views};
use engine::{LiveResult, Options, Query};
use link::Bundle;
use polars::prelude::DataFrame;
use serde_json::Value;

use crate::StreamFrame;
use crate::cell::{self, CellEvent, CommEvent, Show};
use crate::parameters;
use crate::streaming::{StreamingQuery, queries};

impl StreamFrame {
    /// The frame as a live chart, as in `spend.chart(line("event_time", "total").by("category"))`.
    #[must_use]
    #[track_caller]
    pub fn chart(&self, chart: Chart) -> StreamChart {
        if let Err(error) = chart.check(&self.schema()) {
            cell::fail("ChartError", &error.to_string());
        }
        StreamChart { frame: self.clone(), chart }
    }
}

/// A frame with the way to draw it; shown, it is a live chart.
#[derive(Clone)]
pub struct StreamChart {
    frame: StreamFrame,
    chart: Chart,
}

impl Show for StreamFrame {
    fn show(&self) -> Bundle {
        match start(self) {
            Ok((result, hold)) => live_table(result, hold),
            Err(error) => cell::fail("QueryError", &error.to_string()),
        }
    }
}

impl Show for StreamChart {
    fn show(&self) -> Bundle {
        let (result, hold) = match start(&self.frame) {
            Ok(started) => started,
            Err(error) => cell::fail("QueryError", &error.to_string()),
        };
        match views().add_chart(result, self.chart.clone(), hold.into(), parameters::known()) {
            Ok(shown) => bundle(shown),
            Err(error) => cell::fail("ChartError", &error.to_string()),
        }
    }
}

impl Show for DataFrame {
    fn show(&self) -> Bundle {
        bundle(display::table_bundle(self))
    }
}

/// The result of a frame: of a query that runs already, or of one that is started, and ends with the last view of it; unwatched,
/// it rests.
fn start(frame: &StreamFrame) -> std::io::Result<(LiveResult, Hold)> {
    let name = frame.plan.title();
    let hold = |query| Hold { query: Some(query), frame: Arc::downgrade(&frame.there) };
    if let Some((result, query)) = queries().view(&name, frame) {
        return Ok((result, hold(query)));
    }
    let query = Query::start(&name, &frame.plan, frame.open(), Options::default())?;
    let result = query.result().clone();
    Ok((result, hold(queries().show(&name, query))))
}

/// A result as a live table.
pub(crate) fn live_table(result: LiveResult, hold: Hold) -> Bundle {
    bundle(views().add_table(result, hold.into(), parameters::known()))
}

/// What a view needs to go on.
pub(crate) struct Hold {
    query: Option<StreamingQuery>,
    /// The frame that was shown, as long as the notebook has it.
    frame: Weak<()>,
}

impl Hold {
    /// A result that nobody has to make.
    pub(crate) fn nothing() -> Hold {
        Hold { query: None, frame: always() }
    }

    /// A query that `streams()` has too.
    pub(crate) fn query(query: StreamingQuery) -> Hold {
        Hold { query: Some(query), frame: always() }
    }
}

/// There for as long as the process is.
fn always() -> Weak<()> {
    static ALWAYS: OnceLock<Arc<()>> = OnceLock::new();
    Arc::downgrade(ALWAYS.get_or_init(Arc::default))
}

impl From<Hold> for display::Hold {
    fn from(hold: Hold) -> display::Hold {
        let frame = hold.frame.clone();
        display::Hold { by: Box::new(hold), frame }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let Some(query) = self.query.take() else { return };
        // The last one ends the query, which waits for its batch; whoever drops it has no time for that. Without a thread it has.
        drop(std::thread::Builder::new().name("query ends".to_owned()).spawn(move || drop(query)));
    }
}

/// Lets the pages' comms reach the views, and has the views hear of the cells. From the start of the process, so that a page of
/// an earlier one is told that its view is gone.
pub(crate) fn listen() {
    cell::set_cell_handler(|event| match event {
        CellEvent::Began { run, cell } => views().cell_began(run, cell),
        CellEvent::Ending => views().cell_ends(|| !cell::interrupted()),
        CellEvent::Over => views().cell_over(),
    });
    cell::set_comm_handler(|event| match event {
        CommEvent::Open { id, data, .. } => views().open(&id, &data),
        CommEvent::Message { id, data, buffers } => views().message(&id, data, buffers),
        CommEvent::Close { id, .. } => views().closed(&id),
    });
}

/// The process's views.
fn views() -> &'static Views {
    static VIEWS: OnceLock<Views> = OnceLock::new();
    VIEWS.get_or_init(|| Views::new(Arc::new(LinkPort)))
}

struct LinkPort;

impl Port for LinkPort {
    fn send(&self, comm_id: &str, data: Value, buffers: Vec<Vec<u8>>) {
        cell::send_comm(comm_id, data, buffers);
    }

    fn close(&self, comm_id: &str, data: Value) {
        cell::close_comm(comm_id, data);
    }

    fn update(&self, view: &str, output: display::Bundle) {
        cell::update_display(bundle(output), view.to_owned());
    }
}

fn bundle(shown: display::Bundle) -> Bundle {
    Bundle { data: shown.data, metadata: shown.metadata }
}
