//! The first rows in an order. Some more than are shown are held in order, with a bound behind which all others are; of these
//! nothing is known but that. So a row that is not among the first costs one comparison, and one that is a place in a tree;
//! only when so many of the first have left that too few are there, all rows are looked at again. What is shown is kept as a list,
//! and a batch changes the part of it in which rows came and went.

use std::collections::BTreeSet;

use polars::prelude::PlHashMap;

use super::keys::SortKey;

/// Where a row stands: rows of one key are in the order of their numbers.
type RankedRow = (SortKey, u64);

/// To find a place in the list takes as long as to walk over so many rows of it.
const FEW: usize = 64;

/// The rows that are held in order, by key and number.
pub(super) struct First {
    k: usize,
    ordered: BTreeSet<RankedRow>,
    /// The keys of those in order, by number.
    keys: PlHashMap<u64, SortKey>,
    /// Where there are other rows, all are here or behind it.
    bound: Option<RankedRow>,
    /// The places at which rows came or went since the list was made.
    touched: Vec<RankedRow>,
    /// The keys of rows that went since then.
    gone: PlHashMap<u64, SortKey>,
    /// The numbers of the rows that are shown.
    shown: Vec<u64>,
}

/// What changed of the rows that are shown: from a place on, those that were there, and those that are there now.
pub(super) struct Shown {
    pub(super) from: usize,
    pub(super) before: Vec<u64>,
    pub(super) now: Vec<u64>,
}

impl First {
    pub(super) fn new(k: usize) -> First {
        First {
            k,
            ordered: BTreeSet::new(),
            keys: PlHashMap::default(),
            bound: None,
            touched: Vec::new(),
            gone: PlHashMap::default(),
            shown: Vec::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ordered.len()
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.keys.contains_key(&number)
    }

    /// The numbers of the rows that are shown, as of the last [`First::show`].
    pub(super) fn shown(&self) -> &[u64] {
        &self.shown
    }

    /// Whether a new row with this key would stand before the last one.
    pub(super) fn is_before_last(&self, key: &[u8]) -> bool {
        self.ordered.last().is_some_and(|(last, _)| key < last.as_slice())
    }

    /// Puts a row in order.
    pub(super) fn put(&mut self, key: SortKey, number: u64) {
        let place = (key.clone(), number);
        self.touch(&place);
        self.ordered.insert(place);
        self.keys.insert(number, key);
    }

    /// Puts a row in order, if it stands before the bound.
    pub(super) fn offer(&mut self, key: &[u8], number: u64) {
        let is_first = self.bound.as_ref().is_none_or(|(bound, other)| (key, number) < (bound.as_slice(), *other));
        if is_first {
            self.put(SortKey::from_slice(key), number);
        }
    }

    /// Takes a row out, if it is in order.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(key) = self.keys.remove(&number) else { return };
        let place = (key, number);
        self.touch(&place);
        self.ordered.remove(&place);
        self.gone.insert(number, place.0);
    }

    /// Takes the last rows out until there are so many.
    pub(super) fn trim(&mut self, most: usize) {
        while self.ordered.len() > most {
            let Some((_, number)) = self.ordered.last() else { return };
            self.remove(*number);
        }
    }

    /// The numbers of the rows that were taken out since the last [`First::show`].
    pub(super) fn gone(&self) -> impl Iterator<Item = u64> {
        self.gone.keys().copied()
    }

    /// Where there are more than twice as many in order as there is room for, has the last ones be others.
    pub(super) fn trim_far(&mut self, room: usize) {
        if self.ordered.len() > room.saturating_mul(2) {
            let bound = self.ordered.iter().nth(room).cloned();
            self.trim(room);
            self.bound = bound;
        }
    }

    /// Takes the first of all rows, so many if there are as many, in the place of those in order.
    pub(super) fn refill(&mut self, mut all: Vec<(&[u8], u64)>, room: usize) {
        self.bound = None;
        if room < all.len() {
            let (_, bound, _) = all.select_nth_unstable(room);
            self.bound = Some((SortKey::from_slice(bound.0), bound.1));
            all.truncate(room);
        }
        for (key, number) in all {
            if !self.keys.contains_key(&number) {
                self.put(SortKey::from_slice(key), number);
            }
        }
    }

