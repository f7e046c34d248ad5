//! Checks on expressions: Polars itself gives the schema and says whether an expression looks at one row at a time.

use std::collections::BTreeSet;

use polars::prelude::*;
use polars_plan::plans::{AExpr, ExprToIRContext, is_elementwise_rec, to_expr_ir};
use polars_plan::prelude::Arena;
use polars_plan::utils::{expr_to_leaf_column_names, has_expr};

use crate::{PlanError, zones};

/// The schema after a step, as Polars sees it on an empty frame.
///
/// # Errors
/// An unknown column, or what Polars says.
pub fn schema_after(
    operation: &'static str,
    schema: &SchemaRef,
    exprs: &[Expr],
    step: impl FnOnce(LazyFrame) -> LazyFrame,
) -> Result<SchemaRef, PlanError> {
    check_columns(operation, schema, exprs)?;
    let refused = |error: PolarsError| {
        zones::refused(operation, schema, exprs)
            .unwrap_or_else(|| PlanError::Polars { operation, detail: error.to_string() })
    };
    let empty = step(DataFrame::empty_with_schema(schema).lazy());
    // Running it on no rows finds what the schema alone does not, such as a filter that is not boolean.
    let frame = empty.collect().map_err(refused)?;
    Ok(frame.schema().clone())
}

/// Refuses an expression that looks beyond its own row.
pub(crate) fn check_row_wise(operation: &'static str, schema: &SchemaRef, exprs: &[Expr]) -> Result<(), PlanError> {
    check_columns(operation, schema, exprs)?;
    for expr in exprs {
        if !is_row_wise(schema, expr) {
            return Err(PlanError::NotRowWise {
                operation,
                expression: format!("{expr:?}"),
                hint: if has_expr(expr, |e| matches!(e, Expr::Over { .. } | Expr::Rolling { .. })) {
                    "Compare a row with the others of its key by with_state(…), or aggregate with group_by(…) or group_by_dynamic(…).agg(…)."
                } else {
                    "Aggregate over windows with group_by_dynamic(…).agg(…), or collect() the frame and use Polars on the result."
                },
            });
        }
    }
    Ok(())
}

/// Whether an expression gives one value a row from that row alone.
#[must_use]
pub fn is_row_wise(schema: &SchemaRef, expr: &Expr) -> bool {
    // A selector or a wildcard is no expression until Polars has expanded it; alone it only names columns.
    if matches!(expr, Expr::Selector(_)) {
        return true;
    }
    // A list of given values, as is_in takes it, is one value.
    let expr = &expr.clone().map_expr(|part| match &part {
        Expr::Agg(AggExpr::Implode { input, .. }) if matches!(input.as_ref(), Expr::Literal(_)) => lit(NULL),
        _ => part,
    });
    if has_expr(expr, |e| {
        matches!(
            e,
            Expr::Agg(_)
                | Expr::Over { .. }
                | Expr::Len
                | Expr::Slice { .. }
                | Expr::Filter { .. }
                | Expr::Sort { .. }
                | Expr::SortBy { .. }
                | Expr::Explode { .. }
        )
    }) {
        return false;
    }
    let mut arena: Arena<AExpr> = Arena::new();
    let mut context = ExprToIRContext::new(&mut arena, schema);
    match to_expr_ir(expr.clone(), &mut context) {
        Ok(ir) => is_elementwise_rec(ir.node(), &arena),
        // What Polars cannot convert it refuses with its own words when the schema is taken.
        Err(_) => true,
    }
}

/// The names that look most like `name`, best first, three at the most.
#[must_use]
pub fn near_matches<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted = name.to_lowercase();
    let mut scored: Vec<(f64, &str)> = names
        .map(|n| (strsim::jaro_winkler(&wanted, &n.to_lowercase()), n))
        .filter(|(score, _)| *score >= 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.into_iter().take(3).map(|(_, n)| n.to_owned()).collect()
}

fn check_columns(operation: &'static str, schema: &SchemaRef, exprs: &[Expr]) -> Result<(), PlanError> {
    for name in exprs.iter().flat_map(expr_to_leaf_column_names) {
        // `col("*")` and `col("^a.*$")` name several columns; Polars expands them.
        let pattern = name.as_str() == "*" || (name.starts_with('^') && name.ends_with('$'));
        if !pattern && !schema.contains(&name) {
            return Err(unknown_column(operation, &name, schema));
        }
    }
    Ok(())
}

/// The error for a column that is not there.
pub(crate) fn unknown_column(operation: &'static str, name: &str, schema: &SchemaRef) -> PlanError {
    PlanError::UnknownColumn {
        operation,
        column: name.to_owned(),
        near: near_matches(name, schema.iter_names().map(PlSmallStr::as_str)),
        columns: schema.iter_names().map(PlSmallStr::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// The columns that expressions read; `None` when a selector may stand for any.
#[must_use]
pub fn columns_of<'a>(exprs: impl IntoIterator<Item = &'a Expr>) -> Option<BTreeSet<PlSmallStr>> {
    let mut names = BTreeSet::new();
    for expr in exprs {
        if expr.into_iter().any(|e| matches!(e, Expr::Selector(_))) {
            return None;
        }
        for name in expr_to_leaf_column_names(expr) {
            if name.as_str() == "*" || name.starts_with('^') {
                return None;
            }
            names.insert(name);
        }
    }
    Some(names)
}
