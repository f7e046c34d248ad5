//! The cells that were run, in this session and before, as `history_request` asks for them: kept in memory, and in a file
//! that kernels share, a JSON object a line. The sessions, lines and access types are IPython's.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::secrets::blanked;

/// Cells that are remembered.
const KEPT: usize = 10_000;
/// A file that is larger is cut down to those.
const LARGE: u64 = 8 << 20;

/// The cells of this session and of those before it.
#[derive(Debug, Default)]
pub struct History {
    file: Option<PathBuf>,
    session: u64,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    session: u64,
    line: u64,
    /// None where a session begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
}

impl History {
    /// The history in a file, which is made if it is not there, for this user only. One that cannot be used is told on
    /// standard error, and this session's cells are remembered in memory.
    #[must_use]
    pub fn in_file(path: &Path) -> History {
        match begin(path) {
            Ok((session, entries)) => History { file: Some(path.to_owned()), session, entries },
            Err(error) => {
                eprintln!("the history in {} cannot be used: {error}", path.display());
                History::default()
            }
        }
    }

    /// Remembers a cell, less what is secret in it.
    pub(crate) fn add(&mut self, line: u64, code: &str) {
        let entry = Entry { session: self.session, line, code: Some(blanked(code)) };
        if let Some(path) = &self.file
            && let Err(error) = open(path).and_then(|mut file| append(&mut file, &entry))
        {
            eprintln!("the history in {} cannot be written any more: {error}", path.display());
            self.file = None;
        }
        self.entries.push(entry);
    }

    /// The content of the reply to a `history_request`.
    pub(crate) fn answer(&self, asked: &Value) -> Value {
        let number = |name: &str| asked[name].as_i64();
        let most = number("n").and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        let found: Vec<&Entry> = match asked["hist_access_type"].as_str() {
            Some("range") => self.range(number("session").unwrap_or(0), number("start"), number("stop")),
            Some("search") => {
                let pattern = asked["pattern"].as_str().unwrap_or("*");
                let unique = asked["unique"].as_bool().unwrap_or(false);
                last(self.search(pattern, unique), most)
            }
            _ => last(self.entries.iter().collect(), most),
        };
        let with_output = asked["output"].as_bool().unwrap_or(false);
        let told = |entry: &Entry| match (&entry.code, with_output) {
            // Outputs are in the notebook, and not kept here.
            (code, true) => json!([entry.session, entry.line, [code, null]]),
            (code, false) => json!([entry.session, entry.line, code]),
        };
        json!({"status": "ok", "history": found.into_iter().map(told).collect::<Vec<_>>()})
    }

    /// Lines from `start` to before `stop` of a session; 0 is this one, -1 the one before.
    fn range(&self, session: i64, start: Option<i64>, stop: Option<i64>) -> Vec<&Entry> {
        let session =
            if session > 0 { session.unsigned_abs() } else { self.session.saturating_sub(session.unsigned_abs()) };
        let inside = |line: u64| {
            let line = i64::try_from(line).unwrap_or(i64::MAX);
            start.is_none_or(|start| line >= start) && stop.is_none_or(|stop| line < stop)
        };
        self.entries.iter().filter(|entry| entry.session == session && inside(entry.line)).collect()
    }

    /// Cells that a pattern with `*` and `?` fits as a whole; with `unique` the last of those that are the same.
    fn search(&self, pattern: &str, unique: bool) -> Vec<&Entry> {
        let mut found: Vec<&Entry> =
            self.entries.iter().filter(|entry| fits(pattern, entry.code.as_deref().unwrap_or(""))).collect();
        if unique {
            let mut seen = std::collections::BTreeSet::new();
            found.reverse();
            found.retain(|entry| seen.insert(&entry.code));
            found.reverse();
        }
        found
    }
}

fn last<T>(mut all: Vec<T>, most: usize) -> Vec<T> {
    all.split_off(all.len().saturating_sub(most))
}

