//! Rows that are kept until they are freed. They lie in segments of some ten thousand, so that neither a new row nor one that is
//! freed moves the others; a row is known by a number, and newer rows have larger ones. A copy shares the segments with what it was
//! made of, until one of the two changes them.

use std::sync::Arc;

use polars::prelude::*;

/// Rows of a segment that takes no more.
const FULL: usize = 65_536;
const FREED: u8 = 1;
const MARKED: u8 = 2;

/// The rows.
#[derive(Clone)]
pub(crate) struct Segments {
    empty: DataFrame,
    segments: Vec<Segment>,
    next: u64,
    /// Once they have been written down.
    noted: Option<SegmentChanges>,
}

/// What became of rows since they were last written down.
#[derive(Clone, Default)]
pub(super) struct SegmentChanges {
    /// Rows from this number on are new.
    pub(super) from: u64,
    /// Those that were freed and are not new.
    pub(super) freed: Vec<u64>,
    /// Those that were marked and are not new.
    pub(super) marked: Vec<u64>,
}

#[derive(Clone)]
struct Segment {
    /// The numbers of the rows, rising.
    ids: Arc<Vec<u64>>,
    flags: Arc<Vec<u8>>,
    rows: DataFrame,
    live: usize,
}

impl Segments {
    /// `empty` has the columns of the rows.
    pub(super) fn new(empty: DataFrame) -> Segments {
        Segments { empty, segments: Vec::new(), next: 0, noted: None }
    }

    /// Adds rows; gives the number of the first, which the others' follow.
    pub(super) fn push(&mut self, rows: DataFrame) -> u64 {
        let first = self.next;
        self.put((first..).take(rows.height()).collect(), rows);
        first
    }

    /// Adds rows under rising numbers that are larger than those of all others.
    pub(super) fn put(&mut self, ids: Vec<u64>, rows: DataFrame) {
        let Some(last) = ids.last() else { return };
        self.next = last + 1;
        let (live, flags) = (ids.len(), Arc::new(vec![0; ids.len()]));
        self.segments.push(Segment { live, flags, ids: Arc::new(ids), rows });
    }

    /// The columns of the rows, without rows.
    pub(super) fn empty(&self) -> &DataFrame {
        &self.empty
    }

    /// What became of rows since this was last asked; from now on it is noted.
    pub(super) fn noted(&mut self) -> SegmentChanges {
        self.noted.replace(SegmentChanges { from: self.next, ..SegmentChanges::default() }).unwrap_or_default()
    }

