//! The kernel's side of the cell process: its link, its death, and interrupts. A thread `link` waits for each new process
//! and a thread `link <pid>` hears it; the session's thread waits here for barriers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use link::{Bundle, Channel, Framed, LinkError, Listener, ToCell, ToKernel};

use crate::complete::Known;
use crate::session::Wish;
use crate::{EvaluatorError, Event, Place};

/// How long a cell may go on after an interrupt before a message says how to end it.
const GRACE: Duration = Duration::from_secs(3);
/// How long output may take to arrive after a cell.
const BARRIER: Duration = Duration::from_secs(10);
/// How long a process that runs may take to join the link.
const JOINING: Duration = Duration::from_secs(10);
/// What the cell process writes to its standard error at a barrier; followed by the number.
const MARK: &str = "\u{0}CORRIENTE-BARRIER ";

/// The cell process, whichever it is now.
pub(crate) struct CellProcess {
    link: Mutex<Link>,
    joined: Condvar,
    handle: Mutex<Option<Arc<Mutex<std::process::Child>>>>,
    events: Arc<dyn Fn(Event) + Send + Sync>,
    running: AtomicBool,
    interrupted: AtomicBool,
    cells: AtomicU64,
    barriers: AtomicU64,
    known: Mutex<Known>,
    /// Whether the session still begins.
    beginning: AtomicBool,
    /// Cells that wait or run.
    cells_ahead: AtomicU64,
    /// An interrupt came when a cell waited and none ran.
    interrupted_early: AtomicBool,
    /// What was shown, while it is not to be shown but kept.
    kept: Mutex<Option<Vec<Bundle>>>,
    /// Variables whose types were defined anew.
    retyped: Mutex<Vec<String>>,
    reports: (Mutex<Sender<Report>>, Mutex<Receiver<Report>>),
}

/// The link to the newest process.
#[derive(Default)]
struct Link {
    /// Counts the processes that have joined.
    number: u64,
    /// `None` before the first process, and when the newest one has left.
    sender: Option<link::Sender<ToCell>>,
}

/// What the session must know of a cell beside its outputs.
#[derive(Debug)]
pub(crate) enum Report {
    Panicked { name: String, message: String, file: Option<String>, line: u32, frames: Vec<(String, u64)> },
    EarlyReturn(String),
    Completed,
    Barrier(u64),
    StderrBarrier(u64),
    Gone,
}

impl CellProcess {
    /// Listens for cell processes.
    pub(crate) fn listen(
        place: &Place,
        events: Arc<dyn Fn(Event) + Send + Sync>,
        wishes: Sender<Wish>,
    ) -> Result<Arc<CellProcess>, EvaluatorError> {
        let failed = |detail: String| EvaluatorError::Machine { what: "listen for the cell process", detail };
        let listener = Listener::bind(&place.socket()).map_err(|error| failed(error.to_string()))?;
        let (report, reported) = channel();
        let process = Arc::new(CellProcess {
            link: Mutex::default(),
            joined: Condvar::new(),
            handle: Mutex::default(),
            events,
            running: AtomicBool::new(false),
            interrupted: AtomicBool::new(false),
            cells: AtomicU64::new(0),
            barriers: AtomicU64::new(0),
            known: Mutex::default(),
            beginning: AtomicBool::new(true),
            cells_ahead: AtomicU64::new(0),
            interrupted_early: AtomicBool::new(false),
            kept: Mutex::default(),
            retyped: Mutex::default(),
            reports: (Mutex::new(report), Mutex::new(reported)),
        });
        let accepting = Arc::clone(&process);
        let thread = std::thread::Builder::new().name("link".into()).spawn(move || {
            while let Ok((sender, receiver)) = listener.accept() {
                let number = accepting.joins(sender);
                accepting.hear(number, receiver, wishes.clone());
            }
        });
        thread.map_err(|error| failed(error.to_string()))?;
        Ok(process)
    }

