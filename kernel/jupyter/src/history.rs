//! The cells that were run, in this session and before, as `history_request` asks for them: kept in memory, and in a file
//! that kernels share, a JSON object a line. The sessions, lines and access types are IPython's.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::history_file::{Beginning, HistoryFile};
use crate::secrets::blanked;

/// Cells that are remembered.
pub(crate) const KEPT: usize = 10_000;

/// The cells of this session and of those before it.
#[derive(Debug, Default)]
pub struct History {
    file: Option<HistoryFile>,
    /// 0 until the file has told it.
    session: u64,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) session: u64,
    pub(crate) line: u64,
    /// None where a session begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
}

impl History {
    /// The history in a file, which is made if it is not there, for this user only. One that cannot be used is told on
    /// standard error, and this session's cells are remembered in memory; one that does not answer within a second is used
    /// once it does.
    #[must_use]
    pub fn in_file(path: &Path) -> History {
        let mut history = History::default();
        match HistoryFile::open(path) {
            Ok(file) => {
                let begun = file.wait();
                history.file = Some(file);
                history.begin(begun, path);
            }
            Err(error) => history.begin(Some(Err(error)), path),
        }
        history
    }

    /// Takes what the file had, if it has answered.
    fn begin(&mut self, begun: Option<std::io::Result<Beginning>>, path: &Path) {
        match begun {
            Some(Ok((session, before))) => {
                self.session = session;
                self.entries.iter_mut().for_each(|entry| entry.session = session);
                self.entries.splice(0..0, before);
            }
            Some(Err(error)) => {
                eprintln!("the history in {} cannot be used: {error}", path.display());
                self.file = None;
            }
            None => {}
        }
    }

    /// Takes what the file had where it has answered late.
    fn catch_up(&mut self) {
        if self.session == 0
            && let Some(file) = &self.file
            && let Some(begun) = file.late()
        {
            let path = file.path().to_owned();
            self.begin(Some(begun), &path);
        }
    }

    /// Remembers a cell, less what is secret in it.
    pub(crate) fn add(&mut self, line: u64, code: &str) {
        self.catch_up();
        let code = blanked(code);
        if self.file.as_ref().is_some_and(|file| !file.write(line, &code)) {
            self.file = None;
        }
        self.entries.push(Entry { session: self.session, line, code: Some(code) });
    }

    /// The content of the reply to a `history_request`.
    pub(crate) fn answer(&mut self, asked: &Value) -> Value {
        self.catch_up();
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

pub(crate) fn last<T>(mut all: Vec<T>, most: usize) -> Vec<T> {
    all.split_off(all.len().saturating_sub(most))
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
    use std::io::Write as _;

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
        let (mut first, mut second) = (History::in_file(&path), History::in_file(&path));
        assert_eq!((first.session, second.session), (1, 2));
        let cut = |text: &[u8]| std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(text).unwrap();
        cut(b"{\"session\": 2, \"li");
        second.add(1, "two\nlines");
        // A thread writes; it has written when the history is gone.
        drop(second);
        first.add(1, "three");
        drop(first);
        let mut third = History::in_file(&path);
        let asked = json!({"hist_access_type": "tail"});
        assert_eq!(third.answer(&asked)["history"], json!([[2, 1, "two\nlines"], [1, 1, "three"]]));
        std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    #[test]
    fn a_file_that_is_locked_keeps_nobody_waiting_and_is_used_once_it_is_free() {
        let folder = std::env::temp_dir().join(format!("history-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("cells.jsonl");
        std::fs::write(&path, "{\"session\":4,\"line\":1,\"code\":\"before\"}\n").unwrap();
        let held = std::fs::File::open(&path).unwrap();
        held.lock().unwrap();
        let began = std::time::Instant::now();
        let mut history = History::in_file(&path);
        history.add(1, "meanwhile");
        assert!(began.elapsed() < std::time::Duration::from_secs(10));
        let asked = json!({"hist_access_type": "tail"});
        assert_eq!(history.answer(&asked)["history"], json!([[0, 1, "meanwhile"]]));
        drop(held);
        while history.session == 0 {
            assert!(began.elapsed() < std::time::Duration::from_secs(30), "the file is not read");
            history.catch_up();
            std::thread::yield_now();
        }
        assert_eq!(history.answer(&asked)["history"], json!([[4, 1, "before"], [5, 1, "meanwhile"]]));
        drop(history);
        assert!(
            std::fs::read_to_string(&path).unwrap().ends_with("{\"session\":5,\"line\":1,\"code\":\"meanwhile\"}\n")
        );
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_file_is_no_history() {
        let folder = std::env::temp_dir().join(format!("history-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap().success());
        for path in [folder.join("pipe"), folder.clone()] {
            let mut history = History::in_file(&path);
            history.add(1, "a");
            assert_eq!(history.answer(&json!({}))["history"], json!([[0, 1, "a"]]));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