/// Claims the next session's number and gives the cells of those before.
fn begin(path: &Path) -> std::io::Result<(u64, Vec<Entry>)> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = open(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    // A line that is none, as after a crash, costs only itself.
    let read = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let all: Vec<Entry> = read.collect();
    let session = all.iter().map(|entry| entry.session).max().unwrap_or(0) + 1;
    let cells = last(all.into_iter().filter(|entry| entry.code.is_some()).collect(), KEPT);
    if text.len() as u64 > LARGE {
        // In place and under the lock, so that another kernel's next line goes into the same file.
        file.set_len(0)?;
        cells.iter().try_for_each(|entry| append(&mut file, entry))?;
    }
    append(&mut file, &Entry { session, line: 0, code: None })?;
    Ok((session, cells))
}

/// Opens and locks the file; the lock goes with it.
fn open(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}

fn append(file: &mut File, entry: &Entry) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    // Behind a line that a crash cut off a new one begins.
    let end = file.seek(SeekFrom::End(0))?;
    let mut before = [b'\n'];
    if end > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut before)?;
    }
    if before != [b'\n'] {
        line.insert(0, b'\n');
    }
    file.write_all(&line)
}

/// Whether a pattern, in which `*` is any text and `?` any character, fits the whole text.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == text[seen] => {
                at += 1;
                seen += 1;
            }
            // The last star takes one character more.
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    seen = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn history() -> History {
        let mut history = History { session: 3, ..History::default() };
        history.entries = vec![
            Entry { session: 2, line: 1, code: Some("let a = 1;".into()) },
            Entry { session: 2, line: 2, code: Some("a".into()) },
        ];
        for (line, code) in [(1, "a"), (2, "let b = 2;"), (3, "b")] {
            history.add(line, code);
        }
        history
    }

    fn check(asked: Value, expect: Value) {
        assert_eq!(history().answer(&asked)["history"], expect, "{asked}");
    }

    #[test]
    fn the_tail_is_the_last_cells_of_all_sessions() {
        check(
            json!({"hist_access_type": "tail", "n": 4}),
            json!([[2, 2, "a"], [3, 1, "a"], [3, 2, "let b = 2;"], [3, 3, "b"]]),
        );
        check(json!({"hist_access_type": "tail", "n": 1, "output": true}), json!([[3, 3, ["b", null]]]));
    }

    #[test]
    fn a_range_is_of_one_session() {
        check(json!({"hist_access_type": "range", "session": 0, "start": 2, "stop": 3}), json!([[3, 2, "let b = 2;"]]));
        check(json!({"hist_access_type": "range", "session": -1}), json!([[2, 1, "let a = 1;"], [2, 2, "a"]]));
        check(json!({"hist_access_type": "range", "session": 2, "stop": 2}), json!([[2, 1, "let a = 1;"]]));
        check(json!({"hist_access_type": "range", "session": -9}), json!([]));
    }

    #[test]
    fn a_search_is_by_pattern() {
        check(
            json!({"hist_access_type": "search", "pattern": "let*"}),
            json!([[2, 1, "let a = 1;"], [3, 2, "let b = 2;"]]),
        );
        check(json!({"hist_access_type": "search", "pattern": "let ? = *", "n": 1}), json!([[3, 2, "let b = 2;"]]));
        check(json!({"hist_access_type": "search", "pattern": "a", "unique": true}), json!([[3, 1, "a"]]));
    }

    #[test]
    fn patterns_fit_the_whole_text() {
        for (pattern, text, expect) in [
            ("*", "", true),
            ("a*b*c", "a--b-bc", true),
            ("a*b", "abc", false),
            ("?", "é", true),
            ("", "a", false),
            ("**a", "ba", true),
        ] {
            assert_eq!(fits(pattern, text), expect, "{pattern} {text}");
        }
    }

    #[test]
    fn a_file_is_shared_by_sessions_and_survives_a_broken_line() {
        let path = std::env::temp_dir().join(format!("history-{}", uuid::Uuid::new_v4())).join("cells.jsonl");
        let mut first = History::in_file(&path);
        first.add(1, "let one = 1;");
        let mut second = History::in_file(&path);
        assert_eq!((first.session, second.session), (1, 2));
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"session\": 2, \"li").unwrap();
        second.add(1, "two\nlines");
        first.add(2, "three");
        let third = History::in_file(&path);
        let asked = json!({"hist_access_type": "tail"});
        assert_eq!(
            third.answer(&asked)["history"],
            json!([[1, 1, "let one = 1;"], [2, 1, "two\nlines"], [1, 2, "three"]])
        );
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }
}
