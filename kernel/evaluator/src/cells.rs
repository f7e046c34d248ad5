//! A cell from its text to its end: commands, the run in evcxr, and what the reports of the cell process make of it. Part of
//! the session's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use evcxr::{CompilationError, Error, EvalOutputs};
use link::{Bundle, Framed, ToKernel};
use serde_json::Value;

use crate::commands::{self, Stray};
use crate::evcxr_contract::words::{self, EXECUTION, Meaning};
use crate::hints::quoted;
use crate::items::Items;
use crate::process::{Report, interrupted_early};
use crate::session::{Session, error, is_library_gone, losses};
use crate::source::{self, Plan, Prepared};
use crate::stack::Overflow;
use crate::stand_in::{Instructions, compiled};
use crate::{Evaluated, Event, Outcome, ambiguous, diagnostics, symbols, types, variables};

/// Types by the names of variables.
type Types = BTreeMap<String, String>;

/// How often a cell may be put otherwise.
const ATTEMPTS: u32 = 40;

/// What a cell is told when Corriente was built anew under a running kernel.
const LIBRARY_GONE: &str =
    "The library that cells link to was built anew since this kernel started. Restart the kernel.";
const ENDLESS: &str = "as it is when a function calls itself without end";
const AT_QUESTION_MARK: &str =
    "The cell ended at a `?`. Variables from before are kept; those it was about to define are not there.";