    /// Hears one process on a thread of its own, until it is gone.
    fn hear(self: &Arc<Self>, number: u64, mut receiver: link::Receiver<ToKernel>, wishes: Sender<Wish>) {
        let process = Arc::clone(self);
        let heard = std::thread::Builder::new().name("link process".into()).spawn(move || {
            loop {
                match receiver.receive() {
                    Ok(Some(framed)) => process.take(framed),
                    // One that is killed breaks the link off; that it is gone is told below.
                    Ok(None) | Err(LinkError::Io { .. }) => break,
                    Err(error) => {
                        (process.events)(Event::Stream {
                            channel: Channel::Stderr,
                            text: format!("{error}\n"),
                            cell: None,
                        });
                        break;
                    }
                }
            }
            process.leaves(number);
            process.report(Report::Gone);
            (process.events)(Event::ProcessGone);
            // An idle session looks after the process at once; a busy one has noticed by itself.
            let _ = wishes.send(Wish::LookAfter);
        });
        if let Err(error) = heard {
            (self.events)(Event::Stream {
                channel: Channel::Stderr,
                text: format!("the cell process cannot be heard: {error}\n"),
                cell: None,
            });
        }
    }

    fn joins(&self, sender: link::Sender<ToCell>) -> u64 {
        let mut link = lock(&self.link);
        link.number += 1;
        link.sender = Some(sender);
        self.joined.notify_all();
        link.number
    }

    fn leaves(&self, number: u64) {
        let mut link = lock(&self.link);
        if link.number == number {
            link.sender = None;
        }
    }

    /// How many processes have joined up to now.
    pub(crate) fn joined(&self) -> u64 {
        lock(&self.link).number
    }

    /// Waits until more processes have joined than `before`.
    pub(crate) fn await_joined(&self, before: u64) {
        // One that does not join is found out by the next cell, which waits for a barrier.
        let waiting = |link: &mut Link| link.number <= before;
        drop(self.joined.wait_timeout_while(lock(&self.link), JOINING, waiting));
    }

    fn take(&self, framed: Framed<ToKernel>) {
        match framed.frame {
            ToKernel::Hello { .. } => {}
            ToKernel::Stream { channel, text, cell } => (self.events)(Event::Stream { channel, text, cell }),
            ToKernel::Panicked { name, message, file, line, frames } => {
                self.report(Report::Panicked { name, message, file, line, frames })
            }
            ToKernel::EarlyReturn { message } => self.report(Report::EarlyReturn(message)),
            ToKernel::Result { bundle } => self.result(bundle),
            ToKernel::Names { columns, topics } => lock(&self.known).offer(columns, topics),
            ToKernel::Retyped { name } => lock(&self.retyped).push(name),
            ToKernel::Completed => self.report(Report::Completed),
            ToKernel::BarrierReached { number } => self.report(Report::Barrier(number)),
            frame => (self.events)(Event::FromCell(Framed { frame, buffers: framed.buffers })),
        }
    }

    /// Takes a line that the process wrote to its standard error.
    pub(crate) fn stderr_line(&self, line: &str) {
        let mut text = line.to_owned();
        if let Some(at) = text.find(MARK) {
            if let Ok(number) = text[at + MARK.len()..].trim().parse() {
                self.report(Report::StderrBarrier(number));
            }
            text.truncate(at);
            if text.is_empty() {
                return;
            }
        }
        text.push('\n');
        (self.events)(Event::Stream { channel: Channel::Stderr, text, cell: None });
    }

    /// Remembers the handle that evcxr gives; it stays valid across restarts.
    pub(crate) fn hold(&self, handle: Arc<Mutex<std::process::Child>>) {
        *lock(&self.handle) = Some(handle);
    }

    pub(crate) fn send(&self, frame: &Framed<ToCell>) {
        if let Some(sender) = lock(&self.link).sender.as_mut() {
            // A process that is gone is noticed by the thread that hears it.
            let _ = sender.send(frame);
        }
    }

    /// Says that a cell begins.
    pub(crate) fn begin(&self) {
        while lock(&self.reports.1).try_recv().is_ok() {}
        self.interrupted.store(false, Ordering::SeqCst);
        self.running.store(true, Ordering::SeqCst);
        let number = self.cells.fetch_add(1, Ordering::SeqCst) + 1;
        self.send(&ToCell::CellStarted { number }.into());
    }

    /// Waits until all that the cell put out has been passed on, and gives what was reported of it.
    pub(crate) fn end(&self) -> Vec<Report> {
        let number = self.barriers.fetch_add(1, Ordering::SeqCst) + 1;
        self.send(&ToCell::Barrier { number }.into());
        let reported = lock(&self.reports.1);
        let (mut reports, mut out, mut err) = (Vec::new(), false, false);
        while !(out && err) {
            match reported.recv_timeout(BARRIER) {
                Ok(Report::Barrier(n)) => out |= n == number,
                Ok(Report::StderrBarrier(n)) => err |= n == number,
                Ok(Report::Gone) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
                Ok(report) => reports.push(report),
            }
        }
        self.running.store(false, Ordering::SeqCst);
        reports
    }

