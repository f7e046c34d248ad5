//! Changes to a cell's text before the compiler sees it, and the way back from a place in the changed text to the person's
//! own. Lines never move: a change stays within its line, or adds lines behind everything. Functions of text.

use std::borrow::Cow;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Where, in bytes.
    pub(crate) at: usize,
    /// Bytes that go, all on one line.
    pub(crate) remove: usize,
    /// What comes there.
    pub(crate) put: Cow<'static, str>,
}

/// The changes of a cell, in the order of its text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Edits(Vec<Placed>);

/// A change with its place in lines and columns from one, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Placed {
    line: usize,
    column: usize,
    removed: usize,
    put: usize,
}

impl Edit {
    /// Something is put at a place.
    pub(crate) fn put(at: usize, put: impl Into<Cow<'static, str>>) -> Edit {
        Edit { at, remove: 0, put: put.into() }
    }

    /// Something on one line goes.
    pub(crate) fn take(range: &std::ops::Range<usize>) -> Edit {
        Edit { at: range.start, remove: range.len(), put: Cow::Borrowed("") }
    }
}

impl Edits {
    /// The text with the changes made. Of changes at one place the first in the list comes first.
    pub(crate) fn make(code: &str, mut edits: Vec<Edit>) -> (String, Edits) {
        edits.sort_by_key(|edit| edit.at);
        let (mut text, mut from, mut placed) = (String::with_capacity(code.len() + 64), 0, Vec::new());
        for Edit { at, remove, put } in edits {
            text.push_str(&code[from..at]);
            text.push_str(&put);
            from = at + remove;
            let (line, column) = position(code, at);
            // What follows a line break that was put in is on another line, which is not the person's.
            let put = put.split('\n').next().unwrap_or("").chars().count();
            placed.push(Placed { line, column, removed: code[at..from].chars().count(), put });
        }
        text.push_str(&code[from..]);
        (text, Edits(placed))
    }

    /// The column in the cell's own text of a column in the changed text.
    pub(crate) fn column(&self, line: usize, column: usize) -> usize {
        let (mut removed, mut put) = (0, 0);
        for edit in self.0.iter().filter(|edit| edit.line == line) {
            let begins = edit.column + put - removed;
            // Where something was only taken away, what stands there now stood behind it.
            if column < begins || column == begins && edit.put > 0 {
                break;
            }
            if column < begins + edit.put {
                return edit.column;
            }
            removed += edit.removed;
            put += edit.put;
        }
        (column + removed).saturating_sub(put).max(1)
    }
}

/// Line and column from one, in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::awaits::BLOCK_ON;

    #[test]
    fn every_place_finds_its_way_back() {
        let code = "é = f(a).await;\nlet b = c;";
        let at = |word: &str| code.find(word).unwrap_or(0);
        let edits = vec![
            Edit::put(at("f("), BLOCK_ON),
            Edit { at: at(".await"), remove: 1, put: ")".into() },
            Edit::take(&(at("await")..at("await") + 5)),
        ];
        let (text, edits) = Edits::make(code, edits);
        assert_eq!(text, "é = corriente::cell::block_on(f(a));\nlet b = c;");
        for (word, line) in [("é", 1), ("f(a)", 1), ("a)", 1), (";\n", 1), ("let b", 2), ("c;", 2)] {
            let column = |text: &str| {
                let before = &text[..text.find(word).unwrap_or(0)];
                before.rsplit('\n').next().unwrap_or("").chars().count() + 1
            };
            assert_eq!(edits.column(line, column(&text)), column(code), "{word}");
        }
        assert_eq!(edits.column(1, 10), 5, "within what was put in");
    }
}
