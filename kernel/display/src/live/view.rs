//! One view of a result: a table or a chart, what its output says, and the frames that a page asks for. Functions of
//! the result's newest state; which thread calls them is the session's and the cell's business.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use engine::{LiveResult, Page, State, Status};
use polars::prelude::DataFrame;
use serde_json::{Value, json};

use super::Hold;
use super::protocol::{self, ChartPort, TablePort, VERSION};
use super::saved::{self, Saved};
use crate::bundle::Bundle;
use crate::chart::{Chart, ChartError, Colours, DEFAULT_SIZE, Picture, XKind};
use crate::numbers::{grouped, now_ms, stamp};
use crate::table::counted;
use crate::{cells, html};

/// Newest rows a chart draws.
const ROWS_DRAWN: usize = 100_000;
/// How long a row may be on its way to a log that was read to its end.
const NEXT_ROWS: Duration = Duration::from_millis(300);

pub(super) struct View {
    pub(super) id: String,
    pub(super) result: LiveResult,
    pub(super) kind: Kind,
    pub(super) hold: Hold,
    /// The notebook's parameters that were read before it was shown, for who wants to see it come out again.
    parameters: Value,
    colours: Mutex<Colours>,
}

pub(super) enum Kind {
    Table,
    Chart(Chart),
}

/// A frame's own part of its message, and its buffers.
pub(super) struct Frame {
    pub(super) kind: &'static str,
    pub(super) head: Value,
    pub(super) buffers: Vec<Vec<u8>>,
}

impl View {
    pub(super) fn new(result: LiveResult, kind: Kind, hold: Hold, parameters: Value) -> View {
        View { id: uuid::Uuid::new_v4().to_string(), result, kind, hold, parameters, colours: Mutex::default() }
    }

    /// Waits for the first rows, `most` at the most; gives the time that it took.
    pub(super) fn await_rows(&self, most: Duration) -> Duration {
        self.result.touch();
        let begun = Instant::now();
        loop {
            let status = self.result.status();
            let may_come = matches!(status.state, State::Starting | State::Running | State::Suspended);
            // Where all is read there is nothing to wait for but what comes just now.
            let most = if status.is_caught_up() { most.min(NEXT_ROWS) } else { most };
            let left = most.saturating_sub(begun.elapsed());
            if status.rows > 0 || !may_come || left.is_zero() {
                return begun.elapsed();
            }
            let _changed = self.result.wait(status.version, left.min(NEXT_ROWS));
        }
    }

    /// The rows that a table's page shows, from `result`, which is the view's own or a copy that a pause holds.
    pub(super) fn rows(&self, result: &LiveResult, port: &TablePort) -> Result<Frame, String> {
        let status = result.status();
        let height = status.rows as u64 + status.dropped_rows;
        let sort = port.sort.as_ref().map(|sort| (sort.column.clone(), sort.descending));
        let filter = port.filter.clone().filter(|text| !text.is_empty());
        let moved = match port.anchor {
            Some(anchor) if port.first > 0 && sort.is_none() && filter.is_none() => height.saturating_sub(anchor),
            _ => 0,
        };
        let first =
            port.first.saturating_add(usize::try_from(moved).unwrap_or(usize::MAX)).min(status.rows.saturating_sub(1));
        let page = Page { offset: first, len: port.rows, sort, filter };
        let (total, frame) = result.page(&page).map_err(|error| format!("the rows cannot be sorted so: {error}"))?;
        let columns = cells::texts(&frame);
        let head = json!({
            "columns": columns.iter().map(protocol::column).collect::<Vec<_>>(),
            "first": first,
            "rows": frame.height(),
            "total": total,
            "height": height,
            "sort": port.sort,
        });
        Ok(Frame { kind: "table", head, buffers: columns.iter().map(protocol::pack).collect() })
    }

