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

use super::columns::{NullKeys, encoded, named_keys};

/// A frame this many times as long as the batch is looked into by its index; a shorter one Polars joins as quickly whole.
const LONGER: usize = 4;

/// A frame that rows are looked up in, as it is now.
pub(crate) struct LookupTable {
    lookup: Lookup,
    frame: DataFrame,
    /// Of an as-of join, made when it is first needed.
    nearest: Option<NearestIndex>,
    /// Of a join of equal keys, made when it is first needed. There is none where the keys' types are compared as no hash can be.
    equal: Option<Option<LookupIndex>>,
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
        LookupTable { lookup: lookup.clone(), frame: lookup.frame().clone(), nearest: None, equal: None }
    }

    /// Forgets the rows, and keeps the columns.
    pub(super) fn clear(&mut self) {
        self.frame = self.frame.clear();
    }

    /// How often it is to be read anew, if it is.
    pub(crate) fn refresh(&self) -> Option<Duration> {
        self.lookup.refresh()
    }

    /// Reads it anew. Where that fails the one that was there stays.
    pub(crate) fn read_anew(&mut self) -> PolarsResult<()> {
        if let Some(frame) = self.lookup.read()? {
            (self.frame, self.nearest, self.equal) = (frame, None, None);
        }
        Ok(())
    }

    /// Joins rows with it; they stay in the order they came in.
    pub(super) fn join(&mut self, rows: DataFrame) -> PolarsResult<LazyFrame> {
        let Some(on) = self.lookup.nearest() else { return self.join_equal(rows) };
        let index = match &mut self.nearest {
            Some(index) => index,
            none => none.insert(NearestIndex::new(&self.lookup, on, &self.frame)?),
        };
        Ok(index.join(&self.lookup, on, rows)?.lazy())
    }

    /// Joins rows by Polars: with the frame, or with some rows of it in its order, among which are all that these rows can meet.
    fn join_equal(&mut self, rows: DataFrame) -> PolarsResult<LazyFrame> {
        let has_no_keys = self.lookup.keys()[0].is_empty();
        let is_short = self.frame.height() <= rows.height() * LONGER || rows.height() == 0 || has_no_keys;
        let frame = if is_short { self.frame.clone() } else { self.met_by(&rows)? };
        let [left, right] = self.lookup.keys();
        let mut options = JoinArgs::new(self.lookup.how().cloned().unwrap_or_default());
        options.maintain_order = MaintainOrderJoin::LeftRight;
        Ok(rows.lazy().join(frame.lazy(), left, right, options))
    }

    /// The rows of the frame that these rows can meet, or all.
    fn met_by(&mut self, rows: &DataFrame) -> PolarsResult<DataFrame> {
        let [keys, _] = self.lookup.keys();
        let keys = rows.clone().lazy().select(named_keys(keys)).collect()?;
        let index = match &mut self.equal {
            Some(index) => index,
            none => none.insert(LookupIndex::new(&self.lookup, &self.frame, keys.dtypes())?),
        };
        index.as_ref().map_or_else(|| Ok(self.frame.clone()), |index| index.met_by(keys, &self.frame))
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
        let (rows, nulls) = (encoded(&keys, height)?, NullKeys::of(&keys));
        let hash = |(row, key): (usize, Option<&[u8]>)| {
            (!nulls.has(row)).then(|| self.hasher.hash_one(key.unwrap_or_default()))
        };
        Ok(rows.iter().enumerate().map(hash).collect())
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
