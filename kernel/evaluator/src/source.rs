//! A cell's text before evcxr sees it: the last expression is handed to our own `show!`, so that it compiles once and may
//! be anything; what is awaited is waited for; and a mark behind the last line tells that it was reached.

use std::collections::BTreeMap;
use std::ops::Range;

use ra_ap_syntax::ast::{self, AstNode, HasAttrs as _, HasModuleItem as _, HasName as _};
use ra_ap_syntax::{Edition, SourceFile, SyntaxError, SyntaxKind};

use crate::awaits::awaits;
use crate::commands;
use crate::crates::NAMED;
use crate::items::{Change, Items};
use crate::rewrite::{Edit, Edits};

const SHOW: &str = "corriente::show!(";
const END: &str = "\ncorriente::cell::completed();";
/// The crates that are there without being asked for.
const ALWAYS: [&str; 5] = ["alloc", "core", "corriente", "self", "std"];
/// What makes a `let` one that the cell does not keep.
const LOCAL: (&str, &str) = ("corriente::local! { ", " }");
/// What stands around a cell's text to make a file of it.
const HEAD: &str = "async fn cell() {\n";

/// What is found out of a cell when evcxr cannot compile it as it is.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The variables that are not to be kept.
    pub(crate) locals: Vec<String>,
    /// What evcxr says of their types.
    pub(crate) nameless: BTreeMap<String, String>,
    /// The types of variables that the analyzer does not know.
    pub(crate) types: BTreeMap<String, String>,
    /// What says which of two names is meant.
    pub(crate) uses: Vec<String>,
}

/// A cell ready for evcxr.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What evcxr is given.
    pub(crate) text: String,
    edits: Edits,
    /// Whether the cell is written as a program, and where in it.
    pub(crate) main: Option<Main>,
    /// The crates that it names with `extern crate`, and where.
    pub(crate) crates: Vec<Named>,
    /// Whether it says when its last line is reached.
    pub(crate) tells: bool,
    /// Where something stands that evcxr would pass over in silence.
    pub(crate) broken: Option<Range<usize>>,
    /// The variables that its `let`s name.
    pub(crate) bound: Vec<String>,
    /// What it defines.
    pub(crate) change: Change,
}

/// A name, and where it is given, in bytes.
type Named = (String, Range<usize>);

/// A function `main` that nobody calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Main {
    /// Where its signature is, in bytes.
    pub(crate) range: Range<usize>,
    /// Whether it is `async`, which nothing here could run.
    pub(crate) is_async: bool,
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

/// Whether a cell without commands is Rust, as far as a parser can say.
pub(crate) fn parses(code: &str) -> bool {
    SourceFile::parse(&format!("{HEAD}{code}\n}}"), Edition::Edition2024).errors().is_empty()
}

