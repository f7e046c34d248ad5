//! What could stand at a cursor, and what does. The analyzer answers when the session is free; while a cell is compiled
//! or runs, what is known without it: names from cells before, columns and topics. Functions of text and names.

use std::collections::BTreeMap;

use link::Bundle;
use ra_ap_syntax::ast::{self, AstNode as _};
use ra_ap_syntax::{Edition, SourceFile, SyntaxKind, SyntaxToken};
use serde_json::Value;

/// What could stand at a cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completion {
    /// Any of these,
    pub matches: Vec<Match>,
    /// in the place of the characters from here
    pub start: usize,
    /// to here.
    pub end: usize,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// What is put in.
    pub text: String,
    /// What it is: `function`, `class`, `column`, and so on.
    pub kind: String,
    /// More of it, such as a signature; empty for nothing.
    pub label: String,
}

/// The names that are known without the analyzer, each with what it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) names: BTreeMap<String, &'static str>,
    /// What cells say of the functions and types that they define.
    docs: BTreeMap<String, String>,
    /// The variables' types.
    pub(crate) types: BTreeMap<String, String>,
    pub(crate) columns: Vec<String>,
    pub(crate) topics: Vec<String>,
}

/// A column or topic that came last is offered first, and only so many are kept.
const MOST: usize = 500;

impl Known {
    /// Takes in what a frame or a broker has.
    pub(crate) fn offer(&mut self, columns: Vec<String>, topics: Vec<String>) {
        newest_first(&mut self.columns, columns);
        newest_first(&mut self.topics, topics);
    }

    /// Forgets what cells brought.
    pub(crate) fn clear(&mut self) {
        *self = Known::default();
    }

    /// Takes in the words of a cell.
    pub(crate) fn learn(&mut self, code: &str) {
        for word in words(code) {
            self.names.entry(word).or_insert("text");
        }
        self.docs.extend(documented(code));
    }

    /// Names that begin like the word before the cursor; a position is in characters.
    pub(crate) fn complete(&self, code: &str, position: usize) -> Completion {
        let before: Vec<char> = code.chars().take(position).collect();
        let start = before.iter().rposition(|c| !c.is_alphanumeric() && *c != '_').map_or(0, |at| at + 1);
        let word = String::from_iter(&before[start..]);
        let fits = |name: &&String| !word.is_empty() && name.starts_with(&word) && **name != word;
        let matches = self.names.keys().filter(fits).map(|name| one(name, self.names[name])).collect();
        Completion { matches, start, end: before.len() }
    }

    /// The variable at a position.
    pub(crate) fn inspect(&self, code: &str, position: usize) -> Option<Bundle> {
        let word = word_at(code, position)?;
        let text = format!("let {word}: {}", self.types.get(word)?);
        let data = serde_json::Map::from_iter([("text/plain".to_owned(), Value::String(text))]);
        Some(Bundle { data, metadata: serde_json::Map::new() })
    }

    /// What a cell said of the item at a position.
    pub(crate) fn documentation(&self, code: &str, position: usize) -> Option<String> {
        self.docs.get(word_at(code, position)?).cloned()
    }

    /// What fits into the text that the cursor is in: topics for `topic("…")`, columns elsewhere. `None` when the cursor
    /// is in no text, or nothing fits.
    pub(crate) fn complete_text(&self, code: &str, position: usize) -> Option<Completion> {
        let at: usize = code.chars().take(position).map(char::len_utf8).sum();
        let inside = Inside::of(code, at)?;
        let typed = &code[inside.start..at];
        let (names, kind) = match inside.call.as_deref() {
            Some("topic" | "write_kafka") => (&self.topics, "topic"),
            _ => (&self.columns, "column"),
        };
        let matches: Vec<Match> =
            names.iter().filter(|name| name.starts_with(typed)).map(|name| one(name, kind)).collect();
        let characters = |at: usize| code[..at].chars().count();
        (!matches.is_empty()).then(|| Completion {
            matches,
            start: characters(inside.start),
            end: characters(inside.end),
        })
    }
}

/// A text literal around a cursor.
struct Inside {
    /// Where the text begins, behind the quote.
    start: usize,
    /// Where it ends, before the quote; at the cursor while there is none.
    end: usize,
    /// What is called with it.
    call: Option<String>,
}

impl Inside {
    fn of(code: &str, at: usize) -> Option<Inside> {
        let all: Vec<SyntaxToken> = tokens(code).collect();
        let range =
            |token: &SyntaxToken| (usize::from(token.text_range().start()), usize::from(token.text_range().end()));
        let index = all.iter().position(|token| {
            let (from, to) = range(token);
            token.kind() == SyntaxKind::STRING && from < at && at <= to
        })?;
        let (from, to) = range(&all[index]);
        let text = all[index].text();
        let closed = text.len() > 1 && text.ends_with('"');
        // An open one takes in the lines that follow; a name ends with its line.
        let line = text[at - from..].find('\n').map_or(to, |end| at + end);
        if !text.starts_with('"') || (closed && at == to) {
            return None;
        }
        let end = if closed { to - 1 } else { line.min(at) };
        Some(Inside { start: from + 1, end, call: call(&all[..index]) })
    }
}

