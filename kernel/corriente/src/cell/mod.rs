//! The cell process's side of the kernel: it joins the link, sends what cells put out, and hears comms and interrupts.
//! Everything here is for the kernel's own code and for the prelude; a notebook has no need of it.

mod ask;
mod client;
mod course;
mod failure;
mod frames;
mod join;
mod key;
mod output;
mod print;
mod rich;
pub mod run;
mod select;
mod show;
#[doc(hidden)]
pub mod store;
mod wait;

use std::sync::atomic::Ordering;

use link::{Bundle, Framed, Parameter, ToKernel};
use serde_json::Value;

pub use ask::{InputError, input, password};
pub use client::CommEvent;
pub(crate) use client::lock;
pub use course::CellEvent;
pub use failure::fail;
#[doc(hidden)]
pub use join::{
    join1, join2, join3, join4, join5, join6, try_join1, try_join2, try_join3, try_join4, try_join5, try_join6,
};
#[doc(hidden)]
pub use key::{NameOfType, name_of_type};
pub use print::printed;
pub use rich::{Rich, html, latex, markdown, png, svg};
#[doc(hidden)]
pub use select::Turn;
pub(crate) use show::plain;
pub use show::{Show, Shown, via};
pub use wait::{Pause, block_on, sleep};

/// Joins the kernel's link. Called once in each process, before the first cell.
pub fn init() {
    wait::enter_runtime();
    if let Err(error) = client::join() {
        eprintln!("the cell process cannot join the kernel: {error}");
    }
}

/// Says that the cell's last line was reached.
#[track_caller]
pub fn completed() {
    run::completed();
}

/// Tells the kernel names that completion is to offer.
pub fn offer_names(columns: Vec<String>, topics: Vec<String>) {
    client::send(ToKernel::Names { columns, topics }.into());
}

/// Shows an output beside the cell's result. A live view can be updated.
#[track_caller]
pub fn display(bundle: Bundle) {
    wait::check();
    output::drain();
    let display_id = display_id(&bundle);
    client::send(ToKernel::Display { bundle, display_id, update: false }.into());
}

/// Puts an output in the place of those shown under `display_id`, whoever showed them. From any thread, and also for a cell
/// that was asked to end: it adds nothing to the page.
pub fn update_display(bundle: Bundle, display_id: String) {
    client::send(ToKernel::Display { bundle, display_id: Some(display_id), update: true }.into());
}

/// Shows the cell's result; an empty bundle is nothing to show. A live view can be updated.
pub fn result(bundle: Bundle) {
    if !bundle.data.is_empty() {
        output::drain();
        let display_id = display_id(&bundle);
        client::send(ToKernel::Result { bundle, display_id }.into());
    }
}

/// The name under which an output can be updated, if it is a live view: the view's.
#[must_use]
pub fn display_id(bundle: &Bundle) -> Option<String> {
    bundle.data.get(display::LIVE_MIME)?["view"].as_str().map(str::to_owned)
}

/// Gives a parameter of the notebook a value, in every process to come too.
pub(crate) fn keep_parameter(parameter: Parameter) {
    client::send(ToKernel::Parameter(parameter).into());
}

/// Takes the running cell's outputs away; with `wait`, when its next one comes, so that nothing flickers.
pub fn clear_output(wait: bool) {
    output::drain();
    client::send(ToKernel::ClearOutput { wait }.into());
}

/// Sends a message on a comm.
pub fn send_comm(id: &str, data: Value, buffers: Vec<Vec<u8>>) {
    client::send(Framed { frame: ToKernel::CommMessage { id: id.to_owned(), data }, buffers });
}

/// Closes a comm.
pub fn close_comm(id: &str, data: Value) {
    client::send(ToKernel::CommClose { id: id.to_owned(), data }.into());
}

/// Has `handler` take the page's comm messages, on the link's thread; those that came before wait for it.
pub fn set_comm_handler(handler: impl Fn(CommEvent) + Send + Sync + 'static) {
    client::set_comm_handler(Box::new(handler));
}

/// Has `handler` hear of each cell's course: of its beginning and its being over on the link's thread, of its end on its own.
pub fn set_cell_handler(handler: impl Fn(CellEvent<'_>) + Send + Sync + 'static) {
    course::set_handler(Box::new(handler));
}

/// Whether the running cell was asked to end.
#[must_use]
pub fn interrupted() -> bool {
    client::INTERRUPTED.load(Ordering::SeqCst)
}
