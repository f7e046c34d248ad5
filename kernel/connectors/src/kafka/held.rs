//! Decoded records between the fetching thread and the reader: segments in offset order, cut exactly where the reader
//! wants. Pure data, on the reader's thread.

use std::collections::VecDeque;

use engine::{DeadLetter, LeftOut, PartitionRows, SourceBatch, TopicPartition};
use polars::prelude::{DataFrame, PolarsResult};

/// What a stretch of a partition held. Every offset from `from` to before `to` was seen; those that are neither a row
/// nor a dead letter hold no record (a transaction's marker, or a record that was compacted away).
pub(super) struct Segment {
    pub(super) partition: i32,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) rows: DataFrame,
    /// The offsets of the rows and of those left out, rising.
    pub(super) offsets: Vec<i64>,
    /// Their Kafka timestamps; [`NO_TIME`] where there is none.
    pub(super) times: Vec<i64>,
    /// Which of `offsets` were left out, rising, and the time of each that moves the watermark; [`NO_TIME`] for others.
    pub(super) left_out: Vec<(u32, i64)>,
    /// In offset order.
    pub(super) dead: Vec<DeadLetter>,
    /// Bytes it is counted for.
    pub(super) weight: usize,
}

/// For a record without a timestamp.
pub(super) const NO_TIME: i64 = i64::MIN;

impl Segment {
    /// How many of the first `count` were left out.
    fn left_out_before(&self, count: usize) -> usize {
        self.left_out.partition_point(|(index, _)| (*index as usize) < count)
    }
}

/// The segments of one partition.
pub(super) struct Held {
    segments: VecDeque<Segment>,
    end: i64,
}

impl Held {
    /// Nothing yet, and the next segment will begin at `from`.
    pub(super) fn new(from: i64) -> Held {
        Held { segments: VecDeque::new(), end: from }
    }

    /// The first offset that is held, or would be.
    pub(super) fn start(&self) -> i64 {
        self.segments.front().map_or(self.end, |segment| segment.from)
    }

    /// One past the last.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// Bytes that are held.
    pub(super) fn weight(&self) -> usize {
        self.segments.iter().map(|segment| segment.weight).sum()
    }

    /// Takes the next segment in.
    pub(super) fn push(&mut self, segment: Segment) {
        debug_assert_eq!(segment.from, self.end);
        self.end = segment.to;
        self.segments.push_back(segment);
    }

    /// Lets go of what lies before `offset`; says how much that was.
    pub(super) fn trim(&mut self, offset: i64) -> usize {
        let mut freed = 0;
        while self.segments.front().is_some_and(|segment| segment.to <= offset) {
            freed += self.segments.pop_front().map_or(0, |segment| segment.weight);
        }
        freed
    }

    /// Moves everything that is held to `cut`; says how much that was.
    pub(super) fn drain(&mut self, cut: &mut Cut) -> PolarsResult<usize> {
        let mut freed = 0;
        for segment in self.segments.drain(..) {
            cut.add(&segment, segment.from, segment.to)?;
            freed += segment.weight;
        }
        Ok(freed)
    }

    /// How far one can read from `from` with about `max_rows` rows or dead letters, and how many that are.
    pub(super) fn reach(&self, from: i64, max_rows: usize) -> (i64, usize) {
        let mut rows = 0;
        for segment in &self.segments {
            if segment.to <= from {
                continue;
            }
            let first = segment.offsets.partition_point(|offset| *offset < from);
            let here = segment.offsets.len() - first;
            if rows + here > max_rows {
                // Up to the first row that is too much.
                return (segment.offsets[first + max_rows - rows], max_rows);
            }
            rows += here + segment.dead.iter().filter(|dead| dead.offset >= from).count();
            if rows >= max_rows {
                return (segment.to, rows);
            }
        }
        (self.end.max(from), rows)
    }

