//! Keys, each with a time at which something is to happen: it is forgotten, or called. They lie as [groups](super::groups::rows) do,
//! so that a snapshot copies nothing at first.

use std::collections::BTreeSet;

use polars::prelude::*;

use super::groups::index::{GroupIndex, hash_of_key};
use super::groups::rows::{FrozenGroups, GroupKey, Groups, KeyBytes};
use super::groups::words::{Flag, Layout};
use super::{PendingTable, StateTable};
use crate::operator::columns::{START, kept_keys};

/// The keys.
pub(crate) struct KeyTimes {
    /// What the keys' column is called.
    keys_name: PlSmallStr,
    keys: Groups,
    /// The word with the time.
    time: usize,
    /// That a slot has a key.
    there: Flag,
    index: GroupIndex,
    hasher: PlRandomState,
    /// Those whose time may come.
    order: BTreeSet<(i64, u32)>,
    /// What changed since the table was last written, once it has been.
    noted: Option<KeyChanges>,
}

#[derive(Default)]
struct KeyChanges {
    /// The slots of keys that came or have another time; some may be gone.
    slots: Vec<u32>,
    /// Keys that went.
    gone: Vec<KeyBytes>,
}

impl KeyTimes {
    /// None yet; the keys' column is to be called `keys_name`.
    pub(crate) fn new(keys_name: PlSmallStr) -> KeyTimes {
        let mut layout = Layout::new();
        let (time, there) = (layout.place(1), layout.flag());
        let (keys, index, hasher, order) =
            (Groups::new(&layout), Default::default(), Default::default(), BTreeSet::new());
        KeyTimes { keys_name, keys, time, there, index, hasher, order, noted: None }
    }

    /// The time of a key, if it is there.
    pub(crate) fn get(&self, key: &[u8]) -> Option<i64> {
        self.find(&GroupKey::new(key), self.hash(key)).map(|slot| self.keys.get(slot, self.time))
    }

    /// Gives a key a time, or takes it out. The time [`i64::MAX`] never comes.
    pub(crate) fn set(&mut self, key: &[u8], time: Option<i64>) -> PolarsResult<()> {
        let (hash, bytes, key) = (self.hash(key), key, GroupKey::new(key));
        let slot = self.find(&key, hash);
        let before: Option<i64> = slot.map(|slot| self.keys.get(slot, self.time));
        if before == time {
            return Ok(());
        }
        let slot = match slot {
            Some(slot) => slot,
            None => {
                self.keys.expect(1)?;
                let slot = self.keys.add(0, &key);
                self.keys.mark(slot, self.there);
                self.index.insert(hash, slot);
                slot
            }
        };
        before.map(|before| self.order.remove(&(before, slot)));
        match time {
            Some(time) => {
                self.keys.set(slot, self.time, time);
                if time < i64::MAX {
                    self.order.insert((time, slot));
                }
                if let Some(noted) = self.noted.as_mut().filter(|_| !self.keys.change(slot)) {
                    noted.slots.push(slot);
                }
            }
            None => {
                self.index.remove(hash, slot);
                self.keys.remove(slot);
                if let Some(noted) = &mut self.noted {
                    noted.gone.push(KeyBytes::from_slice(bytes));
                }
            }
        }
        Ok(())
    }

    /// Begins a batch.
    pub(crate) fn begin(&mut self) {
        self.keys.forget_snapshots();
    }

    /// The first time that comes.
    pub(crate) fn first(&self) -> Option<i64> {
        self.order.first().map(|(time, _)| *time)
    }

    /// Takes out the key with the first time, if that is `until` or before.
    pub(crate) fn pop(&mut self, until: i64) -> Option<KeyBytes> {
        let key = self.take(until)?;
        if let Some(noted) = &mut self.noted {
            noted.gone.push(key.clone());
        }
        Some(key)
    }

    /// Takes out all keys whose time is `until` or before. They are not written as gone: time tells it after a restart too.
    pub(crate) fn forget(&mut self, until: i64) {
        while self.take(until).is_some() {}
    }

    fn take(&mut self, until: i64) -> Option<KeyBytes> {
        self.order.first().filter(|(time, _)| *time <= until)?;
        let (_, slot) = self.order.pop_first()?;
        let key = self.keys.key(slot);
        self.index.remove(self.hash(&key), slot);
        self.keys.remove(slot);
        Some(key)
    }

    fn find(&self, key: &GroupKey<'_>, hash: u32) -> Option<u32> {
        self.index.find(hash, |slot| self.keys.is(slot, key))
    }