const AT_RETURN: &str = "The cell ended at a `return`, before its last line. Variables from before are kept; those it was about to define are not there.";
const UNFINISHED: &str =
    "The cell has not come to its end. Variables from before are kept; those it was about to define are not there.";
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
        // Before the commands: a cell that cannot run does nothing.
        if let Some(stray) = commands::stray(&split.code).filter(|_| !source::parses(&split.code)) {
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
        let prepared = source::prepare(code, &self.items, &Plan::default());
        if let Some(refused) = self.refuse(code, &prepared) {
            return refused;
        }
        let before = self.types();
        let lost = useless(&before, &prepared.change.changed);
        if let Err(error) = self.instruct(&prepared.change.items, lost) {
            return failed("KernelError", &error);
        }
        self.process.begin();
        let (mut prepared, plan, result) = self.compile_and_run(code, prepared);
        let reports = self.process.end();
        if result.is_ok() {
            // evcxr has taken it in, even if it panicked.
            self.items = std::mem::take(&mut prepared.change.items);
            self.items.loaded(compiled(&self.folder));
        }
        if self.process.turns.was_stopped() {
            return interrupted_early();
        }
        let names: Vec<String> = before.iter().map(|(name, _)| name.clone()).collect();
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
                let overflow = reports.into_iter().find_map(|report| match report {
                    Report::Gone { overflow, .. } => overflow,
                    _ => None,
                });
                let why = overflow.map_or_else(|| death(&why), |place| self.overflowed(&place));
                self.revive();
                self.gone.process_ended(&names);
                died(&why, &names, self.process.turns.was_ended())
            }
            Err(other) => misunderstood(code, &other),
        };
        if source::reads_stdin(code) {
            self.say(NO_INPUT);
        }
        self.settle_types(number, code, &before);
        let after = self.variables();
        // What it made and gave away again was there, too.
        let made = if outcome == Outcome::Ok { prepared.bound.as_slice() } else { &[] };
        self.gone.cell_ended(number, code, &[names.as_slice(), made].concat(), &after);
        if outcome == Outcome::Ok && !plan.locals.is_empty() {
            self.tell_locals(number, &plan);
        }
        if outcome == Outcome::Ok { self.settle_parameters(number) } else { outcome }
    }

    /// papermill puts the parameters that it gives behind the cell that is tagged `parameters`: a variable that was made there
    /// takes the value that was given under its name, as one of its own type.
    fn settle_parameters(&mut self, number: u64) -> Outcome {
        let injected = self.process.take_injected();
        if injected.is_empty() {
            return Outcome::Ok;
        }
        let there = self.variables();
        let variable = |name: &String| there.iter().find(|there| there.strip_prefix("r#").unwrap_or(there) == name);
        let takes =
            |name| variable(name).map(|there| format!("let mut {there} = corriente::param({name:?}, {there})?;\n"));
        let code: String = injected.iter().filter_map(takes).collect();
        if code.is_empty() { Outcome::Ok } else { self.run_code(number, &code, None) }
    }

    /// What the kernel itself has against a cell.
    fn refuse(&self, code: &str, prepared: &Prepared) -> Option<Outcome> {
        match &prepared.main {
            Some(main) if main.is_async => return Some(diagnostics::no_main(code, main.range.clone())),
            Some(_) => self.say(DEFINED_ONLY),
            None => {}
        }
        if let Some(place) = prepared.broken.clone() {
            let hint = "a name or a pattern comes behind it, as in `let x = 1;`".to_owned();
            return Some(diagnostics::refused(code, "this `let` names nothing", Some(place), &[hint]));
        }
        let (name, place) = self.crate_not_asked_for(prepared)?;
        let hints = [
            format!("`:dep {name}` in front of the code adds it"),
            "`extern crate` is not needed: the names of crates are there by themselves".to_owned(),
        ];
        Some(diagnostics::refused(code, &format!("the crate `{name}` is not there"), Some(place), &hints))
    }

    /// Tells the stand-in `cargo` what it must know of the next cell.
    pub(crate) fn instruct(&self, items: &Items, lost: Vec<String>) -> Result<(), String> {
        let written = Instructions { statics: items.statics(), lost }.write(&self.folder);
        written.map_err(|error| format!("the session's folder cannot be written to: {error}"))
    }

    /// Has evcxr run a cell. What it or the compiler does not take for a reason that is not the person's is put otherwise, and
    /// tried again; up to then nothing has run.
    fn compile_and_run(&mut self, code: &str, mut prepared: Prepared) -> (Prepared, Plan, Result<EvalOutputs, Error>) {
        let (mut plan, mut known) = (Plan::default(), None);
        for _ in 0..ATTEMPTS {
            let result = self.context.execute(&prepared.text);
            let mended = match &result {
                Err(Error::Message(text)) => self.plan_for(&words::meaning(text), &prepared, &mut plan, &mut known),
                Err(Error::CompilationErrors(errors)) => self.plan_around(errors, &prepared, &mut plan, &mut known),
                _ => false,
            };
            if !mended || self.process.turns.was_stopped() {
                return (prepared, plan, result);
            }
            prepared = source::prepare(code, &self.items, &plan);
        }
        let result = self.context.execute(&prepared.text);
        (prepared, plan, result)
    }

    /// What to do about a variable that evcxr does not know how to keep. `known` are the types that the compiler tells, once it
    /// was asked.
    fn plan_for(&mut self, meaning: &Meaning, prepared: &Prepared, plan: &mut Plan, known: &mut Option<Types>) -> bool {
        let (Meaning::Closure { variable } | Meaning::Nameless { variable, .. } | Meaning::UnknownType { variable }) =
            meaning
        else {
            return false;
        };
        if plan.locals.contains(variable) {
            return false;
        }
        let said = match meaning {
            Meaning::UnknownType { .. } => known.get_or_insert_with(|| self.ask_types(prepared)).get(variable).cloned(),
            Meaning::Nameless { type_name, .. } => Some(type_name.clone()),
            _ => None,
        };
        if let Some(type_name) = said {
            if types::has_name(&type_name) && !plan.types.contains_key(variable) {
                plan.types.insert(variable.clone(), type_name);
                return true;
            }
            plan.nameless.insert(variable.clone(), type_name);
        }
        plan.locals.push(variable.clone());
        true
    }

    /// What to do about errors that are not the person's: a name of the person's that is also the prelude's, a type that the
    /// analyzer has taken for another.
    fn plan_around(
        &mut self,
        errors: &[CompilationError],
        prepared: &Prepared,
        plan: &mut Plan,
        known: &mut Option<Types>,
    ) -> bool {
        let uses: Vec<String> =
            ambiguous::settled(errors).into_iter().filter(|found| !plan.uses.contains(found)).collect();
        if !uses.is_empty() {
            plan.uses.extend(uses);
            return true;
        }
        if known.is_some() || errors.iter().any(CompilationError::is_from_user_code) {
            return false;
        }
        let types = &*known.insert(self.ask_types(prepared));
        let named = types.iter().filter(|(_, type_name)| types::has_name(type_name));
        let before = plan.types.len();
        plan.types.extend(named.map(|(name, type_name)| (name.clone(), type_name.clone())));
        plan.types.len() > before
    }

    /// Asks the compiler for the types of what a cell's `let`s name.
    fn ask_types(&mut self, prepared: &Prepared) -> Types {
        let text = format!("{}{}", prepared.text, types::questions(&prepared.bound));
        let first = prepared.text.matches('\n').count() + 2;
        // Without an answer the variable is the cell's alone.
        let errors = self.context.check(&text).unwrap_or_default();
        types::answers(&errors, &prepared.bound, first)
    }

    /// Says which variables a cell had to itself, and how to keep them.
    fn tell_locals(&mut self, number: u64, plan: &Plan) {
        for name in &plan.locals {
            let how = variables::how_to_keep(plan.nameless.get(name).map(String::as_str));
            self.gone.nameless(number, name, how);
            self.say(&format!("note: {name} is there in this cell only, because its type has no name; {how}\n"));
        }
    }

    /// Where a stack was full, in words.
    fn overflowed(&self, place: &Overflow) -> String {
        let functions = symbols::functions(&place.frames);
        match functions.into_iter().find(|(name, _)| !name.is_empty()) {
            Some((name, _)) => format!("the stack of {} was full in `{name}`, {ENDLESS}", place.thread()),
            None => format!("the stack of {} was full, {ENDLESS}", place.thread()),
        }
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
    quoted(&message).map(str::to_owned)
}

