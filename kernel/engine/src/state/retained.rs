//! The memory that an aggregation takes for rows and values it keeps, and the most it may.

use crate::physical::MOST_KEPT;
use polars::prelude::*;

/// The bytes of rows that are kept.
#[derive(Default)]
pub(super) struct RetainedBytes(usize);

impl RetainedBytes {
    /// Rows that are kept from now on.
    pub(super) fn add(&mut self, rows: &DataFrame) {
        self.0 += rows.estimated_size();
    }

    /// Rows that are no longer kept.
    pub(super) fn remove(&mut self, rows: &DataFrame) {
        self.0 = self.0.saturating_sub(rows.estimated_size());
    }

    /// Whether there may be as many, with what else is kept of rows.
    pub(super) fn check(&self, more: usize) -> PolarsResult<()> {
        check("rows", self.0 + more, MOST_KEPT)
    }
}

/// Whether an aggregation may keep so many bytes of values.
pub(crate) fn check_values(bytes: usize) -> PolarsResult<()> {
    check("values", bytes, MOST_KEPT)
}

/// Whether a join of rows that change may keep so many bytes of both sides.
pub(crate) fn check_joined(bytes: usize) -> PolarsResult<()> {
    polars_ensure!(
        bytes <= MOST_KEPT,
        ComputeError: "a join keeps more than it may: the rows of both sides take {} of at most {}. \
        Join aggregates over windows by their time as well, so that old ones are forgotten, or fewer keys and columns",
        in_units(bytes), in_units(MOST_KEPT)
    );
    Ok(())
}

fn check(what: &str, bytes: usize, most: usize) -> PolarsResult<()> {
    polars_ensure!(
        bytes <= most,
        ComputeError: "an aggregation keeps more than it may: its {} take {} of at most {}, as explain() says. \
        Aggregate over windows with a watermark, over fewer keys, or with aggregates that keep less: \
        sum, mean, min, max, var, first or last, and approx_n_unique() or approx_quantile(…) in the place of n_unique, median or quantile",
        what, in_units(bytes), in_units(most)
    );
    Ok(())
}

/// As in `2.0 GiB`.
fn in_units(bytes: usize) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes < 1024.0 { format!("{mebibytes:.1} MiB") } else { format!("{:.1} GiB", mebibytes / 1024.0) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn more_than_may_be_kept_is_told_with_what_to_do() {
        assert!(check_values(MOST_KEPT).is_ok());
        let told = check_values(MOST_KEPT + (1 << 30)).unwrap_err().to_string();
        assert!(told.contains("its values take 3.0 GiB of at most 2.0 GiB"), "{told}");
        assert!(told.contains("approx_quantile") && told.contains("watermark"), "{told}");
    }

    #[test]
    fn rows_that_go_are_not_counted_any_more() {
        let rows = df!["a" => [1i64; 1000]].unwrap();
        let mut kept = RetainedBytes::default();
        kept.add(&rows);
        assert!(kept.0 >= 8000);
        kept.remove(&rows);
        assert_eq!(kept.0, 0);
    }
}
