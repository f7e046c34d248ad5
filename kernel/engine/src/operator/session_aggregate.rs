//! Aggregation over sessions: runs of a key's rows with no gap of a given length between them. Rows are kept, for a late one
//! may join two sessions; the keys that a batch touches are cut anew. A row is late if its time is before the watermark: which
//! sessions there are hangs on the rows in time alone, and not on how they were cut before.

use std::collections::BTreeMap;

use plan::{Aggregate, Over};
use polars::prelude::*;

use super::columns::{encoded, integers, kept_as, keys_of, named_keys};
use super::group::{regroup, regroup_closed};
use super::{AggregateDelta, BatchResult, Operator, kept_columns};
use crate::calendar::in_calendar;
use crate::change::{Changes, Delta, Revision};
use crate::state::StateTables;
use crate::state::group_rows::GroupRows;
use crate::state::row_table::RowTable;
use crate::state::spans::{Span, SpanTable};

/// The state and its parameters.
pub(crate) struct SessionAggregate {
    plan: Aggregate,
    schema: SchemaRef,
    /// In the time column's unit.
    gap: i64,
    time: PlSmallStr,
    /// The sessions that may still change. Those of a key have its rows under one number.
    sessions: SpanTable,
    rows: GroupRows,
    /// What was given, where it is taken back.
    output: Option<RowTable>,
    /// The identities of sessions that were closed, until they are asked for.
    closed: Vec<u64>,
}

/// The keys that a batch touches, with the numbers of their rows.
type TouchedKeys = BTreeMap<Box<[u8]>, u64>;

/// The sessions of a key.
#[derive(Default)]
struct KeySessions {
    /// Each with its rows.
    there: Vec<(Span, DataFrame)>,
    /// The identities of those that are no more.
    gone: Vec<u64>,
}

impl SessionAggregate {
    /// `gap` is in the time column's unit; `input` is the schema of the rows, `schema` the result's. Old rows are given beside the
    /// new ones where they are `retracted`.
    pub(crate) fn new(
        plan: &Aggregate,
        (over, gap): (&Over, i64),
        input: &SchemaRef,
        schema: SchemaRef,
        retracted: bool,
    ) -> PolarsResult<SessionAggregate> {
        let kept = DataFrame::empty_with_schema(input).select(kept_columns(plan, Some(&over.time), input))?;
        Ok(SessionAggregate {
            sessions: SpanTable::new(kept_as(schema.iter_values().take(plan.keys.len()))),
            rows: GroupRows::new(kept),
            output: retracted.then(|| RowTable::new(&schema)),
            time: over.time.clone(),
            plan: plan.clone(),
            schema,
            gap,
            closed: Vec::new(),
        })
    }
}

