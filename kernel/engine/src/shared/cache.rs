//! What a shared source gave lately, in stretches of offsets by partition, and where its readers are. Pure data: who locks
//! it, and who fetches, is not known here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::physical::RowFilter;
use polars::prelude::{DataFrame, PlSmallStr, PolarsResult};

use crate::position::{Offsets, Reach, TopicPartition};
use crate::source::{DeadLetter, LeftOut, PartitionRows, SourceBatch};

/// Bytes that may be kept for readers that have not come so far yet.
pub(super) const MOST_BYTES: usize = 64 << 20;
/// Bytes that are kept behind all readers, for those that are about to catch up.
const BEHIND: usize = 4 << 20;
/// What a dead letter counts for.
const DEAD_BYTES: usize = 512;

/// Where a reader stands.
#[derive(Debug, PartialEq)]
pub(super) enum CachePlace {
    /// As far as this can be read at once.
    Within(Offsets),
    /// Everything that there is was read.
    AtHead,
    /// What comes next is not here.
    Apart,
}

#[derive(Default)]
pub(super) struct Cache {
    partitions: BTreeMap<TopicPartition, Partition>,
    readers: BTreeMap<u64, Reader>,
    next: u64,
}

#[derive(Default)]
struct Reader {
    /// Where it is, if it reads here, or is about to.
    at: Option<Offsets>,
    filter: Option<RowFilter>,
}

/// How a stretch was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ReadSpec {
    /// The columns that were decoded.
    pub(super) columns: BTreeSet<PlSmallStr>,
    /// What rows may have been left out by.
    pub(super) filter: Option<RowFilter>,
}

struct Partition {
    segments: VecDeque<CachedRange>,
    /// Where the next segment begins.
    end: i64,
}

/// A stretch of a partition as it was read.
struct CachedRange {
    from: i64,
    to: i64,
    rows: Option<DataFrame>,
    newest_ms: Option<i64>,
    dead: Vec<DeadLetter>,
    left_out: Option<LeftOut>,
    reading: Arc<ReadSpec>,
    bytes: usize,
}

/// What a reader wants.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) columns: &'a [PlSmallStr],
    pub(super) filter: Option<&'a RowFilter>,
}

impl CachedRange {
    /// Whether it holds what a source for `wanted` alone would give. A record whose other columns were wrong would have been
    /// a row there.
    fn serves(&self, wanted: Wanted<'_>) -> bool {
        let has = |name: &str| wanted.columns.iter().any(|column| column == name);
        let is_dead_there = |dead: &DeadLetter| dead.field.as_ref().is_none_or(|field| has(field));
        let reading = self.reading.as_ref();
        wanted.columns.iter().all(|name| reading.columns.contains(name))
            && (reading.filter.is_none() || reading.filter.as_ref() == wanted.filter)
            && self.dead.iter().all(is_dead_there)
    }

    fn height(&self) -> usize {
        let left = self.left_out.as_ref().map_or(0, |left| left.rows);
        self.rows.as_ref().map_or(0, DataFrame::height) + self.dead.len() + left
    }
}

impl Partition {
    fn new(end: i64) -> Partition {
        Partition { segments: VecDeque::new(), end }
    }

    fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The segments from `at` on, if one begins there or the next will.
    fn from(&self, at: i64) -> Option<impl Iterator<Item = &CachedRange>> {
        let first = self.segments.partition_point(|segment| segment.from < at);
        let begins = self.segments.get(first).map_or(self.end, |segment| segment.from) == at;
        begins.then(|| self.segments.iter().skip(first))
    }

    /// How far one can read from `at` for `wanted` with about `max_rows`, and how many rows that are.
    fn reach(&self, at: i64, wanted: Wanted<'_>, max_rows: usize) -> Option<(i64, usize)> {
        let (mut to, mut rows) = (at, 0);
        for segment in self.from(at)? {
            if !segment.serves(wanted) {
                // What comes next is not for this reader.
                return (to > at).then_some((to, rows));
            }
            if to > at && rows + segment.height() > max_rows {
                break;
            }
            rows += segment.height();
            to = segment.to;
        }
        Some((to, rows))
    }
}

impl Cache {
    pub(super) fn join(&mut self) -> u64 {
        self.next += 1;
        self.readers.insert(self.next, Reader::default());
        self.next
    }

