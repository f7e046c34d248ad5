//! The states of a person's own function, by the encoded keys that they are of.

use plan::{KeyState, Moment, StateFunction};
use polars::prelude::{DataFrame, PlHashMap, PolarsResult};

/// A key, and its state as CBOR.
pub(super) type WrittenState = (Box<[u8]>, Vec<u8>);

/// The states of all keys.
pub(super) struct KeyStates {
    function: StateFunction,
    states: PlHashMap<Box<[u8]>, Box<dyn KeyState>>,
}

impl KeyStates {
    /// No states yet.
    pub(super) fn new(function: &StateFunction) -> KeyStates {
        KeyStates { function: function.clone(), states: PlHashMap::default() }
    }

    /// Calls the function with a key's state and its new rows.
    pub(super) fn call(&mut self, key: &[u8], rows: DataFrame, moment: &mut Moment) -> PolarsResult<DataFrame> {
        let called = match self.states.get_mut(key) {
            Some(state) => state.call(rows, moment),
            None => self.states.entry(key.into()).or_insert(self.function.begin()).call(rows, moment),
        };
        if moment.is_forgotten() {
            self.states.remove(key);
        }
        called
    }

    /// All states.
    pub(super) fn save(&self) -> PolarsResult<Vec<WrittenState>> {
        self.states.iter().map(|(key, state)| Ok((key.clone(), state.write()?))).collect()
    }

    /// The state of a key, if it has one.
    pub(super) fn save_one(&self, key: &[u8]) -> PolarsResult<Option<Vec<u8>>> {
        self.states.get(key).map(|state| state.write()).transpose()
    }

    /// Forgets the state of a key.
    pub(super) fn forget(&mut self, key: &[u8]) {
        self.states.remove(key);
    }

    /// Puts a state back.
    pub(super) fn restore(&mut self, key: &[u8], state: &[u8]) -> PolarsResult<()> {
        self.states.insert(key.into(), self.function.read(state)?);
        Ok(())
    }
}
