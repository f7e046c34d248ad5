//! What a notebook keeps of a view: a few rows or a picture, in no more bytes than a notebook can bear for one output. What
//! had to be left out for that is said.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use polars::prelude::DataFrame;
use serde_json::{Value, json};

use super::protocol;
use crate::cells::{self, ColumnText};
use crate::chart::{ChartError, Picture};
use crate::html;
use crate::numbers::grouped;
use crate::table::counted;

/// Rows that an output keeps of a table.
pub(super) const ROWS: usize = 20;
/// Bytes of an output's forms together, less what its text, its status and its metadata take.
const MOST_BYTES: usize = 180_000;
/// Below so many rows it is columns that are left out.
const FEW_ROWS: usize = 5;
/// Bytes that a column's name may have in an output, and the table as a terminal shows it.
const MOST_NAME: usize = 300;
const MOST_TEXT: usize = 10_000;
/// Width and height of a picture that an output keeps, at most.
const MOST_PIXELS: (u32, u32) = (1_200, 600);

/// The forms of an output.
pub(super) struct Saved {
    /// The labextension's.
    pub(super) form: Value,
    pub(super) text: String,
    pub(super) html: String,
}

/// The newest rows of a table, which come oldest first; `total` is how many there are.
pub(super) fn table(rows: DataFrame, total: usize, foot: &str) -> Saved {
    let rows = rows.reverse();
    let all = cells::texts(&rows);
    let (mut height, mut width) = rows.shape();
    loop {
        let mut columns: Vec<ColumnText> = all.iter().take(width).cloned().collect();
        for column in &mut columns {
            column.cells.truncate(height);
            shorten(&mut column.name, MOST_NAME);
        }
        let foot = match left_out((height, width), rows.shape()) {
            Some(left_out) => format!("{left_out} · {foot}"),
            None => foot.to_owned(),
        };
        let cells: Vec<Vec<&Option<String>>> =
            (0..height).map(|row| columns.iter().map(|column| &column.cells[row]).collect()).collect();
        let heads: Vec<Value> = columns.iter().map(protocol::column).collect();
        let form = json!({"columns": heads, "rows": cells, "total": total});
        let html = html::table(&columns, None, &foot);
        if html.len() + bytes(&form) <= MOST_BYTES || (height <= 1 && width <= 1) {
            let mut text = rows.to_string();
            shorten(&mut text, MOST_TEXT);
            return Saved { form, text: format!("{text}\n{foot}"), html };
        }
        if height > FEW_ROWS || width <= 1 { height /= 2 } else { width /= 2 }
    }
}

/// A picture, drawn for a width; the dark one, and then its sharpness, go where it has too many bytes.
pub(super) fn picture(
    drawn: impl Fn(u32) -> Result<Picture, ChartError>,
    size: (u32, u32),
    foot: &str,
) -> Result<Saved, ChartError> {
    let (mut width, mut height) = (size.0.min(MOST_PIXELS.0), size.1.min(MOST_PIXELS.1));
    loop {
        let picture = drawn(width)?;
        let alt = alt(&picture);
        let light = STANDARD.encode(picture.png_light((width, height))?);
        let html = html::picture(&light, (width, height), &alt, foot);
        let mut form = json!({"width": width, "height": height, "light": light, "alt": alt});
        let left = MOST_BYTES.checked_sub(html.len() + light.len());
        if left.is_none() && width > MOST_PIXELS.0 / 4 {
            (width, height) = (width * 3 / 4, height * 3 / 4);
            continue;
        }
        if let Some(left) = left {
            let dark = STANDARD.encode(picture.png_dark((width, height))?);
            if dark.len() <= left {
                form["dark"] = Value::String(dark);
            }
        }
        return Ok(Saved { form, text: format!("{alt}\n{foot}"), html });
    }
}

/// What is not kept of the rows that could have been.
fn left_out(kept: (usize, usize), of: (usize, usize)) -> Option<String> {
    let rows = (kept.0 < of.0).then(|| format!("the newest {}", counted(kept.0, "row")));
    let columns =
        (kept.1 < of.1).then(|| format!("the first {} of {} columns", grouped(kept.1 as u64), grouped(of.1 as u64)));
    let parts: Vec<String> = rows.into_iter().chain(columns).collect();
    (!parts.is_empty()).then(|| format!("kept here: {}", parts.join(" and ")))
}

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
}

fn bytes(value: &Value) -> usize {
    value.to_string().len()
}

/// What a picture shows, in words.
fn alt(picture: &Picture) -> String {
    let by = picture.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let what = picture.title.clone().unwrap_or_else(|| format!("{} over {}{by}", picture.y_name, picture.x_name));
    format!("Chart: {what}, {}", counted(picture.series.len(), "series").replace("seriess", "series"))
}
