//! What the records of one writer have in common: the same fields in the same order, written in the same way. What stands
//! between two values (comma, spaces, key, colon) is remembered as it was written and compared in one go, so that a key is
//! neither looked for in the text nor looked up by its name. Functions of bytes; knows no columns but their numbers.

/// Past this many fields a record's shape is not remembered.
const FIELDS: usize = 1_000;
/// What fits in here is compared without a loop.
const AT_ONCE: usize = 32;

/// The fields of the last records, in their order.
#[derive(Clone, Default)]
pub(super) struct Shape {
    fields: Vec<Known>,
}

#[derive(Clone, Default)]
struct Known {
    /// As it is written.
    key: String,
    column: Option<usize>,
    /// Whether it is a field that the sample did not have.
    new: bool,
    /// What stands before its value, from the value before it on.
    before: Vec<u8>,
    /// The same in words, if it fits, and which of their bits count.
    words: [u64; AT_ONCE / 8],
    masks: [u64; AT_ONCE / 8],
}

impl Shape {
    /// Whether at `at` there is what stood before the field at `position` the last time: its length, and the field's column.
    #[inline(always)]
    pub(super) fn ahead(&self, position: usize, text: &[u8], at: usize) -> Option<(usize, Option<usize>)> {
        let known = self.fields.get(position)?;
        known.is_at(text, at).then_some((known.before.len(), known.column))
    }

    /// The key at a position.
    pub(super) fn key(&self, position: usize) -> &str {
        self.fields.get(position).map_or("", |known| &known.key)
    }

    /// Whether the field at a position is one that the sample did not have.
    #[inline]
    pub(super) fn is_new(&self, position: usize) -> bool {
        self.fields.get(position).is_some_and(|known| known.new)
    }

    /// Says that it is one.
    pub(super) fn set_new(&mut self, position: usize) {
        if let Some(known) = self.fields.get_mut(position) {
            known.new = true;
        }
    }

    /// The column of a key, if it was at this position before.
    pub(super) fn column(&self, position: usize, key: &str) -> Option<Option<usize>> {
        self.fields.get(position).filter(|known| known.key == key).map(|known| known.column)
    }

    /// Remembers the field at a position.
    pub(super) fn learn(&mut self, position: usize, key: &str, column: Option<usize>, before: &[u8]) {
        if position == self.fields.len() && position < FIELDS {
            self.fields.push(Known::default());
        }
        if let Some(known) = self.fields.get_mut(position) {
            known.key.clear();
            known.key.push_str(key);
            (known.column, known.new) = (column, false);
            known.remember(before);
        }
    }
}

impl Known {
    #[inline(always)]
    fn is_at(&self, text: &[u8], at: usize) -> bool {
        match text.get(at..at + AT_ONCE) {
            Some(window) if self.before.len() <= AT_ONCE => {
                let differs =
                    |(word, (known, mask)): (&[u8; 8], (&u64, &u64))| (u64::from_le_bytes(*word) ^ known) & mask;
                let words = window.as_chunks::<8>().0.iter().zip(self.words.iter().zip(&self.masks));
                words.map(differs).fold(0, |all, one| all | one) == 0
            }
            _ => text.get(at..).is_some_and(|rest| rest.starts_with(&self.before)),
        }
    }

    fn remember(&mut self, before: &[u8]) {
        self.before.clear();
        self.before.extend_from_slice(before);
        let byte = |at: usize| before.get(at).map_or((0, 0), |byte| (*byte, 0xFF));
        for number in 0..AT_ONCE / 8 {
            let eight: [(u8, u8); 8] = std::array::from_fn(|at| byte(number * 8 + at));
            self.words[number] = u64::from_le_bytes(eight.map(|(byte, _)| byte));
            self.masks[number] = u64::from_le_bytes(eight.map(|(_, mask)| mask));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_known_again_exactly_where_it_is_written_the_same_way() {
        let long = format!(",\"{}\":", "k".repeat(40));
        for before in [&b"{\"a\":"[..], b", \"a\" : ", long.as_bytes()] {
            let mut shape = Shape::default();
            shape.learn(0, "a", Some(3), before);
            for more in 0..40 {
                let mut text = [b"xyz", before, vec![b'1'; more].as_slice()].concat();
                assert_eq!(shape.ahead(0, &text, 3), Some((before.len(), Some(3))));
                assert_eq!(shape.ahead(0, &text, 2), None);
                assert_eq!(shape.ahead(1, &text, 3), None);
                text[3 + before.len() - 1] ^= 1;
                assert_eq!(shape.ahead(0, &text, 3), None);
                assert_eq!(shape.ahead(0, &text[..3 + before.len() - 1], 3), None);
            }
        }
    }
}
