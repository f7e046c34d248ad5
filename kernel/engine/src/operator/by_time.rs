//! Where the rows of each key are, in the order of time: finding those near a time costs what is found, and forgetting the
//! oldest costs what is forgotten.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use polars::prelude::*;
use smallvec::SmallVec;

use crate::state::timed_rows::{JoinKey, TimedRow};

/// The rows of each key.
#[derive(Default)]
pub(super) struct ByTime {
    keys: PlHashMap<JoinKey, Rows>,
    /// Every row that is there; one that was taken out of turn is still in it.
    queue: Queue<JoinKey>,
}

/// Those of one key. The first `gone` are not there any more: moving the others each time would cost what is kept.
#[derive(Default)]
struct Rows {
    places: SmallVec<[TimedRow; 1]>,
    gone: usize,
}

impl ByTime {
    pub(super) fn insert(&mut self, key: &[u8], place: TimedRow) {
        let key = JoinKey::from_slice(key);
        self.keys.entry(key.clone()).or_default().insert(place);
        self.queue.push(place, key);
    }

    /// The rows of a key.
    pub(super) fn of(&self, key: &[u8]) -> &[TimedRow] {
        self.keys.get(key).map_or(&[], Rows::there)
    }

    /// The rows of a key from a time to another, which both include.
    pub(super) fn between(&self, key: &[u8], from: i64, to: i64) -> &[TimedRow] {
        let rows = self.of(key);
        let first = rows.partition_point(|place| place.time < from);
        let after = rows.partition_point(|place| place.time <= to);
        rows.get(first..after).unwrap_or_default()
    }

    /// Takes such rows out.
    pub(super) fn take_between(&mut self, key: &[u8], from: i64, to: i64) -> Vec<TimedRow> {
        let taken = self.between(key, from, to).to_vec();
        if let Some(first) = taken.first() {
            self.take(key, first, taken.len());
        }
        taken
    }

    /// Takes the oldest row out, if its time is `until` or before.
    pub(super) fn pop(&mut self, until: i64) -> Option<TimedRow> {
        loop {
            let (place, key) = self.next(until)?;
            if self.remove(&key, &place) {
                return Some(place);
            }
        }
    }

    /// The oldest row that was not asked for before, if its time is `until` or before; it stays.
    pub(super) fn next(&mut self, until: i64) -> Option<(TimedRow, JoinKey)> {
        self.queue.pop(until)
    }

    /// Takes a row out; says whether it was there.
    pub(super) fn remove(&mut self, key: &[u8], place: &TimedRow) -> bool {
        self.take(key, place, 1)
    }

    /// Takes the oldest row of a key out, if the one after it is of `until` or before too.
    pub(super) fn remove_followed(&mut self, key: &[u8], until: i64) -> Option<TimedRow> {
        let [oldest, next, ..] = *self.of(key) else { return None };
        (next.time <= until && self.take(key, &oldest, 1)).then_some(oldest)
    }

    /// The time of the oldest row that was not asked for, or of one before it that is not there any more.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.queue.oldest()
    }

    /// How many keys there are.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    fn take(&mut self, key: &[u8], first: &TimedRow, count: usize) -> bool {
        let Some(rows) = self.keys.get_mut(key) else { return false };
        let there = rows.take(first, count);
        if rows.there().is_empty() {
            self.keys.remove(key);
        }
        there
    }
}

impl Rows {
    fn there(&self) -> &[TimedRow] {
        &self.places[self.gone..]
    }

    fn insert(&mut self, place: TimedRow) {
        let at = self.gone + self.there().partition_point(|other| *other < place);
        self.places.insert(at, place);
    }

    /// Takes `count` rows out, from `first` on; says whether that is there.
    fn take(&mut self, first: &TimedRow, count: usize) -> bool {
        let Ok(at) = self.there().binary_search(first) else { return false };
        if at == 0 {
            self.gone += count;
            if self.gone * 2 > self.places.len() {
                self.places.drain(..self.gone);
                self.gone = 0;
            }
        } else {
            self.places.drain(self.gone + at..self.gone + at + count);
        }
        true
    }
}

/// Rows with something of theirs, in the order of time. Those that come in order, as most do, stand in a line.
pub(super) struct Queue<T> {
    line: VecDeque<(TimedRow, T)>,
    others: BinaryHeap<Reverse<(TimedRow, T)>>,
    /// Not sorted yet: rows of one batch are not in order, but those of the next mostly come after them.
    new: Vec<(TimedRow, T)>,
}

impl<T: Ord> Queue<T> {
    pub(super) fn push(&mut self, place: TimedRow, what: T) {
        self.new.push((place, what));
    }

    /// The oldest, if its time is `until` or before.
    pub(super) fn pop(&mut self, until: i64) -> Option<(TimedRow, T)> {
        self.sort();
        let in_line = self.line.front().map(|(place, _)| *place);
        let other = self.others.peek().map(|Reverse((place, _))| *place);
        let oldest = in_line.into_iter().chain(other).min().filter(|place| place.time <= until)?;
        if in_line == Some(oldest) { self.line.pop_front() } else { self.others.pop().map(|Reverse(row)| row) }
    }

    /// The time of the oldest.
    pub(super) fn oldest(&self) -> Option<i64> {
        let new = self.new.iter().map(|(place, _)| place.time).min();
        let other = self.others.peek().map(|Reverse((place, _))| place.time);
        self.line.front().map(|(place, _)| place.time).into_iter().chain(other).chain(new).min()
    }

    pub(super) fn len(&self) -> usize {
        self.line.len() + self.others.len() + self.new.len()
    }

    /// Forgets those that `keep` says no to.
    pub(super) fn retain(&mut self, keep: impl Fn(&TimedRow, &T) -> bool) {
        self.sort();
        self.line.retain(|(place, what)| keep(place, what));
        self.others.retain(|Reverse((place, what))| keep(place, what));
    }

    fn sort(&mut self) {
        self.new.sort_unstable();
        for row in self.new.drain(..) {
            if self.line.back().is_none_or(|last| *last < row) {
                self.line.push_back(row);
            } else {
                self.others.push(Reverse(row));
            }
        }
    }
}

impl<T: Ord> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue { line: VecDeque::new(), others: BinaryHeap::new(), new: Vec::new() }
    }
}
