//! The states of a person's function, by key.

use plan::{KeyState, Moment, StateFunction};
use polars::prelude::*;

use super::{PendingTable, StateTable};
use crate::operator::columns::kept_keys;

/// The states.
pub(crate) struct FunctionStates {
    /// What the keys' column is called.
    keys_name: PlSmallStr,
    function: StateFunction,
    states: PlHashMap<Box<[u8]>, Box<dyn KeyState>>,
    /// The keys that the function was called for since the table was last written, once it has been.
    called: Option<PlHashSet<Box<[u8]>>>,
}

/// The column that has the states themselves.
const STATE: &str = "state in CBOR";

impl FunctionStates {
    /// None yet; the keys' column is to be called `keys_name`.
    pub(crate) fn new(function: &StateFunction, keys_name: PlSmallStr) -> FunctionStates {
        FunctionStates { keys_name, function: function.clone(), states: PlHashMap::default(), called: None }
    }

    /// Calls the function for a key with its rows; gives what it gives.
    pub(crate) fn call(&mut self, key: &[u8], rows: DataFrame, moment: &mut Moment) -> PolarsResult<DataFrame> {
        let called = match self.states.get_mut(key) {
            Some(state) => state.call(rows, moment),
            None => self.states.entry(key.into()).or_insert(self.function.begin()).call(rows, moment),
        };
        if moment.is_forgotten() {
            self.states.remove(key);
        }
        let given = called?;
        if let Some(called) = self.called.as_mut().filter(|called| !called.contains(key)) {
            called.insert(key.into());
        }
        Ok(given)
    }
}

impl StateTable for FunctionStates {
    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let called = self.called.replace(PlHashSet::default()).unwrap_or_default();
        let keys: Vec<Box<[u8]>> =
            if all { self.states.keys().cloned().collect() } else { called.into_iter().collect() };
        // A key that was forgotten has no state.
        let state = |key: &[u8]| self.states.get(key).map(|state| state.write()).transpose();
        let states = keys.iter().map(|key| state(key)).collect::<PolarsResult<Vec<Option<Vec<u8>>>>>()?;
        let keys_name = self.keys_name.clone();
        Ok(Box::new(move || {
            let keys: Vec<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
            let written: Vec<Option<&[u8]>> = states.iter().map(Option::as_deref).collect();
            let columns = vec![Series::new(keys_name, keys).into(), Series::new(STATE.into(), written).into()];
            DataFrame::new(states.len(), columns)
        }))
    }

    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()> {
        for table in [saved].iter().chain(&changes) {
            let keys = kept_keys(table, &self.keys_name)?.iter().map(Option::unwrap_or_default);
            for (key, state) in keys.zip(table.column(STATE)?.binary()?.iter()) {
                match state {
                    Some(state) => drop(self.states.insert(key.into(), self.function.read(state)?)),
                    None => drop(self.states.remove(key)),
                }
            }
        }
        self.called = Some(PlHashSet::default());
        Ok(())
    }
}
