//! A vector whose copy is cheap: it lies in chunks that copies share, and a chunk is copied when one of them changes it.

use std::sync::Arc;

/// Values by their places.
#[derive(Clone)]
pub(super) struct CowVec<T> {
    chunks: Vec<Arc<Vec<T>>>,
    len: usize,
}

/// Values in a chunk: a value that changes while there is a copy costs the copy of so many.
const CHUNK: usize = 64;

impl<T> Default for CowVec<T> {
    fn default() -> CowVec<T> {
        CowVec { chunks: Vec::new(), len: 0 }
    }
}

impl<T: Clone> CowVec<T> {
    /// How many values there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The value at a place that there is.
    #[inline]
    pub(super) fn get(&self, at: usize) -> &T {
        &self.chunks[at / CHUNK][at % CHUNK]
    }

    /// The same, to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, at: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK]
    }

    /// Adds a value.
    pub(super) fn push(&mut self, value: T) {
        if self.len.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK)));
        }
        if let Some(last) = self.chunks.last_mut() {
            Arc::make_mut(last).push(value);
        }
        self.len += 1;
    }

    /// Adds values until there are so many.
    pub(super) fn grow(&mut self, len: usize, mut value: impl FnMut() -> T) {
        while self.len < len {
            self.push(value());
        }
    }

    /// The memory of the values, without what they hold elsewhere.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<T>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_stays_as_it_was() {
        let mut values = CowVec::default();
        (0..1_000).for_each(|n| values.push(n));
        let copy = values.clone();
        values.grow(1_100, || 7);
        (0..1_100).step_by(3).for_each(|at| *values.get_mut(at) = -1);
        assert_eq!((copy.len(), values.len()), (1_000, 1_100));
        assert!((0..1_000).all(|at| *copy.get(at) == at as i32));
        let now = |at: usize| {
            if at.is_multiple_of(3) {
                -1
            } else if at < 1_000 {
                at as i32
            } else {
                7
            }
        };
        assert!((0..1_100).all(|at| *values.get(at) == now(at)));
    }
}
