//! How values lie in a group's row of words. Every value is made so that words of zeros stand for "nothing taken in yet".

use std::sync::atomic::{AtomicU64, Ordering};

use super::rows::{FREE_BITS, WORDS};
use crate::state::sum::{CompensatedSum, WideSum};

/// Deals out the words and the flags of a row.
pub(crate) struct Layout {
    words: usize,
    /// The next flag.
    flag: Flag,
}

/// A bit of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(super) word: usize,
    pub(super) bit: u32,
}

impl Layout {
    /// The row of a group without values.
    pub(crate) fn new() -> Layout {
        Layout { words: WORDS, flag: Flag { word: 0, bit: FREE_BITS.start } }
    }

    /// Words in a row.
    pub(super) fn words(&self) -> usize {
        self.words
    }

    /// The first of so many words.
    pub(crate) fn place(&mut self, words: usize) -> usize {
        self.words += words;
        self.words - words
    }

    /// A flag, not set.
    pub(crate) fn flag(&mut self) -> Flag {
        if self.flag.bit == FREE_BITS.end {
            self.flag = Flag { word: self.place(1), bit: 0 };
        }
        let flag = self.flag;
        self.flag.bit += 1;
        flag
    }
}

impl Flag {
    #[inline]
    pub(super) fn is_set(self, row: &[AtomicU64]) -> bool {
        row[self.word].load(Ordering::Relaxed) >> self.bit & 1 == 1
    }

    #[inline]
    pub(super) fn set(self, row: &[AtomicU64]) {
        let word = &row[self.word];
        word.store(word.load(Ordering::Relaxed) | 1 << self.bit, Ordering::Relaxed);
    }

    pub(super) fn clear(self, row: &[AtomicU64]) {
        let word = &row[self.word];
        word.store(word.load(Ordering::Relaxed) & !(1 << self.bit), Ordering::Relaxed);
    }
}

/// A value as words.
pub(crate) trait Packed: Copy {
    /// How many.
    const WORDS: usize;

    /// From so many words.
    fn unpacked(words: &[u64]) -> Self;

    /// Into so many words.
    fn pack(self, words: &mut [u64]);
}

impl Packed for u64 {
    const WORDS: usize = 1;

    #[inline]
    fn unpacked(words: &[u64]) -> u64 {
        words[0]
    }

    #[inline]
    fn pack(self, words: &mut [u64]) {
        words[0] = self;
    }
}

impl Packed for i64 {
    const WORDS: usize = 1;

    #[inline]
    fn unpacked(words: &[u64]) -> i64 {
        words[0].cast_signed()
    }

    #[inline]
    fn pack(self, words: &mut [u64]) {
        words[0] = self.cast_unsigned();
    }
}

impl Packed for f64 {
    const WORDS: usize = 1;

    #[inline]
    fn unpacked(words: &[u64]) -> f64 {
        f64::from_bits(words[0])
    }

    #[inline]
    fn pack(self, words: &mut [u64]) {
        words[0] = self.to_bits();
    }
}

impl Packed for i128 {
    const WORDS: usize = 2;

    #[inline]
    fn unpacked(words: &[u64]) -> i128 {
        (u128::from(words[0]) | u128::from(words[1]) << 64).cast_signed()
    }

    #[inline]
    fn pack(self, words: &mut [u64]) {
        words[0] = self as u64;
        words[1] = (self >> 64) as u64;
    }
}

impl Packed for WideSum {
    const WORDS: usize = <(i128, i64)>::WORDS;

    #[inline]
    fn unpacked(words: &[u64]) -> WideSum {
        WideSum::from_parts(<(i128, i64)>::unpacked(words))
    }

    #[inline]
    fn pack(self, words: &mut [u64]) {
        self.parts().pack(words);
    }
}

impl Packed for CompensatedSum {
    const WORDS: usize = 2;

    #[inline]
    fn unpacked(words: &[u64]) -> CompensatedSum {
        CompensatedSum::from_parts([f64::from_bits(words[0]), f64::from_bits(words[1])])
    }

    #[inline]
    fn pack(self, words: &mut [u64]) {
        let [sum, lost] = self.parts();
        words[0] = sum.to_bits();
        words[1] = lost.to_bits();
    }
}

/// One value behind another.
impl<A: Packed, B: Packed> Packed for (A, B) {
    const WORDS: usize = A::WORDS + B::WORDS;

    #[inline]
    fn unpacked(words: &[u64]) -> (A, B) {
        (A::unpacked(&words[..A::WORDS]), B::unpacked(&words[A::WORDS..]))
    }

    #[inline]
    fn pack(self, words: &mut [u64]) {
        self.0.pack(&mut words[..A::WORDS]);
        self.1.pack(&mut words[A::WORDS..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went() {
        fn same<T: Packed + PartialEq + std::fmt::Debug>(value: T) {
            let mut words = vec![0; T::WORDS];
            value.pack(&mut words);
            assert_eq!(T::unpacked(&words), value);
        }
        [i64::MIN, -1, 0, i64::MAX].into_iter().for_each(same);
        [i128::MIN, -1, 0, 1 << 64, i128::MAX].into_iter().for_each(same);
        same((i128::MIN, 3u64));
        same((0.1f64, -0.5f64));
    }

    #[test]
    fn flags_never_share_a_bit() {
        let mut layout = Layout::new();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let flag = layout.flag();
            assert!(seen.insert((flag.word, flag.bit)) && flag.bit < 64, "{flag:?}");
            assert!(flag.word != 0 || FREE_BITS.contains(&flag.bit));
        }
    }
}
