//! The kernel's side of the cell process: its link, its death, and interrupts. A thread `link` waits for each new process
//! and a thread `link process` hears it; the session's thread waits here for barriers.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use link::{Bundle, Channel, Framed, Giver, LinkError, Listener, Parameter, ToCell, ToKernel};

use crate::complete::Known;
use crate::session::{Wish, error};
use crate::stack::Overflow;
use crate::stop::Stop;
use crate::turn::{Interrupt, Turns};
use crate::{Evaluated, EvaluatorError, Event, Outcome, Place, children, stack};

/// How long a child process of a cell may take to end after it was asked.
const CHILDREN: Duration = Duration::from_secs(1);
/// How long after that an interrupted cell that is still being analysed keeps the page waiting.
const ANALYSIS: Duration = Duration::from_millis(500);
/// How long after that a cell may go on before a message says how to end it.
const GRACE: Duration = Duration::from_millis(1500);
/// How long output may take to arrive after a cell.
const BARRIER: Duration = Duration::from_secs(10);
/// How long a process that runs may take to join the link.
const JOINING: Duration = Duration::from_secs(10);
/// How long to wait before a process is accepted again, when the machine has no descriptor for one.
const AGAIN: Duration = Duration::from_millis(200);

const EARLY: &str = "The cell was interrupted before it began.";
const ON: &str = "The cell does not stop by itself. Interrupt once more to end the cell process: its variables and running queries are then lost, what it defined (functions, types, use) stays.\n";

/// The cell process, whichever it is now.
pub(crate) struct CellProcess {
    socket: PathBuf,
    link: Mutex<Link>,
    joined: Condvar,
    handle: Mutex<Option<Arc<Mutex<std::process::Child>>>>,
    events: Arc<dyn Fn(Event) + Send + Sync>,
    pub(crate) turns: Turns,
    barriers: AtomicU64,
    known: Mutex<Known>,
    /// What was shown, while it is not to be shown but kept.
    kept: Mutex<Option<Vec<Bundle>>>,
    /// Variables whose types were defined anew.
    retyped: Mutex<Vec<String>>,
    /// The run of a cell that the session is at, and the notebook's cell.
    at: Mutex<(u64, Option<String>)>,
    /// What every process is told of.
    parameters: Mutex<BTreeMap<(String, Giver), Parameter>>,
    /// Those that a program has given just now.
    injected: Mutex<Vec<String>>,
    reports: (Mutex<Sender<Report>>, Mutex<Receiver<Report>>),
}

/// The link to the newest process.
#[derive(Default)]
struct Link {
    /// Counts the processes that have joined.
    number: u64,
    /// `None` before the first process, and when the newest one has left.
    sender: Option<link::Sender<ToCell>>,
    /// The newest process, once it has said which it is.
    process: Option<u32>,
}

