//! Which rows of a result a view has let go, by identity: so that it can say how many of the result it does not hold, whatever
//! becomes of them afterwards. A bit a row, and less where whole segments are gone.

use std::collections::BTreeMap;

use super::indexed_rows::SPAN;

const WORDS: usize = (SPAN / 64) as usize;

/// Rows of the result that are not held.
#[derive(Default)]
pub(super) struct DroppedRows {
    segments: BTreeMap<u64, Bits>,
    count: u64,
    /// No identity among them is larger.
    largest: u64,
}

enum Bits {
    All,
    Some(Box<[u64; WORDS]>),
}

impl DroppedRows {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Takes rows in.
    pub(super) fn add(&mut self, ids: &[u64]) {
        for some in ids.chunk_by(|a, b| a / SPAN == b / SPAN) {
            let bits = self.segments.entry(some[0] / SPAN).or_insert_with(|| Bits::Some(Box::new([0; WORDS])));
            let Bits::Some(words) = bits else { continue };
            for id in some {
                let (word, bit) = place(*id);
                self.count += u64::from(words[word] & bit == 0);
                words[word] |= bit;
                self.largest = self.largest.max(*id);
            }
            if words.iter().all(|word| *word == u64::MAX) {
                *bits = Bits::All;
            }
        }
    }

    /// Takes rows out that are among them: they are held again, or no longer in the result.
    pub(super) fn remove(&mut self, ids: &[u64]) {
        if self.count == 0 {
            return;
        }
        for id in ids.iter().filter(|id| **id <= self.largest) {
            let Some(bits) = self.segments.get_mut(&(id / SPAN)) else { continue };
            if matches!(bits, Bits::All) {
                *bits = Bits::Some(Box::new([u64::MAX; WORDS]));
            }
            let Bits::Some(words) = bits else { continue };
            let (word, bit) = place(*id);
            self.count -= u64::from(words[word] & bit != 0);
            words[word] &= !bit;
        }
    }
}

fn place(id: u64) -> (usize, u64) {
    let within = id % SPAN;
    ((within / 64) as usize, 1 << (within % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_counts_once_until_it_is_taken_out() {
        let mut dropped = DroppedRows::default();
        let segment: Vec<u64> = (0..SPAN).collect();
        dropped.add(&segment);
        dropped.add(&segment);
        dropped.add(&[SPAN + 1, 7 * SPAN]);
        assert_eq!(dropped.count(), SPAN + 2);
        dropped.remove(&[3, 3, SPAN, SPAN + 1, 900 * SPAN]);
        assert_eq!(dropped.count(), SPAN);
        dropped.add(&[3]);
        assert_eq!(dropped.count(), SPAN + 1);
    }
}
