//! The `:commands` of a cell: which there are, and which line is one. Those that evcxr answers go on to it; `:time`, `:help`,
//! `:clear` and `:restart` are the session's own, because only it knows what must be done around them.

use link::Bundle;
use serde_json::{Map, Value};

/// Name, what stands behind it, and what it does.
const COMMANDS: [(&str, &str, &str); 12] = [
    (":dep", "NAME [= VERSION, { path = \"…\" } or { git = \"…\" }]", "add a crate; cargo fetches and builds it"),
    (":show_deps", "", "list the crates that were added"),
    (":opt", "[0, 1, 2 or 3]", "optimise the cells that follow; without a number, between 0 and 2"),
    (":vars", "", "list the variables and their types"),
    (":type", "NAME", "tell a variable's type"),
    (":t", "NAME", "the same"),
    (":doc", "NAME", "show the documentation of what has the name"),
    (":explain", "", "explain the last compile error at length"),
    (":time", "[CODE]", "run the rest of the cell and tell how long it was compiled and run"),
    (":clear", "", "forget everything: variables, functions, types, crates"),
    (":restart", "", "end the cell process: variables go, functions and types stay"),
    (":help", "", "this list"),
];

/// Letters in which a mistyped command may differ from the one that was meant.
const NEAR: usize = 2;

/// What the first line of a cell asks of the session itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// The cell, less the word `:time`; places in it stay where they are.
    Time(String),
    Help,
    Clear,
    Restart,
    /// A command that there is not.
    Unknown {
        name: String,
        near: Option<&'static str>,
    },
}

/// The session's own command in a cell.
pub(crate) fn own(code: &str) -> Option<Own> {
    let lines = code.lines().filter(|line| line.starts_with(':') && !line.starts_with("::"));
    let mut names = lines.map(|line| line.split_whitespace().next().unwrap_or(":"));
    if let Some(name) = names.clone().find(|name| !COMMANDS.iter().any(|(known, ..)| known == name)) {
        let near = COMMANDS.iter().map(|(known, ..)| (distance(known, name), *known)).min();
        let near = near.filter(|(distance, _)| *distance <= NEAR).map(|(_, known)| known);
        return Some(Own::Unknown { name: name.to_owned(), near });
    }
    match names.find(|name| matches!(*name, ":time" | ":help" | ":clear" | ":restart"))? {
        ":time" => Some(Own::Time(code.replacen(":time", "     ", 1))),
        ":help" => Some(Own::Help),
        ":clear" => Some(Own::Clear),
        _ => Some(Own::Restart),
    }
}

/// The commands that begin so.
pub(crate) fn beginning_with(start: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    COMMANDS.iter().filter(move |(name, ..)| name.starts_with(start)).map(|(name, _, what)| (*name, *what))
}

/// What `:help` shows.
pub(crate) fn help() -> Bundle {
    let plain: String =
        COMMANDS.iter().map(|(name, takes, what)| format!("{:<12} {what}\n", format!("{name} {takes}"))).collect();
    let row = |(name, takes, what): &(&str, &str, &str)| {
        format!("| `{name}` | {} | {what} |\n", if takes.is_empty() { String::new() } else { format!("`{takes}`") })
    };
    let rows: String = COMMANDS.iter().map(row).collect();
    let markdown = format!(
        "A cell is Rust. Its last expression is shown; `.await` and `?` work at the top. A line may be a command:\n\n| | | |\n|---|---|---|\n{rows}\n\
        Frames: `read_kafka(…)`, `demo::bank()`. Outputs: `display!`, `html`, `markdown`, `latex`, `svg`, `png`, `clear_output`. \
        A person: `input`, `password`. Waiting: `sleep`."
    );
    let data = [("text/plain", plain), ("text/markdown", markdown)];
    let data = data.into_iter().map(|(mime, text)| (mime.to_owned(), Value::String(text))).collect();
    Bundle { data, metadata: Map::new() }
}

/// How far a name is from what a person wrote: letters that differ, none where one is the beginning of the other.
fn distance(known: &str, name: &str) -> usize {
    if known.len().min(name.len()) > 2 && (known.starts_with(name) || name.starts_with(known)) {
        return 0;
    }
    strsim::damerau_levenshtein(known, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_told_apart() {
        let unknown = |name: &str, near| Some(Own::Unknown { name: name.to_owned(), near });
        for (code, expect) in [
            ("1 + 1", None),
            ("::std::process::id()", None),
            (":dep regex", None),
            (":time", Some(Own::Time("     ".to_owned()))),
            (":time 1 + 1", Some(Own::Time("      1 + 1".to_owned()))),
            (":dep regex\n:time\nlet x = 1;", Some(Own::Time(":dep regex\n     \nlet x = 1;".to_owned()))),
            (":clear", Some(Own::Clear)),
            (":help", Some(Own::Help)),
            (":restart", Some(Own::Restart)),
            (":var", unknown(":var", Some(":vars"))),
            (":tiem", unknown(":tiem", Some(":time"))),
            (":quit", unknown(":quit", None)),
            (":tmie 1", unknown(":tmie", Some(":time"))),
        ] {
            assert_eq!(own(code), expect, "{code}");
        }
    }
}