    /// Rows by their numbers; where there is none, nulls.
    pub(super) fn take(&self, ids: &[Option<u64>]) -> PolarsResult<DataFrame> {
        let mut wanted: Vec<Vec<IdxSize>> = vec![Vec::new(); self.segments.len()];
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            found.push(id.and_then(|id| self.find(id)).map(|(segment, row)| {
                wanted[segment].push(row as IdxSize);
                (segment, wanted[segment].len() - 1)
            }));
        }
        let (mut firsts, mut all) = (Vec::with_capacity(wanted.len()), self.empty.clone());
        for (segment, rows) in self.segments.iter().zip(&wanted) {
            firsts.push(all.height());
            if !rows.is_empty() {
                all.vstack_mut(&segment.rows.take(&IdxCa::from_slice(PlSmallStr::EMPTY, rows))?)?;
            }
        }
        let order: Vec<Option<IdxSize>> =
            found.iter().map(|place| place.map(|(segment, row)| (firsts[segment] + row) as IdxSize)).collect();
        if order.iter().enumerate().all(|(place, row)| *row == Some(place as IdxSize)) {
            return Ok(all);
        }
        if all.height() == 0 {
            return Ok(DataFrame::full_null(self.empty.schema(), ids.len()));
        }
        all.rechunk_mut();
        all.take(&IdxCa::from_iter(order))
    }

    /// Notes something of a row.
    pub(crate) fn mark(&mut self, id: u64) {
        let Some((segment, row)) = self.find(id) else { return };
        let flags = &mut self.segments[segment].flags;
        if flags[row] & MARKED != 0 {
            return;
        }
        Arc::make_mut(flags)[row] |= MARKED;
        if let Some(noted) = self.noted.as_mut().filter(|noted| id < noted.from) {
            noted.marked.push(id);
        }
    }

    /// Whether it was noted.
    pub(crate) fn is_marked(&self, id: u64) -> bool {
        self.find(id).is_some_and(|(segment, row)| self.segments[segment].flags[row] & MARKED != 0)
    }

    /// Says that a row is not needed any more. It is there until the next [`Segments::tidy`].
    pub(crate) fn free(&mut self, id: u64) {
        let Some((segment, row)) = self.find(id) else { return };
        let segment = &mut self.segments[segment];
        if segment.flags[row] & FREED == 0 {
            segment.live -= 1;
            Arc::make_mut(&mut segment.flags)[row] |= FREED;
            if let Some(noted) = self.noted.as_mut().filter(|noted| id < noted.from) {
                noted.freed.push(id);
            }
        }
    }

    /// Whether a row is there and not freed.
    pub(super) fn is_live(&self, id: u64) -> bool {
        self.find(id).is_some_and(|(segment, row)| self.segments[segment].flags[row] & FREED == 0)
    }

    /// Gives the room of freed rows back, and joins segments that are small beside those that come after them.
    pub(crate) fn tidy(&mut self) -> PolarsResult<()> {
        let mut tidied: Vec<Segment> = Vec::with_capacity(self.segments.len());
        for mut segment in std::mem::take(&mut self.segments) {
            if segment.live * 2 < segment.ids.len() {
                segment.shrink()?;
            }
            if segment.live == 0 {
                continue;
            }
            while let Some(before) = tidied.pop_if(|before| before.is_small_beside(&segment)) {
                segment = before.joined(segment)?;
            }
            tidied.push(segment);
        }
        self.segments = tidied;
        Ok(())
    }

    /// About how much memory the rows take.
    pub(super) fn bytes(&self) -> usize {
        self.segments.iter().map(|segment| segment.rows.estimated_size()).sum()
    }

    /// The rows that are not freed, in the order of their numbers.
    pub(super) fn live(&self) -> PolarsResult<DataFrame> {
        let mut rows = self.empty.clone();
        for segment in &self.segments {
            rows.vstack_mut(&segment.rows.filter(&segment.are_live())?)?;
        }
        Ok(rows)
    }

    /// The numbers of those rows from a number on.
    pub(super) fn live_from(&self, from: u64) -> Vec<u64> {
        let segments = self.segments.iter().filter(|segment| segment.ids.last().is_some_and(|last| *last >= from));
        let rows = segments.flat_map(|segment| segment.ids.iter().zip(segment.flags.iter()));
        rows.filter(|(id, flags)| **id >= from && *flags & FREED == 0).map(|(id, _)| *id).collect()
    }

    /// Where a row is: its segment, and its place in that.
    fn find(&self, id: u64) -> Option<(usize, usize)> {
        let segment = self.segments.partition_point(|segment| segment.ids[0] <= id).checked_sub(1)?;
        let ids = &self.segments[segment].ids;
        // Numbers have no gaps as long as no row was freed.
        let guess = (id - ids[0]) as usize;
        let row = if ids.get(guess) == Some(&id) { guess } else { ids.binary_search(&id).ok()? };
        Some((segment, row))
    }
}

impl Segment {
    fn are_live(&self) -> BooleanChunked {
        self.flags.iter().map(|flags| Some(flags & FREED == 0)).collect()
    }

    fn shrink(&mut self) -> PolarsResult<()> {
        self.rows = self.rows.filter(&self.are_live())?;
        let live: Vec<bool> = self.flags.iter().map(|flags| flags & FREED == 0).collect();
        let (mut ids, mut flags) = (live.iter(), live.iter());
        Arc::make_mut(&mut self.ids).retain(|_| ids.next() == Some(&true));
        Arc::make_mut(&mut self.flags).retain(|_| flags.next() == Some(&true));
        Ok(())
    }

    /// Joining only such segments moves a row a few times in its life, however many come.
    fn is_small_beside(&self, next: &Segment) -> bool {
        self.ids.len() + next.ids.len() <= FULL && self.ids.len() <= 2 * next.ids.len()
    }

    fn joined(mut self, next: Segment) -> PolarsResult<Segment> {
        Arc::make_mut(&mut self.ids).extend_from_slice(&next.ids);
        Arc::make_mut(&mut self.flags).extend_from_slice(&next.flags);
        self.live += next.live;
        self.rows.vstack_mut(&next.rows)?;
        self.rows.rechunk_mut();
        Ok(self)
    }
}
