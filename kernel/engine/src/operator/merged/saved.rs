//! Groups as a table and back.

use polars::prelude::*;

use super::groups::{Key, KeyBytes};
use super::{Merged, Window, hash};
use crate::operator::columns::{END, GROUP, START, integers, kept_as, kept_keys};

impl Merged {
    /// What the keys' column is called.
    fn keys_name(&self) -> PlSmallStr {
        kept_as(self.schema.iter_values().take(self.plan.keys.len()))
    }

    /// Groups of each window, to be saved.
    pub(super) fn table(&self, of: impl Fn(&Window) -> Vec<u32>) -> PolarsResult<DataFrame> {
        let (mut starts, mut ends, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        for (start, window) in &self.windows {
            slots.extend(of(window));
            starts.resize(slots.len(), *start);
            ends.resize(slots.len(), window.end);
        }
        let keys: Vec<KeyBytes> = slots.iter().map(|slot| self.groups.key(*slot)).collect();
        let mut columns: Vec<Column> = vec![
            Series::new(START.into(), starts).into(),
            Series::new(END.into(), ends).into(),
            Series::new(self.keys_name(), keys.iter().map(|key| key.as_ref()).collect::<Vec<&[u8]>>()).into(),
            Series::new(GROUP.into(), slots.iter().map(|slot| self.groups.id(*slot)).collect::<Vec<_>>()).into(),
        ];
        for (number, cells) in self.cells.iter().enumerate() {
            columns.extend(cells.save(&self.groups, &slots, &format!("cells {number}")));
        }
        columns.extend(self.collections.save(&slots));
        DataFrame::new(slots.len(), columns)
    }

    /// Puts saved groups in; those that are there already are replaced.
    pub(super) fn put(&mut self, saved: &DataFrame) -> PolarsResult<()> {
        self.groups.expect(saved.height())?;
        let (starts, ends) = (integers(saved, START)?, integers(saved, END)?);
        let (keys, ids) = (kept_keys(saved, &self.keys_name())?, saved.column(GROUP)?.u64()?);
        let mut slots = Vec::with_capacity(saved.height());
        for (((start, end), key), id) in starts.iter().zip(ends.iter()).zip(keys.iter()).zip(ids.iter()) {
            let (bytes, id) = (key.unwrap_or_default(), id.unwrap_or_default());
            let (key, hash) = (Key::new(bytes), hash(&self.hasher, bytes));
            let window = self.windows.entry(start.unwrap_or_default());
            let window = window.or_insert_with(|| Window::new(end.unwrap_or_default()));
            let slot = match window.index.find(hash, |slot| self.groups.is(slot, &key)) {
                Some(slot) => {
                    self.groups.renew(slot, id);
                    self.cells.iter_mut().for_each(|cells| cells.clear(slot));
                    slot
                }
                None => {
                    let slot = self.groups.add(id, &key);
                    window.index.insert(hash, slot);
                    slot
                }
            };
            slots.push(slot);
        }
        for (number, cells) in self.cells.iter_mut().enumerate() {
            cells.grow(self.groups.slots());
            cells.restore(&mut self.groups, &slots, saved, &format!("cells {number}"))?;
        }
        self.collections.grow(self.groups.slots());
        self.collections.restore(&slots, saved)
    }
}
