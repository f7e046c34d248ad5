//! Rows as they were when a snapshot was taken. The snapshot is read on another thread, row by row, from where the rows lie; the
//! query's thread goes on meanwhile, and before it changes a row that was not read yet it puts the row aside. So neither has to
//! copy all rows at once, and of a row that is changed one copy is made: databases call it a before-image.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Which rows were read or put aside, and those that were put aside.
pub(super) struct BeforeImages {
    /// Words in a row.
    stride: usize,
    /// What became of each row of the snapshot.
    states: Vec<AtomicU32>,
    /// The rows that were put aside, one behind the other.
    images: Mutex<Vec<u64>>,
}

/// The row lies as it was.
const UNTOUCHED: u32 = 0;
/// One of the threads copies it.
const BUSY: u32 = 1;
/// The snapshot has it.
const READ: u32 = 2;
/// It is the first that was put aside; the next one has the next number.
const FIRST_IMAGE: u32 = 3;

impl BeforeImages {
    /// None yet, of so many rows.
    pub(super) fn new(slots: usize, stride: usize) -> BeforeImages {
        let states = super::memory::zeros32(slots);
        BeforeImages { stride, states, images: Mutex::default() }
    }

    /// Puts a row aside that is about to be changed, if the snapshot does not have it yet.
    #[inline]
    pub(super) fn put_aside(&self, slot: u32, row: &[AtomicU64]) {
        let Some(state) = self.states.get(slot as usize) else { return };
        if state.load(Ordering::Acquire) < READ && claim(state) == UNTOUCHED {
            let mut images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
            let number = (images.len() / self.stride) as u32;
            images.extend(row.iter().map(|word| word.load(Ordering::Relaxed)));
            drop(images);
            state.store(FIRST_IMAGE + number, Ordering::Release);
        }
    }

    /// A row as it was; it is read once.
    pub(super) fn read(&self, slot: u32, row: &[AtomicU64], to: &mut [u64]) {
        let state = &self.states[slot as usize];
        match claim(state) {
            UNTOUCHED => {
                to.iter_mut().zip(row).for_each(|(to, word)| *to = word.load(Ordering::Relaxed));
                state.store(READ, Ordering::Release);
            }
            image => {
                debug_assert!(image >= FIRST_IMAGE, "a row of a snapshot is read twice");
                let images = self.images.lock().unwrap_or_else(PoisonError::into_inner);
                let first = image.saturating_sub(FIRST_IMAGE) as usize * self.stride;
                to.copy_from_slice(&images[first..first + self.stride]);
            }
        }
    }
}

/// Makes an untouched row [`BUSY`] and gives [`UNTOUCHED`]; otherwise what became of it, for which it waits.
fn claim(state: &AtomicU32) -> u32 {
    loop {
        match state.compare_exchange(UNTOUCHED, BUSY, Ordering::Acquire, Ordering::Acquire) {
            Ok(_) => return UNTOUCHED,
            // The other thread copies a row, which takes less than a switch of threads.
            Err(BUSY) => std::thread::yield_now(),
            Err(became) => return became,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn every_row_is_read_as_it_was_while_another_thread_changes_them() {
        const SLOTS: u32 = 20_000;
        let rows: Arc<Vec<AtomicU64>> = Arc::new((0..u64::from(SLOTS) * 3).map(|n| AtomicU64::new(n / 3)).collect());
        let images = Arc::new(BeforeImages::new(SLOTS as usize, 3));
        let reader = {
            let (rows, images) = (Arc::clone(&rows), Arc::clone(&images));
            let read = move || {
                let mut row = [0; 3];
                (0..SLOTS).for_each(|slot| {
                    images.read(slot, &rows[slot as usize * 3..][..3], &mut row);
                    assert_eq!(row, [u64::from(slot); 3]);
                });
            };
            std::thread::Builder::new().name("reader".to_owned()).spawn(read)
        };
        for round in 1..5u64 {
            for slot in (0..SLOTS).rev().filter(|slot| !u64::from(*slot).is_multiple_of(round + 1)) {
                let row = &rows[slot as usize * 3..][..3];
                images.put_aside(slot, row);
                row.iter().for_each(|word| word.store(u64::MAX - round, Ordering::Relaxed));
            }
        }
        assert!(reader.is_ok_and(|reader| reader.join().is_ok()));
    }
}