/// Prepares a cell without commands, in a notebook that has these items. A text that does not parse is left as it is, for the
/// compiler to say why.
pub(crate) fn prepare(code: &str, items: &Items, plan: &Plan) -> Prepared {
    let guard: Vec<Edit> = guard(code).into_iter().collect();
    let unchanged = || {
        let (text, edits) = Edits::make(code, guard.clone());
        let change = items.unchanged();
        Prepared { text, edits, main: None, crates: Vec::new(), tells: false, broken: None, bound: Vec::new(), change }
    };
    if code.trim().is_empty() {
        return unchanged();
    }
    let wrapped = format!("{HEAD}{code}\n}}");
    let parsed = SourceFile::parse(&wrapped, Edition::Edition2024);
    if !parsed.errors().is_empty() {
        return Prepared { broken: nameless_let(&parsed), ..unchanged() };
    }
    let Some(body) = body(&parsed.tree()) else { return unchanged() };
    let mut edits = guard.clone();
    let mut change = items.change(&body);
    edits.extend(change.edits.drain(..).map(|edit| Edit { at: offset(edit.at), ..edit }));
    let tail = body.tail_expr().filter(|tail| !change.is_item(tail.syntax()));
    let range = tail.map(|tail| tail.syntax().text_range());
    if let Some(range) = range {
        edits.push(Edit::put(offset(range.start().into()), SHOW));
    }
    let lets: Vec<ast::LetStmt> = body
        .statements()
        .filter_map(|statement| match statement {
            ast::Stmt::LetStmt(statement) => Some(statement),
            _ => None,
        })
        .collect();
    for statement in &lets {
        edits.extend(keep(statement, plan));
    }
    let (crates, built_in) = crates(&body);
    for range in built_in {
        edits.push(Edit::put(range.start, LOCAL.0));
        edits.push(Edit::put(range.end, LOCAL.1));
    }
    edits.extend(awaits(&body, offset));
    if let Some(range) = range {
        edits.push(Edit::put(offset(range.end().into()), "\n);"));
    }
    let (mut text, edits) = Edits::make(code, edits);
    text.push_str(END);
    for behind in [change.behind.trim_end()].into_iter().chain(plan.uses.iter().map(String::as_str)) {
        if !behind.is_empty() {
            text.push('\n');
            text.push_str(behind);
        }
    }
    let bound = lets.iter().flat_map(names_of).filter_map(|name| Some(name.name()?.text().to_string())).collect();
    Prepared { text, edits, main: main(&body), crates, tells: true, broken: None, bound, change }
}

/// evcxr looks for its own commands and for a shell's in the lines before the code: what the code begins with is to be neither.
fn guard(code: &str) -> Option<Edit> {
    let mut from = 0;
    let mut lines = code.split_inclusive('\n').map(|line| {
        let at = from;
        from += line.len();
        (at, line)
    });
    let (at, line) = lines.find(|(_, line)| !line.trim().is_empty() && !line.starts_with("//"))?;
    (line.starts_with('!') || line.trim_start().starts_with(':')).then(|| Edit::put(at, "/**/"))
}

/// The crates of a cell's `extern crate`: those that must have been asked for, and where those are that are always there, which
/// evcxr would look for in the registry.
fn crates(body: &ast::StmtList) -> (Vec<Named>, Vec<Range<usize>>) {
    let (mut wanted, mut built_in) = (Vec::new(), Vec::new());
    for statement in body.statements() {
        let ast::Stmt::Item(ast::Item::ExternCrate(item)) = statement else { continue };
        let Some(name) = item.name_ref().map(|name| name.text().to_string()) else { continue };
        let range = item.syntax().text_range();
        let range = offset(range.start().into())..offset(range.end().into());
        if ALWAYS.contains(&name.as_str()) || NAMED.contains(&name.as_str()) {
            built_in.push(range);
        } else {
            wanted.push((name, range));
        }
    }
    (wanted, built_in)
}

/// The changes to a `let` that evcxr would not know how to keep: it is the cell's alone, or its type is written behind it.
fn keep(statement: &ast::LetStmt, plan: &Plan) -> Vec<Edit> {
    let name = |pattern: &ast::IdentPat| Some(pattern.name()?.text().to_string());
    let names = names_of(statement);
    let (begins, ends) = (statement.syntax().text_range().start(), statement.syntax().text_range().end());
    let (begins, ends) = (offset(begins.into()), offset(ends.into()));
    if names.iter().filter_map(name).any(|name| plan.locals.contains(&name)) {
        return vec![Edit::put(begins, LOCAL.0), Edit::put(ends, LOCAL.1)];
    }
    let typed = |pattern: &ast::IdentPat| {
        let name = name(pattern)?;
        let word = if pattern.mut_token().is_some() { "mut " } else { "" };
        Some(Edit::put(ends, format!(" let {word}{name}: {} = {name};", plan.types.get(&name)?)))
    };
    names.iter().filter_map(typed).collect()
}

/// What a `let` names.
fn names_of(statement: &ast::LetStmt) -> Vec<ast::IdentPat> {
    let patterns = statement.pat().into_iter().flat_map(|pattern| pattern.syntax().descendants().collect::<Vec<_>>());
    patterns.filter_map(ast::IdentPat::cast).collect()
}

