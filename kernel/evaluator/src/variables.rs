//! What became of variables that a notebook no longer has: a person who uses one is told where it went, and how to keep it
//! the next time.

use std::collections::BTreeMap;

use crate::complete::words;

/// Why a variable is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// A cell gave it away, in this line.
    Moved { cell: u64, line: String },
    /// Its type was defined anew.
    Retyped { cell: u64 },
    /// Its process ended.
    ProcessEnded,
    /// Nothing outside of its cell could say what it is.
    Nameless { cell: u64 },
}

/// How what has no name is kept all the same.
pub(crate) const BOX_IT: &str =
    "a closure is kept in a box of a type that has one: `let f: Box<dyn Fn(i32) -> i32> = Box::new(|x| x + 1);`";

/// What to do with a reference.
pub(crate) const BORROWS: &str = "keep a copy of what it refers to (`.clone()`, `.to_owned()`, `.into_static()`), or use it within braces: `{ let part = &text[..]; part.len() }`";

/// The variables that are gone, with why.
#[derive(Debug, Default)]
pub(crate) struct Gone(BTreeMap<String, Fate>);

impl Gone {
    /// Compares what there was before a cell with what there is after it.
    pub(crate) fn cell_ended(&mut self, cell: u64, code: &str, before: &[String], after: &[String]) {
        for name in before.iter().filter(|name| !after.contains(name)) {
            let line = code.lines().rfind(|line| words(line).any(|word| word == *name)).unwrap_or("");
            self.0.entry(name.clone()).or_insert_with(|| Fate::Moved { cell, line: line.trim().to_owned() });
        }
        self.0.retain(|name, _| !after.contains(name));
    }

    /// A cell gave these variables' types another definition.
    pub(crate) fn retyped(&mut self, cell: u64, names: &[String]) {
        self.0.extend(names.iter().map(|name| (name.clone(), Fate::Retyped { cell })));
    }

    /// The process that had these variables is no more.
    pub(crate) fn process_ended(&mut self, names: &[String]) {
        self.0.extend(names.iter().map(|name| (name.clone(), Fate::ProcessEnded)));
    }

    /// A cell had these to itself.
    pub(crate) fn nameless(&mut self, cell: u64, names: &[String]) {
        self.0.extend(names.iter().map(|name| (name.clone(), Fate::Nameless { cell })));
    }

    /// Nothing was ever there.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Where a variable went, and how to have it again; `None` for one that never was.
    pub(crate) fn explain(&self, name: &str) -> Option<Vec<String>> {
        Some(match self.0.get(name)? {
            Fate::Moved { cell, line } => vec![
                format!("`{name}` was there and has been moved away, in cell [{cell}]: {line}"),
                format!(
                    "run the cell that makes `{name}` again; to keep it, lend it there (`&{name}`) or give a copy (`{name}.clone()`)"
                ),
            ],
            Fate::Retyped { cell } => vec![format!(
                "`{name}` was lost when its type was defined anew, in cell [{cell}]; run the cell that makes `{name}` again"
            )],
            Fate::Nameless { cell } => vec![
                format!("`{name}` was there in cell [{cell}] only: its type has no name under which it could be kept"),
                BOX_IT.to_owned(),
            ],
            Fate::ProcessEnded => {
                vec![format!("`{name}` was lost when the cell process ended; run the cell that makes `{name}` again")]
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_moved_variable_says_where_it_went() {
        let mut gone = Gone::default();
        gone.cell_ended(3, "let total = 1;\nlet other = spend; // total", &names("spend total"), &names("other total"));
        let told = gone.explain("spend").unwrap_or_default().join("\n");
        assert!(told.contains("cell [3]: let other = spend;") && told.contains("`&spend`"), "{told}");
        assert_eq!(gone.explain("total"), None);
        gone.cell_ended(4, "let spend = 2;", &names("other total"), &names("other total spend"));
        assert_eq!(gone.explain("spend"), None, "it is there again");
    }

    #[test]
    fn a_variable_whose_type_changed_was_not_moved() {
        let mut gone = Gone::default();
        gone.retyped(2, &names("account"));
        gone.cell_ended(2, "struct Account;", &names("account"), &[]);
        assert!(gone.explain("account").unwrap_or_default().concat().contains("defined anew, in cell [2]"));
    }
}