    /// Says which rows a reader needs.
    pub(super) fn filter(&mut self, reader: u64, filter: &RowFilter) {
        self.readers.entry(reader).or_default().filter = Some(filter.clone());
    }

    /// The rows that all who read here need, where it is the same ones.
    pub(super) fn common_filter(&self) -> Option<RowFilter> {
        let mut filters = self.readers.values().filter(|reader| reader.at.is_some()).map(|reader| &reader.filter);
        let first = filters.next()?;
        filters.all(|filter| filter == first).then(|| first.clone()).flatten()
    }

    pub(super) fn leave(&mut self, reader: u64) {
        self.readers.remove(&reader);
        self.trim();
    }

    /// How many read here.
    pub(super) fn readers(&self) -> usize {
        self.positions().count()
    }

    fn positions(&self) -> impl Iterator<Item = &Offsets> {
        self.readers.values().filter_map(|reader| reader.at.as_ref())
    }

    /// Where the next segments begin.
    pub(super) fn head(&self) -> Offsets {
        self.partitions.iter().map(|(partition, held)| (partition.clone(), held.end)).collect()
    }

    /// Where a reader is that has read up to `from`. One that nobody else reads with takes the head along.
    pub(super) fn place(&mut self, reader: u64, from: &Offsets, wanted: Wanted<'_>, max_rows: usize) -> CachePlace {
        let mut place = self.place_of(from, wanted, max_rows);
        let others = self.readers.iter().any(|(other, its)| *other != reader && its.at.is_some());
        if !self.is_here(from) && !others {
            self.partitions = from.0.iter().map(|(partition, at)| (partition.clone(), Partition::new(*at))).collect();
            place = CachePlace::AtHead;
        }
        self.readers.entry(reader).or_default().at = (place != CachePlace::Apart).then(|| from.clone());
        self.trim();
        place
    }

    /// Whether a segment begins at `from`, or will, in every partition.
    fn is_here(&self, from: &Offsets) -> bool {
        self.partitions.keys().eq(from.0.keys())
            && self.partitions.iter().all(|(partition, held)| held.from(from.0[partition]).is_some())
    }

    fn place_of(&self, from: &Offsets, wanted: Wanted<'_>, max_rows: usize) -> CachePlace {
        let serves =
            |(partition, held): (&TopicPartition, &Partition)| held.reach(from.0[partition], wanted, 1).is_some();
        if !self.is_here(from) || !self.partitions.iter().all(serves) {
            return CachePlace::Apart;
        }
        let to = from.shared_out(max_rows, |partition, at, share| {
            let held = self.partitions.get(partition)?;
            let (to, rows) = held.reach(at, wanted, share)?;
            Some(Reach { to, rows, more: to < held.end })
        });
        if to == *from { CachePlace::AtHead } else { CachePlace::Within(to) }
    }

    /// How far a reader that is not here goes by itself, which could read up to `reached`: to where it can go on with the
    /// others, if it can come there.
    pub(super) fn approach(&mut self, reader: u64, from: &Offsets, reached: Offsets) -> Offsets {
        let mut to = reached;
        let mut joins = self.partitions.keys().eq(from.0.keys());
        for (partition, at) in &mut to.0 {
            let (Some(held), Some(begun)) = (self.partitions.get(partition), from.0.get(partition)) else { continue };
            // The farthest place where it can go on with what is here.
            let places = held.segments.iter().map(|segment| segment.from).chain([held.end]);
            if let Some(place) = places.filter(|place| *place > *begun && *place <= *at).max() {
                *at = place;
            }
            joins &= held.from(*at).is_some();
        }
        if joins {
            self.readers.entry(reader).or_default().at = Some(to.clone());
        }
        to
    }

