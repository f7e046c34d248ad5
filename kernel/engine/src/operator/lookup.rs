//! Where the rows of a frame are that a stream is looked up in. A batch is joined by Polars with those rows of the frame that it
//! can meet: they are found by the hash of their keys, so that a batch costs what it has and not what the frame has. An index
//! holds hashes alone: rows of one hash with other keys are only rows that Polars does not match.

use std::hash::BuildHasher as _;

use plan::Lookup;
use polars::prelude::*;

use super::columns::{encoded, named_keys};

/// A frame this many times as long as the batch is looked into by its index; a shorter one Polars joins as quickly whole.
const LONGER: usize = 4;

/// The indexes of the look-ups among some steps, by the step's number; each is made when it is first needed.
#[derive(Default)]
pub(super) struct Indexes(PlHashMap<usize, Indexed>);

/// What is known of one look-up.
struct Indexed {
    /// Of the frame that it was made for.
    version: u64,
    /// There is none where the keys' types are compared as no hash can be.
    index: Option<LookupIndex>,
}

/// From the hash of a key to the rows that have it.
struct LookupIndex {
    hasher: PlRandomState,
    /// What the keys are cast to before they are hashed.
    casts: Vec<Option<DataType>>,
    nulls_meet: bool,
    /// The last row of each hash.
    last: PlHashMap<u64, IdxSize>,
    /// For each row the one before it with its hash; the row itself where there is none.
    before: Vec<IdxSize>,
}

impl Indexes {
    /// Joins rows as the step with this number says.
    pub(super) fn join(&mut self, number: usize, lookup: &Lookup, rows: DataFrame) -> PolarsResult<LazyFrame> {
        let [keys, _] = lookup.keys();
        if lookup.frame().height() <= rows.height() * LONGER || rows.height() == 0 || keys.is_empty() {
            return Ok(lookup.join(rows.lazy()));
        }
        let keys = rows.clone().lazy().select(named_keys(keys)).collect()?;
        let indexed = match self.0.get(&number).filter(|indexed| indexed.version == lookup.version()) {
            Some(_) => &self.0[&number],
            None => {
                let index = LookupIndex::new(lookup, keys.dtypes())?;
                self.0.insert(number, Indexed { version: lookup.version(), index });
                &self.0[&number]
            }
        };
        match &indexed.index {
            Some(index) => Ok(lookup.join_with(rows.lazy(), index.met_by(keys, lookup.frame())?)),
            None => Ok(lookup.join(rows.lazy())),
        }
    }
}

impl LookupIndex {
    /// The index of a look-up for rows whose keys have these types.
    fn new(lookup: &Lookup, left: Vec<DataType>) -> PolarsResult<Option<LookupIndex>> {
        let [_, right_on] = lookup.keys();
        let keys = lookup.frame().clone().lazy().select(named_keys(right_on)).collect()?;
        let types = left.iter().zip(keys.dtypes());
        let Some(casts) = types.map(|(left, right)| cast(left, &right)).collect() else { return Ok(None) };
        let (hasher, nulls_meet) = (PlRandomState::default(), lookup.nulls_meet());
        let mut index = LookupIndex { hasher, casts, nulls_meet, last: PlHashMap::default(), before: Vec::new() };
        let hashes = index.hashes(keys)?;
        index.before.reserve_exact(hashes.len());
        for (row, hash) in hashes.into_iter().enumerate() {
            let row = row as IdxSize;
            let before = hash.and_then(|hash| index.last.insert(hash, row));
            index.before.push(before.unwrap_or(row));
        }
        Ok(Some(index))
    }

    /// The rows of the frame that rows with these keys can meet.
    fn met_by(&self, keys: DataFrame, frame: &DataFrame) -> PolarsResult<DataFrame> {
        let mut hashes: Vec<u64> = self.hashes(keys)?.into_iter().flatten().collect();
        hashes.sort_unstable();
        hashes.dedup();
        let mut met = Vec::with_capacity(hashes.len());
        for mut row in hashes.iter().filter_map(|hash| self.last.get(hash).copied()) {
            met.push(row);
            while self.before[row as usize] != row {
                row = self.before[row as usize];
                met.push(row);
            }
        }
        met.sort_unstable();
        frame.take(&IdxCa::from_vec(PlSmallStr::EMPTY, met))
    }

    /// The hash of each row's keys; `None` for a row that meets none.
    fn hashes(&self, keys: DataFrame) -> PolarsResult<Vec<Option<u64>>> {
        let height = keys.height();
        let casts = self.casts.iter().zip(keys.columns());
        let keys = casts.map(|(cast, key)| cast.as_ref().map_or_else(|| Ok(key.clone()), |to| key.cast(to)));
        let keys = keys.collect::<PolarsResult<Vec<Column>>>()?;
        let rows = encoded(&keys, height)?;
        let mut hashes: Vec<Option<u64>> =
            rows.iter().map(|row| Some(self.hasher.hash_one(row.unwrap_or_default()))).collect();
        for key in keys.iter().filter(|key| !self.nulls_meet && key.null_count() > 0) {
            let is_null = key.is_null();
            for (hash, is_null) in hashes.iter_mut().zip(is_null.iter()) {
                *hash = hash.filter(|_| is_null != Some(true));
            }
        }
        Ok(hashes)
    }
}

/// What two keys are cast to, so that those that Polars takes for equal have one hash. Polars compares numbers of two types in a
/// type that holds both, and numbers that are equal there are so as floats; what else it compares is of one type.
fn cast(left: &DataType, right: &DataType) -> Option<Option<DataType>> {
    if left == right {
        return Some(None);
    }
    (left.is_primitive_numeric() && right.is_primitive_numeric()).then_some(Some(DataType::Float64))
}
