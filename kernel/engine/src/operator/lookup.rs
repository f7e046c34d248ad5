//! A frame that a stream is looked up in, and where its rows are. A batch is joined by Polars with those rows of the frame that it
//! can meet: they are found by the hash of their keys, so that a batch costs what it has and not what the frame has. An index
//! holds hashes alone: rows of one hash with other keys are only rows that Polars does not match.

use std::hash::BuildHasher as _;
use std::time::Duration;

use plan::Lookup;
use polars::prelude::*;

use super::columns::{encoded, named_keys};

/// A frame this many times as long as the batch is looked into by its index; a shorter one Polars joins as quickly whole.
const LONGER: usize = 4;

/// The place of a row in its batch, while the batch is sorted.
const PLACE: &str = "__corriente_place";

/// A frame that rows are looked up in, as it is now.
pub(crate) struct LookupTable {
    lookup: Lookup,
    /// As the join wants it.
    frame: DataFrame,
    /// What is known of the index once it was needed: there is none where the keys' types are compared as no hash can be.
    index: Option<Option<LookupIndex>>,
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

impl LookupTable {
    pub(super) fn new(lookup: &Lookup) -> PolarsResult<LookupTable> {
        let frame = prepared(lookup, lookup.frame().clone())?;
        Ok(LookupTable { lookup: lookup.clone(), frame, index: None })
    }

    /// How often it is to be read anew, if it is.
    pub(crate) fn refresh(&self) -> Option<Duration> {
        self.lookup.refresh()
    }

    /// Reads it anew. Where that fails the one that was there stays.
    pub(crate) fn read_anew(&mut self) -> PolarsResult<()> {
        if let Some(frame) = self.lookup.read()? {
            self.frame = prepared(&self.lookup, frame)?;
            self.index = None;
        }
        Ok(())
    }

    /// Joins rows with it; they stay in the order they came in.
    pub(super) fn join(&mut self, rows: DataFrame) -> PolarsResult<LazyFrame> {
        let [keys, _] = self.lookup.keys();
        if self.frame.height() <= rows.height() * LONGER || rows.height() == 0 || keys.is_empty() {
            return Ok(joined(&self.lookup, rows.lazy(), self.frame.clone()));
        }
        let keys = rows.clone().lazy().select(named_keys(keys)).collect()?;
        let index = match &mut self.index {
            Some(index) => index,
            none => none.insert(LookupIndex::new(&self.lookup, &self.frame, keys.dtypes())?),
        };
        let frame = match index {
            Some(index) => index.met_by(keys, &self.frame)?,
            None => self.frame.clone(),
        };
        Ok(joined(&self.lookup, rows.lazy(), frame))
    }
}

/// The frame as the join wants it.
fn prepared(lookup: &Lookup, frame: DataFrame) -> PolarsResult<DataFrame> {
    let Some(on) = lookup.nearest() else { return Ok(frame) };
    let ([_, time], sorted) = (on.times(), SortMultipleOptions::default().with_maintain_order(true));
    frame.lazy().filter(col(time).is_not_null()).sort([time], sorted).collect()
}

/// The join with a frame, or with some rows of it in its order, among which are all that these rows can meet.
fn joined(lookup: &Lookup, rows: LazyFrame, frame: DataFrame) -> LazyFrame {
    let (how, frame) = (lookup.how(), frame.lazy());
    match lookup.nearest() {
        None => {
            let ([left, right], mut options) = (lookup.keys(), JoinArgs::new(how));
            options.maintain_order = MaintainOrderJoin::LeftRight;
            rows.join(frame, left, right, options)
        }
        Some(on) => {
            let [left, right] = on.times();
            let sorted = rows.with_row_index(PLACE, None).sort([left], SortMultipleOptions::default());
            let joined = sorted.join(frame, [col(left)], [col(right)], JoinArgs::new(how));
            joined.sort([PLACE], SortMultipleOptions::default()).drop(cols([PLACE]))
        }
    }
}

impl LookupIndex {
    /// The index of a look-up for rows whose keys have these types.
    fn new(lookup: &Lookup, frame: &DataFrame, left: Vec<DataType>) -> PolarsResult<Option<LookupIndex>> {
        let [_, right_on] = lookup.keys();
        let keys = frame.clone().lazy().select(named_keys(right_on)).collect()?;
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
