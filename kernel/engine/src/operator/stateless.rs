//! Operators without a state: Polars runs them on a batch as it would on a frame.

use plan::Step;
use polars::prelude::*;

/// Runs consecutive row-wise steps on the rows of a batch.
pub(crate) fn execute(steps: &[Step], rows: DataFrame) -> PolarsResult<DataFrame> {
    if steps.is_empty() {
        return Ok(rows);
    }
    let lazy = steps.iter().fold(rows.lazy(), |frame, step| match step {
        Step::Filter(predicate) => frame.filter(predicate.clone()),
        Step::Select(exprs) => frame.select(exprs),
        Step::WithColumns(exprs) => frame.with_columns(exprs),
        Step::Watermark(_) | Step::Aggregate(_) => frame,
    });
    lazy.collect()
}

/// Runs row-wise steps on rows that have identities; gives the identities that passed, and those that did not.
pub(crate) fn execute_keyed(
    steps: &[Step],
    mut rows: DataFrame,
    mut ids: Vec<u64>,
) -> PolarsResult<(DataFrame, Vec<u64>, Vec<u64>)> {
    let mut gone = Vec::new();
    for step in steps {
        if let Step::Filter(predicate) = step {
            let mask = rows.clone().lazy().select([predicate.clone().alias("keep")]).collect()?;
            let mask = broadcast(mask.column("keep")?.bool()?, rows.height());
            rows = rows.filter(&mask)?;
            let mut kept = Vec::with_capacity(rows.height());
            for (id, keep) in ids.into_iter().zip(mask.iter()) {
                if keep == Some(true) { kept.push(id) } else { gone.push(id) }
            }
            ids = kept;
        } else {
            rows = execute(std::slice::from_ref(step), rows)?;
        }
    }
    Ok((rows, ids, gone))
}

/// A literal predicate gives one value for all rows.
fn broadcast(mask: &BooleanChunked, height: usize) -> BooleanChunked {
    if mask.len() == 1 && height != 1 { mask.new_from_index(0, height) } else { mask.clone() }
}