    fn hash(&self, key: &[u8]) -> u32 {
        hash_of_key(&self.hasher, key)
    }
}

/// The keys of a snapshot.
struct FrozenKeys {
    keys_name: PlSmallStr,
    keys: FrozenGroups,
    time: usize,
    slots: Vec<u32>,
    gone: Vec<KeyBytes>,
}

impl FrozenKeys {
    /// A line a key; one that went has no time.
    fn table(mut self) -> PolarsResult<DataFrame> {
        // A slot that was given back may have been given to another key.
        self.slots.sort_unstable();
        self.slots.dedup();
        let mut all = lines(self.keys_name.clone(), &self.gone, vec![None; self.gone.len()])?;
        for slots in self.slots.chunks(1 << 16) {
            let some = self.keys.read(slots);
            let numbers = 0..slots.len() as u32;
            let keys: Vec<KeyBytes> = numbers.clone().map(|number| some.key(number)).collect();
            let times = numbers.map(|number| Some(some.get(number, self.time))).collect();
            let name = self.keys_name.clone();
            all.vstack_mut_owned(lines(name, &keys, times)?)?;
        }
        Ok(all)
    }
}

fn lines(keys_name: PlSmallStr, keys: &[KeyBytes], times: Vec<Option<i64>>) -> PolarsResult<DataFrame> {
    let bytes: Vec<&[u8]> = keys.iter().map(|key| key.as_ref()).collect();
    let columns = vec![Series::new(keys_name, bytes).into(), Series::new(START.into(), times).into()];
    DataFrame::new(keys.len(), columns)
}

impl StateTable for KeyTimes {
    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let KeyChanges { mut slots, gone } = self.noted.replace(KeyChanges::default()).unwrap_or_default();
        slots.retain(|slot| self.keys.is_marked(*slot, self.there));
        let (slots, gone) = if all { (self.index.slots().collect(), Vec::new()) } else { (slots, gone) };
        let frozen =
            FrozenKeys { keys_name: self.keys_name.clone(), keys: self.keys.frozen(), time: self.time, slots, gone };
        self.keys.none_changed();
        Ok(Box::new(move || frozen.table()))
    }

    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()> {
        for table in [saved].iter().chain(&changes) {
            let keys = kept_keys(table, &self.keys_name)?.iter();
            for (key, time) in keys.zip(table.column(START)?.i64()?.iter()) {
                self.set(key.unwrap_or_default(), time)?;
            }
        }
        self.noted = Some(KeyChanges::default());
        self.keys.none_changed();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn keys_and_their_times_are_those_of_a_map_also_after_a_restart() {
        let name = |n: u64| format!("key{}", "-of-more-than-sixteen-bytes".repeat((n % 2) as usize) + &n.to_string());
        let (mut table, mut twin) = (KeyTimes::new("keys".into()), BTreeMap::<Vec<u8>, i64>::new());
        let (mut saved, mut changes) = (table.freeze(true).unwrap()().unwrap(), Vec::new());
        let mut number = 1u64;
        let mut below = |n: u64| {
            number = number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (number >> 33) % n
        };
        for round in 0..2_000i64 {
            table.begin();
            for _ in 0..below(5) {
                let key = name(below(30)).into_bytes();
                let time = match below(6) {
                    0 => None,
                    1 => Some(i64::MAX),
                    _ => Some(round + below(20) as i64),
                };
                table.set(&key, time).unwrap();
                match time {
                    None => twin.remove(&key),
                    Some(time) => twin.insert(key.clone(), time),
                };
            }
            if round % 3 == 0 {
                table.forget(round - 1);
                twin.retain(|_, time| *time >= round);
            }
            while let Some(key) = table.pop(round) {
                assert!(twin.remove(&key[..]).is_some_and(|time| time <= round));
            }
            assert!(twin.values().all(|time| *time > round));
            assert_eq!(table.first(), twin.values().min().copied().filter(|time| *time < i64::MAX));
            match below(40) {
                0 => (saved, changes) = (table.freeze(true).unwrap()().unwrap(), Vec::new()),
                1..10 => changes.push(table.freeze(false).unwrap()().unwrap()),
                10 | 11 => {
                    changes.push(table.freeze(false).unwrap()().unwrap());
                    table = KeyTimes::new("keys".into());
                    table.restore(saved.clone(), changes.clone()).unwrap();
                    table.forget(round - 1);
                }
                _ => {}
            }
            assert_eq!(table.index.slots().count(), twin.len());
            assert!(twin.iter().all(|(key, time)| table.get(key) == Some(*time)));
        }
    }
}
