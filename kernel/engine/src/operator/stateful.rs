//! A person's own function with a state for each key, called with the key's new rows and when its time is up.

use plan::{Moment, StateFunction};
use polars::prelude::*;

use super::columns::{decoded, encoded, kept_as, keys_of, named_keys};
use super::{BatchResult, Operator, never_changing};
use crate::alone::Alone;
use crate::change::Delta;
use crate::rows::stacked;
use crate::state::StateTables;
use crate::state::function_states::FunctionStates;
use crate::state::groups::rows::KeyBytes;
use crate::state::key_times::KeyTimes;

/// The states and what the function is called with.
pub(crate) struct Stateful {
    keys: Vec<Expr>,
    /// The keys' names and types.
    key_fields: Vec<Field>,
    /// How many of the watermark's units a millisecond has.
    per_ms: i64,
    states: FunctionStates,
    /// In milliseconds.
    timeouts: KeyTimes,
    /// What the function is called with when there are no rows, and what it gives then.
    none: DataFrame,
    empty: DataFrame,
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
        let key_fields: Vec<Field> = none.clone().lazy().select(keys).collect()?.schema().iter_fields().collect();
        let keys_name = kept_as(key_fields.iter().map(Field::dtype));
        Ok(Stateful {
            keys: keys.to_vec(),
            key_fields,
            per_ms,
            states: FunctionStates::new(function, keys_name.clone()),
            timeouts: KeyTimes::new(keys_name),
            none,
            empty: DataFrame::empty_with_schema(output),
        })
    }
}

impl Operator for Stateful {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let (rows, watermark_ms) = (never_changing(delta)?, watermark.map(|at| at.div_euclid(self.per_ms)));
        let keyed = rows.clone().lazy().select(named_keys(&self.keys)).collect()?;
        let keys = encoded(&keys_of(&keyed, self.keys.len())?, rows.height())?;
        self.timeouts.begin();
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
        Ok(BatchResult::of(Delta::Append(stacked(&self.empty, &all)?)))
    }

    fn close(&mut self, watermark: i64, _: bool) -> PolarsResult<Option<DataFrame>> {
        let watermark_ms = watermark.div_euclid(self.per_ms);
        let due: Vec<KeyBytes> = std::iter::from_fn(|| self.timeouts.pop(watermark_ms)).collect();
        let mut all = Vec::new();
        for key in due {
            all.extend(self.call(&key, self.none.clone(), Some(watermark_ms), true)?);
        }
        if all.is_empty() { Ok(None) } else { stacked(&self.empty, &all).map(Some) }
    }

    fn due(&self, _: bool) -> Option<i64> {
        self.timeouts.first().map(|time| time.saturating_mul(self.per_ms))
    }

    fn state(&mut self) -> StateTables<'_> {
        vec![&mut self.states, &mut self.timeouts]
    }
}

impl Stateful {
    /// Calls the function; gives its rows if there are any.
    fn call(
        &mut self,
        key: &[u8],
        rows: DataFrame,
        watermark_ms: Option<i64>,
        timed_out: bool,
    ) -> PolarsResult<Option<DataFrame>> {
        let mut moment = Moment::new(watermark_ms, self.timeouts.get(key), timed_out);
        let alone = Alone::with(rows.height());
        let called = self.states.call(key, rows, &mut moment);
        drop(alone);
        let given = called.map_err(|error| polars_err!(ComputeError: "{error}. The key is {}", self.in_words(key)))?;
        polars_ensure!(
            is_like(&given, &self.empty),
            SchemaMismatch: "the function of with_state gave other columns than it gave for no rows: {:?} and not {:?}",
            given.schema(), self.empty.schema()
        );
        self.timeouts.set(key, moment.timeout_ms())?;
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
