//! How a cell ends with an error of ours: a panic that carries a name and a message, and the hook that tells the kernel
//! of every panic on the cell's thread.

use std::any::Any;
use std::panic::{PanicHookInfo, panic_any};
use std::sync::OnceLock;
use std::thread::ThreadId;

use link::ToKernel;

use super::{client, frames};

/// The name of an error that nobody named.
const PANIC: &str = "Panic";

static CELLS: OnceLock<ThreadId> = OnceLock::new();

struct Failure {
    name: &'static str,
    message: String,
}

/// Ends the cell with a designed message; variables are kept. `name` is the error's name in the notebook.
///
/// # Panics
/// Always: that is how a cell ends.
#[track_caller]
pub fn fail(name: &'static str, message: &str) -> ! {
    panic_any(Failure { name, message: message.to_owned() })
}

/// Reports panics of the thread that runs cells, which is the one that calls this; other threads' are printed.
pub(super) fn install_hook() {
    CELLS.get_or_init(|| std::thread::current().id());
    std::panic::set_hook(Box::new(|info| {
        // A person's function in a query: its error tells the row too.
        if plan::panic_is_told() {
            return;
        }
        let (name, message) = said(info.payload());
        let place = info.location();
        if is_cells_thread() {
            let (file, line) = (place.map(|p| p.file().to_owned()), place.map_or(0, |p| p.line()));
            // A designed message says itself what to do; where a word of the prelude was called is its place.
            let frames = if name == PANIC { frames::of_cells() } else { Vec::new() };
            client::send(ToKernel::Panicked { name: name.to_owned(), message, file, line, frames }.into());
        } else {
            elsewhere(info, &message);
        }
    }));
}

/// Whether this is the thread that runs cells.
pub(super) fn is_cells_thread() -> bool {
    CELLS.get() == Some(&std::thread::current().id())
}

fn said(payload: &dyn Any) -> (&'static str, String) {
    if let Some(failure) = payload.downcast_ref::<Failure>() {
        return (failure.name, failure.message.clone());
    }
    let text =
        payload.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| payload.downcast_ref::<String>().cloned());
    (PANIC, text.unwrap_or_else(|| "no message".to_owned()))
}

fn elsewhere(info: &PanicHookInfo<'_>, message: &str) {
    let thread = std::thread::current();
    let place = info.location().map(|place| format!(" at {place}")).unwrap_or_default();
    eprintln!("thread \"{}\" panicked{place}: {message}", thread.name().unwrap_or("unnamed"));
}
