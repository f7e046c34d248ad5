//! What rows are sorted by, as bytes that are in the order that Polars' `sort` gives the rows.

use polars::chunked_array::ops::row_encode::_get_rows_encoded_ca;
use polars::prelude::*;
use smallvec::SmallVec;

/// The key of a row.
pub(super) type SortKey = SmallVec<[u8; 24]>;

/// What is sorted by, and in which direction.
pub(super) struct SortKeys {
    by: Vec<Expr>,
    options: SortMultipleOptions,
}

impl SortKeys {
    pub(super) fn new(by: &[Expr], options: &SortMultipleOptions) -> SortKeys {
        SortKeys { by: by.to_vec(), options: options.clone() }
    }

    /// The key of each row.
    pub(super) fn of(&self, rows: &DataFrame) -> PolarsResult<BinaryOffsetChunked> {
        let mut columns = Vec::with_capacity(self.by.len());
        for expr in &self.by {
            match expr {
                Expr::Column(name) => columns.push(rows.column(name)?.clone()),
                // One may stand for several columns, and several may be of one name.
                _ => columns.extend(rows.clone().lazy().select([expr.clone()]).collect()?.into_columns()),
            }
        }
        let height = rows.height();
        for column in columns.iter_mut().filter(|column| column.len() != height) {
            *column = column.new_from_index(0, height);
        }
        // One direction is that of all.
        let each = |flags: &[bool]| -> Vec<bool> {
            let flag = |n: usize| flags.get(n).or(flags.first()).copied().unwrap_or_default();
            (0..columns.len()).map(flag).collect()
        };
        let (descending, nulls_last) = (each(&self.options.descending), each(&self.options.nulls_last));
        _get_rows_encoded_ca(PlSmallStr::EMPTY, &columns, &descending, &nulls_last, false)
    }
}
