//! A cell's text before evcxr sees it: the last expression is handed to our own `show!`, so that it compiles once and may
//! be anything; and a mark behind the last line tells that it was reached. Columns move only behind the start of the
//! last expression, and [`Prepared::column`] moves them back.

use ra_ap_syntax::ast::{self, AstNode, HasModuleItem as _};
use ra_ap_syntax::{Edition, SourceFile, SyntaxError};

const SHOW: &str = "corriente::show!(";
const END: &str = "\ncorriente::cell::completed();";
/// What stands around a cell's text to make a file of it.
const HEAD: &str = "async fn cell() {\n";

/// A cell ready for evcxr.
#[derive(Debug, PartialEq)]
pub(crate) struct Prepared {
    /// What evcxr is given.
    pub(crate) text: String,
    /// Where `show!(` was put: line and column from one, in characters.
    shown_at: Option<(usize, usize)>,
}

/// Whether a text is a whole cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// It can run.
    Complete,
    /// More must follow; the next line begins with this.
    Incomplete {
        /// Spaces.
        indent: String,
    },
    /// Nothing that follows makes it right.
    Invalid,
}

/// Prepares a cell. A text that does not parse is left as it is, for the compiler to say why.
pub(crate) fn prepare(code: &str) -> Prepared {
    let blanked = without_commands(code);
    let unchanged = || Prepared { text: code.to_owned(), shown_at: None };
    if blanked.trim().is_empty() {
        return unchanged();
    }
    let wrapped = format!("{HEAD}{blanked}\n}}");
    let parsed = SourceFile::parse(&wrapped, Edition::Edition2024);
    if !parsed.errors().is_empty() {
        return unchanged();
    }
    let Some(body) = body(&parsed.tree()) else { return unchanged() };
    let Some(tail) = body.tail_expr().filter(|tail| !is_item_macro(tail)) else {
        return Prepared { text: format!("{code}{END}"), shown_at: None };
    };
    let range = tail.syntax().text_range();
    let (start, end) = (offset(range.start().into()), offset(range.end().into()));
    let (line, column) = position(code, start);
    let text = format!("{}{SHOW}{}\n);{}{END}", &code[..start], &code[start..end], &code[end..]);
    Prepared { text, shown_at: Some((line, column)) }
}

impl Prepared {
    /// The column in the cell's own text of a column in [`Prepared::text`].
    pub(crate) fn column(&self, line: usize, column: usize) -> usize {
        match self.shown_at {
            Some((shown_line, shown_column)) if line == shown_line && column > shown_column => {
                column.saturating_sub(SHOW.chars().count()).max(shown_column)
            }
            _ => column,
        }
    }
}

/// Whether a text is a whole cell, by parsing it.
#[must_use]
pub fn is_complete(code: &str) -> Completeness {
    let blanked = without_commands(code);
    if blanked.trim().is_empty() {
        return Completeness::Complete;
    }
    let end = HEAD.len() + blanked.trim_end().len();
    let wrapped = format!("{HEAD}{blanked}\n}}");
    let parsed = SourceFile::parse(&wrapped, Edition::Edition2024);
    let errors = parsed.errors();
    if errors.is_empty() {
        return Completeness::Complete;
    }
    if errors.iter().any(is_open_literal) {
        // What is in a literal is the person's own: no spaces are added to it.
        return Completeness::Incomplete { indent: String::new() };
    }
    let depth = open_brackets(&blanked);
    if depth > 0 || errors.iter().all(|error| usize::from(error.range().start()) >= end) {
        return Completeness::Incomplete { indent: " ".repeat(4 * depth.max(0).unsigned_abs()) };
    }
    Completeness::Invalid
}

/// The text with its `:command` lines turned to spaces, byte for byte.
fn without_commands(code: &str) -> String {
    let blank = |line: &str| {
        let command = line.starts_with(':') && !line.starts_with("::");
        if command {
            line.chars().map(|c| if c == '\n' { "\n".to_owned() } else { " ".repeat(c.len_utf8()) }).collect()
        } else {
            line.to_owned()
        }
    };
    code.split_inclusive('\n').map(blank).collect()
}

