//! A frame that a stream is looked up in, and where its rows are. A batch is joined by Polars with those rows of the frame that it
//! can meet: they are found by the hash of their keys, so that a batch costs what it has and not what the frame has. An index
//! holds hashes alone: rows of one hash with other keys are only rows that Polars does not match.

/// As-of joins with such a frame.
mod nearest;

use std::hash::BuildHasher as _;
use std::time::Duration;

use plan::Lookup;
use polars::prelude::*;

use nearest::NearestIndex;

use super::columns::{encoded, named_keys};

/// A frame this many times as long as the batch is looked into by its index; a shorter one Polars joins as quickly whole.
const LONGER: usize = 4;

/// A frame that rows are looked up in, as it is now.
pub(crate) struct LookupTable {
    lookup: Lookup,
    frame: DataFrame,
    /// Made when it is first needed.
    index: Option<Index>,
}

/// How rows of the frame are found.
enum Index {
    /// Those of equal keys.
    Equal(LookupIndex),
    /// By Polars alone: the keys' types are compared as no hash can be.
    Whole,
    /// The nearest in time.
    Nearest(NearestIndex),
}

/// From the hash of a key to the rows that have it.
struct LookupIndex {
    hasher: PlRandomState,
    /// What the keys are cast to before they are hashed.
    casts: Vec<Option<DataType>>,
    /// The last row of each hash.
    last: PlHashMap<u64, IdxSize>,
    /// For each row the one before it with its hash; the row itself where there is none.
    before: Vec<IdxSize>,
}

impl LookupTable {
    pub(super) fn new(lookup: &Lookup) -> LookupTable {
        LookupTable { lookup: lookup.clone(), frame: lookup.frame().clone(), index: None }
    }

    /// How often it is to be read anew, if it is.
    pub(crate) fn refresh(&self) -> Option<Duration> {
        self.lookup.refresh()
    }

    /// Reads it anew. Where that fails the one that was there stays.
    pub(crate) fn read_anew(&mut self) -> PolarsResult<()> {
        if let Some(frame) = self.lookup.read()? {
            (self.frame, self.index) = (frame, None);
        }
        Ok(())
    }

    /// Joins rows with it; they stay in the order they came in.
    pub(super) fn join(&mut self, rows: DataFrame) -> PolarsResult<LazyFrame> {
        let ([keys, _], on) = (self.lookup.keys(), self.lookup.nearest());
        let is_short = self.frame.height() <= rows.height() * LONGER || rows.height() == 0 || keys.is_empty();
        if on.is_none() && is_short {
            return Ok(self.equal(rows, self.frame.clone()));
        }
        let met = rows.clone().lazy().select(named_keys(keys)).collect()?;
        let index = match (&mut self.index, on) {
            (Some(index), _) => index,
            (none, Some(on)) => none.insert(Index::Nearest(NearestIndex::new(&self.lookup, on, &self.frame)?)),
            (none, None) => none
                .insert(LookupIndex::new(&self.lookup, &self.frame, met.dtypes())?.map_or(Index::Whole, Index::Equal)),
        };
        match (index, on) {
            (Index::Nearest(index), Some(on)) => Ok(index.join(&self.lookup, on, rows)?.lazy()),
            (Index::Equal(index), _) => {
                let frame = index.met_by(met, &self.frame)?;
                Ok(self.equal(rows, frame))
            }
            _ => Ok(self.equal(rows, self.frame.clone())),
        }
    }

    /// The join with the frame, or with some rows of it in its order, among which are all that these rows can meet.
    fn equal(&self, rows: DataFrame, frame: DataFrame) -> LazyFrame {
        let ([left, right], how) = (self.lookup.keys(), self.lookup.how().cloned().unwrap_or_default());
        let mut options = JoinArgs::new(how);
        options.maintain_order = MaintainOrderJoin::LeftRight;
        rows.lazy().join(frame.lazy(), left, right, options)
    }
}

impl LookupIndex {
    /// The index of a look-up for rows whose keys have these types.
    fn new(lookup: &Lookup, frame: &DataFrame, left: Vec<DataType>) -> PolarsResult<Option<LookupIndex>> {
        let [_, right_on] = lookup.keys();
        let keys = frame.clone().lazy().select(named_keys(right_on)).collect()?;
        let types = left.iter().zip(keys.dtypes());
        let Some(casts) = types.map(|(left, right)| cast(left, &right)).collect() else { return Ok(None) };
        let hasher = PlRandomState::default();
        let mut index = LookupIndex { hasher, casts, last: PlHashMap::default(), before: Vec::new() };
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
        for key in keys.iter().filter(|key| key.null_count() > 0) {
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
