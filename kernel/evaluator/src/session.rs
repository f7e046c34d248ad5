//! The session's thread: it owns evcxr, runs cell after cell, and keeps a cell process alive.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use evcxr::{CommandContext, CompilationError, Error, EvalContext};
use link::{Bundle, Channel, Framed, ToKernel};
use serde_json::Value;

use crate::process::{CellProcess, Report};
use crate::source::{self, Prepared};
use crate::toolchain::Toolchain;
use crate::{EvaluatorError, Event, Outcome, Place, diagnostics};

/// What the session is asked.
pub(crate) enum Wish {
    Execute {
        id: u64,
        code: String,
    },
    /// The cell process has ended; if that was not part of a cell, start another.
    LookAfter,
    Shutdown,
}

/// What every process runs first: it joins the link. The `?` makes evcxr expect one in later cells, so that they compile
/// once.
const INIT: &str = "corriente::init();\nOk::<(), String>(())?;";
const PRELUDE: &str = "use corriente::prelude::*;\n";

/// What a cell is told when Corriente was built anew under a running kernel.
const LIBRARY_GONE: &str =
    "The library that cells link to was built anew since this kernel started. Restart the kernel.";

type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Starts the thread.
pub(crate) fn spawn(
    place: &Place,
    toolchain: Toolchain,
    wishes: Receiver<Wish>,
    process: Arc<CellProcess>,
    events: Events,
) -> Result<JoinHandle<()>, EvaluatorError> {
    let socket = place.socket();
    let run = move || {
        let mut command = match std::env::current_exe() {
            Ok(executable) => std::process::Command::new(executable),
            Err(error) => return events(Event::Ready(Err(EvaluatorError::machine("find its own binary")(error)))),
        };
        command.env("LD_LIBRARY_PATH", toolchain.library_path()).env(link::ENV, socket);
        for (name, from) in [("PATH", crate::env::USER_PATH), ("CARGO_HOME", crate::env::USER_CARGO_HOME)] {
            if let Some(value) = std::env::var_os(from) {
                command.env(name, value);
            }
        }
        match Session::begin(command, process, Arc::clone(&events)) {
            Ok(mut session) => {
                events(Event::Ready(Ok(())));
                session.serve(&wishes);
            }
            Err(error) => {
                let failure = error.clone();
                events(Event::Ready(Err(error)));
                refuse(&wishes, &events, &failure);
            }
        }
    };
    std::thread::Builder::new().name("session".into()).spawn(run).map_err(EvaluatorError::machine("start its thread"))
}

/// Without a session every cell ends with the reason.
fn refuse(wishes: &Receiver<Wish>, events: &Events, failure: &EvaluatorError) {
    while let Ok(wish) = wishes.recv() {
        match wish {
            Wish::Execute { id, .. } => events(Event::Finished {
                id,
                outcome: error("KernelError", &failure.to_string(), vec![failure.to_string()]),
            }),
            Wish::LookAfter => {}
            Wish::Shutdown => return,
        }
    }
}

struct Session {
    context: CommandContext,
    process: Arc<CellProcess>,
    events: Events,
}

impl Session {
    fn begin(
        command: std::process::Command,
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
        forward("stderr", outputs.stderr, {
            let process = Arc::clone(&process);
            move |line| process.stderr_line(&line)
        })?;
        forward("stdout", outputs.stdout, {
            let events = Arc::clone(&events);
            // Only what the process says before it has joined the link comes this way.
            move |line| events(Event::Stream { channel: Channel::Stdout, text: format!("{line}\n") })
        })?;
        context.set_opt_level("0").map_err(failed)?;
        context.execute(":linker system").map_err(failed)?;
        context.execute(&format!("{PRELUDE}{INIT}")).map_err(failed)?;
        process.await_joined(0);
        Ok(Session { context, process, events })
    }

    fn serve(&mut self, wishes: &Receiver<Wish>) {
        while let Ok(wish) = wishes.recv() {
            match wish {
                Wish::Execute { id, code } => {
                    self.look_after();
                    let outcome = self.run(&code);
                    (self.events)(Event::Finished { id, outcome });
                }
                Wish::LookAfter => self.look_after(),
                Wish::Shutdown => return,
            }
        }
    }

    fn run(&mut self, code: &str) -> Outcome {
        let prepared = source::prepare(code);
        let before = self.variables();
        self.process.begin();
        let result = self.context.execute(&prepared.text);
        let reports = self.process.end();
        match result {
            Ok(outputs) => {
                self.show_text(outputs.content_by_mime_type);
                self.judge(code, &prepared, reports)
            }
            Err(Error::CompilationErrors(errors)) if errors.iter().any(is_library_gone) => {
                error("KernelError", LIBRARY_GONE, vec![LIBRARY_GONE.to_owned()])
            }
            Err(Error::CompilationErrors(errors)) => diagnostics::outcome(code, &prepared, &errors),
            Err(Error::SubprocessTerminated(why)) => {
                self.revive();
                died(&why, &before, self.process.was_interrupted())
            }
            Err(other) => {
                let text = other.to_string();
                error("Error", text.lines().next().unwrap_or(""), text.lines().map(str::to_owned).collect())
            }
        }
    }

