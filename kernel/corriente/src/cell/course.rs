//! The course of a cell, told to whoever keeps what it has shown up to date: it begins with its compilation, ends on its own
//! thread, and is over when the kernel has heard all of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

type Handler = Box<dyn Fn(CellEvent<'_>) + Send + Sync>;

static HANDLER: OnceLock<Handler> = OnceLock::new();

/// Where a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellEvent<'a> {
    /// It, or a part of it, is about to be compiled.
    Began {
        /// Which run of a cell it is.
        run: u64,
        /// The notebook's cell, where the page says it: the same when it is run again.
        cell: Option<&'a str>,
    },
    /// Its statements have run, well or not; what is put out now is still its.
    Ending,
    /// Nothing that is put out from now on is its.
    Over,
}

/// Has `handler` hear of each cell; the first one that is set counts.
pub(super) fn set_handler(handler: Handler) {
    drop(HANDLER.set(handler));
}

/// Tells it. A handler that panics ends no cell.
pub(super) fn tell(event: CellEvent<'_>) {
    if let Some(handler) = HANDLER.get() {
        drop(catch_unwind(AssertUnwindSafe(|| handler(event))));
    }
}
