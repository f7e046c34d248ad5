//! The spans of time that keys have: the windows that a key has rows in, or its sessions; without windows one that never ends. Each
//! is a group of the result, and says where its rows are found.

use std::collections::BTreeSet;

use polars::prelude::*;

use super::{PendingTable, StateTable, numbered};
use crate::operator::columns::{END, GROUP, ROW, START, integers, kept_keys};

/// A span of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// The first time that belongs to it.
    pub(crate) start: i64,
    /// The first after it.
    pub(crate) end: i64,
    /// The identity of its row in the result.
    pub(crate) id: u64,
    /// The number under which its rows are kept; sessions of one key share it.
    pub(crate) group: u64,
}

/// A span by its start and key.
pub(crate) type SpanKey = (i64, Box<[u8]>);

/// The spans of all keys.
pub(crate) struct SpanTable {
    /// What the keys' column is called.
    keys_name: PlSmallStr,
    /// Each key's by their starts; a key has one at least.
    keys: PlHashMap<Box<[u8]>, Vec<Span>>,
    /// The keys by the end of their first span, if it has one.
    ends: BTreeSet<(i64, Box<[u8]>)>,
    /// The key whose rows have a number, and the start of a span that has it.
    groups: PlHashMap<u64, SpanKey>,
    next_id: u64,
    /// What changed since the table was last written, once it has been.
    noted: Option<SpanChanges>,
}

#[derive(Default)]
struct SpanChanges {
    /// Spans that are new or others.
    changed: BTreeSet<SpanKey>,
    /// The identities of those that are no more.
    gone: Vec<u64>,
}

impl SpanTable {
    /// None yet; the keys' column is to be called `keys_name`.
    pub(crate) fn new(keys_name: PlSmallStr) -> SpanTable {
        let (keys, ends, groups) = Default::default();
        SpanTable { keys_name, keys, ends, groups, next_id: 0, noted: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The spans of a key, by their starts.
    pub(crate) fn of(&self, key: &[u8]) -> &[Span] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// The span of a key with this start.
    pub(crate) fn find(&self, start: i64, key: &[u8]) -> Option<Span> {
        let spans = self.of(key);
        spans.binary_search_by_key(&start, |span| span.start).ok().map(|at| spans[at])
    }

    /// All keys.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &[u8]> {
        self.keys.keys().map(AsRef::as_ref)
    }

    /// Where rows with a number belong.
    pub(crate) fn of_group(&self, group: u64) -> Option<&SpanKey> {
        self.groups.get(&group)
    }

    /// An identity for a new span.
    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    /// Adds a span to those of a key.
    pub(crate) fn insert(&mut self, key: &[u8], span: Span) {
        let spans = self.keys.entry(key.into()).or_default();
        let before = spans.first().copied();
        spans.insert(spans.partition_point(|other| other.start < span.start), span);
        let now = spans.first().copied();
        self.order(key, before, now);
        self.groups.insert(span.group, (span.start, key.into()));
        if let Some(noted) = &mut self.noted {
            noted.changed.insert((span.start, key.into()));
        }
    }

    /// Takes a span away from those of a key.
    pub(crate) fn remove(&mut self, start: i64, key: &[u8]) {
        let Some(spans) = self.keys.get_mut(key) else { return };
        let Ok(at) = spans.binary_search_by_key(&start, |span| span.start) else { return };
        let before = spans.first().copied();
        let gone = spans.remove(at);
        let now = spans.first().copied();
        self.leave(key, [before, now], &[gone]);
    }

    /// Takes out the spans of a key that have ended; the keys whose spans end first come first.
    pub(crate) fn pop_ended(&mut self, watermark: i64) -> Option<(Box<[u8]>, Vec<Span>)> {
        let (_, key) = self.ends.first().filter(|(end, _)| *end <= watermark)?.clone();
        let spans = self.keys.get_mut(&key)?;
        let before = spans.first().copied();
        let ended: Vec<Span> = spans.drain(..spans.partition_point(|span| span.end <= watermark)).collect();
        let now = spans.first().copied();
        self.leave(&key, [before, now], &ended);
        Some((key, ended))
    }

    /// Says which spans a key has, by their starts, whose rows are all under one number; gives the identities of those that it has
    /// no more.
    pub(crate) fn set(&mut self, key: &[u8], spans: Vec<Span>) -> Vec<u64> {
        let before = self.keys.remove(key).unwrap_or_default();
        let ids: PlHashSet<u64> = spans.iter().map(|span| span.id).collect();
        let gone: Vec<Span> = before.iter().copied().filter(|span| !ids.contains(&span.id)).collect();
        let first = spans.first().copied();
        if let Some(noted) = &mut self.noted {
            let is_new = |span: &&Span| !before.contains(span);
            noted.changed.extend(spans.iter().filter(is_new).map(|span| (span.start, key.into())));
        }
        self.keys.insert(key.into(), spans);
        self.leave(key, [before.first().copied(), first], &gone);
        if let Some(first) = first {
            self.groups.insert(first.group, (first.start, key.into()));
        }
        gone.iter().map(|span| span.id).collect()
    }

    /// Notes that spans of a key are gone, and which is the first now.
    fn leave(&mut self, key: &[u8], [before, now]: [Option<Span>; 2], gone: &[Span]) {
        self.order(key, before, now);
        if now.is_none() {
            self.keys.remove(key);
        }
        for span in gone {
            // Sessions that are left have the rows of those that are gone.
            if now.is_none_or(|now| now.group != span.group) {
                self.groups.remove(&span.group);
            }
        }
        if let Some(noted) = &mut self.noted {
            noted.gone.extend(gone.iter().map(|span| span.id));
        }
    }

    /// Where the first span ends, if any does.
    pub(crate) fn first_end(&self) -> Option<i64> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Puts a key in the order of ends.
    fn order(&mut self, key: &[u8], before: Option<Span>, now: Option<Span>) {
        let [before, now] = [before, now].map(|span| span.map(|span| span.end).filter(|end| *end < i64::MAX));
        if before == now {
            return;
        }
        if let Some(end) = before {
            self.ends.remove(&(end, key.into()));
        }
        if let Some(end) = now {
            self.ends.insert((end, key.into()));
        }
    }

    fn table<'a>(&self, lines: impl Iterator<Item = (&'a [u8], Span)>) -> PolarsResult<DataFrame> {
        let (keys, spans): (Vec<&[u8]>, Vec<Span>) = lines.unzip();
        let columns: Vec<Column> = vec![
            Series::new(START.into(), spans.iter().map(|span| span.start).collect::<Vec<_>>()).into(),
            Series::new(END.into(), spans.iter().map(|span| span.end).collect::<Vec<_>>()).into(),
            Series::new(self.keys_name.clone(), keys).into(),
            Series::new(ROW.into(), spans.iter().map(|span| span.id).collect::<Vec<_>>()).into(),
            Series::new(GROUP.into(), spans.iter().map(|span| span.group).collect::<Vec<_>>()).into(),
        ];
        DataFrame::new(spans.len(), columns)
    }
}

