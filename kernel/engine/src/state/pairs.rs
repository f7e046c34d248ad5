//! Pairs of rows, each with an identity of its own.

use polars::prelude::*;

use super::{PendingTable, StateTable, numbered};
use crate::operator::columns::ROW;

/// The identities of the left and the right row; none where a row has no match.
pub(crate) type RowPair = [Option<u64>; 2];

/// The columns with them.
const SIDES: [&str; 2] = ["__corriente_left", "__corriente_right"];

/// The pairs that are there.
#[derive(Default)]
pub(crate) struct PairTable {
    ids: PlHashMap<RowPair, u64>,
    next_id: u64,
    /// The pairs that came, changed or went since the table was last written, by their identities, once it has been.
    noted: Option<PlHashMap<u64, RowPair>>,
}

impl PairTable {
    /// The identity of a pair, if it is there.
    pub(crate) fn id(&self, pair: &RowPair) -> Option<u64> {
        self.ids.get(pair).copied()
    }

    /// Puts a pair in, under the identity that it had or a new one.
    pub(crate) fn put(&mut self, pair: RowPair, before: Option<u64>) {
        let id = before.unwrap_or_else(|| {
            self.next_id += 1;
            self.next_id - 1
        });
        self.ids.insert(pair, id);
        self.note(id, pair);
    }

    /// Takes a pair out; gives its identity, if it was there.
    pub(crate) fn remove(&mut self, pair: &RowPair) -> Option<u64> {
        let id = self.ids.remove(pair)?;
        self.note(id, *pair);
        Some(id)
    }

    fn note(&mut self, id: u64, pair: RowPair) {
        if let Some(noted) = &mut self.noted {
            noted.insert(id, pair);
        }
    }
}

impl StateTable for PairTable {
    fn number(&mut self) -> Option<&mut u64> {
        Some(&mut self.next_id)
    }

    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let noted = self.noted.replace(PlHashMap::default()).unwrap_or_default();
        if all {
            let pairs: Vec<(u64, RowPair)> = self.ids.iter().map(|(pair, id)| (*id, *pair)).collect();
            return Ok(Box::new(move || table(pairs)));
        }
        let (there, gone): (Vec<_>, Vec<_>) = noted.into_iter().partition(|(id, pair)| self.ids.get(pair) == Some(id));
        let gone = gone.into_iter().map(|(id, _)| id).collect();
        Ok(Box::new(move || numbered::changes(table(there)?, gone)))
    }

    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()> {
        let saved = numbered::changed(saved, changes)?;
        let [left, right] = SIDES.map(|name| saved.column(name).and_then(|column| Ok(column.u64()?.clone())));
        let ids = saved.column(ROW)?.u64()?.iter().map(Option::unwrap_or_default);
        self.ids = left?.iter().zip(right?.iter()).map(|(left, right)| [left, right]).zip(ids).collect();
        self.noted = Some(PlHashMap::default());
        Ok(())
    }
}

fn table(pairs: Vec<(u64, RowPair)>) -> PolarsResult<DataFrame> {
    let (ids, pairs): (Vec<u64>, Vec<RowPair>) = pairs.into_iter().unzip();
    let of = |side: usize| Series::new(SIDES[side].into(), pairs.iter().map(|pair| pair[side]).collect::<Vec<_>>());
    DataFrame::new(ids.len(), vec![Series::new(ROW.into(), ids).into(), of(0).into(), of(1).into()])
}
