//! Errors as a notebook's reader sees them: the compiler's words, with the lines of the cell and nothing of what was put
//! around them. Drawn by `annotate-snippets`, which draws the compiler's own.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use evcxr::CompilationError;
use serde_json::Value;

use crate::Outcome;
use crate::evcxr_contract::words::{self, HIDDEN};
use crate::hints::{self, Facts};
use crate::session::error;
use crate::source::{self, Prepared};
use crate::variables::{BORROWS, Gone};

/// The compiler's codes for what is borrowed for longer than it lives: a variable of a notebook lives on beyond its cell.
const BORROWED: [&str; 2] = ["E0597", "E0521"];

/// What the compiler calls an error.
const ERROR: &str = "error";

/// What to do about an error in what an earlier cell has defined.
const EARLIER: &str = "this is from an earlier cell, and does not go together with what this one defines: put both into one cell, and run that";

/// The end of a cell that does not compile.
pub(crate) fn outcome(code: &str, prepared: &Prepared, errors: &[CompilationError], gone: &Gone) -> Outcome {
    let mut shown: Vec<&CompilationError> = errors.iter().filter(|e| e.is_from_user_code()).collect();
    if shown.is_empty() {
        shown = errors.iter().collect();
    }
    // Of an error in what is put around a cell, evcxr may take a proposal for the error itself.
    if shown.iter().any(|e| e.level() == ERROR) {
        shown.retain(|e| e.level() == ERROR);
    }
    let first = shown.first().map(|e| message(e)).unwrap_or_default();
    let text = shown.iter().map(|e| draw(code, prepared, e, gone)).collect::<Vec<_>>().join("\n\n");
    error("CompileError", &first, text.lines().map(str::to_owned).collect())
}

/// The end of a cell that panicked, or that a word of the prelude refused. `frames` are the cell's functions on the way
/// to the panic, innermost first, with their lines in the cell; one without a name is the cell itself.
pub(crate) fn panicked(
    code: &str,
    name: &str,
    message: &str,
    line: Option<usize>,
    frames: &[(String, Option<usize>)],
) -> Outcome {
    // In what the library does the cell's line is the innermost of its own that led there.
    let line = line.or_else(|| frames.iter().find_map(|(_, line)| *line));
    let fact = if name == "Panic" { format!("the cell panicked: {message}") } else { message.to_owned() };
    let title = Level::ERROR.primary_title(fact.as_str());
    let group = match line {
        Some(line) => {
            let end = code.lines().nth(line - 1).map_or(1, |text| text.chars().count() + 1);
            let indent =
                code.lines().nth(line - 1).map_or(0, |text| text.chars().take_while(|c| c.is_whitespace()).count());
            let range = source::bytes(code, (line, indent + 1), (line, end));
            title.element(Snippet::source(code).annotation(AnnotationKind::Primary.span(range)))
        }
        None => Group::with_title(title),
    };
    let way = way(frames);
    let group = way.iter().fold(group, |group, step| group.element(Level::NOTE.message(step.as_str())));
    let text = Renderer::styled().render(&[group]).to_string();
    error(name, message.lines().next().unwrap_or(""), text.lines().map(str::to_owned).collect())
}

/// How a panic was reached, a line each; nothing for one in the cell's own lines, which its place shows.
fn way(frames: &[(String, Option<usize>)]) -> Vec<String> {
    if frames.iter().all(|(name, _)| name.is_empty()) {
        return Vec::new();
    }
    let step = |(number, (name, line)): (usize, &(String, Option<usize>))| {
        let what = if name.is_empty() { "the cell".to_owned() } else { name.clone() };
        let place = line.map_or_else(String::new, |line| format!(", line {line}"));
        let verb = if number == 0 { "in" } else { "called by" };
        format!("{verb} {what}{place}")
    };
    frames.iter().enumerate().map(step).collect()
}

/// The end of a cell that the kernel itself refuses.
pub(crate) fn refused(code: &str, fact: &str, place: Option<Range<usize>>, hints: &[String]) -> Outcome {
    let title = Level::ERROR.primary_title(fact);
    let group = match place {
        Some(range) => title.element(Snippet::source(code).annotation(AnnotationKind::Primary.span(range))),
        None => Group::with_title(title),
    };
    let group = hints.iter().fold(group, |group, hint| group.element(Level::HELP.message(hint.as_str())));
    let text = Renderer::styled().render(&[group]).to_string();
    error("CompileError", fact, text.lines().map(str::to_owned).collect())
}

/// The end of a cell that is written as a program.
pub(crate) fn no_main(code: &str, place: Range<usize>) -> Outcome {
    let hint = "write what is in it at the top of the cell: the statements run by themselves, with `.await` and `?`, on the runtime that is there already";
    refused(code, "a cell has no `main`", Some(place), &[hint.to_owned()])
}

/// What is wrong, without what evcxr says of itself.
fn message(error: &CompilationError) -> String {
    match words::borrowing(error) {
        Some(name) => {
            format!("the variable `{name}` has a reference to another variable, and is no longer good in the next cell")
        }
        None => words::plain(&error.message()),
    }
}