impl Operator for SessionAggregate {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let mut touched: TouchedKeys = BTreeMap::new();
        let (rows, ids) = match delta {
            Delta::Append(rows) => (rows, None),
            Delta::Change(Revision { changes: Changes { ids, rows, deletes }, .. }) => {
                let groups = self.rows.remove(deletes.iter().chain(&ids))?;
                let key = |group: u64| self.sessions.of_group(group).map(|(_, key)| (key.clone(), group));
                touched.extend(groups.into_iter().filter_map(key));
                (rows, Some(ids))
            }
        };
        let (late, timeless) = self.add(rows, ids.as_deref(), watermark, &mut touched)?;
        self.rows.check(self.output.as_ref().map_or(0, RowTable::bytes))?;
        let (mut there, mut deletes) = (Vec::new(), Vec::new());
        for (key, group) in &touched {
            let sessions = self.cut(key, *group)?;
            there.extend(sessions.there);
            deletes.extend(sessions.gone);
        }
        let by_start: Vec<(i64, &DataFrame)> = there.iter().map(|(session, rows)| (session.start, rows)).collect();
        let rows = regroup(&self.plan, Some(&self.time), &self.schema, &by_start)?;
        let ids: Vec<u64> = there.iter().map(|(session, _)| session.id).collect();
        let retracted = self.output.as_mut().map(|output| output.replace(&ids, &rows, &deletes)).transpose()?;
        Ok(AggregateDelta { ids, rows, deletes, retracted, late, timeless }.into())
    }

    fn close(&mut self, watermark: i64, wanted: bool) -> PolarsResult<Option<DataFrame>> {
        let mut closed: Vec<(i64, u64, DataFrame)> = Vec::new();
        while let Some((key, ended)) = self.sessions.pop_ended(watermark) {
            let Some(group) = ended.first().map(|session| session.group) else { continue };
            if let Some(output) = &mut self.output {
                output.forget(ended.iter().map(|session| session.id))?;
            }
            self.closed.extend(ended.iter().map(|session| session.id));
            let rows = self.rows.of(group);
            for Span { start, end, id, .. } in ended.into_iter().filter(|_| wanted) {
                let mine = BooleanChunked::from_slice(PlSmallStr::EMPTY, &self.between(rows, start, end)?);
                closed.push((start, id, rows.filter(&mine)?));
            }
            match self.sessions.of(&key).first().copied() {
                Some(first) => self.rows.retain(group, &self.between(self.rows.of(group), first.start, i64::MAX)?)?,
                None => drop(self.rows.take(group)),
            }
        }
        regroup_closed(&self.plan, Some(&self.time), &self.schema, closed)
    }

    fn due(&self, wanted: bool) -> Option<i64> {
        self.sessions.first_end().filter(|_| wanted)
    }

    fn settled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.closed)
    }

    fn state(&mut self) -> StateTables<'_> {
        let mut tables: StateTables<'_> = vec![&mut self.sessions, &mut self.rows];
        if let Some(output) = &mut self.output {
            tables.push(output);
        }
        tables
    }

    /// What a key had before its first session is over.
    fn restored(&mut self, _: Option<i64>) -> PolarsResult<()> {
        self.rows.retain_groups(|group| self.sessions.of_group(group).is_some());
        let firsts = self.sessions.keys().filter_map(|key| self.sessions.of(key).first().copied());
        for first in firsts.collect::<Vec<_>>() {
            let keep = self.between(self.rows.of(first.group), first.start, i64::MAX)?;
            self.rows.retain(first.group, &keep)?;
        }
        Ok(())
    }
}

impl SessionAggregate {
    fn add(
        &mut self,
        rows: DataFrame,
        ids: Option<&[u64]>,
        watermark: Option<i64>,
        touched: &mut TouchedKeys,
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
        let kept = rows.select(self.rows.empty().get_column_names_owned())?;
        for (key, indices) in found {
            let group = self.sessions.of(&key).first().map_or_else(|| self.rows.begin(), |session| session.group);
            let ids = ids.map_or_else(Vec::new, |ids| indices.iter().map(|row| ids[*row as usize]).collect());
            self.rows.append(group, &kept.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &indices))?, ids)?;
            touched.insert(key, group);
        }
        Ok((late, timeless))
    }

    /// Cuts a key's rows into sessions. A session keeps its identity as long as its first row stays the first.
    fn cut(&mut self, key: &[u8], group: u64) -> PolarsResult<KeySessions> {
        let rows = self.rows.of(group);
        let mut order: Vec<(i64, IdxSize)> = integers(rows, &self.time)?.iter().flatten().zip(0..).collect();
        order.sort_unstable();
        let mut sessions: Vec<Span> = Vec::new();
        let mut members: Vec<Vec<IdxSize>> = Vec::new();
        for (time, row) in order {
            let end = time.saturating_add(self.gap);
            match sessions.last_mut() {
                Some(session) if time < session.end => session.end = end,
                _ => {
                    sessions.push(Span { start: time, end, id: 0, group });
                    members.push(Vec::new());
                }
            }
            if let Some(rows) = members.last_mut() {
                rows.push(row);
            }
        }
        let mut there = Vec::with_capacity(sessions.len());
        for (session, rows_of_it) in sessions.iter_mut().zip(members) {
            let before = self.sessions.find(session.start, key).map(|before| before.id);
            session.id = before.unwrap_or_else(|| self.sessions.new_id());
            there.push((*session, rows.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &rows_of_it))?));
        }
        if sessions.is_empty() {
            self.rows.take(group);
        }
        Ok(KeySessions { there, gone: self.sessions.set(key, sessions) })
    }

    /// Which of some rows have a time in `[start, end)`.
    fn between(&self, rows: &DataFrame, start: i64, end: i64) -> PolarsResult<Vec<bool>> {
        let within = |time: Option<i64>| time.is_some_and(|time| time >= start && time < end);
        Ok(integers(rows, &self.time)?.iter().map(within).collect())
    }
}