/// A `let` that names nothing, in bytes.
fn nameless_let(parsed: &ra_ap_syntax::Parse<SourceFile>) -> Option<Range<usize>> {
    let broken = body(&parsed.tree())?.statements().find_map(|statement| match statement {
        ast::Stmt::LetStmt(broken) if broken.pat().is_none() => Some(broken),
        _ => None,
    })?;
    let word = broken.let_token()?.text_range();
    Some(offset(word.start().into())..offset(word.end().into()))
}

/// The cell's `main`, if it has one that is not called.
fn main(body: &ast::StmtList) -> Option<Main> {
    let items = body.statements().filter_map(|statement| match statement {
        ast::Stmt::Item(ast::Item::Fn(function)) => Some(function),
        _ => None,
    });
    let function = items.into_iter().find(|function| function.name().is_some_and(|name| name.text() == "main"))?;
    let calls = body.syntax().descendants().filter_map(ast::CallExpr::cast);
    if calls.into_iter().any(|call| call.expr().is_some_and(|called| called.syntax().text() == "main")) {
        return None;
    }
    // `#[tokio::main]` makes a plain function of it, with a runtime that is not ours.
    let is_async = function.async_token().is_some() || function.attrs().count() > 0;
    let (start, end) = (function.fn_token()?.text_range().start(), function.name()?.syntax().text_range().end());
    Some(Main { range: offset(start.into())..offset(end.into()), is_async })
}

impl Prepared {
    /// The column in the cell's own text of a column in [`Prepared::text`].
    pub(crate) fn column(&self, line: usize, column: usize) -> usize {
        self.edits.column(line, column)
    }
}

/// Whether a cell reads its standard input, in which there is nothing.
pub(crate) fn reads_stdin(code: &str) -> bool {
    let file = SourceFile::parse(code, Edition::Edition2024).syntax_node();
    let tokens = file.descendants_with_tokens().filter_map(|element| element.into_token());
    let words: Vec<_> = tokens.filter(|token| !token.kind().is_trivia()).collect();
    words.windows(2).enumerate().any(|(at, pair)| {
        // `.stdin(…)` is how a child process gets one.
        let is_method = at > 0 && words[at - 1].kind() == SyntaxKind::DOT;
        pair[0].text() == "stdin" && pair[1].kind() == SyntaxKind::L_PAREN && !is_method
    })
}

/// The types that a cell defines.
pub(crate) fn types_defined(code: &str) -> Vec<String> {
    let wrapped = format!("{HEAD}{}\n}}", commands::split(code).code);
    let Some(body) = body(&SourceFile::parse(&wrapped, Edition::Edition2024).tree()) else { return Vec::new() };
    let name = |statement| match statement {
        ast::Stmt::Item(ast::Item::Struct(item)) => item.name(),
        ast::Stmt::Item(ast::Item::Enum(item)) => item.name(),
        ast::Stmt::Item(ast::Item::Union(item)) => item.name(),
        ast::Stmt::Item(ast::Item::TypeAlias(item)) => item.name(),
        _ => None,
    };
    body.statements().filter_map(name).map(|name| name.text().to_string()).collect()
}