    /// Makes the list anew of what came and went; gives the stretches of it that changed, from first to last. Between two of them as
    /// many rows came as went before, so that all rows there have stayed where they were.
    pub(super) fn show(&mut self) -> Vec<Shown> {
        let mut touched = std::mem::take(&mut self.touched);
        let gone = std::mem::take(&mut self.gone);
        touched.sort_unstable();
        touched.dedup();
        let (keys, ordered, shown) = (&self.keys, &self.ordered, &mut self.shown);
        let place = |number: &u64| (keys.get(number).or_else(|| gone.get(number)), *number);
        let (mut stretches, mut begun, mut more) = (Vec::new(), None, 0);
        // Where that is quicker, all behind the first is made anew.
        let is_few = touched.len() * FEW <= shown.len();
        for (key, number) in touched.iter().take(if is_few { usize::MAX } else { 1 }) {
            let at = shown.partition_point(|other| place(other) < (Some(key), *number));
            if at == self.k {
                break;
            }
            let (was, is) = (shown.get(at) == Some(number), keys.contains_key(number));
            if was == is && is_few {
                continue;
            }
            let (from, first) = begun.get_or_insert_with(|| (at, (key.clone(), *number)));
            more += i32::from(is) - i32::from(was);
            if more == 0 && is_few {
                let now: Vec<u64> =
                    ordered.range(&*first..=&(key.clone(), *number)).map(|(_, number)| *number).collect();
                let before = shown.splice(*from..at + usize::from(was), now.iter().copied()).collect();
                stretches.push(Shown { from: *from, before, now });
                begun = None;
            }
        }
        if let Some((from, first)) = begun {
            // All that stand behind have moved.
            let now: Vec<u64> = ordered.range(first..).map(|(_, number)| *number).take(self.k - from).collect();
            let before = shown.splice(from.., now.iter().copied()).collect();
            stretches.push(Shown { from, before, now });
        }
        stretches
    }

    fn touch(&mut self, place: &RankedRow) {
        self.touched.push(place.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn what_is_shown_is_the_first_of_all_rows_whatever_comes_and_goes() {
        for (k, room) in [(1, 2), (3, 3), (5, 9), (1000, 1000), (1_000_000, 1_000_000)] {
            let (mut random, mut first) = (Random(k as u64 + 7), First::new(k));
            // The keys of all rows, by number.
            let (mut all, mut list): (Vec<Option<Vec<u8>>>, Vec<u64>) = (Vec::new(), Vec::new());
            for _ in 0..2_000 {
                for _ in 0..random.below(6) {
                    if random.below(if k > 5 { 4 } else { 2 }) == 0 && !all.is_empty() {
                        let number = random.below(all.len() as u64);
                        all[number as usize] = None;
                        first.remove(number);
                    } else {
                        let key =
                            vec![random.below(9) as u8, random.below(50) as u8, 7][..random.below(4) as usize].to_vec();
                        first.offer(&key, all.len() as u64);
                        all.push(Some(key));
                    }
                }
                let rows = || all.iter().zip(0..).filter_map(|(key, number)| Some((key.as_deref()?, number)));
                if first.len() < k.min(rows().count()) {
                    first.refill(rows().collect(), room);
                }
                first.trim_far(room);
                let mut sorted: Vec<(&[u8], u64)> = rows().collect();
                sorted.sort_unstable();
                let now: Vec<u64> = sorted.iter().take(k).map(|(_, number)| *number).collect();
                for Shown { from, before, now } in first.show() {
                    assert_eq!(list[from..from + before.len()], before);
                    list.splice(from..from + before.len(), now);
                }
                assert_eq!(list, now);
                assert_eq!(first.shown(), now);
                assert!(first.len() <= 2 * room.max(k) + 6);
            }
        }
    }
}
