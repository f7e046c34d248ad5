//! Questions to the person in front of the page. The thread that asks waits; the link's thread brings the answer.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use link::{Input, ToKernel};

use super::{client, output};

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// As when a notebook runs without a person.
    #[error("nobody can be asked: this notebook runs where questions are not shown")]
    NotAllowed,
    /// The cell was interrupted, has ended, or put another question.
    #[error("the question was not answered: the cell was interrupted")]
    Interrupted,
}

static ASKED: Mutex<Asked> = Mutex::new(Asked { next: 0, answers: BTreeMap::new() });
static ANSWERED: Condvar = Condvar::new();

struct Asked {
    next: u64,
    /// `None` as long as the answer has not come.
    answers: BTreeMap<u64, Option<Input>>,
}

/// Asks for a line of text, in a field below the cell; waits for it.
///
/// # Errors
/// When nobody can be asked, or the cell is interrupted.
///
/// # Example
/// ```no_run
/// use corriente::prelude::*;
/// let city = input("Which city? ")?;
/// # Ok::<(), corriente::cell::InputError>(())
/// ```
pub fn input(prompt: &str) -> Result<String, InputError> {
    ask(prompt, false)
}

/// As [`input`], for what nobody is to read: it is not shown, and not kept in the notebook.
///
/// # Errors
/// When nobody can be asked, or the cell is interrupted.
pub fn password(prompt: &str) -> Result<String, InputError> {
    ask(prompt, true)
}

fn ask(prompt: &str, password: bool) -> Result<String, InputError> {
    if !client::is_joined() {
        return Err(InputError::NotAllowed);
    }
    let mut asked = lock();
    asked.next += 1;
    let id = asked.next;
    asked.answers.insert(id, None);
    drop(asked);
    output::drain();
    client::send(ToKernel::Ask { id, prompt: prompt.to_owned(), password }.into());
    // The kernel answers every question; when it is gone, so is this process.
    let waiting = |asked: &mut Asked| asked.answers.get(&id).is_some_and(Option::is_none);
    let mut asked = ANSWERED.wait_while(lock(), waiting).unwrap_or_else(PoisonError::into_inner);
    match asked.answers.remove(&id).flatten() {
        Some(Input::Text(text)) => Ok(text),
        Some(Input::NotAllowed) => Err(InputError::NotAllowed),
        Some(Input::Dropped) | None => Err(InputError::Interrupted),
    }
}

/// Brings an answer; one that nobody waits for is dropped.
pub(super) fn answer(id: u64, input: Input) {
    if let Some(waiting) = lock().answers.get_mut(&id) {
        *waiting = Some(input);
    }
    ANSWERED.notify_all();
}

fn lock() -> MutexGuard<'static, Asked> {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner)
}