    /// Appends what lies in `[from, to)` to `batch`.
    pub(super) fn read(
        &self,
        partition: &TopicPartition,
        from: i64,
        to: i64,
        batch: &mut SourceBatch,
    ) -> PolarsResult<()> {
        let overlapping = self.segments.iter().filter(|segment| segment.to > from && segment.from < to);
        let mut cut = Cut::default();
        for segment in overlapping {
            cut.add(segment, from, to)?;
        }
        cut.finish(partition, batch);
        Ok(())
    }
}

/// Segments, or parts of them, put together again.
#[derive(Default)]
pub(super) struct Cut {
    rows: Option<DataFrame>,
    chunks: usize,
    newest_ms: Option<i64>,
    dead: Vec<DeadLetter>,
    /// How many rows were left out, and the newest of their times.
    left_out: (usize, Option<i64>),
}

/// From so many pieces on, a column is copied into one; fewer are quicker left as they are.
const PIECES: usize = 4;

impl Cut {
    /// Appends what of `segment` lies in `[from, to)`.
    pub(super) fn add(&mut self, segment: &Segment, from: i64, to: i64) -> PolarsResult<()> {
        self.dead.extend(segment.dead.iter().filter(|dead| (from..to).contains(&dead.offset)).cloned());
        let first = segment.offsets.partition_point(|offset| *offset < from);
        let last = segment.offsets.partition_point(|offset| *offset < to);
        if first >= last {
            return Ok(());
        }
        let newest = segment.times[first..last].iter().copied().filter(|time| *time != NO_TIME).max();
        self.newest_ms = self.newest_ms.max(newest);
        let whole = last - first == segment.offsets.len();
        let (before, until) = (segment.left_out_before(first), segment.left_out_before(last));
        let left = &segment.left_out[before..until];
        self.left_out.0 += left.len();
        self.left_out.1 = self.left_out.1.max(left.iter().map(|(_, time)| *time).filter(|time| *time != NO_TIME).max());
        if left.len() == last - first {
            return Ok(());
        }
        let rows = if whole { segment.rows.clone() } else { slice(&segment.rows, first - before, last - until) };
        self.chunks += 1;
        match &mut self.rows {
            // Frames without columns cannot be stacked, but their rows can be counted.
            Some(all) if all.width() == 0 => *all = DataFrame::empty_with_height(all.height() + rows.height()),
            Some(all) => drop(all.vstack_mut_owned(rows)?),
            None => self.rows = Some(rows),
        }
        Ok(())
    }

    /// Adds the partition to `batch`, if there was anything.
    pub(super) fn finish(self, partition: &TopicPartition, batch: &mut SourceBatch) {
        batch.dead_letters.extend(self.dead);
        if self.left_out.0 > 0 {
            batch.left_out.push(LeftOut {
                partition: partition.clone(),
                rows: self.left_out.0,
                newest: self.left_out.1,
            });
        }
        if let Some(mut rows) = self.rows {
            if self.chunks >= PIECES {
                rows.rechunk_mut();
            }
            batch.parts.push(PartitionRows { partition: partition.clone(), rows, newest_ms: self.newest_ms });
        }
    }
}

