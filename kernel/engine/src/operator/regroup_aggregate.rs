//! Aggregation by keeping rows: the groups that a batch touches are aggregated anew by Polars over all their rows. It costs
//! what the touched groups hold, and is exact for everything that Polars can aggregate; it is also how an aggregate follows
//! rows that change.

use std::collections::{BTreeMap, BTreeSet};

use plan::Aggregate;
use polars::prelude::*;

use super::columns::{Bounds, ROW, encoded, kept_as, keys_of, named_keys};
use super::group::{regroup, regroup_closed};
use super::windows::Windows;
use super::{AggregateDelta, BatchResult, Operator, dropped, kept_columns};
use crate::change::{Delta, Revision};
use crate::state::StateTables;
use crate::state::group_rows::GroupRows;
use crate::state::row_table::RowTable;
use crate::state::spans::{Span, SpanKey, SpanTable};

/// The state and its parameters.
pub(crate) struct RegroupAggregate {
    plan: Aggregate,
    schema: SchemaRef,
    cut: Option<Windows>,
    /// The column with the event time, by which the rows of a group are taken.
    order: Option<PlSmallStr>,
    /// The groups; without windows each is of one span that never ends.
    spans: SpanTable,
    rows: GroupRows,
    /// What was given, where it is taken back.
    output: Option<RowTable>,
    /// The identities of groups that were closed, until they are asked for.
    closed: Vec<u64>,
}

impl RegroupAggregate {
    /// `input` is the schema of the rows, `schema` the result's, and `order` the column with the event time, where there is one.
    /// Old rows are given beside the new ones where they are `retracted`.
    pub(crate) fn new(
        plan: &Aggregate,
        order: Option<PlSmallStr>,
        input: &SchemaRef,
        schema: SchemaRef,
        retracted: bool,
    ) -> PolarsResult<RegroupAggregate> {
        let kept = DataFrame::empty_with_schema(input).select(kept_columns(plan, order.as_ref(), input))?;
        Ok(RegroupAggregate {
            order,
            cut: Windows::of(plan, &schema),
            spans: SpanTable::new(kept_as(schema.iter_values().take(plan.keys.len()))),
            rows: GroupRows::new(kept),
            output: retracted.then(|| RowTable::new(&schema)),
            plan: plan.clone(),
            schema,
            closed: Vec::new(),
        })
    }
}

impl Operator for RegroupAggregate {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let mut touched: BTreeSet<SpanKey> = BTreeSet::new();
        let (rows, ids) = match delta {
            Delta::Append(rows) => (rows, None),
            Delta::Change(Revision { changes, .. }) => {
                let groups = self.rows.remove(changes.deletes.iter().chain(&changes.ids))?;
                touched.extend(groups.into_iter().filter_map(|group| self.spans.of_group(group).cloned()));
                (changes.rows, Some(changes.ids))
            }
        };
        let (late, timeless) = self.add(rows, ids.as_deref(), watermark, &mut touched)?;
        self.rows.check(self.output.as_ref().map_or(0, RowTable::bytes))?;
        if self.plan.is_of_all() && self.spans.is_empty() {
            let place: SpanKey = (0, Box::default());
            self.span_at(&place, i64::MAX);
            touched.insert(place);
        }
        let (ids, rows, deletes) = self.aggregate(&touched)?;
        let retracted = self.output.as_mut().map(|output| output.replace(&ids, &rows, &deletes)).transpose()?;
        Ok(AggregateDelta { ids, rows, deletes, retracted, late, timeless }.into())
    }

    fn close(&mut self, watermark: i64, wanted: bool) -> PolarsResult<Option<DataFrame>> {
        let (mut closed, mut ids): (Vec<(i64, u64, DataFrame)>, Vec<u64>) = (Vec::new(), Vec::new());
        while let Some((_, spans)) = self.spans.pop_ended(watermark) {
            for Span { start, id, group, .. } in spans {
                closed.push((start, id, self.rows.take(group)));
                ids.push(id);
            }
        }
        if let Some(output) = self.output.as_mut().filter(|_| !ids.is_empty()) {
            output.forget(ids.iter().copied())?;
        }
        self.closed.extend(ids);
        if wanted { regroup_closed(&self.plan, self.order.as_ref(), &self.schema, closed) } else { Ok(None) }
    }

    fn due(&self, wanted: bool) -> Option<i64> {
        self.spans.first_end().filter(|_| wanted)
    }

    fn settled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.closed)
    }

    fn state(&mut self) -> StateTables<'_> {
        let mut tables: StateTables<'_> = vec![&mut self.spans, &mut self.rows];
        if let Some(output) = &mut self.output {
            tables.push(output);
        }
        tables
    }

    fn restored(&mut self, _: Option<i64>) -> PolarsResult<()> {
        // What is left of groups that are no more.
        self.rows.retain_groups(|group| self.spans.of_group(group).is_some());
        Ok(())
    }
}

