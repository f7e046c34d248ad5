//! The session's thread: it owns evcxr, takes wish after wish, and keeps a cell process alive. What it does for a cell is in
//! `cells`, for a question in `questions`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use evcxr::{CommandContext, CompilationError, Error, EvalContext};
use link::{Bundle, Channel};

use crate::complete::Completion;
use crate::evcxr_contract::marks;
use crate::items::Items;
use crate::process::{CellProcess, interrupted_early};
use crate::stand_in::Waiting;
use crate::toolchain::{LIBRARY_PATH, Toolchain};
use crate::variables::Gone;
use crate::{EvaluatorError, Event, Outcome, Place, file_system};

/// What the session is asked.
pub(crate) enum Wish {
    Execute(Execution),
    Complete {
        code: String,
        position: usize,
        answer: Box<dyn FnOnce(Completion) + Send>,
    },
    Inspect {
        code: String,
        position: usize,
        answer: Box<dyn FnOnce(Option<Bundle>) + Send>,
    },
    /// The cell process has ended; if that was not part of a cell, start another.
    LookAfter,
    Shutdown,
}

/// A cell to run.
pub struct Execution {
    /// Unique.
    pub id: u64,
    /// What the page calls it.
    pub number: u64,
    /// The notebook's cell, where the page says it: the same when it is run again.
    pub cell: Option<String>,
    /// Its text.
    pub code: String,
    /// To be evaluated after it, by name.
    pub expressions: Vec<(String, String)>,
}

/// What every process runs first: it joins the link. The `?` makes evcxr expect one in later cells, so that they compile
/// once.
const INIT: &str = "corriente::init();\n::core::result::Result::Ok::<(), &str>(())?;";
/// The macros by name, because std's own would make a `*` ambiguous.
const PRELUDE: &str = "use corriente::prelude::*;\nuse corriente::{print, println, eprint, eprintln};\n";
const WARM_UP: &str = "let frame = df!(\"a\" => [1])?.lazy().filter(col(\"a\").gt(lit(0))); frame.";
/// Names the cell to the code that is compiled for it, so that what its threads print later is known to be its.
const CELL: &str = "CORRIENTE_CELL";
/// The libraries of the newest cells stay on the disk, for backtraces; the processes have loaded the others.
const LIBRARIES: u64 = 16;

/// How a cell ends that the kernel itself fails at.
const MISTAKE: &str = "The kernel has made a mistake with this cell; what it knows of it is in the log that Jupyter keeps. Variables are kept, and the cells that follow run.";

type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Starts the thread; what is given back is disconnected when it has ended.
pub(crate) fn spawn(
    place: &Place,
    toolchain: Toolchain,
    wishes: Receiver<Wish>,
    process: Arc<CellProcess>,
    events: Events,
) -> Result<Receiver<()>, EvaluatorError> {
    let (socket, folder, libraries) = (place.socket(), place.path().to_owned(), place.libraries());
    let (lives, ended) = channel();
    let run = move || {
        let _lives = lives;
        let mut command = match std::env::current_exe() {
            Ok(executable) => std::process::Command::new(executable),
            Err(error) => return events(Event::Ready(Err(EvaluatorError::machine("find its own binary")(error)))),
        };
        command.env(LIBRARY_PATH, toolchain.library_path()).env(link::ENV, socket);
        for (name, from) in [("PATH", crate::env::USER_PATH), ("CARGO_HOME", crate::env::USER_CARGO_HOME)] {
            if let Some(value) = std::env::var_os(from) {
                command.env(name, value);
            }
        }
        match Session::begin(command, folder, libraries, Arc::clone(&process), Arc::clone(&events)) {
            Ok(mut session) => {
                events(Event::Ready(Ok(())));
                session.warm_up();
                process.turns.open();
                session.serve(&wishes);
            }
            Err(error) => {
                let failure = error.clone();
                events(Event::Ready(Err(error)));
                refuse(&wishes, &process, &failure);
            }
        }
    };
    std::thread::Builder::new()
        .name("session".into())
        .spawn(run)
        .map_err(EvaluatorError::machine("start its thread"))?;
    Ok(ended)
}