/// What the session must know of a cell beside its outputs.
#[derive(Debug)]
pub(crate) enum Report {
    Panicked {
        name: String,
        message: String,
        file: Option<String>,
        line: u32,
        frames: Vec<(String, u64)>,
    },
    EarlyReturn(String),
    Returned,
    Completed,
    Barrier(u64),
    /// The process has ended, and where it was at the end of its stack, if it was.
    Gone {
        /// Which one, as [`Link::number`] counts them.
        number: u64,
        overflow: Option<Overflow>,
    },
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
        let stop = Stop::at(place.path()).map_err(|error| failed(error.to_string()))?;
        let (report, reported) = channel();
        let process = Arc::new(CellProcess {
            socket: place.socket(),
            link: Mutex::default(),
            joined: Condvar::new(),
            handle: Mutex::default(),
            events,
            turns: Turns::new(stop),
            barriers: AtomicU64::new(0),
            known: Mutex::default(),
            kept: Mutex::default(),
            retyped: Mutex::default(),
            at: Mutex::default(),
            parameters: Mutex::default(),
            injected: Mutex::default(),
            reports: (Mutex::new(report), Mutex::new(reported)),
        });
        let accepting = Arc::clone(&process);
        let thread =
            std::thread::Builder::new().name("link".into()).spawn(move || accepting.accept(&listener, &wishes));
        thread.map_err(|error| failed(error.to_string()))?;
        Ok(process)
    }

    fn accept(self: &Arc<Self>, listener: &Listener, wishes: &Sender<Wish>) {
        let mut told = false;
        loop {
            match listener.accept() {
                Ok((sender, receiver)) => {
                    told = false;
                    let number = self.joins(sender);
                    self.hear(number, receiver, wishes.clone());
                }
                Err(error) => {
                    // Said once for as long as it lasts: as a rule the kernel has too many files open.
                    if !std::mem::replace(&mut told, true) {
                        self.say(&format!("a cell process cannot join: {error}; it is tried again\n"));
                    }
                    std::thread::park_timeout(AGAIN);
                }
            }
        }
    }

    /// Hears one process on a thread of its own, until it is gone.
    fn hear(self: &Arc<Self>, number: u64, mut receiver: link::Receiver<ToKernel>, wishes: Sender<Wish>) {
        let process = Arc::clone(self);
        let heard = std::thread::Builder::new().name("link process".into()).spawn(move || {
            let mut written = None;
            loop {
                match receiver.receive() {
                    Ok(Some(Framed { frame: ToKernel::Hello { pid }, .. })) => {
                        written = Some(Written::by(&process.socket, pid));
                        process.named(number, pid);
                    }
                    Ok(Some(framed)) => process.take(framed),
                    // One that is killed breaks the link off; that it is gone is told below.
                    Ok(None) | Err(LinkError::Io { .. }) => break,
                    Err(error) => {
                        process.say(&format!("{error}\n"));
                        break;
                    }
                }
            }
            process.leaves(number);
            let mut overflow = None;
            if let Some(written) = written {
                overflow = process.socket.parent().and_then(|folder| stack::overflowed(folder, written.process));
                // What it started ends with it.
                children::end_group(written.process);
                written.rest(|channel, text| (process.events)(Event::Stream { channel, text, cell: None }));
            }
            process.report(Report::Gone { number, overflow });
            (process.events)(Event::ProcessGone);
            // An idle session looks after the process at once; a busy one has noticed by itself.
            let _ = wishes.send(Wish::LookAfter);
        });
        if let Err(error) = heard {
            self.say(&format!("the cell process cannot be heard: {error}\n"));
        }
    }

    fn joins(&self, mut sender: link::Sender<ToCell>) -> u64 {
        for parameter in lock(&self.parameters).values() {
            // A process that is gone already is noticed by the thread that hears it.
            let _ = sender.send(&ToCell::Parameter(parameter.clone()).into());
        }
        let mut link = lock(&self.link);
        link.number += 1;
        (link.sender, link.process) = (Some(sender), None);
        self.joined.notify_all();
        link.number
    }

    fn named(&self, number: u64, pid: u32) {
        let mut link = lock(&self.link);
        if link.number == number {
            link.process = Some(pid);
        }
    }

    fn leaves(&self, number: u64) {
        let mut link = lock(&self.link);
        if link.number == number {
            (link.sender, link.process) = (None, None);
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
        let waited = self.joined.wait_timeout_while(lock(&self.link), JOINING, waiting);
        let joined = !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out();
        if joined {
            // What it reports of its beginning is of no cell.
            self.end();
        }
    }

    fn take(&self, framed: Framed<ToKernel>) {
        match framed.frame {
            ToKernel::Hello { .. } => {}
            ToKernel::Started => self.turns.runs(),
            ToKernel::Stream { channel, text, cell } => (self.events)(Event::Stream { channel, text, cell }),
            ToKernel::Panicked { name, message, file, line, frames } => {
                self.report(Report::Panicked { name, message, file, line, frames })
            }
            ToKernel::EarlyReturn { message } => self.report(Report::EarlyReturn(message)),
            ToKernel::Returned => self.report(Report::Returned),
            ToKernel::Result { bundle, display_id } => self.result(bundle, display_id),
            ToKernel::Parameter(parameter) => self.remember(parameter),
            ToKernel::Names { columns, topics } => lock(&self.known).offer(columns, topics),
            ToKernel::Retyped { name } => lock(&self.retyped).push(name),
            ToKernel::Completed => self.report(Report::Completed),
            ToKernel::BarrierReached { number } => self.report(Report::Barrier(number)),
            frame => (self.events)(Event::FromCell(Framed { frame, buffers: framed.buffers })),
        }
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

    /// Says that something is compiled and run for the cell.
    pub(crate) fn begin(&self) {
        while lock(&self.reports.1).try_recv().is_ok() {}
        self.turns.compiles();
        let (run, cell) = lock(&self.at).clone();
        self.send(&ToCell::CellStarted { run, cell }.into());
    }

    /// Waits until all that the cell put out has been passed on, and gives what was reported of it.
    pub(crate) fn end(&self) -> Vec<Report> {
        let number = self.barriers.fetch_add(1, Ordering::SeqCst) + 1;
        self.send(&ToCell::Barrier { number }.into());
        let reported = lock(&self.reports.1);
        let mut reports = Vec::new();
        loop {
            match reported.recv_timeout(BARRIER) {
                Ok(Report::Barrier(reached)) if reached == number => return reports,
                // The end of one before this one is late news.
                Ok(gone @ Report::Gone { number, .. }) if number == self.joined() => {
                    reports.push(gone);
                    return reports;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return reports,
                Ok(report) => reports.push(report),
            }
        }
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

    /// The session begins with a run of a cell.
    pub(crate) fn is_at(&self, run: u64, cell: Option<String>) {
        *lock(&self.at) = (run, cell);
    }

    /// Gives a parameter of the notebook a value: in this process, once it is back from the barrier, and in those that follow.
    pub(crate) fn give(&self, parameter: Parameter) {
        self.send(&ToCell::Parameter(parameter.clone()).into());
        self.remember(parameter);
        self.end();
    }

    /// Whether a program that runs the notebook has given a parameter.
    pub(crate) fn is_injected(&self, name: &str) -> bool {
        lock(&self.parameters).contains_key(&(name.to_owned(), Giver::Injected))
    }

    fn remember(&self, parameter: Parameter) {
        if parameter.giver == Giver::Injected {
            lock(&self.injected).push(parameter.name.clone());
        }
        lock(&self.parameters).insert((parameter.name.clone(), parameter.giver), parameter);
    }

    /// The parameters that a program has given since this was last asked.
    pub(crate) fn take_injected(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.injected))
    }

    pub(crate) fn forget_parameters(&self) {
        lock(&self.parameters).clear();
        self.send(&ToCell::ForgetParameters.into());
    }

    fn result(&self, bundle: Bundle, display_id: Option<String>) {
        match lock(&self.kept).as_mut() {
            Some(kept) => kept.push(bundle),
            None => (self.events)(Event::FromCell(Framed::from(ToKernel::Result { bundle, display_id }))),
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

    /// The names that completion offers without the analyzer.
    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// The session is done with the cell: tells the page how it ended, unless an interrupt has.
    pub(crate) fn finish(&self, id: u64, outcome: Outcome, expressions: Vec<Evaluated>) {
        if self.turns.end() {
            (self.events)(Event::Finished { id, outcome, expressions });
        }
    }

    /// Asks the cell to end: what is compiled for it is stopped, what it waits for gives up. The second time, a cell that runs
    /// is ended with its process.
    pub(crate) fn interrupt(self: &Arc<Self>) {
        match self.turns.interrupt() {
            Interrupt::Nothing | Interrupt::Compiling { first: false, .. } => {}
            Interrupt::Answer(id) => self.answer(id),
            Interrupt::Compiling { id, .. } | Interrupt::Ask(id) => {
                self.send(&ToCell::Interrupt.into());
                let process = Arc::clone(self);
                let children = self.children_of_cell();
                children::interrupt(&children);
                let follow = move || process.follow(id, &children);
                // Without a thread the second interrupt ends the process all the same.
                drop(std::thread::Builder::new().name("interrupt".into()).spawn(follow));
            }
            Interrupt::End => self.kill(),
        }
    }

    /// What becomes of an interrupted cell. The times are what a person is given to wait, and not for an order.
    fn follow(&self, id: u64, children: &[children::Child]) {
        let lasts = self.turns.lasts(id, CHILDREN);
        children::end(children);
        if !lasts {
            return;
        }
        children::end(&self.children_of_cell());
        if self.turns.lasts(id, ANALYSIS) && self.turns.answer_early(id) {
            return self.answer(id);
        }
        if self.turns.lasts(id, GRACE) {
            self.say(ON);
        }
    }

    /// The processes that the cell has started.
    fn children_of_cell(&self) -> Vec<children::Child> {
        let (leader, since) = (lock(&self.link).process, self.turns.since());
        leader.zip(since).map(|(leader, since)| children::of(leader, Some(since))).unwrap_or_default()
    }

    fn answer(&self, id: u64) {
        (self.events)(Event::Finished { id, outcome: interrupted_early(), expressions: Vec::new() });
    }

    /// Ends the process, and all that cells have started.
    pub(crate) fn kill(&self) {
        // Without the lock of evcxr's handle, which evcxr holds while it waits for the end.
        if let Some(process) = lock(&self.link).process {
            return children::end_all(process);
        }
        if let Some(handle) = lock(&self.handle).as_ref() {
            // One that has ended by itself is as good.
            let _ = lock(handle).kill();
        }
    }

    fn say(&self, text: &str) {
        (self.events)(Event::Stream { channel: Channel::Stderr, text: text.to_owned(), cell: None });
    }

    fn report(&self, report: Report) {
        // The receiving end lives as long as this value.
        let _ = lock(&self.reports.0).send(report);
    }
}

/// How a cell ends of which nothing has run.
pub(crate) fn interrupted_early() -> Outcome {
    error("Interrupted", EARLY, vec![EARLY.to_owned()])
}

/// What a process has written and not passed on, to be had when it has ended, however it did.
struct Written {
    process: u32,
    pipes: Vec<(Channel, File)>,
}

impl Written {
    fn by(socket: &Path, process: u32) -> Written {
        let open = |channel: Channel| {
            let path = link::pipe(socket, process, channel);
            let pipe = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path);
            // Its name is needed no more.
            let _ = std::fs::remove_file(&path);
            Some((channel, pipe.ok()?))
        };
        Written { process, pipes: [Channel::Stdout, Channel::Stderr].into_iter().filter_map(open).collect() }
    }

    fn rest(self, put: impl Fn(Channel, String)) {
        for (channel, mut pipe) in self.pipes {
            let mut bytes = Vec::new();
            // It ends with an error where a process of another group still has the pipe; what was read counts.
            let _ = pipe.read_to_end(&mut bytes);
            if !bytes.is_empty() {
                put(channel, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
