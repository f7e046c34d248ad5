//! A frame that does not move as a cell's result: its shape, its first and its last rows.

use polars::prelude::*;

use crate::bundle::Bundle;
use crate::numbers::grouped;
use crate::{cells, html};

/// Rows shown from each end.
const ENDS: usize = 10;

/// A frame as `text/html` and `text/plain`. More than twenty rows are shown as the first and the last ten.
#[must_use]
pub fn table_bundle(frame: &DataFrame) -> Bundle {
    let (rows, columns) = frame.shape();
    let (shown, gap) = if rows > 2 * ENDS {
        let ends = frame.head(Some(ENDS)).vstack(&frame.tail(Some(ENDS)));
        ends.map_or_else(|_| (frame.head(Some(2 * ENDS)), None), |ends| (ends, Some(ENDS)))
    } else {
        (frame.clone(), None)
    };
    let foot = format!("{} × {}", counted(rows, "row"), counted(columns, "column"));
    Bundle::of(frame.to_string(), html::table(&cells::texts(&shown), gap, &foot))
}

/// `1 row`, `2,000 rows`.
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{} {thing}{}", grouped(count as u64), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::bundle::{HTML_MIME, TEXT_MIME};

    #[test]
    fn a_long_frame_shows_both_ends_and_its_shape() {
        let frame = df!["v" => (0..2_000i64).collect::<Vec<_>>()].unwrap();
        let bundle = table_bundle(&frame);
        let html = bundle.data[HTML_MIME].as_str().unwrap();
        assert!(html.contains(">9<") && html.contains(">1990<") && html.contains(">1999<") && !html.contains(">10<"));
        assert!(html.contains("2,000 rows × 1 column<"));
        assert!(bundle.data[TEXT_MIME].as_str().unwrap().contains("shape: (2_000, 1)"));
    }

    #[test]
    fn an_empty_frame_still_shows_its_columns() {
        let frame = df!["amount" => Vec::<f64>::new()].unwrap();
        assert!(table_bundle(&frame).data[HTML_MIME].as_str().unwrap().contains("amount"));
    }
}