/// Without a session every cell ends with the reason.
fn refuse(wishes: &Receiver<Wish>, process: &CellProcess, failure: &EvaluatorError) {
    while let Ok(wish) = wishes.recv() {
        match wish {
            Wish::Execute(cell) if process.turns.begin(cell.id) => {
                let text = failure.to_string();
                process.finish(cell.id, error("KernelError", &text, vec![text.clone()]), Vec::new());
            }
            Wish::Execute(_) | Wish::LookAfter => {}
            Wish::Complete { answer, .. } => answer(Completion::default()),
            Wish::Inspect { answer, .. } => answer(None),
            Wish::Shutdown => return,
        }
    }
}

pub(crate) struct Session {
    pub(crate) context: CommandContext,
    pub(crate) process: Arc<CellProcess>,
    pub(crate) events: Events,
    pub(crate) gone: Gone,
    /// What cells have defined.
    pub(crate) items: Items,
    /// Where the session is.
    pub(crate) folder: PathBuf,
    /// Where the cells' libraries are.
    pub(crate) libraries: PathBuf,
    compiler: Waiting,
    /// Whether the prelude is missing, because what brings it was interrupted.
    bare: bool,
}

impl Session {
    fn begin(
        command: std::process::Command,
        folder: PathBuf,
        libraries: PathBuf,
        process: Arc<CellProcess>,
        events: Events,
    ) -> Result<Session, EvaluatorError> {
        let failed = |error: Error| match &error {
            Error::CompilationErrors(errors) if errors.iter().any(is_library_gone) => EvaluatorError::Evcxr {
                detail: "the library that cells link to is not whole; build it with ./install/demo".to_owned(),
            },
            _ => EvaluatorError::Evcxr { detail: error.to_string() },
        };
        let (context, outputs) = EvalContext::with_subprocess_command(command).map_err(failed)?;
        let mut context = CommandContext::with_eval_context(context);
        process.hold(context.process_handle());
        // Only what the process says before it has joined the link comes this way.
        for (channel, lines) in [(Channel::Stderr, outputs.stderr), (Channel::Stdout, outputs.stdout)] {
            let events = Arc::clone(&events);
            forward(lines, move |line| events(Event::Stream { channel, text: format!("{line}\n"), cell: None }))?;
        }
        context.execute(marks::OWN_LINKER).map_err(failed)?;
        context.execute(&format!("{PRELUDE}{INIT}")).map_err(failed)?;
        process.await_joined(0);
        Ok(Session {
            context,
            process,
            events,
            gone: Gone::default(),
            items: Items::default(),
            folder,
            libraries,
            compiler: Waiting::default(),
            bare: false,
        })
    }

    fn serve(&mut self, wishes: &Receiver<Wish>) {
        while let Ok(wish) = wishes.recv() {
            match wish {
                Wish::Execute(cell) => self.execute(cell),
                Wish::Complete { code, position, answer } => answer(self.complete(&code, position)),
                Wish::Inspect { code, position, answer } => answer(self.inspect(&code, position)),
                Wish::LookAfter => self.look_after(),
                Wish::Shutdown => return,
            }
        }
    }

    /// Has the analyzer look at what most cells use, while the person still reads. A cell that waits does it by itself.
    fn warm_up(&mut self) {
        if !self.process.turns.has_cells() {
            self.analyze(|context| context.completions(WARM_UP, WARM_UP.len()));
        }
    }

    fn execute(&mut self, cell: Execution) {
        let Execution { id, number, cell, code, expressions } = cell;
        self.look_after();
        // One that was interrupted meanwhile has been answered.
        if !self.process.turns.begin(id) {
            return;
        }
        self.process.is_at(id, cell);
        // It cannot fail, and what it says is of no interest.
        let _ = self.context.execute(&marks::build_variable(CELL, id));
        // A mistake of the kernel's own ends the cell, and not the notebook.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.run(number, &code)))
            .unwrap_or_else(|_| error("KernelError", MISTAKE, vec![MISTAKE.to_owned()]));
        let outcome = file_system::explained(outcome, &self.libraries);
        self.learn(&code);
        let values = if outcome == Outcome::Ok { self.evaluate(number, expressions) } else { Vec::new() };
        self.remove_libraries();
        self.process.finish(id, outcome, values);
        self.compiler.renew(CELL, id + 1);
    }

