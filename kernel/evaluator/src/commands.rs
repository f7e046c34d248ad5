//! The `:commands` of a cell: which there are, and what in a cell is one. Functions of text; what they do is in
//! `run_commands`. No text of a cell reaches evcxr's own commands, of which some end the kernel or what the session keeps.

use std::ops::Range;

use link::Bundle;
use rustc_lexer::TokenKind;
use serde_json::{Map, Value};

use crate::{Outcome, diagnostics};

/// The command that may have code behind it.
pub(crate) const TIME: &str = ":time";

/// Name, what stands behind it, and what it does.
const COMMANDS: [(&str, &str, &str); 13] = [
    (":dep", "NAME [= VERSION, { path = \"…\" } or { git = \"…\" }]", "add a crate; cargo fetches and builds it"),
    (":show_deps", "", "list the crates that were added"),
    (":opt", "[0, 1, 2 or 3]", "optimise the cells that follow; without a number, between 0 and 2"),
    (":vars", "", "list the variables and their types"),
    (":type", "NAME", "tell a variable's type"),
    (":t", "NAME", "the same"),
    (":doc", "NAME", "show the documentation of what has the name"),
    (":explain", "", "explain the last compile error at length"),
    (TIME, "[CODE]", "run the rest of the cell and tell how long it was compiled and run"),
    (":param", "[NAME = VALUE]", "give a parameter of the notebook a value, which `param` reads; alone, list them"),
    (":clear", "", "forget everything: variables, functions, types, crates"),
    (":restart", "", "end the cell process: variables go, functions and types stay"),
    (":help", "", "this list"),
];

/// Letters in which a mistyped command may differ from the one that was meant.
const NEAR: usize = 2;

/// A cell in its parts: commands stand in front of the code, one a line, with blank lines and comments between them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) commands: Vec<Call>,
    /// The text with spaces in the place of the commands, byte for byte.
    pub(crate) code: String,
}

/// A command as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// With its colon.
    pub(crate) name: String,
    /// The rest of its line.
    pub(crate) arguments: String,
    /// Where the name is, in bytes.
    pub(crate) place: Range<usize>,
}

/// Something in the code of a cell that is no Rust, and was meant for the notebook.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stray {
    /// A command behind code.
    Command { name: String, place: Range<usize> },
    /// A command that there is not.
    Unknown { name: String, place: Range<usize> },
    /// A command for a shell, or one of IPython's.
    Shell { command: String, place: Range<usize> },
}

/// Parts a cell. What looks like a command inside of a text or a comment, or behind code, is code.
pub(crate) fn split(text: &str) -> Split {
    let (mut commands, mut code, mut at) = (Vec::new(), text.to_owned(), 0);
    loop {
        at += trivia(&text[at..]);
        let rest = &text[at..];
        if !begins_line(text, at) || !rest.starts_with(':') || rest.starts_with("::") {
            return Split { commands, code };
        }
        let line = rest.lines().next().unwrap_or(rest);
        let name = line.split_whitespace().next().unwrap_or(":");
        let arguments = line[name.len()..].trim();
        let call = Call { name: name.to_owned(), arguments: arguments.to_owned(), place: at..at + name.len() };
        // What stands behind it is code.
        let is_time = name == TIME && !arguments.is_empty();
        let length = if is_time { name.len() } else { line.len() };
        code.replace_range(at..at + length, &" ".repeat(length));
        commands.push(if is_time { Call { arguments: String::new(), ..call } } else { call });
        if is_time {
            return Split { commands, code };
        }
        at += length;
    }
}

/// What was meant for the notebook in code that is no Rust.
pub(crate) fn stray(code: &str) -> Option<Stray> {
    let tokens = tokens(code);
    let (mut depth, mut before) = (0_i32, None);
    for (index, (kind, place)) in tokens.iter().enumerate() {
        let next = tokens.get(index + 1).filter(|(kind, _)| matches!(kind, TokenKind::Ident | TokenKind::RawIdent));
        let begins = matches!(before, None | Some(TokenKind::Semi | TokenKind::CloseBrace));
        let first = begins_line(code, place.start);
        let line = &code[place.start..][..code[place.start..].find('\n').unwrap_or(code.len() - place.start)];
        match kind {
            TokenKind::Colon if (first || begins) && next.is_some() => {
                let name = line.split(|c: char| c.is_whitespace() || c == ';').next().unwrap_or(line).to_owned();
                let place = place.start..place.start + name.len();
                if is_known(&name) {
                    return Some(Stray::Command { name, place });
                }
                if begins && depth == 0 {
                    return Some(Stray::Unknown { name, place });
                }
            }
            TokenKind::Bang | TokenKind::Percent if first && begins && depth == 0 => {
                let command = line.trim_start_matches(['!', '%']).trim().to_owned();
                return Some(Stray::Shell { command, place: place.start..place.start + line.trim_end().len() });
            }
            TokenKind::OpenBrace | TokenKind::OpenParen | TokenKind::OpenBracket => depth += 1,
            TokenKind::CloseBrace | TokenKind::CloseParen | TokenKind::CloseBracket => depth -= 1,
            _ => {}
        }
        if !is_trivia(*kind) {
            before = Some(*kind);
        }
    }
    None
}

/// A line of code that is Rust, and would be a command for a shell: `!ls -la`, where there is no `ls`.
pub(crate) fn shell(code: &str, unknown: &str) -> Option<Stray> {
    let mut from = 0;
    code.split_inclusive('\n').find_map(|line| {
        let begins = from;
        from += line.len();
        let command = line.strip_prefix('!')?.trim();
        let is_it = command.split(|c: char| !c.is_alphanumeric() && c != '_').next() == Some(unknown);
        let place = begins..begins + line.trim_end().len();
        is_it.then(|| Stray::Shell { command: command.to_owned(), place })
    })
}

