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

/// Pieces below one another in one; they have the columns of `empty`.
pub(crate) fn stacked(empty: &DataFrame, pieces: &[DataFrame]) -> PolarsResult<DataFrame> {
    let mut all = empty.clone();
    pieces.iter().try_for_each(|piece| all.vstack_mut(piece).map(drop))?;
    all.rechunk_mut();
    Ok(all)
}
