//! What a cell's last expression shows: a frame as a live table, a chart as a live chart, a DataFrame as a table. Showing
//! a frame starts a query; the views in a page look at its result.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::sync::Arc;

use display::{Chart, Port, Views};
use engine::{LiveResult, Options, Query};
use link::Bundle;
use polars::prelude::DataFrame;
use serde_json::Value;

use crate::StreamFrame;
use crate::cell::{self, Show};

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
            Ok(result) => bundle(views().add_table(result)),
            Err(error) => cell::fail("QueryError", &error.to_string()),
        }
    }
}

impl Show for StreamChart {
    fn show(&self) -> Bundle {
        let result = match start(&self.frame) {
            Ok(result) => result,
            Err(error) => cell::fail("QueryError", &error.to_string()),
        };
        match views().add_chart(result, self.chart.clone()) {
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

/// Starts a query over a frame and keeps it for as long as the process lives; unwatched, it rests.
fn start(frame: &StreamFrame) -> std::io::Result<LiveResult> {
    static RUNNING: Mutex<Vec<Query>> = Mutex::new(Vec::new());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let name = format!("{}", running.len() + 1);
    let query = Query::start(&name, &frame.plan, Arc::clone(&frame.open), Options::default())?;
    let result = query.result().clone();
    running.push(query);
    Ok(result)
}

/// The process's views, joined to the page's comms when the first is made.
fn views() -> &'static Views {
    static VIEWS: OnceLock<Views> = OnceLock::new();
    VIEWS.get_or_init(|| {
        let views = Views::new(Arc::new(LinkPort));
        cell::set_comm_handler(|event| match event {
            cell::CommEvent::Open { id, data, .. } => self::views().open(&id, &data),
            cell::CommEvent::Message { id, data, buffers } => self::views().message(&id, data, buffers),
            cell::CommEvent::Close { id, .. } => self::views().closed(&id),
        });
        views
    })
}

struct LinkPort;

impl Port for LinkPort {
    fn send(&self, comm_id: &str, data: Value, buffers: Vec<Vec<u8>>) {
        cell::send_comm(comm_id, data, buffers);
    }

    fn close(&self, comm_id: &str, data: Value) {
        cell::close_comm(comm_id, data);
    }
}

fn bundle(shown: display::Bundle) -> Bundle {
    Bundle { data: shown.data, metadata: shown.metadata }
}
