//! A person's own function in a plan. It has no words of its own: two that differ look alike in a plan. When one panics or fails,
//! its query stops and nothing else, and the error names the row that did it.

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use polars::prelude::*;

use crate::rows::RowFunction;
use crate::words::Words;

type BatchFunction = dyn Fn(DataFrame) -> PolarsResult<DataFrame> + Send + Sync;

/// How often a function is run again to find the row that it fails on.
const MOST_ATTEMPTS: usize = 64;
/// How much of a row an error shows.
const MOST_LETTERS: usize = 300;
/// How much of one value.
const MOST_LETTERS_A_VALUE: usize = 60;

/// A function on a batch of rows.
#[derive(Clone)]
pub struct Closure(FunctionKind);

#[derive(Clone)]
enum FunctionKind {
    Batches(Arc<BatchFunction>),
    Rows(RowFunction),
}

impl Closure {
    pub(crate) fn new(function: impl Fn(DataFrame) -> PolarsResult<DataFrame> + Send + Sync + 'static) -> Closure {
        Closure(FunctionKind::Batches(Arc::new(function)))
    }

    pub(crate) fn of_rows(function: RowFunction) -> Closure {
        Closure(FunctionKind::Rows(function))
    }

    /// Runs it. A panic in it is an error as others are.
    ///
    /// # Errors
    /// What the function says, with the row that it says it of.
    pub fn call(&self, rows: DataFrame) -> PolarsResult<DataFrame> {
        match &self.0 {
            FunctionKind::Rows(function) => function.call(rows),
            FunctionKind::Batches(function) => {
                let given = rows.clone();
                attempt(function, rows).map_err(|failure| narrowed(function, given, failure))
            }
        }
    }

    /// The method that it was given to.
    pub(crate) fn operation(&self) -> &'static str {
        match &self.0 {
            FunctionKind::Batches(_) => "map_batches",
            FunctionKind::Rows(_) => "map_rows",
        }
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> Words {
        match &self.0 {
            FunctionKind::Batches(_) => Words::new("MAP_BATCHES", ["closure".to_owned()]),
            FunctionKind::Rows(function) => Words::new("MAP_ROWS", [function.explain()]),
        }
    }
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closure")
    }
}

fn attempt(function: &Arc<BatchFunction>, rows: DataFrame) -> Result<DataFrame, String> {
    result_of(|| function(rows))
}

/// What a person's function gives; a panic and an error are told apart by their words only.
///
/// # Errors
/// As in `panicked: index out of bounds` or `failed: no such column`.
pub fn result_of<T, E: fmt::Display>(function: impl FnOnce() -> Result<T, E>) -> Result<T, String> {
    match caught(function) {
        Ok(Ok(given)) => Ok(given),
        Ok(Err(error)) => Err(format!("failed: {error}")),
        Err(panic) => Err(format!("panicked: {panic}")),
    }
}

/// The error of a function of batches, with the fewest rows that bring it about: each half is tried again.
fn narrowed(function: &Arc<BatchFunction>, mut rows: DataFrame, mut failure: String) -> PolarsError {
    let mut attempts = 0;
    while rows.height() > 1 && attempts < MOST_ATTEMPTS {
        let half = rows.height() / 2;
        let halves = [rows.slice(0, half), rows.slice(half as i64, rows.height() - half)];
        let tried = halves.into_iter().find_map(|half| {
            attempts += 1;
            attempt(function, half.clone()).err().map(|failure| (half, failure))
        });
        let Some((fewer, again)) = tried else { break };
        (rows, failure) = (fewer, again);
    }
    let place = match rows.height() {
        0 => "It was called with no rows".to_owned(),
        1 => format!("The row that did it: {}", row_in_words(&rows, 0)),
        together => format!("It takes {together} rows together, which begin with {}", row_in_words(&rows, 0)),
    };
    polars_err!(ComputeError: "the function of map_batches {failure}. {place}")
}

/// A row as `card: "4111", amount: 12.5`, cut to what an error can show.
#[must_use]
pub fn row_in_words(frame: &DataFrame, row: usize) -> String {
    let mut text = String::from("{");
    for column in frame.columns() {
        if text.len() > 1 {
            text.push_str(", ");
        }
        let value = column.get(row).map_or_else(|_| "nothing".to_owned(), |value| value.to_string());
        text.push_str(&format!("{}: {}", column.name(), cut(&value, MOST_LETTERS_A_VALUE)));
    }
    text.push('}');
    cut(&text, MOST_LETTERS)
}

fn cut(text: &str, letters: usize) -> String {
    match text.char_indices().nth(letters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread, if there is one now, becomes an error that is told: nobody else need tell it.
#[must_use]
pub fn panic_is_told() -> bool {
    IS_CAUGHT.get()
}

/// Runs a function; of a panic, what it said.
///
/// # Errors
/// What a panic said.
pub(crate) fn caught<T>(function: impl FnOnce() -> T) -> Result<T, String> {
    let before = IS_CAUGHT.replace(true);
    let given = catch_unwind(AssertUnwindSafe(function));
    IS_CAUGHT.set(before);
    given.map_err(|panic| message(panic.as_ref()))
}

/// What a panic said.
#[must_use]
pub fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it says nothing".to_owned())
}