fn slice(rows: &DataFrame, first: usize, last: usize) -> DataFrame {
    if rows.width() == 0 {
        DataFrame::empty_with_height(last - first)
    } else {
        rows.slice(i64::try_from(first).unwrap_or(i64::MAX), last - first)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use polars::prelude::df;

    /// A segment from `from` to `to` with a row at each of `offsets`, whose value is the offset.
    fn segment(from: i64, to: i64, offsets: &[i64]) -> Segment {
        let rows = df!("o" => offsets).unwrap();
        Segment {
            partition: 0,
            from,
            to,
            rows,
            offsets: offsets.to_vec(),
            times: offsets.to_vec(),
            left_out: Vec::new(),
            dead: Vec::new(),
            weight: 1,
        }
    }

    fn dead(offset: i64) -> DeadLetter {
        DeadLetter { partition: 0.into(), offset, reason: "bad".into(), field: None, excerpt: String::new() }
    }

    fn held() -> Held {
        let mut held = Held::new(10);
        held.push(segment(10, 14, &[10, 11, 13]));
        let mut second = segment(14, 20, &[15, 16]);
        second.dead.push(dead(17));
        held.push(second);
        held.push(segment(20, 25, &[20, 21, 22, 23, 24]));
        held
    }

    fn read(held: &Held, from: i64, to: i64) -> (Vec<i64>, Vec<i64>, Option<i64>) {
        let mut batch = SourceBatch::default();
        held.read(&0.into(), from, to, &mut batch).unwrap();
        let dead = batch.dead_letters.iter().map(|dead| dead.offset).collect();
        let rows = batch
            .parts
            .first()
            .map_or_else(Vec::new, |part| part.rows.column("o").unwrap().i64().unwrap().into_no_null_iter().collect());
        (rows, dead, batch.parts.first().and_then(|part| part.newest_ms))
    }

    #[test]
    fn a_cut_is_exact_wherever_it_falls() {
        let held = held();
        let rows = [10, 11, 13, 15, 16, 20, 21, 22, 23, 24];
        for from in 10..=25 {
            for to in from..=25 {
                let expect: Vec<i64> = rows.iter().copied().filter(|offset| (from..to).contains(offset)).collect();
                let dead = if (from..to).contains(&17) { vec![17] } else { vec![] };
                assert_eq!(read(&held, from, to), (expect.clone(), dead, expect.last().copied()), "{from}..{to}");
            }
        }
    }

    #[test]
    fn a_cut_counts_what_was_left_out_in_it() {
        let mut one = segment(10, 20, &[11, 14, 18]);
        one.offsets = vec![11, 12, 13, 14, 17, 18];
        one.times = one.offsets.clone();
        one.left_out = vec![(1, 120), (2, NO_TIME), (4, 170)];
        let mut held = Held::new(10);
        held.push(one);
        for from in 10..=20 {
            for to in from..=20 {
                let within =
                    |offsets: &[i64]| offsets.iter().copied().filter(|o| (from..to).contains(o)).collect::<Vec<_>>();
                let mut batch = SourceBatch::default();
                held.read(&0.into(), from, to, &mut batch).unwrap();
                let rows: Vec<i64> = batch
                    .parts
                    .iter()
                    .flat_map(|part| part.rows.column("o").unwrap().i64().unwrap().iter().flatten().collect::<Vec<_>>())
                    .collect();
                assert_eq!(rows, within(&[11, 14, 18]), "{from}..{to}");
                let left = batch.left_out.first().map_or((0, None), |left| (left.rows, left.newest));
                let newest = within(&[12, 17]).last().map(|offset| offset * 10);
                assert_eq!(left, (within(&[12, 13, 17]).len(), newest), "{from}..{to}");
                assert_eq!(held.reach(from, 100).0, 20);
            }
        }
    }

    #[test]
    fn it_reaches_as_far_as_the_rows_allow_and_over_gaps() {
        let held = held();
        assert_eq!(held.reach(10, 2), (13, 2), "the third row is at 13");
        assert_eq!(held.reach(10, 3), (14, 3));
        assert_eq!(held.reach(11, 3), (16, 3));
        assert_eq!(held.reach(10, 100), (25, 11));
        assert_eq!(held.reach(18, 1), (21, 1));
        assert_eq!(held.reach(25, 1), (25, 0));
        for max in 1..12 {
            let (mut from, mut seen) = (10, Vec::new());
            while from < 25 {
                let (to, _) = held.reach(from, max);
                assert!(to > from, "no progress from {from} with {max}");
                seen.extend(read(&held, from, to).0);
                from = to;
            }
            assert_eq!(seen.len(), 10, "{max}");
        }
    }

    #[test]
    fn what_was_read_is_let_go_by_whole_segments() {
        let mut held = held();
        assert_eq!((held.start(), held.end()), (10, 25));
        assert_eq!(held.trim(15), 1);
        assert_eq!(held.start(), 14);
        assert_eq!(held.trim(25), 2);
        assert_eq!((held.start(), held.end()), (25, 25));
    }
}
