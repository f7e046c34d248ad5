//! What evcxr writes around a cell, compiled once: the end through a `?` and the catching of panics. The stand-in `cargo`
//! puts these words in the place of evcxr's, which cost every small cell a fifth of its compilation.

use std::panic::{AssertUnwindSafe, catch_unwind};

use link::ToKernel;

use super::{client, store};

/// Written when a panic ended a cell.
const PANIC_NOTIFICATION: &str = "EVCXR_PANIC_NOTIFICATION";

/// What a `?` in a cell turns an error into. The error goes over the link with its causes, and may be whatever `main` may
/// return.
pub struct EvcxrUserCodeError;

impl<T: Into<Box<dyn std::error::Error>>> From<T> for EvcxrUserCodeError {
    fn from(error: T) -> Self {
        early_return(error.into().as_ref());
        EvcxrUserCodeError
    }
}

/// Runs a cell's statements; `Err` when they panicked, which the hook has reported.
#[allow(clippy::missing_errors_doc, clippy::result_unit_err)]
pub fn guarded(statements: Box<dyn FnOnce() + '_>) -> Result<(), ()> {
    catch_unwind(AssertUnwindSafe(statements)).map_err(drop)
}

/// Tells evcxr that a cell panicked.
#[allow(clippy::print_stdout)]
pub fn panicked() {
    println!("{PANIC_NOTIFICATION}");
}

#[allow(clippy::print_stdout)]
fn early_return(error: &dyn std::error::Error) {
    client::send(ToKernel::EarlyReturn { message: chain(error) }.into());
    println!("{}", store::USER_ERROR_OCCURRED);
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