fn draw(code: &str, prepared: &Prepared, error: &CompilationError, gone: &Gone) -> String {
    let message = message(error);
    let id = error.code().map(|code| code.trim_end_matches(HIDDEN).to_owned());
    let mut title = Level::ERROR.primary_title(message.as_str());
    if let Some(id) = &id {
        title = title.id(id.as_str());
    }
    let mut snippet = Snippet::source(code);
    let mut any = false;
    let labels: Vec<(AnnotationKind, Range<usize>, String)> = error
        .spanned_messages()
        .iter()
        .filter_map(|message| {
            let span = message.span?;
            let start = (span.start_line, prepared.column(span.start_line, span.start_column));
            let end = (span.end_line, prepared.column(span.end_line, span.end_column));
            let kind = if message.is_primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            // evcxr repeats the message where the compiler has no label.
            let label =
                if message.label.ends_with(error.message().as_str()) { String::new() } else { message.label.clone() };
            Some((kind, source::bytes(code, start, end), label))
        })
        .collect();
    for (kind, range, label) in &labels {
        any = true;
        snippet = snippet.annotation(kind.span(range.clone()).label(label.as_str()));
    }
    let elsewhere = if any || !error.is_from_user_code() { None } else { elsewhere(code, &error.json) };
    let mut group = match &elsewhere {
        _ if any => title.element(snippet),
        Some(Elsewhere { place: Some(range), label, .. }) => {
            title.element(snippet.annotation(AnnotationKind::Primary.span(range.clone()).label(label.as_str())))
        }
        Some(Elsewhere { line, range, label, .. }) => {
            let kind = AnnotationKind::Primary.span(range.clone()).label(label.as_str());
            let group = title.element(Snippet::source(line.as_str()).path("an earlier cell").annotation(kind));
            group.element(Level::HELP.message(EARLIER))
        }
        None => Group::with_title(title),
    };
    let children = children(error);
    for (level, text) in &children {
        group = group.element(level.clone().message(text.as_str()));
    }
    let elsewhere = elsewhere.iter().map(|found| &found.label);
    let said: Vec<String> = labels.iter().map(|(.., label)| label).chain(elsewhere).cloned().collect();
    let ours = hints::of(&Facts { code: id.as_deref().unwrap_or(""), message: &message, labels: &said }, gone);
    if words::borrowing(error).is_some() || BORROWED.contains(&id.as_deref().unwrap_or("")) {
        group = group.element(Level::HELP.message(BORROWS));
    }
    for hint in &ours {
        group = group.element(Level::HELP.message(hint.as_str()));
    }
    Renderer::styled().render(&[group]).to_string()
}

/// A line that an error is about, and that evcxr does not know for one of the cell's.
struct Elsewhere {
    line: String,
    /// Where in the line, in bytes.
    range: Range<usize>,
    label: String,
    /// Where in the cell, in bytes, if it is there all the same: evcxr takes a `use` apart.
    place: Option<Range<usize>>,
}

fn elsewhere(code: &str, error: &Value) -> Option<Elsewhere> {
    let spans = error["spans"].as_array()?;
    let span = spans.iter().find(|span| span["is_primary"] == true).or(spans.first())?;
    let text = &span["text"][0];
    let line = text["text"].as_str()?.to_owned();
    let at = |name: &str| {
        let characters = usize::try_from(text[name].as_u64()?).ok()?.checked_sub(1)?;
        Some(line.chars().take(characters).map(char::len_utf8).sum::<usize>())
    };
    let range = at("highlight_start")?..at("highlight_end")?;
    let word = line.get(range.clone())?;
    let is_use = line.trim_start().starts_with("use ");
    let begins = code.find("use ").filter(|_| is_use);
    let place = begins.and_then(|from| Some(from + code[from..].find(word)?)).map(|from| from..from + word.len());
    let label = span["label"].as_str().unwrap_or_default().to_owned();
    Some(Elsewhere { line, range, label, place })
}

/// The compiler's notes and helps, each with its suggestion as text. Notes at places in other people's code are left out.
fn children(error: &CompilationError) -> Vec<(Level<'static>, String)> {
    let all: Vec<&Value> = error.json["children"].as_array().into_iter().flatten().collect();
    let level = |child: &Value| child["level"].as_str().unwrap_or("").to_owned();
    let spans = |child: &Value| child["spans"].as_array().cloned().unwrap_or_default();
    let is_ours = |child: &&Value| level(child) == "note" && spans(child).is_empty();
    // Where a trait explains itself, what else implements it is noise.
    let explained = all.iter().any(is_ours);
    let is_noise =
        |text: &str| explained && (text.starts_with("the trait `") || text.starts_with("the following other"));
    let mut told = Vec::new();
    for child in all {
        let text = child["message"].as_str().unwrap_or("").to_owned();
        if is_ours(&child) {
            told.push((Level::NOTE, text));
        } else if level(child) == "help" && !is_noise(&text) {
            told.push((Level::HELP, with_suggestion(text, &spans(child))));
        }
    }
    told
}

fn with_suggestion(text: String, spans: &[Value]) -> String {
    let replacements: Vec<&str> = spans.iter().filter_map(|span| span["suggested_replacement"].as_str()).collect();
    match replacements.as_slice() {
        [one] if !one.trim().is_empty() && !one.trim().contains('\n') => format!("{text}: `{}`", one.trim()),
        [one] if !one.trim().is_empty() => format!("{text}:\n{}", one.trim_matches('\n')),
        _ => text,
    }
}
