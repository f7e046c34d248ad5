//! When somebody last looked at a result, and a way to wait for somebody who does.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The moment of the last look.
pub(super) struct LastLook {
    at: Mutex<Instant>,
    looked: Condvar,
}

impl Default for LastLook {
    fn default() -> LastLook {
        LastLook { at: Mutex::new(now()), looked: Condvar::new() }
    }
}

impl LastLook {
    /// Somebody looks.
    pub(super) fn touch(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = now();
        self.looked.notify_all();
    }

    /// How long ago it was.
    pub(super) fn elapsed(&self) -> Duration {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Waits for the next one, `timeout` at the most; says whether there was one.
    pub(super) fn wait(&self, timeout: Duration) -> bool {
        let at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *at;
        let (at, _) =
            self.looked.wait_timeout_while(at, timeout, |at| *at == before).unwrap_or_else(PoisonError::into_inner);
        *at != before
    }
}

// The moment a view was last looked at is no stream's time: the engine's clock does not decide it.
fn now() -> Instant {
    Instant::now()
}