    /// Removes the libraries of old cells from the disk.
    fn remove_libraries(&self) {
        let Ok(entries) = std::fs::read_dir(&self.libraries) else { return };
        let number = |path: &std::path::Path| path.file_stem()?.to_str()?.rsplit('_').next()?.parse::<u64>().ok();
        let found: Vec<(u64, PathBuf)> =
            entries.flatten().filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect();
        let newest = found.iter().map(|(number, _)| *number).max().unwrap_or(0);
        for (_, path) in found.iter().filter(|(number, _)| number + LIBRARIES <= newest) {
            // One that cannot be removed goes with the folder.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Starts another process; what was defined stays.
    pub(crate) fn restart(&mut self) -> Outcome {
        let lost = self.variables();
        self.process.kill();
        self.revive();
        self.gone.process_ended(&lost);
        self.say(&format!("The cell process was started anew. {}\n", losses(&lost)));
        Outcome::Ok
    }

    /// Starts another process, and forgets what was defined.
    pub(crate) fn clear(&mut self) -> Outcome {
        let before = self.process.joined();
        self.items = Items::default();
        if let Err(refused) = self.instruct(&self.items, Vec::new()) {
            return error("KernelError", &refused, vec![refused.clone()]);
        }
        let cleared =
            self.context.execute(marks::CLEAR).and_then(|_| self.context.execute(&format!("{PRELUDE}{INIT}")));
        self.process.hold(self.context.process_handle());
        self.process.known().clear();
        self.process.forget_parameters();
        self.gone.clear();
        match cleared {
            Ok(_) => {
                self.bare = false;
                self.process.await_joined(before);
                Outcome::Ok
            }
            Err(failed) => {
                self.bare = true;
                if self.process.turns.was_stopped() {
                    return interrupted_early();
                }
                error("Error", &failed.to_string(), vec![failed.to_string()])
            }
        }
    }

    /// Tells the page, on standard error.
    pub(crate) fn say(&self, text: &str) {
        (self.events)(Event::Stream { channel: Channel::Stderr, text: text.to_owned(), cell: None });
    }

    pub(crate) fn types(&self) -> Vec<(String, String)> {
        self.context.variables_and_types().map(|(name, type_name)| (name.to_owned(), type_name.to_owned())).collect()
    }

    pub(crate) fn variables(&self) -> Vec<String> {
        let mut names: Vec<String> = self.context.variables_and_types().map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    }

    /// Starts another process if there is none, and says what was lost.
    fn look_after(&mut self) {
        if self.bare {
            self.clear();
        }
        if self.process.is_alive() {
            return;
        }
        let lost = self.variables();
        self.revive();
        self.gone.process_ended(&lost);
        let message = format!("The cell process ended while no cell was running. {}", losses(&lost));
        (self.events)(Event::ProcessLost { message });
    }

    /// evcxr notices that its process is gone when it wants to use it, and starts another; that one joins the link.
    pub(crate) fn revive(&mut self) {
        let before = self.process.joined();
        // Statics were in the libraries that the process had loaded.
        self.items.process_ended();
        if let Err(refused) = self.instruct(&self.items, Vec::new()) {
            self.say(&format!("{refused}\n"));
        }
        for _ in 0..3 {
            let joined = self.context.execute(INIT);
            self.process.hold(self.context.process_handle());
            match joined {
                Ok(_) => return self.process.await_joined(before),
                Err(Error::SubprocessTerminated(_)) => {}
                Err(error) => {
                    return self.say(&format!("the new cell process does not start: {error}\n"));
                }
            }
        }
    }
}

/// Whether the compiler no longer finds the library, or what it was made of.
pub(crate) fn is_library_gone(error: &CompilationError) -> bool {
    error.code() == Some("E0463") && error.message().contains("`corriente`")
}

pub(crate) fn losses(variables: &[String]) -> String {
    let lost = match variables {
        [] => "There were no variables to lose".to_owned(),
        [one] => format!("The variable {one} is lost"),
        several => format!("The variables {} are lost", several.join(", ")),
    };
    format!(
        "{lost}, and so are queries that were running; functions, types and `use`s are kept. Run the cells that you need again."
    )
}

pub(crate) fn error(name: &str, value: &str, traceback: Vec<String>) -> Outcome {
    Outcome::Error { name: name.to_owned(), value: value.to_owned(), traceback }
}

fn forward(
    lines: impl IntoIterator<Item = String> + Send + 'static,
    take: impl Fn(String) + Send + 'static,
) -> Result<(), EvaluatorError> {
    let run = move || lines.into_iter().for_each(take);
    std::thread::Builder::new()
        .name("cell process".into())
        .spawn(run)
        .map_err(EvaluatorError::machine("start a thread"))?;
    Ok(())
}
