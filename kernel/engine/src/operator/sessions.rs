//! Aggregation over sessions: runs of a key's rows with no gap of a given length between them. Rows are kept, for a late one
//! may join two sessions; the keys that a batch touches are cut anew. A row is late if its time is before the watermark: which
//! sessions there are hangs on the rows in time alone, and not on how they were cut before.

use std::collections::{BTreeMap, BTreeSet};

use plan::{Aggregate, Over};
use polars::prelude::*;

use super::columns::{encoded, integers, kept_as, keys_of, named_keys};
use super::group::{Group, regroup, regroup_closed};
use super::group_tables::{GroupChanges, SavedGroups, Span, restored};
use super::output::{OUTPUT, OutputTable};
use super::retained::RetainedBytes;
use super::{Executed, Operator, OperatorSnapshot, Tables, Touched, kept_columns};
use crate::calendar::in_calendar;
use crate::change::{Changes, Delta, Revision};
use crate::rows::append;

/// The state and its parameters.
pub(crate) struct Sessions {
    plan: Aggregate,
    schema: SchemaRef,
    /// The columns that are kept of each row, without rows.
    kept: DataFrame,
    /// In the time column's unit.
    gap: i64,
    time: PlSmallStr,
    keys: PlHashMap<Box<[u8]>, Open>,
    /// The keys by the time at which their first session ends.
    ends: BTreeSet<(i64, Box<[u8]>)>,
    /// The key of a row that may change.
    places: PlHashMap<u64, Box<[u8]>>,
    next_id: u64,
    /// The number that the next key gets.
    next_key: u64,
    /// The identities of groups that were closed, until they are asked for.
    closed: Vec<u64>,
    bytes: RetainedBytes,
    /// What was given, where it is taken back.
    output: Option<OutputTable>,
    /// Once the state has been written down.
    noted: Option<GroupChanges<Box<[u8]>>>,
}

/// The sessions of a key that may still change.
struct Open {
    /// All their rows; its identity is the key's number.
    group: Group,
    /// Start, end and identity, in order.
    sessions: Vec<(i64, i64, u64)>,
}

/// Sessions with their starts, and the identities of those that are no more.
type ClosedSessions = (Vec<(i64, Group)>, Vec<u64>);

impl Sessions {
    /// `gap` is in the time column's unit; `input` is the schema of the rows, `schema` the result's.
    pub(crate) fn new(
        plan: &Aggregate,
        over: &Over,
        gap: i64,
        input: &SchemaRef,
        schema: SchemaRef,
    ) -> PolarsResult<Sessions> {
        Ok(Sessions {
            kept: DataFrame::empty_with_schema(input).select(kept_columns(plan, Some(&over.time), input))?,
            time: over.time.clone(),
            plan: plan.clone(),
            schema,
            gap,
            keys: PlHashMap::default(),
            ends: BTreeSet::new(),
            places: PlHashMap::default(),
            next_id: 0,
            next_key: 0,
            closed: Vec::new(),
            bytes: RetainedBytes::default(),
            output: None,
            noted: None,
        })
    }
}

impl Operator for Sessions {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<Executed> {
        let mut touched: BTreeSet<Box<[u8]>> = BTreeSet::new();
        let (rows, ids) = match delta {
            Delta::Append(rows) => (rows, None),
            Delta::Change(Revision { changes: Changes { ids, rows, deletes }, .. }) => {
                self.remove(deletes.iter().chain(&ids), &mut touched)?;
                (rows, Some(ids))
            }
        };
        let (late, timeless) = self.add(rows, ids.as_deref(), watermark, &mut touched)?;
        self.bytes.check(self.output.as_ref().map_or(0, OutputTable::bytes))?;
        let mut groups = Vec::new();
        let mut deletes = Vec::new();
        for key in &touched {
            let (found, gone) = self.cut(key)?;
            groups.extend(found);
            deletes.extend(gone);
        }
        if let Some(noted) = &mut self.noted {
            noted.places.extend(touched);
            noted.gone.extend(&deletes);
        }
        let by_start: Vec<(i64, &Group)> = groups.iter().map(|(start, group)| (*start, group)).collect();
        let rows = regroup(&self.plan, Some(&self.time), &self.schema, &by_start)?;
        let ids: Vec<u64> = groups.iter().map(|(_, group)| group.id).collect();
        let retracted = self.output.as_mut().map(|output| output.replace(&ids, &rows, &deletes)).transpose()?;
        Ok(Touched { ids, rows, deletes, retracted, late, timeless }.into())
    }

