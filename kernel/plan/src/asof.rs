//! An as-of join in Polars' words: each row with the one of another frame that is nearest in time.

use polars::prelude::*;

use crate::PlanError;
use crate::join::{as_column, check_pairs, steps};
use crate::window::fixed;

/// In which direction the nearest row is looked for; the words are Polars'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AsofStrategy {
    /// The newest row that is not after it.
    #[default]
    Backward,
    /// The first row that is not before it.
    Forward,
    /// The nearer one of both.
    Nearest,
}

/// Which times are compared in an as-of join, and how; the names are those of Polars' `join_asof`.
#[derive(Clone, Debug, PartialEq)]
pub struct Asof {
    pub(crate) left_on: String,
    pub(crate) right_on: String,
    pub(crate) strategy: AsofStrategy,
    pub(crate) tolerance: Option<String>,
    pub(crate) exact: bool,
}

/// Each row gets the newest row of the other frame that is not after it: `asof("event_time", "quoted_at")` names the time of the
/// left frame and that of the right one.
#[must_use]
pub fn asof(left_on: impl Into<String>, right_on: impl Into<String>) -> Asof {
    let (left_on, right_on) = (left_on.into(), right_on.into());
    Asof { left_on, right_on, strategy: AsofStrategy::Backward, tolerance: None, exact: true }
}

impl Asof {
    /// In which direction the nearest row is looked for: `Backward` (the newest before), `Forward` (the first after), `Nearest`.
    #[must_use]
    pub fn strategy(mut self, strategy: AsofStrategy) -> Asof {
        self.strategy = strategy;
        self
    }

    /// How far away in time the nearest row may be, at the most: `"5m"`. Without one, any.
    #[must_use]
    pub fn tolerance(mut self, tolerance: impl Into<String>) -> Asof {
        self.tolerance = Some(tolerance.into());
        self
    }

    /// Whether a row of the very same time counts; it does unless this says otherwise.
    #[must_use]
    pub fn allow_exact_matches(mut self, allow: bool) -> Asof {
        self.exact = allow;
        self
    }

    /// In which direction the nearest row is looked for.
    #[must_use]
    pub fn direction(&self) -> AsofStrategy {
        self.strategy
    }

    /// The columns with the times of the left and of the right.
    #[must_use]
    pub fn times(&self) -> [&str; 2] {
        [&self.left_on, &self.right_on]
    }

    /// How far away the nearest row may be, at the most, in a unit of time; `None` for any.
    #[must_use]
    pub fn tolerance_in(&self, unit: TimeUnit) -> Option<i64> {
        // It was read before, when the join was said.
        Some(steps(fixed("join_asof", self.tolerance.as_ref()?).ok()?, unit))
    }

    /// Whether a row of the very same time counts.
    #[must_use]
    pub fn takes_exact_matches(&self) -> bool {
        self.exact
    }

    /// Refuses keys and times that cannot be compared. As in Polars' own as-of join, keys are columns, and a column is compared
    /// with one of its own type.
    ///
    /// # Errors
    /// An unknown column, a key that is an expression, or two types.
    pub(crate) fn check(
        &self,
        operation: &'static str,
        [left, right]: [&SchemaRef; 2],
        [by_left, by_right]: [&[Expr]; 2],
    ) -> Result<(), PlanError> {
        let refused = |detail: String, hint| Err(PlanError::Refused { operation, detail, hint });
        if let Some(expr) = by_left.iter().chain(by_right).find(|expr| as_column(expr).is_none()) {
            return refused(
                format!("`{expr:?}` is an expression, and rows are matched by columns"),
                "Make the column with with_columns() first.",
            );
        }
        let times = self.times().map(col);
        check_pairs(operation, [left, right], [by_left, by_right])?;
        check_pairs(operation, [left, right], [&times[..1], &times[1..]])?;
        let dtype = |schema: &SchemaRef, expr: &Expr| {
            as_column(expr).and_then(|name| schema.get(name)).cloned().unwrap_or(DataType::Null)
        };
        for (one, other) in by_left.iter().zip(by_right).chain([(&times[0], &times[1])]) {
            let (left, right) = (dtype(left, one), dtype(right, other));
            if left != right {
                return refused(
                    format!("`{one:?}` is {left}, and `{other:?}` is {right}"),
                    "Give them one type with cast(…).",
                );
            }
        }
        let time = dtype(left, &times[0]);
        if !time.is_temporal() && (!time.is_integer() || time == DataType::UInt64) {
            return refused(
                format!("`{:?}` is {time}, and rows are near to each other by a time or a whole number", times[0]),
                "Name a column with times, or cast(…) it to one.",
            );
        }
        Ok(())
    }

    /// The columns of the right that are in the result: all but the keys, and but a time that is called as the left's.
    pub(crate) fn found(&self, right: &SchemaRef, by_right: &[Expr]) -> Vec<PlSmallStr> {
        let is_gone = |name: &PlSmallStr| {
            by_right.iter().any(|expr| as_column(expr) == Some(name))
                || (self.left_on == self.right_on && name.as_str() == self.right_on)
        };
        right.iter_names().filter(|name| !is_gone(name)).cloned().collect()
    }

    /// Frames without rows, joined: it has the columns of the result.
    pub(crate) fn columns(&self, left: LazyFrame, right: &SchemaRef, by_right: &[Expr]) -> LazyFrame {
        let found = self.found(right, by_right);
        if found.is_empty() {
            return left;
        }
        left.cross_join(DataFrame::empty_with_schema(right).lazy().select([cols(found).as_expr()]), None)
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let tolerance = self.tolerance.as_ref().map(|tolerance| format!(" WITHIN {tolerance}")).unwrap_or_default();
        let exact = if self.exact { "" } else { ", NOT AT THE SAME TIME" };
        let strategy = format!("{:?}", self.strategy).to_uppercase();
        format!("{strategy} BY {:?}{tolerance}{exact}", [&self.left_on, &self.right_on])
    }
}
