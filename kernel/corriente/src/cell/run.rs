//! What evcxr writes around a cell, compiled once: the end through a `?` and the catching of panics. The stand-in `cargo`
//! puts these words in the place of evcxr's, which cost every small cell a fifth of its compilation.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;

use link::ToKernel;

use super::course::{self, CellEvent};
use super::{client, failure, output, store, wait};

/// Written when a panic ended a cell.
const PANIC_NOTIFICATION: &str = "EVCXR_PANIC_NOTIFICATION";

thread_local! {
    /// Whether the cell has said how it ends.
    static TOLD: Cell<bool> = const { Cell::new(false) };
}

/// What a `?` in a cell turns an error into. The error goes over the link with its causes, and may be whatever `main` may
/// return.
pub struct EvcxrUserCodeError;

impl<T: Into<Box<dyn std::error::Error>>> From<T> for EvcxrUserCodeError {
    fn from(error: T) -> Self {
        ended_early(ToKernel::EarlyReturn { message: chain(error.into().as_ref()) });
        EvcxrUserCodeError
    }
}

/// Runs a cell's statements; `Err` when they panicked. How they ended goes over the link: only one that says that its last
/// line was reached has succeeded.
#[allow(clippy::missing_errors_doc, clippy::result_unit_err)]
pub fn guarded(statements: Box<dyn FnOnce() + '_>) -> Result<(), ()> {
    TOLD.set(false);
    failure::forget();
    // An interrupt of the cell before; one that comes from here on is this one's, or has left its mark.
    client::INTERRUPTED.store(false, Ordering::SeqCst);
    if client::is_stopped() {
        // The kernel knows why it has heard of no beginning.
        output::tell_evcxr(store::USER_ERROR_OCCURRED);
        return Ok(());
    }
    client::send(ToKernel::Started.into());
    let done = catch_unwind(AssertUnwindSafe(statements));
    output::flush();
    course::tell(CellEvent::Ending);
    match done {
        Ok(()) => {
            if !TOLD.get() {
                ended_early(ToKernel::Returned);
            }
            Ok(())
        }
        Err(payload) => {
            failure::report(payload);
            Err(())
        }
    }
}

/// Says that the cell's last line was reached; one that was asked to end before has not.
#[track_caller]
pub(super) fn completed() {
    wait::check();
    TOLD.set(true);
    failure::tell_caught();
    client::send(ToKernel::Completed.into());
}

/// Tells evcxr that a cell panicked.
pub fn panicked() {
    output::tell_evcxr(PANIC_NOTIFICATION);
}

fn ended_early(how: ToKernel) {
    TOLD.set(true);
    client::send(how.into());
    output::tell_evcxr(store::USER_ERROR_OCCURRED);
}

/// An error and its causes, a line each. One whose text its error already has is left out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let because = error.to_string();
        if !text.contains(&because) {
            text.push_str("\ncaused by: ");
            text.push_str(&because);
        }
        cause = error.source();
    }
    text
}