    /// How a cell that compiled has ended.
    fn judge(&self, code: &str, prepared: &Prepared, reports: Vec<Report>) -> Outcome {
        for report in reports {
            match report {
                Report::Panicked { name, message, file, line } => {
                    let line =
                        file.filter(|file| file.ends_with("lib.rs")).and_then(|_| self.cell_line(code, prepared, line));
                    return diagnostics::panicked(code, &name, &message, line);
                }
                Report::EarlyReturn(message) => {
                    let mut traceback = vec![format!("\u{1b}[1;31merror\u{1b}[0m: {message}")];
                    traceback.push(
                        "The cell ended at a `?`. Variables from before are kept; those it was about to define are not there.".to_owned(),
                    );
                    return error("Error", &message, traceback);
                }
                _ => {}
            }
        }
        Outcome::Ok
    }

    /// The cell's line for a line of the file that was compiled. evcxr puts each statement on lines of its own, so a
    /// line of the cell may hold several of the file's; of lines that read the same the order tells which.
    fn cell_line(&self, code: &str, prepared: &Prepared, line: u32) -> Option<usize> {
        let compiled = self.context.last_source().ok()?;
        let index = usize::try_from(line).ok()?.checked_sub(1)?;
        let text = compiled.lines().nth(index)?.trim();
        let alike = compiled.lines().skip(index + 1).filter(|l| l.trim() == text).count();
        let holds = |(number, l): (usize, &str)| l.contains(text).then_some(number + 1);
        let lines: Vec<usize> = prepared.text.lines().enumerate().filter_map(holds).collect();
        let line = lines.iter().rev().nth(alike).or(lines.first()).copied()?;
        (!text.is_empty() && line <= code.lines().count()).then_some(line)
    }

    /// What evcxr's own commands answer.
    fn show_text(&self, contents: std::collections::HashMap<String, String>) {
        if contents.is_empty() {
            return;
        }
        let data = contents.into_iter().map(|(mime, text)| (mime, Value::String(text))).collect();
        let bundle = Bundle { data, metadata: serde_json::Map::new() };
        (self.events)(Event::FromCell(Framed::from(ToKernel::Result { bundle })));
    }

    fn variables(&self) -> Vec<String> {
        let mut names: Vec<String> = self.context.variables_and_types().map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    }

    /// Starts another process if there is none, and says what was lost.
    fn look_after(&mut self) {
        if self.process.is_alive() {
            return;
        }
        let lost = self.variables();
        self.revive();
        let message = format!("The cell process ended while no cell was running. {}", losses(&lost));
        (self.events)(Event::ProcessLost { message });
    }

    /// evcxr notices that its process is gone when it wants to use it, and starts another; that one joins the link.
    fn revive(&mut self) {
        let before = self.process.joined();
        for _ in 0..3 {
            let joined = self.context.execute(INIT);
            self.process.hold(self.context.process_handle());
            match joined {
                Ok(_) => return self.process.await_joined(before),
                Err(Error::SubprocessTerminated(_)) => {}
                Err(error) => {
                    let text = format!("the new cell process does not start: {error}\n");
                    return (self.events)(Event::Stream { channel: Channel::Stderr, text });
                }
            }
        }
    }
}

/// Whether the compiler no longer finds the library, or what it was made of.
fn is_library_gone(error: &CompilationError) -> bool {
    error.code() == Some("E0463") && error.message().contains("`corriente`")
}

fn died(why: &str, lost: &[String], interrupted: bool) -> Outcome {
    let fact = if interrupted {
        "The cell was interrupted twice, and its process was ended.".to_owned()
    } else {
        format!("The cell process ended: {}.", why.trim_end_matches('.'))
    };
    let name = if interrupted { "Interrupted" } else { "ProcessDied" };
    error(name, &fact, vec![format!("\u{1b}[1;31m{fact}\u{1b}[0m"), losses(lost)])
}

fn losses(variables: &[String]) -> String {
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
    name: &str,
    lines: impl IntoIterator<Item = String> + Send + 'static,
    take: impl Fn(String) + Send + 'static,
) -> Result<(), EvaluatorError> {
    let run = move || lines.into_iter().for_each(take);
    std::thread::Builder::new()
        .name(format!("cell {name}"))
        .spawn(run)
        .map_err(EvaluatorError::machine("start a thread"))?;
    Ok(())
}
