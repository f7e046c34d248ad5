//! A person's own function with a state for each key, called with the key's new rows and when its time is up.

use std::collections::BTreeSet;

use plan::{Moment, StateFunction, States};
use polars::prelude::*;

use super::columns::{START, decoded, encoded, kept_as, kept_keys, keys_of, named_keys};
use super::{Executed, GROUPS, Operator, OperatorSnapshot, Tables, never_changing};
use crate::alone::Alone;
use crate::change::Delta;
use crate::rows::stacked;

/// The states and what the function is called with.
pub(crate) struct Stateful {
    keys: Vec<Expr>,
    /// The keys' names and types.
    key_fields: Vec<Field>,
    /// How many of the watermark's units a millisecond has.
    per_ms: i64,
    states: Box<dyn States>,
    /// In milliseconds.
    timeouts: PlHashMap<Box<[u8]>, i64>,
    times: BTreeSet<(i64, Box<[u8]>)>,
    /// What the function is called with when there are no rows, and what it gives then.
    none: DataFrame,
    empty: DataFrame,
    /// The keys that it was called for since the states were last saved, once they have been.
    called: Option<PlHashSet<Box<[u8]>>>,
}

impl Stateful {
    /// `input` is the schema that the function sees, `output` what it gives.
    pub(crate) fn new(
        keys: &[Expr],
        function: &StateFunction,
        input: &SchemaRef,
        output: &SchemaRef,
        per_ms: i64,
    ) -> PolarsResult<Stateful> {
        let none = DataFrame::empty_with_schema(input);
        Ok(Stateful {
            keys: keys.to_vec(),
            key_fields: none.clone().lazy().select(keys).collect()?.schema().iter_fields().collect(),
            per_ms,
            states: function.begin(),
            timeouts: PlHashMap::default(),
            times: BTreeSet::new(),
            none,
            empty: DataFrame::empty_with_schema(output),
            called: None,
        })
    }
}

impl Operator for Stateful {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<Executed> {
        let (rows, watermark_ms) = (never_changing(delta)?, watermark.map(|at| at.div_euclid(self.per_ms)));
        let keyed = rows.clone().lazy().select(named_keys(&self.keys)).collect()?;
        let keys = encoded(&keys_of(&keyed, self.keys.len())?, rows.height())?;
        let by_key = ByKey::new(&keys);
        // Cut from one frame in the order of keys, a key's rows cost no copy.
        let sorted = rows.take(&IdxCa::from_vec(PlSmallStr::EMPTY, by_key.order))?;
        let mut all = Vec::new();
        let mut from = 0;
        for (key, count) in by_key.keys {
            let mine = sorted.slice(from, count);
            from += count as i64;
            all.extend(self.call(key, mine, watermark_ms, false)?);
        }
        Ok(Executed::of(Delta::Append(stacked(&self.empty, &all)?)))
    }

    fn close(&mut self, watermark: i64, _: bool) -> PolarsResult<Option<DataFrame>> {
        let watermark_ms = watermark.div_euclid(self.per_ms);
        let mut due = Vec::new();
        while self.times.first().is_some_and(|(time, _)| *time <= watermark_ms) {
            due.extend(self.times.pop_first().map(|(_, key)| key));
        }
        let mut all = Vec::new();
        for key in due {
            self.timeouts.remove(&key);
            all.extend(self.call(&key, self.none.clone(), Some(watermark_ms), true)?);
        }
        if all.is_empty() { Ok(None) } else { stacked(&self.empty, &all).map(Some) }
    }

    fn due(&self, _: bool) -> Option<i64> {
        self.times.first().map(|(time, _)| time.saturating_mul(self.per_ms))
    }

    fn save(&self) -> PolarsResult<OperatorSnapshot> {
        let states = self.states.save()?;
        let states: Vec<_> = states.into_iter().map(|(key, state)| (key, Some(state))).collect();
        Ok(OperatorSnapshot::new(0, [(GROUPS, self.table(&states)?)]))
    }

    fn restore(&mut self, _: u64, tables: Tables<'_>) -> PolarsResult<()> {
        self.put(&tables(GROUPS)?)?;
        self.all_saved();
        Ok(())
    }

    fn all_saved(&mut self) {
        self.called = Some(PlHashSet::default());
    }

    fn save_changes(&mut self) -> PolarsResult<OperatorSnapshot> {
        let called = self.called.replace(PlHashSet::default()).unwrap_or_default();
        let state = |key: Box<[u8]>| self.states.save_one(&key).map(|state| (key, state));
        let states = called.into_iter().map(state).collect::<PolarsResult<Vec<_>>>()?;
        Ok(OperatorSnapshot::changes(0, [(GROUPS, self.table(&states)?)]))
    }

    fn restore_changes(&mut self, _: u64, changes: Vec<DataFrame>, _: Tables<'_>) -> PolarsResult<()> {
        changes.iter().try_for_each(|changes| self.put(changes))
    }
}

