//! A cell from its text to its end: commands, the run in evcxr, and what the reports of the cell process make of it. Part of
//! the session's thread.

use std::ops::Range;
use std::time::{Duration, Instant};

use evcxr::{CompilationError, Error, EvalOutputs};
use link::{Bundle, Framed, ToKernel};
use serde_json::Value;

use crate::commands::{self, Stray};
use crate::process::{Report, interrupted_early};
use crate::session::{Session, error, is_library_gone, losses};
use crate::source::{self, Prepared};
use crate::variables::BOX_IT;
use crate::{Evaluated, Event, Outcome, diagnostics, symbols};

/// What a cell is told when Corriente was built anew under a running kernel.
const LIBRARY_GONE: &str =
    "The library that cells link to was built anew since this kernel started. Restart the kernel.";
const OVERFLOWED: &str = "its stack was full, as it is when a function calls itself without end";
const AT_QUESTION_MARK: &str =
    "The cell ended at a `?`. Variables from before are kept; those it was about to define are not there.";
const AT_RETURN: &str = "The cell ended at a `return`, before its last line. Variables from before are kept; those it was about to define are not there.";
const UNFINISHED: &str =
    "The cell has not come to its end. Variables from before are kept; those it was about to define are not there.";
/// The phase in which evcxr runs what it compiled.
const EXECUTION: &str = "Execution";
const NO_INPUT: &str = "note: a cell's standard input is empty. Ask the person in front of the page with `input`, as in: let city = input(\"Which city? \")?;\n";
const DEFINED_ONLY: &str =
    "note: `main` is defined, and not run: the statements of a cell run by themselves. Call main() to run it.\n";

impl Session {
    /// Runs a cell; `number` is what the page calls it.
    pub(crate) fn run(&mut self, number: u64, text: &str) -> Outcome {
        let split = commands::split(text);
        if let Some(call) = split.commands.iter().find(|call| !commands::is_known(&call.name)) {
            let unknown = Stray::Unknown { name: call.name.clone(), place: call.place.clone() };
            return commands::refusal(text, &unknown);
        }
        let prepared = source::prepare(&split.code, &[]);
        // Before the commands: a cell that cannot run does nothing.
        if let Some(stray) = commands::stray(&split.code).filter(|_| !prepared.parses) {
            return commands::refusal(text, &stray);
        }
        let commands = self.run_commands(text, &split.commands);
        if commands != Outcome::Ok || split.code.trim().is_empty() {
            return commands;
        }
        let since = split.commands.iter().any(|call| call.name == commands::TIME).then(Instant::now);
        self.run_code(number, &split.code, since)
    }

    pub(crate) fn run_code(&mut self, number: u64, code: &str, since: Option<Instant>) -> Outcome {
        let mut locals: Vec<String> = Vec::new();
        let mut prepared = source::prepare(code, &locals);
        match &prepared.main {
            Some(main) if main.is_async => return diagnostics::no_main(code, main.range.clone()),
            Some(_) => self.say(DEFINED_ONLY),
            None => {}
        }
        if let Some(place) = prepared.broken.clone() {
            let hint = "a name or a pattern comes behind it, as in `let x = 1;`".to_owned();
            return diagnostics::refused(code, "this `let` names nothing", Some(place), &[hint]);
        }
        if let Some((name, place)) = self.crate_not_asked_for(&prepared) {
            let hints = [
                format!("`:dep {name}` in front of the code adds it"),
                "`extern crate` is not needed: the names of crates are there by themselves".to_owned(),
            ];
            return diagnostics::refused(code, &format!("the crate `{name}` is not there"), Some(place), &hints);
        }
        let before = self.variables();
        let types_before = self.types();
        self.process.begin();
        let mut result = self.context.execute(&prepared.text);
        // Nothing has run yet when evcxr says that it cannot keep a variable; so the cell has it to itself.
        while let Some(name) = nameless(&result).filter(|name| !locals.contains(name)) {
            locals.push(name);
            prepared = source::prepare(code, &locals);
            result = self.context.execute(&prepared.text);
        }
        let reports = self.process.end();
        if self.process.turns.was_stopped() {
            return interrupted_early();
        }
        let outcome = match result {
            Ok(outputs) => {
                if let Some(since) = since {
                    self.say(&times(since.elapsed(), &outputs));
                }
                self.show_text(outputs.content_by_mime_type);
                self.judge(code, &prepared, reports)
            }
            Err(Error::CompilationErrors(errors)) if errors.iter().any(is_library_gone) => {
                error("KernelError", LIBRARY_GONE, vec![LIBRARY_GONE.to_owned()])
            }
            Err(Error::CompilationErrors(errors)) => {
                if let Some(stray) = errors.iter().find_map(|error| commands::shell(code, &not_found(error)?)) {
                    return commands::refusal(code, &stray);
                }
                return diagnostics::outcome(code, &prepared, &errors, &self.gone);
            }
            Err(Error::SubprocessTerminated(why)) => {
                let overflowed = reports.iter().any(|report| matches!(report, Report::Gone { overflowed: true, .. }));
                let why = if overflowed { OVERFLOWED.to_owned() } else { death(&why) };
                self.revive();
                self.gone.process_ended(&before);
                died(&why, &before, self.process.turns.was_ended())
            }
            Err(other) => {
                let text = other.to_string();
                error("Error", text.lines().next().unwrap_or(""), text.lines().map(str::to_owned).collect())
            }
        };
        if source::reads_stdin(code) {
            self.say(NO_INPUT);
        }
        self.settle_types(number, code, &types_before);
        let after = self.variables();
        self.gone.cell_ended(number, code, &before, &after);
        if outcome == Outcome::Ok && !locals.is_empty() {
            self.gone.nameless(number, &locals);
            let are = if locals.len() == 1 { "is" } else { "are" };
            self.say(&format!(
                "note: {} {are} there in this cell only, because the type has no name; {BOX_IT}\n",
                locals.join(", ")
            ));
        }
        if outcome == Outcome::Ok { self.settle_parameters(number) } else { outcome }
    }