/// The name before the bracket that is still open at the end.
fn call(before: &[SyntaxToken]) -> Option<String> {
    let mut depth = 0;
    let mut words = before.iter().rev().filter(|token| !token.kind().is_trivia());
    while let Some(token) = words.next() {
        match token.kind() {
            SyntaxKind::R_PAREN => depth += 1,
            SyntaxKind::L_PAREN if depth == 0 => return words.next().map(|name| name.text().to_owned()),
            SyntaxKind::L_PAREN => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The functions and types of a text with what their comments say of them.
fn documented(code: &str) -> Vec<(String, String)> {
    let parsed = SourceFile::parse(code, Edition::Edition2024);
    let items = parsed.tree().syntax().descendants().filter_map(ast::Item::cast);
    let documented = |item: ast::Item| {
        let name = item.syntax().children().find_map(ast::Name::cast)?.text().to_string();
        let lines = item.syntax().children_with_tokens().filter_map(|element| element.into_token());
        let lines: Vec<String> =
            lines.filter_map(|token| Some(token.text().strip_prefix("///")?.trim().to_owned())).collect();
        (!lines.is_empty()).then(|| (name, lines.join("\n")))
    };
    items.filter_map(documented).collect()
}

/// The names in a text.
pub(crate) fn words(code: &str) -> impl Iterator<Item = String> {
    tokens(code).filter(|token| token.kind() == SyntaxKind::IDENT).map(|token| token.text().to_owned())
}

/// The word at a position.
fn word_at(code: &str, position: usize) -> Option<&str> {
    let end = end_of_word(code, position)?;
    code[..end].rsplit(|c: char| !c.is_alphanumeric() && c != '_').next()
}

/// Where the word at a position ends, in bytes; `None` where there is no word.
pub(crate) fn end_of_word(code: &str, position: usize) -> Option<usize> {
    let at: usize = code.chars().take(position).map(char::len_utf8).sum();
    let part = |c: &char| c.is_alphanumeric() || *c == '_';
    let more: usize = code[at..].chars().take_while(part).map(char::len_utf8).sum();
    let end = at + more;
    code[..end].chars().next_back().filter(part).map(|_| end)
}

fn tokens(code: &str) -> impl Iterator<Item = SyntaxToken> {
    let parsed = SourceFile::parse(code, Edition::Edition2024);
    let all: Vec<SyntaxToken> =
        parsed.tree().syntax().descendants_with_tokens().filter_map(|element| element.into_token()).collect();
    all.into_iter()
}

fn one(name: &str, kind: &str) -> Match {
    Match { text: name.to_owned(), kind: kind.to_owned(), label: String::new() }
}

fn newest_first(all: &mut Vec<String>, new: Vec<String>) {
    all.retain(|name| !new.contains(name));
    all.splice(0..0, new);
    all.truncate(MOST);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn known() -> Known {
        let mut known = Known::default();
        known.offer(vec!["amount".into(), "account_id".into(), "category".into()], vec!["transactions".into()]);
        known.learn("let spend = txns.filter(approved());\nfn helper() {}");
        known
    }

    /// `|` is the cursor.
    fn check(code: &str, expect: &[&str]) {
        let position = code.chars().position(|c| c == '|').unwrap();
        let code = code.replacen('|', "", 1);
        let found = known().complete_text(&code, position).unwrap_or_else(|| known().complete(&code, position));
        let typed: String = code.chars().skip(found.start).take(position - found.start).collect();
        let texts: Vec<String> = found.matches.iter().map(|found| found.text.clone()).collect();
        assert!(texts.iter().all(|text| text.starts_with(&typed)), "{typed}: {texts:?}");
        assert_eq!(texts, expect, "{code}");
    }

    #[test]
    fn columns_are_offered_in_a_text() {
        check("txns.filter(col(\"a|", &["amount", "account_id"]);
        check("txns.filter(col(\"a|\").gt(lit(1)))", &["amount", "account_id"]);
        check("é(col(\"|\"))", &["amount", "account_id", "category"]);
        check("frame.with_watermark(\"cat|\", \"30s\")", &["category"]);
        check("x([col(\"amount\"), col(\"cat|\")])", &["category"]);
    }

    #[test]
    fn topics_are_offered_where_a_topic_is_named() {
        check("read_kafka(bank.bootstrap()).topic(\"|\").json()?", &["transactions"]);
        check("read_kafka(\"h:1\").topic(\"tr|", &["transactions"]);
    }

    #[test]
    fn names_of_cells_before_are_offered_elsewhere() {
        check("sp|", &["spend"]);
        check("x.fil|", &["filter"]);
        check("|", &[]);
        check("\"text\"|", &[]);
    }

    #[test]
    fn what_a_cell_says_of_its_items_is_known() {
        let mut known = known();
        known.learn("let x = 1;\n/// Adds interest.\n/// Once.\n#[inline]\nfn interest() {}\nstruct Plain;");
        assert_eq!(known.documentation("interest()", 3).as_deref(), Some("Adds interest.\nOnce."));
        assert_eq!(known.documentation("Plain", 3), None);
    }

    #[test]
    fn a_column_that_was_seen_last_comes_first() {
        let mut known = known();
        known.offer(vec!["zone".into(), "amount".into()], vec![]);
        assert_eq!(known.columns, ["zone", "amount", "account_id", "category"]);
    }

    #[test]
    fn a_word_is_looked_up_from_any_place_in_it() {
        for (code, position, expect) in [
            ("frame.collect()", 0, Some(5)),
            ("frame.collect()", 5, Some(5)),
            ("frame.collect()", 8, Some(13)),
            ("a + b", 2, None),
            ("", 0, None),
        ] {
            assert_eq!(end_of_word(code, position), expect, "{code} {position}");
        }
    }
}
