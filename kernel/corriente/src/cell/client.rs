//! The link's client. Whoever puts something out sends it himself, so that a process that ends at once has said what it
//! said; a thread `link in` hears the kernel.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use link::{Framed, LinkError, ToCell, ToKernel};
use serde_json::Value;

use super::course::{self, CellEvent};
use super::{ask, failure, output, wait};
use crate::parameters;

/// Set by an interrupt, cleared when the next cell begins.
pub(super) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

static SESSION: OnceLock<PathBuf> = OnceLock::new();
static OUT: OnceLock<Mutex<link::Sender<ToKernel>>> = OnceLock::new();
static COMMS: Mutex<Comms> = Mutex::new(Comms::Waiting(Vec::new()));
static WAKE: (Mutex<()>, Condvar) = (Mutex::new(()), Condvar::new());

type Handler = Box<dyn Fn(CommEvent) + Send + Sync>;

enum Comms {
    Waiting(Vec<CommEvent>),
    Handled(&'static Handler),
}

/// What the page does with a comm.
#[derive(Clone, Debug, PartialEq)]
pub enum CommEvent {
    /// It opens one.
    Open {
        /// The comm.
        id: String,
        /// What it is for.
        target: String,
        /// The first message.
        data: Value,
        /// Its buffers.
        buffers: Vec<Vec<u8>>,
    },
    /// It sends a message.
    Message {
        /// The comm.
        id: String,
        /// The message.
        data: Value,
        /// Its buffers.
        buffers: Vec<Vec<u8>>,
    },
    /// It closes one.
    Close {
        /// The comm.
        id: String,
        /// The last message.
        data: Value,
    },
}

/// Joins the link that the environment names; once.
pub(super) fn join() -> Result<(), LinkError> {
    if OUT.get().is_some() {
        return Ok(());
    }
    let Some(path) = std::env::var_os(link::ENV).map(PathBuf::from) else { return Ok(()) };
    let (sender, mut receiver) = link::connect(&path)?;
    std::thread::Builder::new().name("link in".into()).spawn(move || {
        while let Ok(Some(framed)) = receiver.receive() {
            hear(framed);
        }
        // A kernel that is gone wants nothing more of this process.
        std::process::exit(0);
    })?;
    if OUT.set(Mutex::new(sender)).is_ok() {
        output::redirect(&path)?;
        let _ = SESSION.set(path.parent().map(PathBuf::from).unwrap_or_default());
        send(ToKernel::Hello { pid: std::process::id() }.into());
        failure::install_hook();
    }
    Ok(())
}

/// Whether this process is a notebook's.
pub(super) fn is_joined() -> bool {
    OUT.get().is_some()
}

/// Whether the cell that is about to begin was interrupted while it was compiled.
pub(super) fn is_stopped() -> bool {
    SESSION.get().is_some_and(|folder| link::stopped(folder).exists())
}

/// Sends a frame; waits for the kernel, which always reads, where the socket is full. Outside a notebook, as in a test, there
/// is no link and it goes nowhere.
pub(super) fn send(framed: Framed<ToKernel>) {
    let Some(out) = OUT.get() else { return };
    let sent = lock(out).send(&framed);
    if let Err(error) = sent.or_else(|error| if matches!(error, LinkError::Io { .. }) { Ok(()) } else { Err(error) }) {
        eprintln!("an output was lost: {error}");
    }
}

pub(super) fn set_comm_handler(handler: Handler) {
    // Comms live as long as the process, and so does what handles them.
    let handler: &'static Handler = Box::leak(Box::new(handler));
    let before = std::mem::replace(&mut *lock(&COMMS), Comms::Handled(handler));
    if let Comms::Waiting(events) = before {
        events.into_iter().for_each(handler);
    }
}

pub(super) fn sleep(time: Duration) -> bool {
    let guard = lock(&WAKE.0);
    let awake = |(): &mut ()| !INTERRUPTED.load(Ordering::SeqCst);
    drop(WAKE.1.wait_timeout_while(guard, time, awake).unwrap_or_else(PoisonError::into_inner));
    !INTERRUPTED.load(Ordering::SeqCst)
}

fn hear(framed: Framed<ToCell>) {
    let buffers = framed.buffers;
    match framed.frame {
        ToCell::CellStarted { run, cell } => {
            INTERRUPTED.store(false, Ordering::SeqCst);
            course::tell(CellEvent::Began { run, cell: cell.as_deref() });
        }
        ToCell::Interrupt => {
            INTERRUPTED.store(true, Ordering::SeqCst);
            drop(lock(&WAKE.0));
            WAKE.1.notify_all();
            wait::interrupted();
        }
        ToCell::Barrier { number } => {
            course::tell(CellEvent::Over);
            output::barrier(number);
        }
        ToCell::Parameter(parameter) => parameters::take(parameter),
        ToCell::ForgetParameters => parameters::forget(),
        ToCell::Answer { id, input } => ask::answer(id, input),
        ToCell::CommOpen { id, target, data } => comm(CommEvent::Open { id, target, data, buffers }),
        ToCell::CommMessage { id, data } => comm(CommEvent::Message { id, data, buffers }),
        ToCell::CommClose { id, data } => comm(CommEvent::Close { id, data }),
    }
}

fn comm(event: CommEvent) {
    let handler = match &mut *lock(&COMMS) {
        Comms::Waiting(events) => return events.push(event),
        Comms::Handled(handler) => *handler,
    };
    handler(event);
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