/// A key, and the state that it has, if any.
type Changed = (Box<[u8]>, Option<Vec<u8>>);

/// The column that has the states themselves.
const STATE: &str = "state in CBOR";

impl Stateful {
    /// What the keys' column is called in a written state.
    fn keys_name(&self) -> PlSmallStr {
        kept_as(self.key_fields.iter().map(Field::dtype))
    }

    /// States as a table; a key that was forgotten has none.
    fn table(&self, states: &[Changed]) -> PolarsResult<DataFrame> {
        let keys: Vec<&[u8]> = states.iter().map(|(key, _)| key.as_ref()).collect();
        let timeouts: Vec<Option<i64>> = keys.iter().map(|key| self.timeouts.get(*key).copied()).collect();
        let written: Vec<Option<&[u8]>> = states.iter().map(|(_, state)| state.as_deref()).collect();
        let columns: Vec<Column> = vec![
            Series::new(self.keys_name(), keys).into(),
            Series::new(START.into(), timeouts).into(),
            Series::new(STATE.into(), written).into(),
        ];
        DataFrame::new(states.len(), columns)
    }

    fn put(&mut self, saved: &DataFrame) -> PolarsResult<()> {
        let (keys, states) = (kept_keys(saved, &self.keys_name())?, saved.column(STATE)?.binary()?);
        for ((key, state), timeout) in keys.iter().zip(states.iter()).zip(saved.column(START)?.i64()?.iter()) {
            let key = key.unwrap_or_default();
            match state {
                Some(state) => self.states.restore(key, state)?,
                None => self.states.forget(key),
            }
            self.set_timeout(key, timeout);
        }
        Ok(())
    }

    fn set_timeout(&mut self, key: &[u8], time: Option<i64>) {
        if let Some(before) = self.timeouts.remove(key) {
            self.times.remove(&(before, key.into()));
        }
        if let Some(time) = time {
            self.timeouts.insert(key.into(), time);
            self.times.insert((time, key.into()));
        }
    }

    /// Calls the function; gives its rows if there are any.
    fn call(
        &mut self,
        key: &[u8],
        rows: DataFrame,
        watermark_ms: Option<i64>,
        timed_out: bool,
    ) -> PolarsResult<Option<DataFrame>> {
        let mut moment = Moment::new(watermark_ms, self.timeouts.get(key).copied(), timed_out);
        let alone = Alone::with(rows.height());
        let called = self.states.call(key, rows, &mut moment);
        drop(alone);
        let given = called.map_err(|error| polars_err!(ComputeError: "{error}. The key is {}", self.in_words(key)))?;
        polars_ensure!(
            is_like(&given, &self.empty),
            SchemaMismatch: "the function of with_state gave other columns than it gave for no rows: {:?} and not {:?}",
            given.schema(), self.empty.schema()
        );
        self.set_timeout(key, moment.timeout_ms());
        if let Some(called) = self.called.as_mut().filter(|called| !called.contains(key)) {
            called.insert(key.into());
        }
        Ok((given.height() > 0).then_some(given))
    }

    /// A key as a person writes it.
    fn in_words(&self, key: &[u8]) -> String {
        match decoded(&[key], &self.key_fields).and_then(|columns| DataFrame::new(1, columns)) {
            Ok(key) => plan::row_in_words(&key, 0),
            Err(_) => "not known".to_owned(),
        }
    }
}

/// The rows of a batch by their keys.
struct ByKey<'a> {
    /// The keys in the order in which they come, and how many rows each has.
    keys: Vec<(&'a [u8], usize)>,
    /// The rows, key after key.
    order: Vec<IdxSize>,
}

impl<'a> ByKey<'a> {
    fn new(all: &'a BinaryOffsetChunked) -> ByKey<'a> {
        let mut numbers: PlHashMap<&[u8], usize> = PlHashMap::default();
        let mut keys: Vec<(&[u8], usize)> = Vec::new();
        let mut of = Vec::with_capacity(all.len());
        for key in all.iter().map(Option::unwrap_or_default) {
            let number = *numbers.entry(key).or_insert(keys.len());
            match keys.get_mut(number) {
                Some((_, count)) => *count += 1,
                None => keys.push((key, 1)),
            }
            of.push(number);
        }
        let mut places: Vec<usize> = keys
            .iter()
            .scan(0, |next, (_, count)| {
                *next += count;
                Some(*next - count)
            })
            .collect();
        let mut order = vec![0; of.len()];
        for (row, number) in of.into_iter().enumerate() {
            order[places[number]] = row as IdxSize;
            places[number] += 1;
        }
        ByKey { keys, order }
    }
}

/// Whether two frames have the same columns.
fn is_like(one: &DataFrame, other: &DataFrame) -> bool {
    let same = |(one, other): (&Column, &Column)| one.name() == other.name() && one.dtype() == other.dtype();
    one.width() == other.width() && one.columns().iter().zip(other.columns()).all(same)
}