    /// The chart for so many pixels.
    pub(super) fn drawing(&self, chart: &Chart, port: &ChartPort) -> Result<Frame, String> {
        let (status, rows) = self.result.tail_with_status(ROWS_DRAWN);
        let picture = self.picture(chart, &status, &rows, port.width).map_err(|error| error.to_string())?;
        let drawing = picture.svg((port.width, port.height)).map_err(|error| error.to_string())?;
        let kind = match picture.kind {
            XKind::Time => "time",
            XKind::Number => "number",
            XKind::Category => "category",
        };
        let series: Vec<Value> = picture
            .series
            .iter()
            .map(|series| json!({"name": series.name, "colour": series.colour, "points": series.points.len()}))
            .collect();
        let head = json!({
            "width": port.width,
            "height": port.height,
            "plot": drawing.plot,
            "kind": kind,
            "categories": picture.categories,
            "x": picture.x_name,
            "y": picture.y_name,
            "series": series,
            "note": picture.note,
        });
        let mut buffers = vec![drawing.svg.into_bytes()];
        buffers.extend(picture.series.iter().map(|series| {
            series.points.iter().flat_map(|(x, y)| x.to_le_bytes().into_iter().chain(y.to_le_bytes())).collect()
        }));
        Ok(Frame { kind: "chart", head, buffers })
    }

    /// The whole output as it is now: what the labextension shows without a kernel, and what everything else shows. A
    /// picture has the size that it has on the screen.
    pub(super) fn bundle(&self, size: Option<(u32, u32)>) -> Result<Bundle, ChartError> {
        Ok(self.snapshot(size)?.1)
    }

    /// The whole output, and the status that holds for its rows.
    pub(super) fn snapshot(&self, size: Option<(u32, u32)>) -> Result<(Status, Bundle), ChartError> {
        let rows = if matches!(self.kind, Kind::Table) { saved::ROWS } else { ROWS_DRAWN };
        let (status, rows) = self.result.tail_with_status(rows);
        let taken_ms = now_ms();
        let foot = foot(&status, taken_ms);
        let Saved { form, text, html } = match &self.kind {
            Kind::Table => saved::table(rows, status.rows, &foot),
            Kind::Chart(chart) => {
                let picture = |width| self.picture(chart, &status, &rows, width);
                saved::picture(picture, size.unwrap_or(DEFAULT_SIZE), &foot)?
            }
        };
        let (text, html) = match &status.state {
            State::Failed(why) => (format!("{why}\n{text}"), html::message(why, "") + &html),
            _ => (text, html),
        };
        let mut snapshot = json!({"taken_ms": taken_ms, "status": protocol::status(&status)});
        snapshot[if matches!(self.kind, Kind::Table) { "table" } else { "picture" }] = form;
        let live = json!({
            "version": VERSION,
            "view": self.id,
            "kind": self.kind.name(),
            "name": status.name,
            "snapshot": snapshot,
        });
        let mut bundle = Bundle::of(text, html).with_live(live).with_provenance(&status, taken_ms);
        bundle.metadata["corriente"]["parameters"] = self.parameters.clone();
        Ok((status, bundle))
    }

    fn picture(&self, chart: &Chart, status: &Status, rows: &DataFrame, width: u32) -> Result<Picture, ChartError> {
        let mut colours = self.colours.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(chart.picture(rows, status.watermark_ms, &mut colours)?.thinned(width))
    }
}

impl Kind {
    fn name(&self) -> &'static str {
        match self {
            Kind::Table => "table",
            Kind::Chart(_) => "chart",
        }
    }
}

/// The line below a saved output.
fn foot(status: &Status, taken_ms: i64) -> String {
    let mut parts = vec![counted(status.rows, "row")];
    if status.rows_read > 0 {
        parts.push(format!("{} read", grouped(status.rows_read)));
    }
    if status.late_rows > 0 {
        parts.push(format!("{} late", grouped(status.late_rows)));
    }
    if status.dead_letters > 0 {
        parts.push(counted(usize::try_from(status.dead_letters).unwrap_or(usize::MAX), "dead letter"));
    }
    parts.extend(status.notes());
    if let Some(watermark) = status.watermark_ms {
        parts.push(format!("watermark {}", stamp(watermark, "%H:%M:%S")));
    }
    if !status.offsets.is_empty() {
        let mut topics: Vec<&str> = status.offsets.keys().map(|at| at.topic.as_str()).collect();
        topics.dedup();
        let records: i64 = status.offsets.values().map(|(from, to)| to - from).sum();
        parts.push(format!(
            "{}, {} of {}",
            topics.join(" and "),
            counted(usize::try_from(records).unwrap_or(0), "offset"),
            counted(status.offsets.len(), "partition")
        ));
    }
    parts.push(format!("as of {} UTC", stamp(taken_ms, "%Y-%m-%d %H:%M:%S")));
    parts.join(" · ")
}
