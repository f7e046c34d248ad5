//! What the `:commands` of a cell do. evcxr is told only what is written here; of the person's text it gets a crate or a name
//! at most. Part of the session's thread.

use evcxr::Error;
use link::{Bundle, Giver, Parameter};
use serde_json::{Map, Value};

use crate::commands::{self, Call};
use crate::evcxr_contract::words;
use crate::present::{Asked, asked};
use crate::process::interrupted_early;
use crate::session::Session;
use crate::stand_in::present;
use crate::{Outcome, diagnostics};

/// How much cells may be optimised.
const LEVELS: [&str; 4] = ["0", "1", "2", "3"];

impl Session {
    /// Runs the commands of a cell in their order, up to one that fails.
    pub(crate) fn run_commands(&mut self, text: &str, commands: &[Call]) -> Outcome {
        let mut rest = commands;
        while let Some(call) = rest.first() {
            // Crates that are asked for together are built together.
            let crates = rest.iter().take_while(|call| call.name == ":dep").count();
            let (these, others) = rest.split_at(crates.max(1));
            rest = others;
            let outcome = if crates > 0 { self.add_crates(text, these) } else { self.run_command(text, call) };
            if outcome != Outcome::Ok {
                return outcome;
            }
        }
        Outcome::Ok
    }

    fn run_command(&mut self, text: &str, call: &Call) -> Outcome {
        let arguments = call.arguments.as_str();
        match call.name.as_str() {
            ":help" => self.show(commands::help()),
            ":vars" => self.show(self.list_variables()),
            ":param" if arguments.is_empty() => return self.run_code(0, "corriente::parameters()", None),
            ":param" => match parameter(arguments) {
                Ok(parameter) => self.give(parameter),
                Err(fact) => return refused(text, call, fact, "as in `:param threshold = 70`"),
            },
            ":clear" => return self.clear(),
            ":restart" => return self.restart(),
            ":type" | ":t" => match self.types().into_iter().find(|(name, _)| name == arguments) {
                Some((name, type_name)) => self.show(written(format!("{name}: {type_name}"), None)),
                None => return refused(text, call, &format!("there is no variable `{arguments}`"), ":vars lists them"),
            },
            ":opt" if arguments.is_empty() || LEVELS.contains(&arguments) => {
                return self.ask_evcxr(text, call, &format!(":opt {arguments}"));
            }
            ":opt" => {
                return refused(text, call, &format!("there is no level {arguments}"), "the levels are 0, 1, 2 and 3");
            }
            ":doc" => return self.ask_evcxr(text, call, &format!(":doc {arguments}")),
            ":explain" => return self.ask_evcxr(text, call, ":explain"),
            ":show_deps" => return self.ask_evcxr(text, call, ":show_deps"),
            // It is for the code.
            _ => {}
        }
        Outcome::Ok
    }

    fn give(&mut self, parameter: Parameter) {
        if self.process.is_injected(&parameter.name) {
            self.say(&format!("note: papermill has given `{}` a value, and that one is believed\n", parameter.name));
        }
        self.process.give(parameter);
    }

    fn add_crates(&mut self, text: &str, calls: &[Call]) -> Outcome {
        if let Some(call) = calls.iter().find(|call| call.arguments.is_empty()) {
            return refused(text, call, "the crate's name is missing", "as in `:dep regex = \"1\"`");
        }
        // Where they cannot be told, cargo finds out what does not go together.
        let present = present().unwrap_or_default();
        let mut lines = Vec::new();
        for call in calls {
            match asked(&call.arguments, &present) {
                Asked::There { note } => self.say(&note),
                Asked::Conflict { fact, hint } => return refused(text, call, &fact, &hint),
                Asked::Other => lines.push(format!(":dep {}", call.arguments)),
            }
        }
        if lines.is_empty() { Outcome::Ok } else { self.ask_evcxr(text, &calls[0], &lines.join("\n")) }
    }

    /// Has evcxr run commands; a failure is shown at `call`.
    fn ask_evcxr(&mut self, text: &str, call: &Call, lines: &str) -> Outcome {
        self.process.begin();
        let result = self.context.execute(lines);
        if self.process.turns.was_stopped() {
            return interrupted_early();
        }
        let told = match result {
            Ok(outputs) => {
                self.show_text(outputs.content_by_mime_type);
                return Outcome::Ok;
            }
            Err(Error::CompilationErrors(errors)) => {
                errors.iter().map(|error| error.message()).collect::<Vec<_>>().join("\n")
            }
            Err(Error::SubprocessTerminated(_)) => {
                self.revive();
                "the cell process has ended".to_owned()
            }
            Err(other) => other.to_string(),
        };
        diagnostics::refused(text, &words::of_command(&told), Some(call.place.clone()), &[])
    }

    fn list_variables(&self) -> Bundle {
        let mut variables = self.types();
        variables.sort();
        let plain = variables.iter().map(|(name, type_name)| format!("{name}: {type_name}\n")).collect();
        let row = |(name, type_name): &(String, String)| {
            format!("<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(type_name))
        };
        let rows: String = variables.iter().map(row).collect();
        written(plain, Some(format!("<table><tr><th>Variable</th><th>Type</th></tr>{rows}</table>")))
    }
}

/// What a line `:param` gives. A value in quotation marks is read as JSON reads a text; any other is what stands there.
fn parameter(arguments: &str) -> Result<Parameter, &'static str> {
    let (name, value) = arguments.split_once('=').ok_or("the value is missing")?;
    let (name, value) = (name.trim(), value.trim());
    let text = if value.starts_with('"') {
        serde_json::from_str(value).map_err(|_| "the value begins with a quotation mark and is no text")?
    } else {
        value.to_owned()
    };
    if name.is_empty() {
        return Err("the name is missing");
    }
    Ok(Parameter { name: name.to_owned(), text, json: false, giver: Giver::Command })
}

fn refused(text: &str, call: &Call, fact: &str, hint: &str) -> Outcome {
    diagnostics::refused(text, fact, Some(call.place.clone()), &[hint.to_owned()])
}

fn written(plain: String, html: Option<String>) -> Bundle {
    let data = [("text/plain", Some(plain)), ("text/html", html)];
    let data = data.into_iter().filter_map(|(mime, text)| Some((mime.to_owned(), Value::String(text?)))).collect();
    Bundle { data, metadata: Map::new() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_a_name_and_a_text() {
        let given = |line| parameter(line).map(|parameter| (parameter.name, parameter.text));
        let both = |name: &str, text: &str| Ok((name.to_owned(), text.to_owned()));
        assert_eq!(given("threshold = 70"), both("threshold", "70"));
        assert_eq!(given("a b=x = y"), both("a b", "x = y"));
        assert_eq!(given(r#"text = " \"); panic!() //\u00e9""#), both("text", " \"); panic!() //é"));
        assert_eq!(given("empty ="), both("empty", ""));
        assert_eq!(given("threshold"), Err("the value is missing"));
        assert_eq!(given("= 7"), Err("the name is missing"));
        assert_eq!(given("text = \"open"), Err("the value begins with a quotation mark and is no text"));
    }
}
