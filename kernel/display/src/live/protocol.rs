//! What the page and the kernel say to each other over a comm, version 1. Serde lives here and nowhere else in `live`;
//! `labextension/static/protocol.js` is the other side, and the two change together.
//!
//! One comm is one attached view. Its target is `corriente.live`; the page opens it, when a view appears and again
//! after a reload, with
//!
//! ```json
//! {"version": 1, "view": "the id from the output"}
//! ```
//!
//! ## The page says
//! - `{"type": "viewport", "first": 0, "rows": 40, "sort": {"column": "amount", "descending": true} | null,
//!   "filter": "text" | null, "anchor": 1200 | null, "paused": false}` for a table. `anchor` is the `height` of the
//!   frame that `first` was counted in: without sort and filter, rows that came on top since then move `first` down.
//! - `{"type": "viewport", "width": 760, "height": 320, "paused": false}` for a chart, in CSS pixels.
//! - `{"type": "credit", "until": 45}`: frames up to that number may be sent, within the next three seconds.
//!   About once a second; what the page has not asked for is never sent.
//! - `{"type": "snapshot"}`: asks for an output to store in the notebook.
//!
//! ## The kernel says
//! - `{"type": "frame", "frame": 7, "sent_ms": …, "status": {…}, "table": {…}}`, or `"chart"` in place of `"table"`: the
//!   newest state, at most thirty a second. A frame is complete in itself: a page that is late draws the last and drops
//!   the others, and asks for fewer while `sent_ms` falls behind its own clock.
//!   - **table**: `{"columns": [{"name", "dtype", "right"}], "first": 0, "rows": 40, "total": 900, "height": 1200,
//!     "sort": … }`. `total` is the number of rows after the filter, `height` that of rows ever held. For each column one
//!     buffer: `rows` little-endian u32, the ends of the texts in bytes; `rows` bytes, 1 for a null; the texts, UTF-8.
//!     All values are texts made in Rust, so that decimals and times lose nothing on the way.
//!   - **chart**: `{"width", "height", "plot": {"x", "y", "width", "height", "x_from", "x_to", "y_from", "y_to"}, "kind":
//!     "time" | "number" | "category", "categories": […], "x", "y", "series": [{"name", "colour", "points"}], "note"}`.
//!     The first buffer is the SVG, UTF-8, in stand-in colours; then for each series its points, little-endian f64, x
//!     and y in turn.
//! - `{"type": "status", "status": {…}}`: the counts moved but the rows on screen did not; also every other
//!   second or so when nothing moves at all, so that a page can tell a quiet stream from a process that is gone.
//! - `{"type": "snapshot", "bundle": {"data", "metadata"}}`: the output to store.
//! - `{"type": "refused", "detail": "…"}`: a message made no sense; nothing else has changed.
//!
//! The kernel closes a comm with `{"reason": "unknown" | "quiet" | "failed", "text": "…"}`: the view is of an earlier
//! kernel; the page said nothing for a minute and may open it again; the kernel cannot serve it.
//!
//! ## The output
//! It is a display whose `display_id` is the view's id. As long as no page has opened the view, the kernel updates it by that id
//! while cells run; a page that has drawn the view need not draw it again for that. From then on it is the page that stores.
//!
//! The MIME type `application/vnd.corriente.live+json` carries `{"version": 1, "view", "kind": "table" | "chart", "name",
//! "snapshot": {"taken_ms", "status", "table": {"columns", "rows": [[text | null]], "total"}, "picture": {"width",
//! "height", "light", "dark", "alt"}}}`, of `table` and `picture` the one that fits; pictures are PNG in Base64.

use engine::{State, Status};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cells::ColumnText;

/// The version of all of this.
pub const VERSION: u64 = 1;
/// The comm target a page opens.
pub const TARGET: &str = "corriente.live";

/// Rows a page may ask for at once.
const MAX_ROWS: usize = 500;
const MAX_FILTER_CHARS: usize = 200;
const WIDTHS: std::ops::RangeInclusive<u32> = 80..=4_000;
const HEIGHTS: std::ops::RangeInclusive<u32> = 60..=2_000;

/// What a page says when it opens a comm.
#[derive(Debug, Deserialize)]
pub(super) struct Opening {
    pub(super) version: u64,
    pub(super) view: String,
}

/// What a page says later.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum FromPage {
    Viewport(Viewport),
    Credit { until: u64 },
    Snapshot,
}

