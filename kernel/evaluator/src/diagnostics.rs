//! Errors as a notebook's reader sees them: the compiler's words, with the lines of the cell and nothing of what was put
//! around them. Drawn by `annotate-snippets`, which draws the compiler's own.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use evcxr::CompilationError;

use crate::Outcome;
use crate::session::error;
use crate::source::{self, Prepared};

/// The end of a cell that does not compile.
pub(crate) fn outcome(code: &str, prepared: &Prepared, errors: &[CompilationError]) -> Outcome {
    let mut shown: Vec<&CompilationError> = errors.iter().filter(|e| e.is_from_user_code()).collect();
    if shown.is_empty() {
        shown = errors.iter().collect();
    }
    let first = shown.first().map(|e| e.message()).unwrap_or_default();
    let text = shown.iter().map(|e| draw(code, prepared, e)).collect::<Vec<_>>().join("\n\n");
    error("CompileError", &first, text.lines().map(str::to_owned).collect())
}

/// The end of a cell that panicked, or that a word of the prelude refused.
pub(crate) fn panicked(code: &str, name: &str, message: &str, line: Option<usize>) -> Outcome {
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
    let text = Renderer::styled().render(&[group]).to_string();
    error(name, message.lines().next().unwrap_or(""), text.lines().map(str::to_owned).collect())
}

fn draw(code: &str, prepared: &Prepared, error: &CompilationError) -> String {
    let message = error.message();
    let id = error.code().map(str::to_owned);
    let mut title = Level::ERROR.primary_title(message.as_str());
    if let Some(id) = &id {
        title = title.id(id.as_str());
    }
    let mut snippet = Snippet::source(code);
    let mut any = false;
    let labels: Vec<(AnnotationKind, std::ops::Range<usize>, String)> = error
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
    let mut group = if any { title.element(snippet) } else { Group::with_title(title) };
    let helps = error.help();
    for help in &helps {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let hint = error.evcxr_extra_hint();
    if let Some(hint) = hint {
        group = group.element(Level::NOTE.message(hint));
    }
    Renderer::styled().render(&[group]).to_string()
}