impl StateTable for SpanTable {
    fn number(&mut self) -> Option<&mut u64> {
        Some(&mut self.next_id)
    }

    fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let SpanChanges { changed, gone } = self.noted.replace(SpanChanges::default()).unwrap_or_default();
        if all {
            let all = self.keys.iter().flat_map(|(key, spans)| spans.iter().map(|span| (key.as_ref(), *span)));
            let table = self.table(all)?;
            return Ok(Box::new(|| Ok(table)));
        }
        let there = changed.iter().filter_map(|(start, key)| Some((key.as_ref(), self.find(*start, key)?)));
        let changes = numbered::changes(self.table(there)?, gone)?;
        Ok(Box::new(|| Ok(changes)))
    }

    fn restore(&mut self, saved: DataFrame, changes: Vec<DataFrame>) -> PolarsResult<()> {
        let table = numbered::changed(saved, changes)?;
        let (starts, ends) = (integers(&table, START)?, integers(&table, END)?);
        let keys = kept_keys(&table, &self.keys_name)?;
        let (ids, groups) = (table.column(ROW)?.u64()?, table.column(GROUP)?.u64()?);
        for row in 0..table.height() {
            let [start, end] = [&starts, &ends].map(|times| times.get(row).unwrap_or_default());
            let [id, group] = [ids, groups].map(|numbers| numbers.get(row).unwrap_or_default());
            self.keys.entry(keys.get(row).unwrap_or_default().into()).or_default().push(Span { start, end, id, group });
        }
        for (key, spans) in &mut self.keys {
            spans.sort_unstable_by_key(|span| span.start);
            self.groups.extend(spans.iter().rev().map(|span| (span.group, (span.start, key.clone()))));
            self.ends.extend(spans.first().filter(|span| span.end < i64::MAX).map(|span| (span.end, key.clone())));
        }
        self.noted = Some(SpanChanges::default());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn span(start: i64, end: i64, id: u64) -> Span {
        Span { start, end, id, group: id }
    }

    #[test]
    fn spans_end_by_key_in_the_order_of_their_ends() {
        let mut table = SpanTable::new("keys".into());
        for (key, span) in
            [(b"b", span(5, 15, 0)), (b"a", span(0, 10, 1)), (b"b", span(0, 10, 2)), (b"c", span(9, 19, 3))]
        {
            table.insert(key, span);
        }
        table.insert(b"d", span(0, i64::MAX, 4));
        assert_eq!(table.find(5, b"b"), Some(span(5, 15, 0)));
        assert_eq!(table.first_end(), Some(10));
        assert_eq!(table.pop_ended(9), None);
        assert_eq!(table.pop_ended(15).unwrap(), (b"a"[..].into(), vec![span(0, 10, 1)]));
        assert_eq!(table.pop_ended(15).unwrap(), (b"b"[..].into(), vec![span(0, 10, 2), span(5, 15, 0)]));
        assert_eq!(table.pop_ended(15), None);
        assert_eq!((table.of_group(0), table.of_group(3)), (None, Some(&(9, b"c"[..].into()))));
        table.remove(9, b"c");
        assert_eq!((table.first_end(), table.is_empty()), (None, false));
        assert_eq!(table.set(b"d", Vec::new()), [4]);
        assert!(table.is_empty());
    }
}