/// The variables that are made of types that were defined anew.
fn useless(variables: &[(String, String)], changed: &BTreeSet<String>) -> Vec<String> {
    let is_made_of = |type_name: &str| crate::complete::words(type_name).any(|word| changed.contains(&word));
    variables.iter().filter(|(_, type_name)| is_made_of(type_name)).map(|(name, _)| name.clone()).collect()
}

/// The end of a cell that evcxr does not take, in words of ours.
fn misunderstood(code: &str, error: &Error) -> Outcome {
    match words::meaning(&error.to_string()) {
        Meaning::Closure { variable } | Meaning::Nameless { variable, .. } | Meaning::UnknownType { variable } => {
            let hint = "say what it is, as in `let x: Vec<i32> = …;`, or use it within braces".to_owned();
            diagnostics::refused(code, &format!("the type of `{variable}` cannot be found out"), None, &[hint])
        }
        Meaning::MissingSemicolon => {
            let hint = "a statement ends with `;` where another follows".to_owned();
            diagnostics::refused(code, "there is no `;` in front of a `let`", None, &[hint])
        }
        Meaning::NoCompiler { said } => failed("KernelError", &format!("the cell cannot be compiled: {said}")),
        Meaning::Other { said } => failed("Error", &said),
    }
}

fn failed(name: &str, text: &str) -> Outcome {
    error(name, text.lines().next().unwrap_or(""), text.lines().map(str::to_owned).collect())
}

/// How long a cell took, in words.
fn times(all: Duration, outputs: &EvalOutputs) -> String {
    let ran: Duration = outputs.phases.iter().filter(|phase| phase.name == EXECUTION).map(|phase| phase.duration).sum();
    format!("compiled in {:.2?}, ran in {ran:.2?}\n", all.saturating_sub(ran))
}

/// How a process ended, from what evcxr says of it.
fn death(said: &str) -> String {
    let status = words::status(said);
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
