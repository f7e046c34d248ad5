//! A cell from its text to its end: commands, the run in evcxr, and what the reports of the cell process make of it. Part of
//! the session's thread.

use std::time::{Duration, Instant};

use evcxr::{Error, EvalOutputs};
use link::{Bundle, Framed, ToKernel};
use serde_json::Value;

use crate::commands::{self, Own};
use crate::process::Report;
use crate::session::{Session, error, is_library_gone, losses};
use crate::source::{self, Prepared};
use crate::variables::BOX_IT;
use crate::{Evaluated, Event, Outcome, diagnostics, symbols};

/// What a cell is told when Corriente was built anew under a running kernel.
const LIBRARY_GONE: &str =
    "The library that cells link to was built anew since this kernel started. Restart the kernel.";
/// The phase in which evcxr runs what it compiled.
const EXECUTION: &str = "Execution";
const DEFINED_ONLY: &str =
    "note: `main` is defined, and not run: the statements of a cell run by themselves. Call main() to run it.\n";

impl Session {
    /// Runs a cell; `number` is what the page calls it.
    pub(crate) fn run(&mut self, number: u64, code: &str) -> Outcome {
        match commands::own(code) {
            None => self.run_code(number, code, None),
            Some(Own::Time(rest)) => self.run_code(number, &rest, Some(Instant::now())),
            Some(Own::Help) => {
                self.show(commands::help());
                Outcome::Ok
            }
            Some(Own::Clear) => self.clear(),
            Some(Own::Restart) => self.restart(),
            Some(Own::Unknown { name, near }) => {
                let fact = format!("there is no command {name}");
                let hint = near.map_or_else(
                    || ":help lists them".to_owned(),
                    |near| format!("did you mean {near}? :help lists them"),
                );
                diagnostics::refused(code, &fact, code.find(&name).map(|at| at..at + name.len()), &[hint])
            }
        }
    }

    fn run_code(&mut self, number: u64, code: &str, since: Option<Instant>) -> Outcome {
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
                return diagnostics::outcome(code, &prepared, &errors, &self.gone);
            }
            Err(Error::SubprocessTerminated(why)) => {
                self.revive();
                self.gone.process_ended(&before);
                died(&why, &before, self.process.was_interrupted())
            }
            Err(other) => {
                let text = other.to_string();
                error("Error", text.lines().next().unwrap_or(""), text.lines().map(str::to_owned).collect())
            }
        };
        self.settle_types(number, code, &types_before);
        let after = self.variables();
        self.gone.cell_ended(number, code, &before, &after);
        if outcome == Outcome::Ok && !locals.is_empty() {
            self.gone.nameless(number, &locals);
            self.say(&format!(
                "note: {} {} there in this cell only, because the type has no name; {BOX_IT}\n",
                locals.join(", "),
                if locals.len() == 1 { "is" } else { "are" }
            ));
        }
        outcome
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
                    traceback.push(
                        "The cell ended at a `?`. Variables from before are kept; those it was about to define are not there.".to_owned(),
                    );
                    return error("Error", message.lines().next().unwrap_or(""), traceback);
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
        self.show(Bundle { data, metadata: serde_json::Map::new() });
    }

    fn show(&self, bundle: Bundle) {
        (self.events)(Event::FromCell(Framed::from(ToKernel::Result { bundle })));
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

fn died(why: &str, lost: &[String], interrupted: bool) -> Outcome {
    let fact = if interrupted {
        "The cell was interrupted twice, and its process was ended.".to_owned()
    } else {
        format!("The cell process ended: {}.", why.trim_end_matches('.'))
    };
    let name = if interrupted { "Interrupted" } else { "ProcessDied" };
    error(name, &fact, vec![format!("\u{1b}[1;31m{fact}\u{1b}[0m"), losses(lost)])
}