    fn close(&mut self, watermark: i64, wanted: bool) -> PolarsResult<Option<DataFrame>> {
        let mut closed: Vec<(i64, Group)> = Vec::new();
        while self.ends.first().is_some_and(|(end, _)| *end <= watermark) {
            let Some((_, key)) = self.ends.pop_first() else { break };
            let Some(open) = self.keys.get_mut(&key) else { continue };
            let ended = open.sessions.partition_point(|(_, end, _)| *end <= watermark);
            let times = integers(&open.group.rows, &self.time)?;
            let ids = open.sessions[..ended].iter().map(|(_, _, id)| *id);
            if let Some(noted) = &mut self.noted {
                noted.gone.extend(ids.clone());
            }
            if let Some(output) = &mut self.output {
                output.forget(ids.clone())?;
            }
            self.closed.extend(ids);
            for (start, end, id) in open.sessions.drain(..ended).filter(|_| wanted) {
                let mine = BooleanChunked::from_slice(PlSmallStr::EMPTY, &between(&times, start, end));
                closed.push((start, Group { rows: open.group.rows.filter(&mine)?, ..Group::new(id, &self.kept) }));
            }
            self.bytes.remove(&open.group.rows);
            let Some((first, end, _)) = open.sessions.first().copied() else {
                open.group.ids.iter().for_each(|id| drop(self.places.remove(id)));
                self.keys.remove(&key);
                continue;
            };
            let keep = between(&times, first, i64::MAX);
            for (id, _) in open.group.ids.iter().zip(&keep).filter(|(_, keep)| !**keep) {
                self.places.remove(id);
            }
            open.group.retain(&keep)?;
            self.bytes.add(&open.group.rows);
            self.ends.insert((end, key));
        }
        regroup_closed(&self.plan, Some(&self.time), &self.schema, closed)
    }

    fn due(&self, wanted: bool) -> Option<i64> {
        self.ends.first().map(|(end, _)| *end).filter(|_| wanted)
    }

    fn settled(&mut self, _: Vec<u64>) -> Vec<u64> {
        std::mem::take(&mut self.closed)
    }

    fn aggregates(&self) -> bool {
        true
    }

    fn retract(&mut self) -> bool {
        self.output = Some(OutputTable::new(&self.schema));
        false
    }

    /// A line a session, and the rows of each key. What a key had before its first session is over.
    fn save(&self) -> PolarsResult<OperatorSnapshot> {
        let mut saved = SavedGroups::new(&self.kept, self.keys_name());
        for (key, open) in &self.keys {
            open.spans(key).for_each(|span| saved.push(span));
            saved.push_rows(&open.group, 0)?;
        }
        let mut kept = saved.all(self.next_id)?;
        if let Some(output) = &self.output {
            kept.tables.push((OUTPUT, output.save()?));
        }
        Ok(kept)
    }

    fn restore(&mut self, number: u64, tables: Tables<'_>) -> PolarsResult<()> {
        self.keys.clear();
        self.ends.clear();
        self.places.clear();
        self.next_id = number;
        self.next_key = 0;
        if let Some(output) = &mut self.output {
            *output = OutputTable::new(&self.schema);
            output.restore(tables(OUTPUT)?)?;
        }
        let (spans, mut groups) = restored(tables, &self.keys_name())?;
        for Span { times: [start, end], key, id, group } in spans {
            self.next_key = self.next_key.max(group + 1);
            let open = self.keys.entry(key).or_insert_with(|| {
                let group = groups.remove(&group).unwrap_or_else(|| Group::new(group, &self.kept));
                Open { group, sessions: Vec::new() }
            });
            open.sessions.push((start, end, id));
        }
        self.bytes = RetainedBytes::default();
        for (key, open) in &mut self.keys {
            let Some((start, end, _)) = open.sessions.first().copied() else { continue };
            open.group.retain(&between(&integers(&open.group.rows, &self.time)?, start, i64::MAX))?;
            self.bytes.add(&open.group.rows);
            self.ends.insert((end, key.clone()));
            self.places.extend(open.group.ids.iter().map(|id| (*id, key.clone())));
        }
        self.noted = Some(GroupChanges::default());
        Ok(())
    }

    fn all_saved(&mut self) {
        self.keys.values_mut().for_each(|open| open.group.written = open.group.rows.height());
        self.output.iter_mut().for_each(OutputTable::all_saved);
        self.noted = Some(GroupChanges::default());
    }

    fn save_changes(&mut self) -> PolarsResult<OperatorSnapshot> {
        let GroupChanges { places, gone, rows_gone } = self.noted.replace(GroupChanges::default()).unwrap_or_default();
        let mut saved = SavedGroups::new(&self.kept, self.keys_name());
        for key in places {
            let Some(open) = self.keys.get_mut(&key) else { continue };
            open.spans(&key).for_each(|span| saved.push(span));
            saved.push_rows(&open.group, open.group.written)?;
            open.group.written = open.group.rows.height();
        }
        let mut kept = saved.changed(self.next_id, gone, rows_gone)?;
        if let Some(output) = &mut self.output {
            kept.changes.push((OUTPUT, output.save_changes()?));
        }
        Ok(kept)
    }
}

impl Open {
    fn spans<'a>(&'a self, key: &'a [u8]) -> impl Iterator<Item = Span> + 'a {
        let span = |session: &(i64, i64, u64)| Span {
            times: [session.0, session.1],
            key: key.into(),
            id: session.2,
            group: self.group.id,
        };
        self.sessions.iter().map(span)
    }
}

impl Sessions {
    /// What the keys' column is called in a written state.
    fn keys_name(&self) -> PlSmallStr {
        kept_as(self.schema.iter_values().take(self.plan.keys.len()))
    }

