//! The steps that look at each row alone, or at the rows of a batch: they hold nothing from one batch to the next.

use polars::prelude::*;
use polars_plan::utils::has_expr;

use crate::closure::Closure;
use crate::expr::{check_row_wise, schema_after, unknown_column};
use crate::node::OfAllColumns;
use crate::{Plan, PlanError, Step};

impl Plan {
    /// Keeps the rows for which `predicate` is true.
    ///
    /// # Errors
    /// An unknown column, a predicate that is not boolean, or one that looks beyond its row.
    pub fn filter(&self, predicate: Expr) -> Result<Plan, PlanError> {
        check_row_wise("filter", self.schema(), std::slice::from_ref(&predicate))?;
        let schema = schema_after("filter", self.schema(), std::slice::from_ref(&predicate), |frame| {
            frame.filter(predicate.clone())
        })?;
        Ok(self.step(Step::Filter(predicate), schema))
    }

    /// Puts `exprs` in the place of all columns.
    ///
    /// # Errors
    /// An unknown column, two columns of one name, or an expression that looks beyond its row.
    pub fn select(&self, exprs: &[Expr]) -> Result<Plan, PlanError> {
        check_row_wise("select", self.schema(), exprs)?;
        let reads = |expr: &Expr| has_expr(expr, |part| matches!(part, Expr::Column(_) | Expr::Selector(_)));
        if !exprs.is_empty() && !exprs.iter().any(reads) {
            return Err(PlanError::Refused {
                operation: "select",
                detail: format!("{exprs:?} reads no column, and a value alone has no rows"),
                hint: "Add it to the rows with with_columns([…]), and select it by its name.",
            });
        }
        let schema = schema_after("select", self.schema(), exprs, |frame| frame.select(exprs))?;
        Ok(self.step(Step::Select(exprs.to_vec()), schema))
    }

    /// Adds `exprs` as columns, in the place of those with the same name.
    ///
    /// # Errors
    /// As for [`Plan::select`].
    pub fn with_columns(&self, exprs: &[Expr]) -> Result<Plan, PlanError> {
        check_row_wise("with_columns", self.schema(), exprs)?;
        let schema = schema_after("with_columns", self.schema(), exprs, |frame| frame.with_columns(exprs))?;
        Ok(self.step(Step::WithColumns(exprs.to_vec()), schema))
    }

    /// Leaves columns out, as Polars' `drop`.
    ///
    /// # Errors
    /// An unknown column.
    pub fn drop(&self, columns: &[&str]) -> Result<Plan, PlanError> {
        let gone = self.columns("drop", columns)?;
        let kept: Vec<Expr> =
            self.schema().iter_names().filter(|name| !gone.contains(name)).cloned().map(col).collect();
        Ok(self.select(&kept)?.said_of_all(OfAllColumns::Drop(gone)))
    }

    /// Gives columns other names, as Polars' `rename`.
    ///
    /// # Errors
    /// An unknown column, or two columns of one name.
    pub fn rename(&self, existing: &[&str], new: &[&str]) -> Result<Plan, PlanError> {
        let existing = self.columns("rename", existing)?;
        if existing.len() != new.len() {
            return Err(PlanError::Refused {
                operation: "rename",
                detail: format!("{} columns are to have {} names", existing.len(), new.len()),
                hint: "Give a new name for each.",
            });
        }
        let named = |name: &PlSmallStr| match existing.iter().position(|old| old == name) {
            Some(at) => col(name.clone()).alias(new[at]),
            None => col(name.clone()),
        };
        let renamed = self.select(&self.schema().iter_names().map(named).collect::<Vec<_>>())?;
        let new = new.iter().map(|name| PlSmallStr::from_str(name)).collect();
        Ok(renamed.said_of_all(OfAllColumns::Rename(existing, new)))
    }

    /// Makes a row for each element of these list columns, as Polars' `explode`.
    ///
    /// # Errors
    /// An unknown column, one that is no list, or a frame whose rows change.
    pub fn explode(&self, columns: &[&str]) -> Result<Plan, PlanError> {
        self.only_appended("explode", "Explode the rows before they are aggregated.")?;
        let names = self.columns("explode", columns)?;
        let schema = schema_after("explode", self.schema(), &[], |frame| explode(frame, &names))?;
        Ok(self.step(Step::Explode(names), schema))
    }

    /// Puts the fields of these struct columns in their place, as Polars' `unnest`.
    ///
    /// # Errors
    /// An unknown column, one that is no struct, or two columns of one name.
    pub fn unnest(&self, columns: &[&str]) -> Result<Plan, PlanError> {
        let names = self.columns("unnest", columns)?;
        let schema = schema_after("unnest", self.schema(), &[], |frame| unnest(frame, &names))?;
        Ok(self.step(Step::Unnest(names), schema))
    }

    /// Runs a function of one's own on each batch of rows. It is called with no rows at once, to know what comes out.
    ///
    /// # Errors
    /// What the function says of no rows, or a frame whose rows change.
    pub fn map_batches(
        &self,
        function: impl Fn(DataFrame) -> PolarsResult<DataFrame> + Send + Sync + 'static,
    ) -> Result<Plan, PlanError> {
        self.only_appended("map_batches", "Map the rows before they are aggregated.")?;
        self.mapped(Closure::new(function))
    }

    /// The rows that a function gives, which is called with no rows to know its columns.
    pub(crate) fn mapped(&self, closure: Closure) -> Result<Plan, PlanError> {
        let operation = closure.operation();
        let refused = |error: PolarsError| PlanError::Polars { operation, detail: error.to_string() };
        let empty = closure.call(DataFrame::empty_with_schema(self.schema())).map_err(refused)?;
        let schema = empty.schema().clone();
        Ok(self.step(Step::MapBatches(closure), schema))
    }

    pub(crate) fn columns(&self, operation: &'static str, columns: &[&str]) -> Result<Vec<PlSmallStr>, PlanError> {
        match columns.iter().find(|name| !self.schema().contains(name)) {
            Some(name) => Err(unknown_column(operation, name, self.schema())),
            None => Ok(columns.iter().map(|name| PlSmallStr::from_str(name)).collect()),
        }
    }
}

/// The step on Polars' own frame.
pub fn explode(frame: LazyFrame, columns: &[PlSmallStr]) -> LazyFrame {
    frame.explode(by_name(columns), ExplodeOptions { empty_as_null: true, keep_nulls: true })
}

/// The step on Polars' own frame.
pub fn unnest(frame: LazyFrame, columns: &[PlSmallStr]) -> LazyFrame {
    frame.unnest(by_name(columns), None)
}

fn by_name(columns: &[PlSmallStr]) -> Selector {
    Selector::ByName { names: columns.iter().cloned().collect(), strict: true }
}
