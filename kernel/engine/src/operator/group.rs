//! What Polars aggregates of the rows of groups.

use plan::Aggregate;
use polars::prelude::*;

use super::columns::{GROUP, POSITION};
use super::windows::Windows;

/// What is aggregated of groups that are no more, in the order of window and age; `None` where there are none. Each has the start
/// of its window, its identity and its rows.
pub(crate) fn regroup_closed(
    plan: &Aggregate,
    order: Option<&PlSmallStr>,
    schema: &SchemaRef,
    mut closed: Vec<(i64, u64, DataFrame)>,
) -> PolarsResult<Option<DataFrame>> {
    if closed.is_empty() {
        return Ok(None);
    }
    closed.sort_unstable_by_key(|(start, id, _)| (*start, *id));
    let groups: Vec<(i64, &DataFrame)> = closed.iter().map(|(start, _, rows)| (*start, rows)).collect();
    regroup(plan, order, schema, &groups).map(Some)
}

/// The row of each group, of which the start of its window and the rows are given, in their order. Within a group rows are taken by `order`, the
/// column with the event time, and position.
pub(crate) fn regroup(
    plan: &Aggregate,
    order: Option<&PlSmallStr>,
    schema: &SchemaRef,
    groups: &[(i64, &DataFrame)],
) -> PolarsResult<DataFrame> {
    let Some((_, first)) = groups.first() else { return Ok(DataFrame::empty_with_schema(schema)) };
    if plan.is_of_all() && first.height() == 0 {
        return of_nothing(plan, schema, first);
    }
    let mut all = first.clear();
    let mut numbers: Vec<IdxSize> = Vec::new();
    for (number, (_, rows)) in groups.iter().enumerate() {
        all.vstack_mut(rows)?;
        numbers.extend(std::iter::repeat_n(number as IdxSize, rows.height()));
    }
    all.with_column(Column::from(Series::new(GROUP.into(), numbers)))?;
    let position = first.schema().contains(POSITION).then(|| PlSmallStr::from_static(POSITION));
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
