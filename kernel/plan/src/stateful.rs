//! A person's own function with a state for each key: the way to write a rule over time. The function's types are known
//! where it is written, and hidden from everything else behind [`States`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use polars::prelude::{DataFrame, PolarsError, PolarsResult, polars_err};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::closure::{result_of, row_in_words};

/// What a function is told of the moment, and what it can ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    watermark_ms: Option<i64>,
    timed_out: bool,
    timeout_ms: Option<i64>,
    forget: bool,
}

impl Moment {
    /// A moment at a watermark; `timed_out` says that there are no rows and the key's time is up.
    #[must_use]
    pub fn new(watermark_ms: Option<i64>, timeout_ms: Option<i64>, timed_out: bool) -> Moment {
        Moment { watermark_ms, timed_out, timeout_ms, forget: false }
    }

    /// The watermark, in milliseconds since the epoch.
    #[must_use]
    pub fn watermark_ms(&self) -> Option<i64> {
        self.watermark_ms
    }

    /// Whether the function is called because the key's time is up, without rows.
    #[must_use]
    pub fn timed_out(&self) -> bool {
        self.timed_out
    }

    /// Has the function be called for this key, without rows, once the watermark has come to `ms`, in milliseconds since the
    /// epoch. A later call puts another time in its place.
    pub fn set_timeout_ms(&mut self, ms: i64) {
        self.timeout_ms = Some(ms);
    }

    /// Takes the key's timeout away.
    pub fn clear_timeout(&mut self) {
        self.timeout_ms = None;
    }

    /// Forgets the key's state and timeout when the function returns.
    pub fn forget(&mut self) {
        self.forget = true;
    }

    /// When the function is to be called next, if nothing comes before.
    #[must_use]
    pub fn timeout_ms(&self) -> Option<i64> {
        if self.forget { None } else { self.timeout_ms }
    }
}

/// A key as the engine encodes it, and its state as CBOR.
pub type WrittenState = (Box<[u8]>, Vec<u8>);

/// The states of all keys.
///
/// Contract: `call` gives rows of one schema, whatever it is called with; `restore` takes what `save` gave for a key.
pub trait States: Send {
    /// Calls the function with a key's state and its new rows.
    ///
    /// # Errors
    /// What the function says, or that it panicked.
    fn call(&mut self, key: &[u8], rows: DataFrame, moment: &mut Moment) -> PolarsResult<DataFrame>;

    /// The states, each as CBOR: fields by their names, floats by their bits.
    ///
    /// # Errors
    /// A state that says of itself that it cannot be written.
    fn save(&self) -> PolarsResult<Vec<WrittenState>>;

    /// The state of a key, if it has one, as CBOR.
    ///
    /// # Errors
    /// As for [`States::save`].
    fn save_one(&self, key: &[u8]) -> PolarsResult<Option<Vec<u8>>>;

    /// Forgets the state of a key.
    fn forget(&mut self, key: &[u8]);

    /// Puts a state back.
    ///
    /// # Errors
    /// Bytes that are no such state: the function's state has another type than it had.
    fn restore(&mut self, key: &[u8], state: &[u8]) -> PolarsResult<()>;
}

/// A function with a state for each key.
#[derive(Clone)]
pub struct StateFunction(Arc<dyn Fn() -> Box<dyn States> + Send + Sync>);

impl StateFunction {
    /// A function whose states begin as `S::default()`.
    pub fn new<S, F>(function: F) -> StateFunction
    where
        S: Default + Serialize + DeserializeOwned + Send + 'static,
        F: Fn(&mut S, DataFrame, &mut Moment) -> PolarsResult<DataFrame> + Send + Sync + 'static,
    {
        let function = Arc::new(function);
        StateFunction(Arc::new(move || Box::new(Typed { states: HashMap::new(), function: Arc::clone(&function) })))
    }

    /// No states yet.
    #[must_use]
    pub fn begin(&self) -> Box<dyn States> {
        (self.0)()
    }
}

impl fmt::Debug for StateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closure")
    }
}

struct Typed<S, F> {
    states: HashMap<Box<[u8]>, S>,
    function: Arc<F>,
}

impl<S, F> States for Typed<S, F>
where
    S: Default + Serialize + DeserializeOwned + Send + 'static,
    F: Fn(&mut S, DataFrame, &mut Moment) -> PolarsResult<DataFrame> + Send + Sync + 'static,
{
    fn call(&mut self, key: &[u8], rows: DataFrame, moment: &mut Moment) -> PolarsResult<DataFrame> {
        if !self.states.contains_key(key) {
            self.states.insert(key.into(), S::default());
        }
        let Some(state) = self.states.get_mut(key) else { return Ok(rows) };
        let kept = rows.clone();
        let called = result_of(|| (self.function)(state, rows, moment));
        if moment.forget {
            self.states.remove(key);
        }
        called.map_err(|failure| failed(&failure, &kept.head(Some(1))))
    }

    fn save(&self) -> PolarsResult<Vec<WrittenState>> {
        self.states.iter().map(|(key, state)| Ok((key.clone(), written(state)?))).collect()
    }

    fn save_one(&self, key: &[u8]) -> PolarsResult<Option<Vec<u8>>> {
        self.states.get(key).map(written).transpose()
    }

    fn forget(&mut self, key: &[u8]) {
        self.states.remove(key);
    }

    fn restore(&mut self, key: &[u8], state: &[u8]) -> PolarsResult<()> {
        self.states.insert(key.into(), ciborium::from_reader(state).map_err(|error| does_not_go(&error))?);
        Ok(())
    }
}

/// A state as CBOR. JSON has no infinity, no NaN, and only text for a map's keys.
fn written<S: Serialize>(state: &S) -> PolarsResult<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(state, &mut bytes).map_err(|error| does_not_go(&error))?;
    Ok(bytes)
}

// Not generic, so that a cell does not compile it.

fn failed(failure: &str, first: &DataFrame) -> PolarsError {
    let rows = match first.height() {
        0 => "It was called without rows, for the key's time was up".to_owned(),
        _ => format!("The key's new rows begin with {}", row_in_words(first, 0)),
    };
    polars_err!(ComputeError: "the function of with_state {failure}. {rows}")
}

fn does_not_go(error: &dyn fmt::Display) -> PolarsError {
    polars_err!(ComputeError: "a state of with_state does not go with the checkpoint: {error}")
}
