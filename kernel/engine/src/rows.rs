//! Frames that grow batch by batch.

use polars::prelude::*;

/// Pieces that a frame may consist of before they are joined: every piece costs each operation on it.
const MAX_CHUNKS: usize = 32;

/// Puts rows below those that are there.
pub(crate) fn append(to: &mut DataFrame, rows: &DataFrame) -> PolarsResult<()> {
    to.vstack_mut(rows)?;
    if to.first_col_n_chunks() > MAX_CHUNKS {
        to.rechunk_mut();
    }
    Ok(())
}
