//! A group with its rows, and what Polars aggregates of them.

use plan::Aggregate;
use polars::prelude::*;

use super::columns::{GROUP, POSITION};
use super::windows::Windows;

/// Rows that are aggregated together.
pub(crate) struct Group {
    pub(crate) id: u64,
    pub(crate) rows: DataFrame,
    /// The identities of the rows, where rows may change.
    pub(crate) ids: Vec<u64>,
    /// So many of the rows, the first, are in the state that was last written down.
    pub(crate) written: usize,
}

impl Group {
    /// One without rows; `kept` are the columns that they will have.
    pub(crate) fn new(id: u64, kept: &DataFrame) -> Group {
        Group { id, rows: kept.clone(), ids: Vec::new(), written: 0 }
    }

    /// Takes rows that may change out.
    pub(crate) fn remove(&mut self, ids: &PlHashSet<u64>) -> PolarsResult<()> {
        let keep: Vec<bool> = self.ids.iter().map(|held| !ids.contains(held)).collect();
        self.retain(&keep)
    }

    /// Keeps the rows that are marked.
    pub(crate) fn retain(&mut self, keep: &[bool]) -> PolarsResult<()> {
        self.rows = self.rows.filter(&BooleanChunked::from_slice(PlSmallStr::EMPTY, keep))?;
        self.written = keep.iter().take(self.written).filter(|keep| **keep).count();
        let mut keep = keep.iter();
        self.ids.retain(|_| keep.next() == Some(&true));
        Ok(())
    }
}

/// The rows of groups that are no more, in the order of window and age; `None` where there are none.
pub(crate) fn regroup_closed(
    plan: &Aggregate,
    order: Option<&PlSmallStr>,
    schema: &SchemaRef,
    mut closed: Vec<(i64, Group)>,
) -> PolarsResult<Option<DataFrame>> {
    if closed.is_empty() {
        return Ok(None);
    }
    closed.sort_unstable_by_key(|(start, group)| (*start, group.id));
    let groups: Vec<(i64, &Group)> = closed.iter().map(|(start, group)| (*start, group)).collect();
    regroup(plan, order, schema, &groups).map(Some)
}

/// The row of each group with the start of its window, in the order of the groups. Within a group rows are taken by `order`, the
/// column with the event time, and position.
pub(crate) fn regroup(
    plan: &Aggregate,
    order: Option<&PlSmallStr>,
    schema: &SchemaRef,
    groups: &[(i64, &Group)],
) -> PolarsResult<DataFrame> {
    let Some((_, first)) = groups.first() else { return Ok(DataFrame::empty_with_schema(schema)) };
    if plan.is_of_all() && first.rows.height() == 0 {
        return of_nothing(plan, schema, &first.rows);
    }
    let mut all = first.rows.clear();
    let mut numbers: Vec<IdxSize> = Vec::new();
    for (number, (_, group)) in groups.iter().enumerate() {
        all.vstack_mut(&group.rows)?;
        numbers.extend(std::iter::repeat_n(number as IdxSize, group.rows.height()));
    }
    all.with_column(Column::from(Series::new(GROUP.into(), numbers)))?;
    let position = first.rows.schema().contains(POSITION).then(|| PlSmallStr::from_static(POSITION));
    let by: Vec<PlSmallStr> = std::iter::once(GROUP.into()).chain(order.cloned()).chain(position).collect();
    let options = SortMultipleOptions::default().with_maintain_order(true);
    let names: Vec<PlSmallStr> = schema.iter_names().cloned().collect();
    let keys = plan.keys.iter().zip(&names).map(|(expr, name)| expr.clone().first().alias(name.clone()));
    let aggregated = all
        .lazy()
        .sort_by_exprs(by.into_iter().map(col).collect::<Vec<_>>(), options)
        .group_by_stable([col(GROUP)])
        .agg(keys.chain(plan.written.iter().cloned()).collect::<Vec<_>>())
        .collect()?;
    let mut columns: Vec<Column> = aggregated.columns()[1..].to_vec();
    if let Some(over) = &plan.over {
        let starts: Vec<i64> = groups.iter().map(|(start, _)| *start).collect();
        let named = match Windows::of(plan, schema) {
            Some(windows) => windows.named(starts)?,
            None => vec![Column::from(Series::new(over.time.clone(), starts)).cast(schema.try_get(&over.time)?)?],
        };
        columns.splice(plan.keys.len()..plan.keys.len(), named);
    }
    DataFrame::new(groups.len(), columns)
}

/// The one row of an aggregation of all rows where there are none, which is no group in Polars: each aggregate as `select`
/// gives it.
fn of_nothing(plan: &Aggregate, schema: &SchemaRef, none: &DataFrame) -> PolarsResult<DataFrame> {
    let mut columns = Vec::with_capacity(plan.written.len());
    for (expr, (name, dtype)) in plan.written.iter().zip(schema.iter()) {
        let selected = none.clone().lazy().select([expr.clone()]).collect()?;
        let column = match (selected.columns().first(), dtype) {
            (Some(one), _) if one.len() == 1 => one.cast(dtype)?,
            (_, DataType::List(inner)) => {
                Series::new_empty(name.clone(), inner).implode()?.into_series().cast(dtype)?.into()
            }
            _ => Column::full_null(name.clone(), 1, dtype),
        };
        columns.push(column.with_name(name.clone()));
    }
    DataFrame::new(1, columns)
}