    /// Whether the process lives and is joined. One that has left the link is ended and its end awaited: it is of no use,
    /// and one that dies closes its sockets a moment before it can be seen to be dead.
    pub(crate) fn is_alive(&self) -> bool {
        let joined = lock(&self.link).sender.is_some();
        let handle = lock(&self.handle).clone();
        let Some(handle) = handle else { return false };
        let mut child = lock(&handle);
        if joined && matches!(child.try_wait(), Ok(None)) {
            return true;
        }
        // One that has ended by itself is as good.
        let _ = child.kill();
        let _ = child.wait();
        false
    }

    fn result(&self, bundle: Bundle) {
        match lock(&self.kept).as_mut() {
            Some(kept) => kept.push(bundle),
            None => (self.events)(Event::FromCell(Framed::from(ToKernel::Result { bundle }))),
        }
    }

    /// From here on results are kept, until [`CellProcess::kept`] gives them.
    pub(crate) fn keep(&self) {
        *lock(&self.kept) = Some(Vec::new());
    }

    pub(crate) fn kept(&self) -> Vec<Bundle> {
        lock(&self.kept).take().unwrap_or_default()
    }

    /// The variables that were lost because their types were defined anew.
    pub(crate) fn take_retyped(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.retyped))
    }

    /// A cell waits, or has ended.
    pub(crate) fn count_cell(&self, waits: bool) {
        if waits {
            self.cells_ahead.fetch_add(1, Ordering::SeqCst);
        } else if self.cells_ahead.fetch_sub(1, Ordering::SeqCst) == 1 {
            // It came between the end of what the last cell does and the end of the cell: it was not for the next one.
            self.interrupted_early.store(false, Ordering::SeqCst);
        }
    }

    /// Says that the session takes cells from now on.
    pub(crate) fn begun(&self) {
        self.beginning.store(false, Ordering::SeqCst);
    }

    /// Whether a cell waits or runs.
    pub(crate) fn has_cells(&self) -> bool {
        self.cells_ahead.load(Ordering::SeqCst) > 0
    }

    /// Whether the session has more to do than to answer questions.
    pub(crate) fn is_occupied(&self) -> bool {
        self.beginning.load(Ordering::SeqCst) || self.has_cells()
    }

    /// Whether the cell that is next was interrupted before it began.
    pub(crate) fn take_interrupted_early(&self) -> bool {
        self.interrupted_early.swap(false, Ordering::SeqCst)
    }

    /// The names that completion offers without the analyzer.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    pub(crate) fn was_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// Asks the running cell to end; the second time, ends its process.
    pub(crate) fn interrupt(self: &Arc<Self>) {
        if !self.running.load(Ordering::SeqCst) {
            if self.has_cells() {
                self.interrupted_early.store(true, Ordering::SeqCst);
            }
            return;
        }
        if self.interrupted.swap(true, Ordering::SeqCst) {
            self.kill();
            return;
        }
        self.send(&ToCell::Interrupt.into());
        let (process, cell) = (Arc::clone(self), self.cells.load(Ordering::SeqCst));
        let waiting = std::thread::Builder::new().name("interrupt".into()).spawn(move || {
            // Not for an order: the time is what a person is given to wait.
            std::thread::park_timeout(GRACE);
            let same = process.cells.load(Ordering::SeqCst) == cell;
            if same && process.running.load(Ordering::SeqCst) {
                let text = "The cell does not stop by itself. Interrupt once more to end the cell process: its variables and running queries are then lost, what it defined (functions, types, use) stays.\n";
                (process.events)(Event::Stream { channel: Channel::Stderr, text: text.to_owned(), cell: None });
            }
        });
        drop(waiting);
    }

    /// Ends the process.
    pub(crate) fn kill(&self) {
        if let Some(handle) = lock(&self.handle).as_ref() {
            // One that has ended by itself is as good.
            let _ = lock(handle).kill();
        }
    }

    fn report(&self, report: Report) {
        // The receiving end lives as long as this value.
        let _ = lock(&self.reports.0).send(report);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
