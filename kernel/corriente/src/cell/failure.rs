//! How a cell ends with an error of ours: a panic that carries a name and a message. A hook notes where a panic of the cell's
//! thread was, and what catches it around the cell tells the kernel; so one that the cell itself catches is no failure, and
//! one is a failure whatever hook the cell has set.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, panic_any};
use std::sync::OnceLock;
use std::thread::ThreadId;

use link::ToKernel;

use super::{client, frames};

/// The name of an error that nobody named.
const PANIC: &str = "Panic";

static CELLS: OnceLock<ThreadId> = OnceLock::new();

thread_local! {
    /// The last panic that the hook has seen since the cell began.
    static LAST: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

struct Failure {
    name: &'static str,
    message: String,
}

/// A panic as the hook sees it.
struct Seen {
    message: String,
    file: Option<String>,
    line: u32,
    frames: Vec<(String, u64)>,
}

/// Ends the cell with a designed message; variables are kept. `name` is the error's name in the notebook.
///
/// # Panics
/// Always: that is how a cell ends.
#[track_caller]
pub fn fail(name: &'static str, message: &str) -> ! {
    panic_any(Failure { name, message: message.to_owned() })
}

/// Notes the panics of the thread that runs cells, which is the one that calls this; other threads' are printed.
pub(super) fn install_hook() {
    CELLS.get_or_init(|| std::thread::current().id());
    std::panic::set_hook(Box::new(|info| {
        // A person's function in a query: its error tells the row too.
        if plan::panic_is_told() {
            return;
        }
        let (name, message) = said(info.payload());
        if !is_cells_thread() {
            return elsewhere(info, &message);
        }
        let place = info.location();
        let (file, line) = (place.map(|p| p.file().to_owned()), place.map_or(0, |p| p.line()));
        // A designed message says itself what to do; where a word of the prelude was called is its place.
        let frames = if name == PANIC { frames::of_cells() } else { Vec::new() };
        LAST.set(Some(Seen { message, file, line, frames }));
    }));
}

/// A cell begins: what was before is not its.
pub(super) fn forget() {
    LAST.set(None);
}

/// Tells the kernel of the panic that has ended the cell.
pub(super) fn report(payload: Box<dyn Any + Send>) {
    let (name, message) = said(payload.as_ref());
    // With a hook of the cell's own nothing was noted, or another panic that was caught.
    let seen = LAST.take().filter(|seen| seen.message == message);
    let (file, line, frames) = seen.map_or((None, 0, Vec::new()), |seen| (seen.file, seen.line, seen.frames));
    client::send(ToKernel::Panicked { name: name.to_owned(), message, file, line, frames }.into());
    // What a panic carries may panic when it is dropped.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(payload)));
}

/// Prints the last panic of a cell that has reached its end all the same, as it is the custom to see one.
pub(super) fn tell_caught() {
    if let Some(seen) = LAST.take() {
        eprintln!("note: the cell caught a panic: {}", seen.message);
    }
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