    /// Takes in what lies in `[from, to)`.
    pub(super) fn push(&mut self, from: &Offsets, to: &Offsets, batch: SourceBatch, reading: &ReadSpec) {
        let reading = Arc::new(reading.clone());
        let SourceBatch { parts, dead_letters, left_out } = batch;
        let mut left_out: BTreeMap<_, LeftOut> =
            left_out.into_iter().map(|left| (left.partition.clone(), left)).collect();
        let mut parts: BTreeMap<_, PartitionRows> =
            parts.into_iter().map(|part| (part.partition.clone(), part)).collect();
        let mut dead: BTreeMap<_, Vec<DeadLetter>> = BTreeMap::new();
        for letter in dead_letters {
            dead.entry(letter.partition.clone()).or_default().push(letter);
        }
        for (partition, end) in &to.0 {
            let begun = from.0.get(partition).copied().unwrap_or(*end);
            let goes_on = |held: &&mut Partition| held.end == begun && begun < *end;
            let Some(held) = self.partitions.get_mut(partition).filter(goes_on) else { continue };
            let part = parts.remove(partition);
            let (rows, newest_ms) = part.map_or((None, None), |part| (Some(part.rows), part.newest_ms));
            let dead = dead.remove(partition).unwrap_or_default();
            let bytes = rows.as_ref().map_or(0, DataFrame::estimated_size) + dead.len() * DEAD_BYTES;
            held.segments.push_back(CachedRange {
                from: begun,
                to: *end,
                rows,
                newest_ms,
                dead,
                left_out: left_out.remove(partition),
                reading: Arc::clone(&reading),
                bytes,
            });
            held.end = *end;
        }
        self.trim();
    }

    /// The rows of `[from, to)` as a source for `wanted` alone gives them; None where not all of it is here.
    pub(super) fn read(&self, from: &Offsets, to: &Offsets, wanted: Wanted<'_>) -> PolarsResult<Option<SourceBatch>> {
        let mut batch = SourceBatch::default();
        for (partition, end) in &to.0 {
            let mut at = from.0.get(partition).copied().unwrap_or(*end);
            if at >= *end {
                continue;
            }
            let segments = self.partitions.get(partition).and_then(|held| held.from(at));
            let Some(segments) = segments else { return Ok(None) };
            let mut all: Option<PartitionRows> = None;
            let mut left_out: Option<LeftOut> = None;
            for segment in segments.take_while(|segment| segment.from < *end) {
                if segment.to > *end || !segment.serves(wanted) {
                    return Ok(None);
                }
                at = segment.to;
                batch.dead_letters.extend(segment.dead.iter().cloned());
                if let Some(more) = &segment.left_out {
                    let (rows, newest) = left_out.map_or((0, None), |left| (left.rows, left.newest));
                    let (rows, newest) = (rows + more.rows, newest.max(more.newest));
                    left_out = Some(LeftOut { partition: partition.clone(), rows, newest });
                }
                let Some(rows) = &segment.rows else { continue };
                append(&mut all, partition, narrowed(rows, wanted.columns)?, segment.newest_ms)?;
            }
            if at != *end {
                return Ok(None);
            }
            batch.parts.extend(all);
            batch.left_out.extend(left_out);
        }
        Ok(Some(batch))
    }

    /// Lets go of what all readers have behind them, but for a little, and of the oldest beyond what may be kept.
    fn trim(&mut self) {
        let share = self.partitions.len().max(1);
        for (partition, held) in &mut self.partitions {
            let slowest =
                self.readers.values().filter_map(|reader| reader.at.as_ref()?.0.get(partition)).min().copied();
            let mut bytes = held.bytes();
            while let Some(first) = held.segments.front() {
                let is_read = slowest.is_none_or(|at| first.to <= at);
                if bytes <= BEHIND / share || !(is_read || bytes > MOST_BYTES / share) {
                    break;
                }
                bytes -= first.bytes;
                held.segments.pop_front();
            }
        }
    }
}

fn append(
    all: &mut Option<PartitionRows>,
    partition: &TopicPartition,
    rows: DataFrame,
    newest_ms: Option<i64>,
) -> PolarsResult<()> {
    match all {
        None => *all = Some(PartitionRows { partition: partition.clone(), rows, newest_ms }),
        Some(all) => {
            all.newest_ms = all.newest_ms.max(newest_ms);
            match all.rows.width() {
                0 => all.rows = DataFrame::empty_with_height(all.rows.height() + rows.height()),
                _ => drop(all.rows.vstack_mut(&rows)?),
            }
        }
    }
    Ok(())
}

/// Only these columns, in the order in which they were decoded.
fn narrowed(rows: &DataFrame, columns: &[PlSmallStr]) -> PolarsResult<DataFrame> {
    if columns.is_empty() {
        return Ok(DataFrame::empty_with_height(rows.height()));
    }
    rows.select(rows.schema().iter_names().filter(|name| columns.contains(name)).cloned().collect::<Vec<_>>())
}
