//! Polars on the thread that calls it. Few rows are done before another thread has woken up, and the more often a small frame is
//! touched the more that costs. It is what Polars does for the functions that Python gives it.

use polars_async::executor::ALLOW_RAYON_THREADS;

/// Fewer rows are few.
const FEW: usize = 10_000;

/// While this lives, what Polars does on this thread it does on no other.
pub(crate) struct Alone(Option<bool>);

impl Alone {
    /// For work on so many rows, if they are few.
    pub(crate) fn with(rows: usize) -> Alone {
        Alone((rows < FEW).then(|| ALLOW_RAYON_THREADS.replace(false)))
    }

    /// For work that is done beside a query, however much it is: the query's own would wait until the threads are free again.
    pub(crate) fn beside() -> Alone {
        Alone(Some(ALLOW_RAYON_THREADS.replace(false)))
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            ALLOW_RAYON_THREADS.set(before);
        }
    }
}
