//! The states of a person's function, by key.

use plan::{Moment, StateFunction};
use polars::prelude::*;

use super::key_states::KeyStates;
use super::{PendingTable, StateTable};
use crate::operator::columns::kept_keys;

/// The states.
pub(crate) struct FunctionStates {
    /// What the keys' column is called.
    keys_name: PlSmallStr,
    states: KeyStates,
    /// The keys that the function was called for since the table was last written, once it has been.
    called: Option<PlHashSet<Box<[u8]>>>,
}

/// A key, and the state that it has, if any.
type StateOfKey = (Box<[u8]>, Option<Vec<u8>>);

/// The column that has the states themselves.
const STATE: &str = "state in CBOR";

impl FunctionStates {
    /// None yet; the keys' column is to be called `keys_name`.
    pub(crate) fn new(function: &StateFunction, keys_name: PlSmallStr) -> FunctionStates {
        FunctionStates { keys_name, states: KeyStates::new(function), called: None }
    }

    /// Calls the function for a key with its rows; gives what it gives.
    pub(crate) fn call(&mut self, key: &[u8], rows: DataFrame, moment: &mut Moment) -> PolarsResult<DataFrame> {
        let given = self.states.call(key, rows, moment)?;
        if let Some(called) = self.called.as_mut().filter(|called| !called.contains(key)) {
            called.insert(key.into());
        }
        Ok(given)
    }
}

impl StateTable for FunctionStates {
    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let called = self.called.replace(PlHashSet::default()).unwrap_or_default();
        // A key that was forgotten has no state.
        let states: Vec<StateOfKey> = match all {
            true => self.states.save()?.into_iter().map(|(key, state)| (key, Some(state))).collect(),
            false => {
                let state = |key: Box<[u8]>| self.states.save_one(&key).map(|state| (key, state));
                called.into_iter().map(state).collect::<PolarsResult<_>>()?
            }
        };
        let keys_name = self.keys_name.clone();
        Ok(Box::new(move || {
            let keys: Vec<&[u8]> = states.iter().map(|(key, _)| key.as_ref()).collect();
            let written: Vec<Option<&[u8]>> = states.iter().map(|(_, state)| state.as_deref()).collect();
            let columns = vec![Series::new(keys_name, keys).into(), Series::new(STATE.into(), written).into()];
            DataFrame::new(states.len(), columns)
        }))
    }

    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()> {
        for table in [saved].iter().chain(&changes) {
            let keys = kept_keys(table, &self.keys_name)?.iter().map(Option::unwrap_or_default);
            for (key, state) in keys.zip(table.column(STATE)?.binary()?.iter()) {
                match state {
                    Some(state) => self.states.restore(key, state)?,
                    None => self.states.forget(key),
                }
            }
        }
        self.called = Some(PlHashSet::default());
        Ok(())
    }
}
