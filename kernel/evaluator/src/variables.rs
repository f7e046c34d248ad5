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
    Nameless { cell: u64, how: &'static str },
}

const BOX_A_CLOSURE: &str =
    "a closure is kept in a box of a type that has one: `let f: Box<dyn Fn(i32) -> i32> = Box::new(move |x| x + 1);`";
const BOX_AN_ITERATOR: &str = "an iterator is kept as what it gives, `let all: Vec<_> = it.collect();`, or in a box of a type that has a name: `let it: Box<dyn Iterator<Item = i32>> = Box::new(it);`";
const BOX_A_FUTURE: &str = "a future is kept as what it gives, `let value = future.await;`, or in a box of a type that has a name: `let future: std::pin::Pin<Box<dyn Future<Output = i32> + Send>> = Box::pin(future);`";
const BOX_IT: &str = "keep what it gives, or keep it in a box of a type that has a name, as in `let f: Box<dyn Fn(i32) -> i32> = Box::new(move |x| x + 1);`";

/// How to keep what has no name, by what is known of its type.
pub(crate) fn how_to_keep(type_name: Option<&str>) -> &'static str {
    match type_name {
        None => BOX_A_CLOSURE,
        Some(name) if name.contains("Iterator") || name.contains("::iter::") => BOX_AN_ITERATOR,
        Some(name) if name.contains("Future") || name.contains("async") => BOX_A_FUTURE,
        Some(name) if name.contains("Fn") || name.starts_with("{closure") => BOX_A_CLOSURE,
        Some(_) => BOX_IT,
    }
}

/// What to do with a reference.
pub(crate) const BORROWS: &str = "keep what it refers to as a value of its own, with `.clone()`, `.cloned()`, `.to_owned()`, `.into_static()` or `.collect()` of such; or use it within braces: `{ let part = &text[..]; part.len() }`";

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

    /// A cell had this one to itself; `how` would have kept it.
    pub(crate) fn nameless(&mut self, cell: u64, name: &str, how: &'static str) {
        self.0.insert(name.to_owned(), Fate::Nameless { cell, how });
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
            Fate::Nameless { cell, how } => vec![
                format!("`{name}` was there in cell [{cell}] only: its type has no name under which it could be kept"),
                (*how).to_owned(),
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