impl RegroupAggregate {
    /// The span of a place, which ends at `end`; a new one where there is none.
    fn span_at(&mut self, (start, key): &SpanKey, end: i64) -> Span {
        self.spans.find(*start, key).unwrap_or_else(|| {
            let span = Span { start: *start, end, id: self.spans.new_id(), group: self.rows.begin() };
            self.spans.insert(key, span);
            span
        })
    }

    /// Puts rows into their groups; says how many are late or have no time.
    fn add(
        &mut self,
        rows: DataFrame,
        ids: Option<&[u64]>,
        watermark: Option<i64>,
        touched: &mut BTreeSet<SpanKey>,
    ) -> PolarsResult<(usize, usize)> {
        let rows = rows.with_row_index(ROW.into(), None)?;
        let keyed = |rows: LazyFrame| rows.with_columns(named_keys(&self.plan.keys)).collect();
        let (rows, late, timeless) = match &self.cut {
            Some(windows) => dropped(windows.with_ends(keyed(windows.assigned(rows)?)?)?, watermark)?,
            None => (keyed(rows.lazy())?, 0, 0),
        };
        let bounds = Bounds::of(&rows, self.plan.over.is_some())?;
        let keys = encoded(&keys_of(&rows, self.plan.keys.len())?, rows.height())?;
        let mut found: BTreeMap<SpanKey, Vec<IdxSize>> = BTreeMap::new();
        for (row, key) in keys.iter().enumerate() {
            found.entry((bounds.at(row).0, key.unwrap_or_default().into())).or_default().push(row as IdxSize);
        }
        let numbers = rows.column(ROW)?.idx()?.clone();
        let kept = rows.select(self.rows.empty().get_column_names_owned())?;
        for (place, indices) in found {
            let (_, end) = indices.first().map_or((0, i64::MAX), |row| bounds.at(*row as usize));
            let group = self.span_at(&place, end).group;
            let id = |ids: &[u64], row: &IdxSize| ids[numbers.get(*row as usize).unwrap_or_default() as usize];
            let ids = ids.map_or_else(Vec::new, |ids| indices.iter().map(|row| id(ids, row)).collect());
            self.rows.append(group, &kept.take(&IdxCa::from_slice(PlSmallStr::EMPTY, &indices))?, ids)?;
            touched.insert(place);
        }
        Ok((late, timeless))
    }

    /// The groups as they are now; those that have no rows any more leave.
    fn aggregate(&mut self, places: &BTreeSet<SpanKey>) -> PolarsResult<(Vec<u64>, DataFrame, Vec<u64>)> {
        let (mut ids, mut gone) = (Vec::new(), Vec::new());
        let mut groups: Vec<(i64, &DataFrame)> = Vec::new();
        let mut empty: Vec<(&SpanKey, Span)> = Vec::new();
        for place in places {
            let Some(span) = self.spans.find(place.0, &place.1) else { continue };
            let rows = self.rows.of(span.group);
            if rows.height() == 0 && !self.plan.is_of_all() {
                gone.push(span.id);
                empty.push((place, span));
            } else {
                ids.push(span.id);
                groups.push((place.0, rows));
            }
        }
        let rows = regroup(&self.plan, self.order.as_ref(), &self.schema, &groups)?;
        for ((start, key), span) in empty {
            self.spans.remove(*start, key);
            self.rows.take(span.group);
        }
        Ok((ids, rows, gone))
    }
}