fn body(file: &SourceFile) -> Option<ast::StmtList> {
    let Some(ast::Item::Fn(function)) = file.items().next() else { return None };
    function.body()?.stmt_list()
}

/// `thread_local! { … }` and the like stand where an item may stand, and give no value.
fn is_item_macro(tail: &ast::Expr) -> bool {
    let ast::Expr::MacroExpr(call) = tail else { return false };
    let name = call.macro_call().and_then(|call| call.path()).map(|path| path.syntax().text().to_string());
    matches!(name.as_deref(), Some("thread_local" | "std::thread_local"))
}

fn offset(in_file: usize) -> usize {
    in_file - HEAD.len()
}

/// Line and column from one, in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

/// A string or a block comment that nothing closes; it may go on in the next line, unlike a character.
fn is_open_literal(error: &SyntaxError) -> bool {
    let text = error.to_string();
    text == "Invalid raw string literal" || text.starts_with("Missing trailing") && !text.contains("`'`")
}

fn open_brackets(code: &str) -> isize {
    use ra_ap_syntax::SyntaxKind::{L_BRACK, L_CURLY, L_PAREN, R_BRACK, R_CURLY, R_PAREN};
    let parsed = SourceFile::parse(code, Edition::Edition2024);
    let tokens = parsed.syntax_node().descendants_with_tokens().filter_map(|element| element.into_token());
    tokens
        .map(|token| match token.kind() {
            L_CURLY | L_PAREN | L_BRACK => 1,
            R_CURLY | R_PAREN | R_BRACK => -1,
            _ => 0,
        })
        .sum()
}

/// The bytes of `code` that a range of lines and columns names; for the diagnostics.
pub(crate) fn bytes(code: &str, start: (usize, usize), end: (usize, usize)) -> std::ops::Range<usize> {
    let at = |(line, column): (usize, usize)| {
        let mut from = 0;
        for (number, text) in code.split_inclusive('\n').enumerate() {
            if number + 1 == line {
                let within: usize =
                    text.trim_end_matches('\n').chars().take(column.saturating_sub(1)).map(char::len_utf8).sum();
                return from + within;
            }
            from += text.len();
        }
        code.len()
    };
    let (from, to) = (at(start), at(end));
    from..to.max(from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, expected: &str) {
        assert_eq!(prepare(code).text, expected);
    }

    #[test]
    fn the_last_expression_is_shown() {
        check("1 + 1", "corriente::show!(1 + 1\n);\ncorriente::cell::completed();");
        check("let x = 1;\nx // it", "let x = 1;\ncorriente::show!(x\n); // it\ncorriente::cell::completed();");
    }

    #[test]
    fn a_statement_is_not() {
        check("let x = 1;", "let x = 1;\ncorriente::cell::completed();");
        check("fn f() {}", "fn f() {}\ncorriente::cell::completed();");
    }

    #[test]
    fn commands_and_broken_text_are_left_alone() {
        check(":vars", ":vars");
        check("let x = ;", "let x = ;");
        check(":dep regex\n1", ":dep regex\ncorriente::show!(1\n);\ncorriente::cell::completed();");
    }

    #[test]
    fn columns_move_back() {
        let prepared = prepare("let x = 1; x.foo()");
        assert_eq!(prepared.column(1, 5), 5);
        assert_eq!(prepared.column(1, 14 + SHOW.len()), 14);
    }

    #[test]
    fn a_whole_cell_is_told_from_a_part() {
        assert_eq!(is_complete("1 + 1"), Completeness::Complete);
        assert_eq!(is_complete("let x = 1;"), Completeness::Complete);
        assert_eq!(is_complete("fn f() {"), Completeness::Incomplete { indent: "    ".into() });
        assert_eq!(is_complete("let x = "), Completeness::Incomplete { indent: String::new() });
        assert_eq!(is_complete("let let x;\nlet y = 1;"), Completeness::Invalid);
        for open in ["let text = \"open", "r#\"open\"", "b\"open", "1 /* and"] {
            assert_eq!(is_complete(open), Completeness::Incomplete { indent: String::new() }, "{open}");
        }
        assert_eq!(is_complete("let letter = b'a;"), Completeness::Invalid);
        assert_eq!(is_complete(":vars"), Completeness::Complete);
    }
}
