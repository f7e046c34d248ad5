//! One view of a result: a table or a chart, what its output says, and the frames that a page asks for. Functions of
//! the result's newest state; which thread calls them is the session's and the cell's business.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{LiveResult, Page, State, Status};
use serde_json::{Value, json};

use super::protocol::{self, ChartPort, TablePort, VERSION};
use crate::bundle::Bundle;
use crate::chart::{Chart, ChartError, Colours, DEFAULT_SIZE, Picture, XKind};
use crate::numbers::{grouped, now_ms, stamp};
use crate::table::counted;
use crate::{cells, html};

/// Rows that an output keeps of a table.
const ROWS_SAVED: usize = 20;
/// Width and height of a picture that an output keeps, at most.
const MOST_SAVED: (u32, u32) = (1_200, 600);
/// Newest rows a chart draws.
const ROWS_DRAWN: usize = 100_000;
/// How long a cell waits for the first rows, so that a notebook run without a page shows data too.
const FIRST_ROWS: Duration = Duration::from_millis(1_500);

pub(super) struct View {
    pub(super) id: String,
    pub(super) result: LiveResult,
    pub(super) kind: Kind,
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
    pub(super) fn new(result: LiveResult, kind: Kind) -> View {
        View { id: uuid::Uuid::new_v4().to_string(), result, kind, colours: Mutex::default() }
    }

    /// Waits for the first rows, but not for long.
    pub(super) fn await_rows(&self) {
        self.result.touch();
        let deadline = Instant::now() + FIRST_ROWS;
        let mut status = self.result.status();
        while status.rows == 0 && matches!(status.state, State::Starting | State::Running | State::Suspended) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            status = self.result.wait(status.version, left);
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
        let picture = self.picture(chart, port.width).map_err(|error| error.to_string())?;
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
        let status = self.result.status();
        let taken_ms = now_ms();
        let foot = foot(&status, taken_ms);
        let (part, text, html) = match &self.kind {
            Kind::Table => self.saved_table(&foot)?,
            Kind::Chart(chart) => self.saved_picture(chart, size.unwrap_or(DEFAULT_SIZE), &foot)?,
        };
        let (name, saved) = part;
        let live = json!({
            "version": VERSION,
            "view": self.id,
            "kind": self.kind.name(),
            "name": status.name,
            "snapshot": {"taken_ms": taken_ms, "status": protocol::status(&status), name: saved},
        });
        let html = match &status.state {
            State::Failed(why) => html::message(why, "") + &html,
            _ => html,
        };
        Ok(Bundle::of(text, html).with_live(live).with_provenance(&status, taken_ms))
    }

    fn saved_table(&self, foot: &str) -> Result<((&'static str, Value), String, String), ChartError> {
        let (total, frame) = self.result.page(&Page { len: ROWS_SAVED, ..Page::default() })?;
        let columns = cells::texts(&frame);
        let rows: Vec<Vec<&Option<String>>> =
            (0..frame.height()).map(|row| columns.iter().map(|column| &column.cells[row]).collect()).collect();
        let saved = json!({
            "columns": columns.iter().map(protocol::column).collect::<Vec<_>>(),
            "rows": rows,
            "total": total,
        });
        Ok((("table", saved), format!("{frame}\n{foot}"), html::table(&columns, None, foot)))
    }

    fn saved_picture(
        &self,
        chart: &Chart,
        size: (u32, u32),
        foot: &str,
    ) -> Result<((&'static str, Value), String, String), ChartError> {
        let size = (size.0.min(MOST_SAVED.0), size.1.min(MOST_SAVED.1));
        let picture = self.picture(chart, size.0)?;
        let light = STANDARD.encode(picture.png_light(size)?);
        let dark = STANDARD.encode(picture.png_dark(size)?);
        let alt = alt(&picture);
        let html = html::picture(&light, size, &alt, foot);
        let saved = json!({"width": size.0, "height": size.1, "light": light, "dark": dark, "alt": alt});
        Ok((("picture", saved), format!("{alt}\n{foot}"), html))
    }

    fn picture(&self, chart: &Chart, width: u32) -> Result<Picture, ChartError> {
        let watermark = self.result.status().watermark_ms;
        let mut colours = self.colours.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(chart.picture(&self.result.tail(ROWS_DRAWN), watermark, &mut colours)?.thinned(width))
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

/// What a picture shows, in words.
fn alt(picture: &Picture) -> String {
    let by = picture.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let what = picture.title.clone().unwrap_or_else(|| format!("{} over {}{by}", picture.y_name, picture.x_name));
    format!("Chart: {what}, {}", counted(picture.series.len(), "series").replace("seriess", "series"))
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
