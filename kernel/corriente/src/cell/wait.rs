//! Everything in a cell that waits by the kernel's leave: an interrupt ends it. Futures run on the process's one runtime.

use std::future::IntoFuture;
use std::sync::OnceLock;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use super::{client, failure};

/// Threads of the runtime: what cells put there waits more than it works.
const WORKERS: usize = 2;

static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
static INTERRUPTION: Notify = Notify::const_new();

/// How long to wait.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no time to wait",
    label = "a text with a unit, or a std::time::Duration",
    note = "as in sleep(\"500ms\")"
)]
pub trait Pause {
    /// The time.
    ///
    /// # Errors
    /// What is wrong with a text.
    fn pause(self) -> Result<Duration, String>;
}

impl Pause for Duration {
    fn pause(self) -> Result<Duration, String> {
        Ok(self)
    }
}

impl Pause for &str {
    fn pause(self) -> Result<Duration, String> {
        let time = plan::parse_duration("sleep", self).map_err(|error| error.to_string())?;
        Ok(Duration::from_nanos(time.duration_ns().unsigned_abs()))
    }
}

/// Waits; the stop button ends it, and the cell with it.
///
/// ```no_run
/// use corriente::prelude::*;
/// sleep("500ms");
/// ```
#[track_caller]
pub fn sleep(time: impl Pause) {
    match time.pause() {
        Ok(time) if client::sleep(time) => {}
        Ok(_) => failure::fail("Interrupted", "the cell was interrupted while it slept"),
        Err(error) => failure::fail("PlanError", &error),
    }
}

/// Waits for a future; `.await` in a cell becomes a call of it. An interrupt drops the future.
#[track_caller]
pub fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let Some(runtime) = runtime() else { failure::fail("KernelError", "the runtime for `.await` does not start") };
    let future = future.into_future();
    let done = runtime.block_on(async {
        tokio::select! {
            biased;
            done = future => Some(done),
            () = interruption() => None,
        }
    });
    match done {
        Some(done) => done,
        None => failure::fail("Interrupted", "the cell was interrupted while it waited"),
    }
}

/// Ends an interrupted cell, where it comes by; other threads and a cell that is about to end go on.
#[track_caller]
pub(super) fn check() {
    if client::INTERRUPTED.load(Ordering::SeqCst) && failure::is_cells_thread() && !std::thread::panicking() {
        failure::fail("Interrupted", "the cell was interrupted");
    }
}

/// Has this thread count as one of the runtime's, so that a cell may `tokio::spawn` without waiting.
pub(super) fn enter_runtime() {
    if let Some(runtime) = runtime() {
        // For as long as the thread lives, which is as long as the process does.
        std::mem::forget(runtime.enter());
    }
}

/// Wakes what waits for an interrupt.
pub(super) fn interrupted() {
    INTERRUPTION.notify_waiters();
}

async fn interruption() {
    loop {
        let next = INTERRUPTION.notified();
        if client::INTERRUPTED.load(Ordering::SeqCst) {
            return;
        }
        next.await;
    }
}

fn runtime() -> Option<&'static Runtime> {
    let build = || Builder::new_multi_thread().worker_threads(WORKERS).thread_name("tokio").enable_all().build();
    RUNTIME.get_or_init(build).as_ref().ok()
}
