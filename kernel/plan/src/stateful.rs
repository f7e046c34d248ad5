//! A person's own function with a state for each key: the way to write a rule over time. The function's types are known
//! where it is written, and hidden from everything else behind [`KeyState`]. Which keys there are is the engine's concern.

use std::fmt;
use std::marker::PhantomData;
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

    /// Whether the key is to be forgotten.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.forget
    }

    /// When the function is to be called next, if nothing comes before.
    #[must_use]
    pub fn timeout_ms(&self) -> Option<i64> {
        if self.forget { None } else { self.timeout_ms }
    }
}

/// The state of one key, with the function that it is for.
///
/// Contract: `call` gives rows of one schema, whatever it is called with.
pub trait KeyState: Send {
    /// Calls the function with the state and the key's new rows.
    ///
    /// # Errors
    /// What the function says, or that it panicked.
    fn call(&mut self, rows: DataFrame, moment: &mut Moment) -> PolarsResult<DataFrame>;

    /// The state as CBOR: fields by their names, floats by their bits.
    ///
    /// # Errors
    /// A state that says of itself that it cannot be written.
    fn write(&self) -> PolarsResult<Vec<u8>>;
}

/// A function with a state for each key.
#[derive(Clone)]
pub struct StateFunction(Arc<dyn BeginState>);

/// Where states come from.
trait BeginState: Send + Sync {
    fn begin(&self) -> Box<dyn KeyState>;
    fn read(&self, state: &[u8]) -> PolarsResult<Box<dyn KeyState>>;
}

impl StateFunction {
    /// A function whose states begin as `S::default()`.
    pub fn new<S, F>(function: F) -> StateFunction
    where
        S: Default + Serialize + DeserializeOwned + Send + 'static,
        F: Fn(&mut S, DataFrame, &mut Moment) -> PolarsResult<DataFrame> + Send + Sync + 'static,
    {
        StateFunction(Arc::new(Typed { function: Arc::new(function), state: PhantomData }))
    }

    /// The state of a key that has none yet.
    #[must_use]
    pub fn begin(&self) -> Box<dyn KeyState> {
        self.0.begin()
    }

    /// The state that was [written](KeyState::write).
    ///
    /// # Errors
    /// Bytes that are no such state: the function's state has another type than it had.
    pub fn read(&self, state: &[u8]) -> PolarsResult<Box<dyn KeyState>> {
        self.0.read(state)
    }
}

impl fmt::Debug for StateFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closure")
    }
}

struct Typed<S, F> {
    function: Arc<F>,
    state: PhantomData<fn() -> S>,
}

struct TypedState<S, F> {
    state: S,
    function: Arc<F>,
}

impl<S, F> Typed<S, F>
where
    S: Default + Serialize + DeserializeOwned + Send + 'static,
    F: Fn(&mut S, DataFrame, &mut Moment) -> PolarsResult<DataFrame> + Send + Sync + 'static,
{
    fn with(&self, state: S) -> Box<dyn KeyState> {
        Box::new(TypedState { state, function: Arc::clone(&self.function) })
    }
}

impl<S, F> BeginState for Typed<S, F>
where
    S: Default + Serialize + DeserializeOwned + Send + 'static,
    F: Fn(&mut S, DataFrame, &mut Moment) -> PolarsResult<DataFrame> + Send + Sync + 'static,
{
    fn begin(&self) -> Box<dyn KeyState> {
        self.with(S::default())
    }

    fn read(&self, state: &[u8]) -> PolarsResult<Box<dyn KeyState>> {
        Ok(self.with(ciborium::from_reader(state).map_err(|error| does_not_go(&error))?))
    }
}

impl<S, F> KeyState for TypedState<S, F>
where
    S: Serialize + Send + 'static,
    F: Fn(&mut S, DataFrame, &mut Moment) -> PolarsResult<DataFrame> + Send + Sync + 'static,
{
    fn call(&mut self, rows: DataFrame, moment: &mut Moment) -> PolarsResult<DataFrame> {
        let kept = rows.clone();
        let called = result_of(|| (self.function)(&mut self.state, rows, moment));
        called.map_err(|failure| failed(&failure, &kept.head(Some(1))))
    }

    fn write(&self) -> PolarsResult<Vec<u8>> {
        written(&self.state)
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
