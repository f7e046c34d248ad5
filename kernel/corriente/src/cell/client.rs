//! The link's client: a thread `link out` that sends what others queue, and a thread `link in` that hears the kernel.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use link::{Framed, LinkError, ToCell, ToKernel};
use serde_json::Value;

use super::{ask, failure, output, wait};

/// Frames that may wait for the socket. A thread that puts out more waits for the kernel, which always reads.
const QUEUE: usize = 1024;

/// Set by an interrupt, cleared when the next cell begins.
pub(super) static INTERRUPTED: AtomicBool = AtomicBool::new(false);

static OUT: OnceLock<SyncSender<Framed<ToKernel>>> = OnceLock::new();
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
    let (mut sender, mut receiver) = link::connect(&path)?;
    let (queue, queued) = sync_channel::<Framed<ToKernel>>(QUEUE);
    std::thread::Builder::new().name("link out".into()).spawn(move || {
        while let Ok(framed) = queued.recv() {
            if let Err(error) = sender.send(&framed)
                && !matches!(error, LinkError::Io { .. })
            {
                eprintln!("an output was lost: {error}");
            }
        }
    })?;
    std::thread::Builder::new().name("link in".into()).spawn(move || {
        while let Ok(Some(framed)) = receiver.receive() {
            hear(framed);
        }
        // A kernel that is gone wants nothing more of this process.
        std::process::exit(0);
    })?;
    if OUT.set(queue).is_ok() {
        send(ToKernel::Hello { pid: std::process::id() }.into());
        output::redirect()?;
        failure::install_hook();
    }
    Ok(())
}

/// Whether this process is a notebook's.
pub(super) fn is_joined() -> bool {
    OUT.get().is_some()
}

/// Queues a frame. Outside a notebook, as in a test, there is no link and it goes nowhere.
pub(super) fn send(framed: Framed<ToKernel>) {
    if let Some(out) = OUT.get() {
        // The thread behind the queue lives as long as the process.
        let _ = out.send(framed);
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
        ToCell::CellStarted { .. } => INTERRUPTED.store(false, Ordering::SeqCst),
        ToCell::Interrupt => {
            INTERRUPTED.store(true, Ordering::SeqCst);
            drop(lock(&WAKE.0));
            WAKE.1.notify_all();
            wait::interrupted();
        }
        ToCell::Barrier { number } => output::barrier(number),
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