    fn remove<'a>(
        &mut self,
        ids: impl Iterator<Item = &'a u64>,
        touched: &mut BTreeSet<Box<[u8]>>,
    ) -> PolarsResult<()> {
        let mut gone: BTreeMap<Box<[u8]>, PlHashSet<u64>> = BTreeMap::new();
        for id in ids {
            if let Some(key) = self.places.remove(id) {
                if let Some(noted) = &mut self.noted {
                    noted.rows_gone.push(*id);
                }
                gone.entry(key).or_default().insert(*id);
            }
        }
        for (key, ids) in gone {
            if let Some(open) = self.keys.get_mut(&key) {
                self.bytes.remove(&open.group.rows);
                open.group.remove(&ids)?;
                self.bytes.add(&open.group.rows);
            }
            touched.insert(key);
        }
        Ok(())
    }

    fn add(
        &mut self,
        rows: DataFrame,
        ids: Option<&[u64]>,
        watermark: Option<i64>,
        touched: &mut BTreeSet<Box<[u8]>>,
    ) -> PolarsResult<(usize, usize)> {
        let (rows, _) = in_calendar(rows, &self.time)?;
        let rows = rows.lazy().with_columns(named_keys(&self.plan.keys)).collect()?;
        let times = integers(&rows, &self.time)?;
        let keys = encoded(&keys_of(&rows, self.plan.keys.len())?, rows.height())?;
        let (mut late, mut timeless) = (0, 0);
        let mut found: BTreeMap<Box<[u8]>, Vec<IdxSize>> = BTreeMap::new();
        for (row, (key, time)) in keys.iter().zip(times.iter()).enumerate() {
            match time {
                None => timeless += 1,
                // A session that has ended has no row within a gap of the watermark, so none that is in time belongs to one.
                Some(time) if watermark.is_some_and(|watermark| time < watermark) => late += 1,
                Some(_) => found.entry(key.unwrap_or_default().into()).or_default().push(row as IdxSize),
            }
        }
        let kept = rows.select(self.kept.get_column_names_owned())?;
        for (key, indices) in found {
            let open = self.keys.entry(key.clone()).or_insert_with(|| {
                self.next_key += 1;
                Open { group: Group::new(self.next_key - 1, &self.kept), sessions: Vec::new() }
            });
            self.bytes.remove(&open.group.rows);
            append(&mut open.group.rows, &kept.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &indices))?)?;
            self.bytes.add(&open.group.rows);
            if let Some(ids) = ids {
                for row in &indices {
                    let id = ids[*row as usize];
                    open.group.ids.push(id);
                    self.places.insert(id, key.clone());
                }
            }
            touched.insert(key);
        }
        Ok((late, timeless))
    }

    /// Cuts a key's rows into sessions; gives them with their rows, and the identities of those that are no more. A session
    /// keeps its identity as long as its first row stays the first.
    fn cut(&mut self, key: &[u8]) -> PolarsResult<ClosedSessions> {
        let Some(open) = self.keys.get_mut(key) else { return Ok((Vec::new(), Vec::new())) };
        if let Some((_, end, _)) = open.sessions.first() {
            self.ends.remove(&(*end, key.into()));
        }
        let times = integers(&open.group.rows, &self.time)?;
        let mut order: Vec<(i64, IdxSize)> = times.iter().flatten().zip(0..).collect();
        order.sort_unstable();
        let mut sessions: Vec<(i64, i64, u64)> = Vec::new();
        let mut members: Vec<Vec<IdxSize>> = Vec::new();
        for (time, row) in order {
            let end = time.saturating_add(self.gap);
            match sessions.last_mut() {
                Some(session) if time < session.1 => session.1 = end,
                _ => {
                    sessions.push((time, end, 0));
                    members.push(Vec::new());
                }
            }
            if let Some(rows) = members.last_mut() {
                rows.push(row);
            }
        }
        let mut before: BTreeMap<i64, u64> = open.sessions.iter().map(|(start, _, id)| (*start, *id)).collect();
        for session in &mut sessions {
            session.2 = before.remove(&session.0).unwrap_or_else(|| {
                self.next_id += 1;
                self.next_id - 1
            });
        }
        let mut groups = Vec::with_capacity(sessions.len());
        for ((start, _, id), rows) in sessions.iter().zip(members) {
            let rows = open.group.rows.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &rows))?;
            groups.push((*start, Group { rows, ..Group::new(*id, &self.kept) }));
        }
        match sessions.first() {
            Some((_, end, _)) => drop(self.ends.insert((*end, key.into()))),
            None => {
                if let Some(open) = self.keys.remove(key) {
                    self.bytes.remove(&open.group.rows);
                }
            }
        }
        if let Some(open) = self.keys.get_mut(key) {
            open.sessions = sessions;
        }
        Ok((groups, before.into_values().collect()))
    }
}

/// Which times are in `[start, end)`.
fn between(times: &Int64Chunked, start: i64, end: i64) -> Vec<bool> {
    times.iter().map(|time| time.is_some_and(|time| time >= start && time < end)).collect()
}
