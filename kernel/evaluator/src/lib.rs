//! Cell text to running Rust. A session on evcxr, in a thread of its own; cells are compiled against the one dylib by a
//! stand-in `cargo`, and run in a cell process that the [`link`] reaches. Knows nothing of Jupyter.

mod ambiguous;
mod awaits;
mod beside;
mod cells;
mod children;
mod commands;
mod complete;
mod crates;
mod diagnostics;
mod distribution;
mod error;
mod evcxr_contract;
mod file_system;
mod hints;
mod items;
mod macros;
mod place;
mod present;
mod process;
mod progress;
mod questions;
mod rewrite;
mod run_commands;
mod runtime;
mod session;
mod signatures;
mod source;
mod stack;
mod stand_in;
mod statics;
mod stop;
mod symbols;
mod sysroot;
mod toolchain;
mod turn;
mod types;
mod variables;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

pub use complete::{Completion, Match};
pub use distribution::{Distribution, DistributionError};
pub use error::EvaluatorError;
pub use file_system::free_space;
use link::{Bundle, Channel, Framed, ToCell, ToKernel};
pub use place::{Place, env};
use process::CellProcess;
pub use session::Execution;
use session::Wish;
pub use source::{Completeness, is_complete};
pub use stand_in::answer_as_tool;
pub use toolchain::{INSTALLED, Toolchain};

/// Must be the first thing `main` calls: in the processes that evcxr and its analyzer start from this binary it never
/// returns.
pub fn runtime_hook() {
    runtime::serve_if_cell_process();
    evcxr::runtime_hook();
    if let Some(code) = stand_in::answer_as_tool() {
        std::process::exit(code);
    }
}

/// What comes out of a session.
#[derive(Debug)]
pub enum Event {
    /// Text that the cell process printed.
    Stream {
        /// Where to.
        channel: Channel,
        /// What.
        text: String,
        /// The cell whose thread printed it, where that is known.
        cell: Option<u64>,
    },
    /// An output or a comm message of the cell process.
    FromCell(Framed<ToKernel>),
    /// A cell has ended; everything it put out came before.
    Finished {
        /// The cell.
        id: u64,
        /// How.
        outcome: Outcome,
        /// The expressions that were to be evaluated after it.
        expressions: Vec<Evaluated>,
    },
    /// A cell process has ended, for whatever reason; nothing that was open with it goes on.
    ProcessGone,
    /// The cell process died while no cell ran, and was started anew.
    ProcessLost {
        /// What happened and what is gone, in words.
        message: String,
    },
    /// The session is ready for cells, or is not going to be.
    Ready(Result<(), EvaluatorError>),
}

/// An expression's name, and its value as it is shown, or its error's name and text.
pub type Evaluated = (String, Result<Bundle, (String, String)>);

/// How a cell ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// As it should.
    Ok,
    /// With an error, as Jupyter shows one.
    Error {
        /// Its name, such as `CompileError` or `Panic`.
        name: String,
        /// One line.
        value: String,
        /// Lines, with ANSI colours.
        traceback: Vec<String>,
    },
}

/// Sends to the cell process, from any thread.
#[derive(Clone)]
pub struct ToProcess(Arc<CellProcess>);

impl ToProcess {
    /// Sends a frame; lost when there is no process.
    pub fn send(&self, frame: Framed<ToCell>) {
        self.0.send(&frame);
    }
}

/// How long the session may take to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// A handle to the session; all its methods return at once.
pub struct Evaluator {
    wishes: Sender<Wish>,
    process: Arc<CellProcess>,
    /// Disconnected when the session's thread has ended.
    ended: Receiver<()>,
}

impl Evaluator {
    /// Starts a session in `place`; `events` is called from the session's threads. Loading takes seconds and goes on in
    /// the background: cells wait for it, and [`Event::Ready`] tells.
    ///
    /// # Errors
    /// When the machine gives no thread or no socket.
    pub fn start(
        place: &Place,
        toolchain: Toolchain,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Evaluator, EvaluatorError> {
        let events: Arc<dyn Fn(Event) + Send + Sync> = Arc::new(events);
        let (wishes, wished) = channel();
        let process = CellProcess::listen(place, Arc::clone(&events), wishes.clone())?;
        progress::listen(place, Arc::clone(&events))?;
        let ended = session::spawn(place, toolchain, wished, Arc::clone(&process), events)?;
        Ok(Evaluator { wishes, process, ended })
    }

    /// Runs a cell after those that were sent before; [`Event::Finished`] tells its end.
    pub fn execute(&self, cell: Execution) {
        self.process.turns.sent(cell.id);
        self.wish(Wish::Execute(cell));
    }

    /// What could stand at a position, which is counted in characters. While a cell is compiled or runs the answer comes
    /// at once, from what is known of the cells before.
    pub fn complete(&self, code: String, position: usize, answer: impl FnOnce(Completion) + Send + 'static) {
        let text = self.process.known().complete_text(&code, position);
        match text {
            Some(found) => answer(found),
            None if self.process.turns.is_occupied() => {
                let found = self.process.known().complete(&code, position);
                answer(found);
            }
            None => self.wish(Wish::Complete { code, position, answer: Box::new(answer) }),
        }
    }

    /// What stands at a position, as text and as HTML; `None` when that is not known.
    pub fn inspect(&self, code: String, position: usize, answer: impl FnOnce(Option<Bundle>) + Send + 'static) {
        if self.process.turns.is_occupied() {
            let found = self.process.known().inspect(&code, position);
            answer(found);
        } else {
            self.wish(Wish::Inspect { code, position, answer: Box::new(answer) });
        }
    }

    /// A handle that sends to the cell process.
    #[must_use]
    pub fn sender(&self) -> ToProcess {
        ToProcess(Arc::clone(&self.process))
    }

    /// Asks the cell to end. What is compiled for it is stopped, and nothing of it runs; in one that runs everything that waits
    /// gives up, and its child processes end. When it goes on all the same, a message says so, and asking again ends the
    /// cell process.
    pub fn interrupt(&self) {
        self.process.interrupt();
    }

    /// Sends a frame to the cell process; lost when there is none.
    pub fn send(&self, frame: Framed<ToCell>) {
        self.process.send(&frame);
    }

    /// Ends the session, whatever a cell is doing.
    pub fn shutdown(&mut self) {
        self.wish(Wish::Shutdown);
        self.process.turns.close();
        self.process.kill();
        // A session that is in the middle of an analysis ends with this process.
        let _ = self.ended.recv_timeout(FAREWELL);
    }

    fn wish(&self, wish: Wish) {
        // A session that is gone has said so, and the kernel is going down.
        let _ = self.wishes.send(wish);
    }
}
