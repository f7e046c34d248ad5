//! Expressions as a person would have written them. Polars' SQL writes some that are right for a frame at hand; in other words
//! they mean the same, and can be kept up to date.

use polars::prelude::*;
use polars_plan::dsl::FunctionExpr;

/// The expression in a stream's words.
pub(super) fn normal(expr: Expr) -> Expr {
    expr.map_expr(reworded)
}

fn reworded(expr: Expr) -> Expr {
    match &expr {
        // SUM asks whether there is a value: fewer nulls than rows.
        Expr::BinaryExpr { left, op: Operator::Lt, right } => match (nulls(left), right.as_ref()) {
            (Some(one), Expr::Agg(AggExpr::Count { input, include_nulls: true })) if *one == **input => {
                one.clone().count().gt(lit(0))
            }
            _ => expr,
        },
        Expr::Alias(inner, name) => match inner.as_ref() {
            Expr::Alias(inner, _) => inner.as_ref().clone().alias(name.clone()),
            _ => expr,
        },
        _ => expr,
    }
}

/// What the nulls are counted of.
fn nulls(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::Function { input, function: FunctionExpr::NullCount } => input.first(),
        _ => None,
    }
}