    /// papermill puts the parameters that it gives behind the cell that is tagged `parameters`: a variable that was made there
    /// takes the value that was given under its name, as one of its own type.
    fn settle_parameters(&mut self, number: u64) -> Outcome {
        let injected = self.process.take_injected();
        let there = self.variables();
        let variable = |name: &String| there.iter().find(|there| there.strip_prefix("r#").unwrap_or(there) == name);
        let takes =
            |name| variable(name).map(|there| format!("let mut {there} = corriente::param({name:?}, {there})?;\n"));
        let code: String = injected.iter().filter_map(takes).collect();
        if code.is_empty() { Outcome::Ok } else { self.run_code(number, &code, None) }
    }

    /// A crate that the cell names as its own and that no `:dep` has asked for: evcxr would fetch it.
    fn crate_not_asked_for(&self, prepared: &Prepared) -> Option<(String, Range<usize>)> {
        prepared.crates.first()?;
        let manifest = self.libraries.with_file_name("Cargo.toml");
        // One that cannot be read has no dependencies.
        let settings: toml::Table =
            std::fs::read_to_string(manifest).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        let asked = settings.get("dependencies").and_then(toml::Value::as_table);
        let asked: Vec<String> =
            asked.into_iter().flat_map(|table| table.keys().map(|name| name.replace('-', "_"))).collect();
        prepared.crates.iter().find(|(name, _)| !asked.contains(name)).cloned()
    }

    /// Has evcxr find out now, and not in the next cell, which variables a new definition of their type has made useless.
    fn settle_types(&mut self, number: u64, code: &str, before: &[(String, String)]) {
        let anew = source::types_defined(code);
        let named = |type_name: &str| crate::complete::words(type_name).any(|word| anew.contains(&word));
        if before.iter().any(|(_, type_name)| named(type_name)) {
            self.process.begin();
            // What it says of them is taken below.
            let _ = self.context.execute("();");
            self.process.end();
        }
        let lost = self.process.take_retyped();
        if lost.is_empty() {
            return;
        }
        self.gone.retyped(number, &lost);
        let (variables, are) = if lost.len() == 1 { ("variable", "is") } else { ("variables", "are") };
        self.say(&format!(
            "The {variables} {} {are} lost: the type was defined anew. Run the cells that make {} again.\n",
            lost.join(", "),
            if lost.len() == 1 { "it" } else { "them" }
        ));
    }