/// Whether a text is a whole cell, by parsing it.
#[must_use]
pub fn is_complete(code: &str) -> Completeness {
    let blanked = commands::split(code).code;
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

fn body(file: &SourceFile) -> Option<ast::StmtList> {
    let Some(ast::Item::Fn(function)) = file.items().next() else { return None };
    function.body()?.stmt_list()
}

fn offset(in_file: usize) -> usize {
    in_file - HEAD.len()
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
pub(crate) fn bytes(code: &str, start: (usize, usize), end: (usize, usize)) -> Range<usize> {
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
        assert_eq!(prepare(code, &Items::default(), &Plan::default()).text, expected);
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
        check("  ", "  ");
        check("let x = ;", "let x = ;");
        check("     \n1", "     \ncorriente::show!(1\n);\ncorriente::cell::completed();");
    }

    #[test]
    fn evcxr_takes_no_code_for_a_command() {
        let done = "\ncorriente::cell::completed();";
        check("!f(1);", &format!("/**/!f(1);{done}"));
        check("// one\n ::std::mem::drop(1);", &format!("// one\n/**/ ::std::mem::drop(1);{done}"));
        check("!(", "/**/!(");
        assert_eq!(prepare("!f(1);", &Items::default(), &Plan::default()).column(1, 6), 2);
        check("/*\n:quit\n*/ f();", &format!("/*\n:quit\n*/ f();{done}"));
    }

    #[test]
    fn a_crate_must_be_asked_for() {
        let done = "\ncorriente::cell::completed();";
        assert_eq!(
            prepare("extern crate rand;", &Items::default(), &Plan::default()).crates,
            [("rand".to_owned(), 0..18)]
        );
        check("extern crate alloc;", &format!("corriente::local! {{ extern crate alloc; }}{done}"));
    }

    #[test]
    fn a_let_that_names_nothing_is_found() {
        assert_eq!(prepare("let a = 1;\nlet = ;", &Items::default(), &Plan::default()).broken, Some(11..14));
        assert_eq!(prepare("let a = ;", &Items::default(), &Plan::default()).broken, None);
    }

    #[test]
    fn columns_move_back() {
        let prepared = prepare("let x = 1; x.foo()", &Items::default(), &Plan::default());
        assert_eq!(prepared.column(1, 5), 5);
        assert_eq!(prepared.column(1, 12 + SHOW.len()), 12);
        assert_eq!(prepared.column(1, 14 + SHOW.len()), 14);
    }

    #[test]
    fn what_is_awaited_is_waited_for() {
        let done = "\ncorriente::cell::completed();";
        check("let x = f().await?;", &format!("let x = corriente::cell::block_on(f())?;{done}"));
        check(
            "a.b()\n    .await\n    .c().await",
            &format!(
                "corriente::show!(corriente::cell::block_on(corriente::cell::block_on(a.b()\n    )\n    .c())\n);{done}"
            ),
        );
        check("let (a, b) = tokio::join!(f(), g());", &format!("let (a, b) = corriente::join!(f(), g());{done}"));
        for own in ["let f = async { g().await };", "async fn f() { g().await }", "let f = async |x| x.await;"] {
            check(own, &format!("{own}{done}"));
        }
    }

    #[test]
    fn what_cannot_be_kept_is_local() {
        let plan = Plan { locals: vec!["f".to_owned()], ..Plan::default() };
        let text = prepare("let f = |x: i32| x;\nlet y = f(1);", &Items::default(), &plan).text;
        assert!(text.starts_with("corriente::local! { let f = |x: i32| x; }\nlet y = f(1);"), "{text}");
    }

    #[test]
    fn a_cell_that_reads_its_input_is_noticed() {
        for (code, reads) in [
            ("std::io::stdin().read_line(&mut line)?;", true),
            ("use std::io::stdin;\nfor line in stdin().lines() {}", true),
            ("Command::new(\"cat\").stdin(Stdio::piped()).spawn()?;", false),
            ("let text = \"stdin()\"; // stdin()", false),
        ] {
            assert_eq!(reads_stdin(code), reads, "{code}");
        }
    }

    #[test]
    fn a_main_that_nobody_calls_is_noticed() {
        for (code, is_async) in [
            ("fn main() {}", Some(false)),
            ("async fn main() {}", Some(true)),
            ("#[tokio::main]\nasync fn main() {}", Some(true)),
            ("fn main() {}\nmain();", None),
            ("let main = 1;", None),
        ] {
            let main = prepare(code, &Items::default(), &Plan::default()).main;
            assert_eq!(main.as_ref().map(|main| main.is_async), is_async, "{code}");
            assert!(main.is_none_or(|main| &code[main.range] == "fn main"), "{code}");
        }
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
