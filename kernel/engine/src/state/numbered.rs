//! Tables whose rows have numbers, and what changed of them: the rows that are new or others now, and the numbers of those
//! that are gone. One such table is written by many states of a checkpoint, each with what changed since the one before.

use polars::prelude::*;

use crate::operator::columns::ROW;

/// The column that says of a row whether only its number is left.
const GONE: &str = "__corriente_gone";

/// What changed of a table: rows, their numbers in the column [`ROW`], and the numbers of rows that are gone. Rows without a
/// number are only ever added.
pub(crate) fn changes(mut rows: DataFrame, gone: Vec<u64>) -> PolarsResult<DataFrame> {
    let mut left = DataFrame::full_null(rows.schema(), gone.len());
    left.with_column(Column::from(Series::new(ROW.into(), gone)))?;
    left.with_column(said(true, left.height()))?;
    rows.with_column(said(false, rows.height()))?;
    rows.vstack_mut(&left)?;
    Ok(rows)
}

fn said(gone: bool, height: usize) -> Column {
    Column::new_scalar(GONE.into(), gone.into(), height)
}

/// A table as it is after `changes`, oldest first. Rows that changed stand below those that did not.
pub(crate) fn changed(table: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<DataFrame> {
    if changes.is_empty() {
        return Ok(table);
    }
    let mut pieces = Vec::with_capacity(changes.len() + 1);
    // What a later state says of a number holds.
    let mut told: PlHashSet<u64> = PlHashSet::default();
    for piece in changes.into_iter().rev().chain([table]) {
        pieces.push(untold(piece, &mut told)?);
    }
    let mut all = pieces.pop().unwrap_or_default();
    while let Some(piece) = pieces.pop() {
        all.vstack_mut(&piece)?;
    }
    all.rechunk_mut();
    Ok(all)
}

/// The rows that no later state says anything of.
fn untold(piece: DataFrame, told: &mut PlHashSet<u64>) -> PolarsResult<DataFrame> {
    let mut keep = match piece.column(GONE) {
        Ok(gone) => !gone.bool()?,
        Err(_) => BooleanChunked::full(PlSmallStr::EMPTY, true, piece.height()),
    };
    let numbers = piece.column(ROW)?.u64()?;
    let new: BooleanChunked =
        numbers.iter().map(|number| Some(number.is_none_or(|number| !told.contains(&number)))).collect();
    keep = keep & new;
    told.extend(numbers.iter().flatten());
    let mut rows = piece.filter(&keep)?;
    let _ = rows.drop_in_place(GONE);
    Ok(rows)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rows(numbers: &[u64], values: &[i64]) -> DataFrame {
        df![ROW => numbers, "v" => values].unwrap()
    }

    #[test]
    fn a_table_is_what_its_changes_made_of_it() {
        let first = changes(rows(&[2, 9], &[22, 9]), vec![1, 77]).unwrap();
        let second = changes(rows(&[1], &[11]), vec![9, 2]).unwrap();
        let third = changes(rows(&[4], &[4]), Vec::new()).unwrap();
        let table = rows(&[1, 2, 3], &[1, 2, 3]);
        assert_eq!(changed(table.clone(), vec![first.clone()]).unwrap(), rows(&[3, 2, 9], &[3, 22, 9]));
        assert_eq!(changed(table, vec![first, second, third]).unwrap(), rows(&[3, 1, 4], &[3, 11, 4]));
    }

    #[test]
    fn a_number_may_have_several_rows_which_change_together() {
        let table = rows(&[1, 1, 2], &[10, 11, 20]);
        let later = changes(rows(&[1, 1], &[12, 13]), Vec::new()).unwrap();
        assert_eq!(changed(table, vec![later]).unwrap(), rows(&[2, 1, 1], &[20, 12, 13]));
    }

    #[test]
    fn a_table_without_changes_stays_as_it_is() {
        let table = df!["v" => [1i64, 2]].unwrap();
        assert_eq!(changed(table.clone(), Vec::new()).unwrap(), table);
    }

    #[test]
    fn rows_without_numbers_are_added() {
        let rows = |values: &[i64]| df![ROW => vec![None::<u64>; values.len()], "v" => values].unwrap();
        let later = changes(rows(&[3]), Vec::new()).unwrap();
        assert!(changed(rows(&[1, 2]), vec![later]).unwrap().equals_missing(&rows(&[1, 2, 3])));
    }
}