/// What a page shows, of a table or of a chart.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Viewport {
    Table(TablePort),
    Chart(ChartPort),
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct TablePort {
    pub(super) first: usize,
    pub(super) rows: usize,
    #[serde(default)]
    pub(super) sort: Option<Sort>,
    #[serde(default)]
    pub(super) filter: Option<String>,
    #[serde(default)]
    pub(super) anchor: Option<u64>,
    #[serde(default)]
    pub(super) paused: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Sort {
    pub(super) column: String,
    pub(super) descending: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub(super) struct ChartPort {
    pub(super) width: u32,
    pub(super) height: u32,
    #[serde(default)]
    pub(super) paused: bool,
}

/// Reads a message and checks its bounds; the error is for the page.
pub(super) fn read(message: &Value) -> Result<FromPage, String> {
    let message = FromPage::deserialize(message).map_err(|error| format!("the message is not understood: {error}"))?;
    match &message {
        FromPage::Viewport(Viewport::Table(port)) => {
            if port.rows > MAX_ROWS {
                return Err(format!("{} rows were asked for; at most {MAX_ROWS} are sent at once", port.rows));
            }
            if port.filter.as_ref().is_some_and(|text| text.chars().count() > MAX_FILTER_CHARS) {
                return Err(format!("the filter is longer than {MAX_FILTER_CHARS} characters"));
            }
        }
        FromPage::Viewport(Viewport::Chart(port)) => {
            if !WIDTHS.contains(&port.width) || !HEIGHTS.contains(&port.height) {
                return Err(format!("a chart of {} by {} pixels is out of bounds", port.width, port.height));
            }
        }
        FromPage::Credit { .. } | FromPage::Snapshot => {}
    }
    Ok(message)
}

/// A query's status as the page's foot line needs it.
pub(super) fn status(status: &Status) -> Value {
    let (state, message) = match &status.state {
        State::Starting => ("starting", None),
        State::Running => ("running", None),
        State::Waiting(why) => ("waiting", Some(why.as_str())),
        State::Suspended => ("suspended", None),
        State::Ended => ("ended", None),
        State::Failed(why) => ("failed", Some(why.as_str())),
    };
    json!({
        "state": state,
        "message": message,
        "name": status.name,
        "topic": status.topic,
        "rows": status.rows,
        "dropped_rows": status.dropped_rows,
        "rows_read": status.rows_read,
        "late_rows": status.late_rows,
        "dead_letters": status.dead_letters,
        "last_dead_letter": status.last_dead_letter,
        "notes": status.notes(),
        "watermark_ms": status.watermark_ms,
        "newest_ms": status.newest_ms,
    })
}

/// The head of a column.
pub(super) fn column(column: &ColumnText) -> Value {
    json!({"name": column.name, "dtype": column.dtype, "right": column.right})
}

/// A column's texts as one buffer.
pub(super) fn pack(column: &ColumnText) -> Vec<u8> {
    let length: usize = column.cells.iter().flatten().map(String::len).sum();
    let mut buffer = Vec::with_capacity(5 * column.cells.len() + length);
    let mut end = 0u32;
    for cell in &column.cells {
        end += cell.as_ref().map_or(0, |text| text.len() as u32);
        buffer.extend_from_slice(&end.to_le_bytes());
    }
    buffer.extend(column.cells.iter().map(|cell| u8::from(cell.is_none())));
    for text in column.cells.iter().flatten() {
        buffer.extend_from_slice(text.as_bytes());
    }
    buffer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(message: Value, expect: Result<FromPage, &str>) {
        match (read(&message), expect) {
            (Ok(got), Ok(expect)) => assert_eq!(got, expect),
            (Err(text), Err(part)) => assert!(text.contains(part), "{text}"),
            (got, _) => panic!("{message} gave {got:?}"),
        }
    }

    #[test]
    fn messages_of_the_page_are_read() {
        check(json!({"type": "credit", "until": 45}), Ok(FromPage::Credit { until: 45 }));
        check(json!({"type": "snapshot"}), Ok(FromPage::Snapshot));
        let port = TablePort {
            first: 3,
            rows: 40,
            sort: Some(Sort { column: "a".into(), descending: true }),
            ..TablePort::default()
        };
        let message = json!({"type": "viewport", "first": 3, "rows": 40, "sort": {"column": "a", "descending": true}, "filter": null, "paused": false});
        check(message, Ok(FromPage::Viewport(Viewport::Table(port))));
        let port = ChartPort { width: 760, height: 320, paused: true };
        check(
            json!({"type": "viewport", "width": 760, "height": 320, "paused": true}),
            Ok(FromPage::Viewport(Viewport::Chart(port))),
        );
    }

    #[test]
    fn messages_out_of_bounds_are_refused() {
        check(json!({"type": "viewport", "first": -1, "rows": 40}), Err("not understood"));
        check(json!({"type": "viewport", "first": 0, "rows": 1e9}), Err("not understood"));
        check(json!({"type": "viewport", "first": 0, "rows": 501}), Err("at most 500"));
        check(json!({"type": "viewport", "first": 0, "rows": 1, "filter": "x".repeat(201)}), Err("longer than"));
        check(json!({"type": "viewport", "width": 100_000, "height": 300}), Err("out of bounds"));
        check(json!({"type": "credit"}), Err("not understood"));
        check(json!({"type": "eval", "code": "1"}), Err("not understood"));
        check(json!(17), Err("not understood"));
        check(Value::Null, Err("not understood"));
    }

    #[test]
    fn a_column_is_packed_as_ends_nulls_and_text() {
        let cells = vec![Some("é".to_owned()), None, Some(String::new()), Some("ab".to_owned())];
        let column = ColumnText { name: "c".into(), dtype: "str".into(), right: false, cells };
        assert_eq!(pack(&column), [2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0, 1, 0, 0, 0xc3, 0xa9, b'a', b'b']);
    }
}