/// Whether there is a command of this name.
pub(crate) fn is_known(name: &str) -> bool {
    COMMANDS.iter().any(|(known, ..)| *known == name)
}

/// The end of a cell with something in it that is no Rust.
pub(crate) fn refusal(text: &str, stray: &Stray) -> Outcome {
    let (fact, place, hint) = match stray {
        Stray::Command { name, place } => (
            "a command stands in front of the code of a cell".to_owned(),
            place,
            format!("put `{name}` at the top of the cell, or into a cell of its own; nothing of this cell has run"),
        ),
        Stray::Unknown { name, place } => {
            let near = COMMANDS.iter().map(|(known, ..)| (distance(known, name), *known)).min();
            let hint = match near.filter(|(distance, _)| *distance <= NEAR) {
                Some((_, near)) => format!("did you mean {near}? :help lists them"),
                None => ":help lists them".to_owned(),
            };
            (format!("there is no command {name}"), place, hint)
        }
        Stray::Shell { command, place } => (
            "a cell is Rust, and runs no shell commands".to_owned(),
            place,
            format!("a program is run by `std::process::Command::new(\"sh\").args([\"-c\", {command:?}]).status()?`"),
        ),
    };
    diagnostics::refused(text, &fact, Some(place.clone()), &[hint])
}

/// The bytes of blanks and comments at the beginning.
fn trivia(text: &str) -> usize {
    let blanks = tokenize(text).take_while(|token| is_trivia(token.kind));
    blanks.map(|token| token.len as usize).sum()
}

fn is_trivia(kind: TokenKind) -> bool {
    matches!(kind, TokenKind::Whitespace | TokenKind::LineComment { .. } | TokenKind::BlockComment { .. })
}

fn tokens(text: &str) -> Vec<(TokenKind, Range<usize>)> {
    let mut at = 0;
    let placed = |token: rustc_lexer::Token| {
        let from = at;
        at += token.len as usize;
        (token.kind, from..at)
    };
    tokenize(text).map(placed).collect()
}

fn tokenize(text: &str) -> impl Iterator<Item = rustc_lexer::Token> + '_ {
    rustc_lexer::tokenize(text, rustc_lexer::FrontmatterAllowed::No)
}

/// Whether only blanks stand before a place in its line.
fn begins_line(text: &str, at: usize) -> bool {
    text[..at].rsplit('\n').next().is_some_and(|before| before.trim().is_empty())
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

    fn check_split(text: &str, commands: &[(&str, &str)], code: &str) {
        let split = split(text);
        let found: Vec<(&str, &str)> =
            split.commands.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!((found.as_slice(), split.code.as_str()), (commands, code), "{text}");
        for call in &split.commands {
            assert_eq!(text[call.place.clone()], call.name);
        }
    }

    #[test]
    fn commands_stand_in_front_of_the_code() {
        check_split("1 + 1", &[], "1 + 1");
        check_split("::std::process::id()", &[], "::std::process::id()");
        check_split(":dep regex", &[(":dep", "regex")], "          ");
        check_split("  :help  ", &[(":help", "")], "         ");
        check_split(
            "// one\n/* :two\n */\n\t:vars\nlet x = 1;",
            &[(":vars", "")],
            "// one\n/* :two\n */\n\t     \nlet x = 1;",
        );
        check_split(
            ":dep a\n\n:dep b = \"1\"\nb()",
            &[(":dep", "a"), (":dep", "b = \"1\"")],
            "      \n\n            \nb()",
        );
        check_split(":time 1 + 1\n:help", &[(TIME, "")], "      1 + 1\n:help");
        check_split("use tokio::time;\n:time 1", &[], "use tokio::time;\n:time 1");
        check_split(":é x\n1", &[(":é", "x")], "     \n1");
    }

    #[test]
    fn what_looks_like_a_command_in_a_text_is_text() {
        for text in ["let a = \"\n:clear\n\";", "let a = r#\"\n:quit\n\"#;", "1 /*\n:restart\n*/", "f(\n\"\\\n:dep\")"]
        {
            check_split(text, &[], text);
            assert_eq!(stray(text), None, "{text}");
        }
    }

    fn check_stray(code: &str, expect: &str) {
        let found = match stray(code) {
            None => String::new(),
            Some(Stray::Command { name, place }) => format!("command {name} {}", code[place] == name),
            Some(Stray::Unknown { name, place }) => format!("unknown {name} {}", code[place] == name),
            Some(Stray::Shell { command, place }) => format!("shell {command} {}", code[place].contains(&command)),
        };
        assert_eq!(found, expect, "{code}");
    }

    #[test]
    fn what_is_meant_for_the_notebook_is_told_from_rust() {
        check_stray("let y = 2;\n:help", "command :help true");
        check_stray("let y = 2; :clear", "command :clear true");
        check_stray("1 + 1\n  :vars", "command :vars true");
        check_stray("fn f() {\n:time f()\n}", "command :time true");
        check_stray("let y = 2;\n:quit", "unknown :quit true");
        check_stray("let y = 2; // :help", "");
        check_stray("let x\n: i32 = ;", "");
        check_stray("let a: Vec<\n::std::string::String> = ;", "");
        check_stray("!echo hi", "shell echo hi true");
        check_stray("let a = 1;\n!pip install it", "shell pip install it true");
        check_stray("%%time\nf(", "shell time true");
        check_stray("if a\n!b {", "");
    }

    #[test]
    fn a_shell_command_that_is_rust_is_known_by_its_name() {
        assert_eq!(shell("!ls -la", "ls"), Some(Stray::Shell { command: "ls -la".to_owned(), place: 0..7 }));
        assert_eq!(shell("let a = 1;\n!flag", "other"), None);
    }
}
