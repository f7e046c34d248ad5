//! The part of a result that a screen shows, in the order and with the filter that a person chose.

use polars::prelude::*;

/// The part of a result that a screen shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// Rows to pass over.
    pub offset: usize,
    /// Rows wanted.
    pub len: usize,
    /// Column to sort by, and whether the largest comes first. Without it the newest rows come first.
    pub sort: Option<(String, bool)>,
    /// Text that at least one cell of a row must hold, whatever its case.
    pub filter: Option<String>,
}

impl Page {
    /// Whether it is the newest rows as they are.
    pub(super) fn is_plain(&self) -> bool {
        self.sort.is_none() && self.filter.is_none()
    }

    /// Its rows out of all rows, oldest first; and how many there are after the filter.
    pub(super) fn of(&self, mut frame: DataFrame) -> PolarsResult<(usize, DataFrame)> {
        if let Some(text) = self.filter.as_deref().filter(|text| !text.is_empty()) {
            frame = containing(&frame, text)?;
        }
        let total = frame.height();
        frame = match &self.sort {
            Some((column, descending)) => {
                let options = SortMultipleOptions::default()
                    .with_order_descending(*descending)
                    .with_nulls_last(true)
                    .with_maintain_order(true);
                frame.reverse().sort([column.as_str()], options)?
            }
            None => frame.reverse(),
        };
        Ok((total, frame.slice(i64::try_from(self.offset).unwrap_or(i64::MAX), self.len)))
    }
}

/// The rows of which some cell, as text, holds `text`.
fn containing(frame: &DataFrame, text: &str) -> PolarsResult<DataFrame> {
    let needle = text.to_lowercase();
    let mut mask: Option<BooleanChunked> = None;
    for column in frame.columns() {
        let texts = column.cast(&DataType::String)?;
        let hits: BooleanChunked =
            texts.str()?.apply_nonnull_values_generic(DataType::Boolean, |cell| cell.to_lowercase().contains(&needle));
        let hits = hits.fill_null_with_values(false)?;
        mask = Some(match mask {
            Some(mask) => &mask | &hits,
            None => hits,
        });
    }
    mask.map_or_else(|| Ok(frame.clone()), |mask| frame.filter(&mask))
}