    /// How a cell that compiled has ended.
    fn judge(&self, code: &str, prepared: &Prepared, reports: Vec<Report>) -> Outcome {
        let mut completed = false;
        for report in reports {
            match report {
                Report::Panicked { name, message, file, line, frames } => {
                    let line =
                        file.filter(|file| file.ends_with("lib.rs")).and_then(|_| self.cell_line(code, prepared, line));
                    let frames: Vec<(String, Option<usize>)> = symbols::functions(&frames)
                        .into_iter()
                        .map(|(name, line)| (name, self.cell_line(code, prepared, line)))
                        .collect();
                    return diagnostics::panicked(code, &name, &message, line, &frames);
                }
                Report::EarlyReturn(message) => {
                    let mut traceback: Vec<String> =
                        format!("\u{1b}[1;31merror\u{1b}[0m: {message}").lines().map(str::to_owned).collect();
                    traceback.push(AT_QUESTION_MARK.to_owned());
                    return error("Error", message.lines().next().unwrap_or(""), traceback);
                }
                Report::Returned => return error("Error", AT_RETURN, vec![AT_RETURN.to_owned()]),
                Report::Completed => completed = true,
                Report::Barrier(_) | Report::Gone { .. } => {}
            }
        }
        // A cell of commands alone has no last line.
        if completed || !prepared.tells { Outcome::Ok } else { error("Error", UNFINISHED, vec![UNFINISHED.to_owned()]) }
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
    pub(crate) fn show_text(&self, contents: std::collections::HashMap<String, String>) {
        if contents.is_empty() {
            return;
        }
        let data = contents.into_iter().map(|(mime, text)| (mime, Value::String(text))).collect();
        self.show(Bundle { data, metadata: serde_json::Map::new() });
    }

    pub(crate) fn show(&self, bundle: Bundle) {
        (self.events)(Event::FromCell(Framed::from(ToKernel::Result { bundle, display_id: None })));
    }

    /// Evaluates what a request wants to know after its cell.
    pub(crate) fn evaluate(&mut self, number: u64, expressions: Vec<(String, String)>) -> Vec<Evaluated> {
        let mut value = |code: String| {
            self.process.keep();
            let outcome = self.run_code(number, &code, None);
            let shown = self.process.kept().into_iter().next().unwrap_or_default();
            match outcome {
                Outcome::Ok => Ok(shown),
                Outcome::Error { name, value, .. } => Err((name, value)),
            }
        };
        expressions.into_iter().map(|(name, code)| (name, value(code))).collect()
    }
}

/// The value that the compiler has not found.
fn not_found(error: &CompilationError) -> Option<String> {
    let message = (error.code()? == "E0425").then(|| error.message())?;
    message.split('`').nth(1).map(str::to_owned)
}

/// The variable that evcxr refuses to keep, from its words.
fn nameless(result: &Result<EvalOutputs, Error>) -> Option<String> {
    let Err(Error::Message(text)) = result else { return None };
    let name = text.strip_prefix("The variable `")?.split('`').next()?;
    text.contains("cannot be persisted").then(|| name.to_owned())
}

/// How long a cell took, in words.
fn times(all: Duration, outputs: &EvalOutputs) -> String {
    let ran: Duration = outputs.phases.iter().filter(|phase| phase.name == EXECUTION).map(|phase| phase.duration).sum();
    format!("compiled in {:.2?}, ran in {ran:.2?}\n", all.saturating_sub(ran))
}

/// How a process ended, from what evcxr says of it.
fn death(said: &str) -> String {
    let status = said.rsplit_once("status: ").map_or(said, |(_, status)| status).trim().trim_end_matches('.');
    let signals = [
        ("signal: 4 ", "it ran an instruction that there is not (SIGILL)"),
        ("signal: 6 ", "it was aborted (SIGABRT)"),
        ("signal: 7 ", "it reached for memory that is not there (SIGBUS)"),
        ("signal: 8 ", "it computed what cannot be (SIGFPE)"),
        ("signal: 9 ", "it was killed (SIGKILL), which the system does when memory runs out"),
        ("signal: 11 ", "it reached for memory that is not its own (SIGSEGV)"),
        ("signal: 15 ", "it was asked to end (SIGTERM)"),
    ];
    let signal = signals.iter().find(|(begins, _)| status.starts_with(begins)).map(|(_, words)| (*words).to_owned());
    let code = || status.strip_prefix("exit status: ").map(|code| format!("it ended itself with the exit code {code}"));
    signal.or_else(code).unwrap_or_else(|| status.to_owned())
}

fn died(why: &str, lost: &[String], interrupted: bool) -> Outcome {
    let fact = if interrupted {
        "The cell was interrupted twice, and its process was ended.".to_owned()
    } else {
        format!("The cell process has ended: {why}.")
    };
    let name = if interrupted { "Interrupted" } else { "ProcessDied" };
    error(name, &fact, vec![format!("\u{1b}[1;31m{fact}\u{1b}[0m"), losses(lost)])
}
