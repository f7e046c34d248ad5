//! An as-of join in Polars' words: each row with the one of another frame that is nearest in time.

use polars::prelude::*;

use crate::PlanError;
use crate::join::as_column;

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

    /// Whether a row of the very same time counts.
    #[must_use]
    pub fn takes_exact_matches(&self) -> bool {
        self.exact
    }

    /// The kind of join that Polars calls this, with the columns that must be equal.
    pub(crate) fn how(&self, operation: &'static str, left: &[Expr], right: &[Expr]) -> Result<JoinType, PlanError> {
        let names = |by: &[Expr]| {
            let name = |expr: &Expr| {
                as_column(expr).cloned().ok_or_else(|| PlanError::Refused {
                    operation,
                    detail: format!("`{expr:?}` is an expression, and rows are matched by columns"),
                    hint: "Make the column with with_columns() first.",
                })
            };
            by.iter().map(name).collect::<Result<Vec<_>, _>>()
        };
        let (left, right) = (names(left)?, names(right)?);
        let by = |names: Vec<PlSmallStr>| if names.is_empty() { None } else { Some(names) };
        Ok(JoinType::AsOf(Box::new(AsOfOptions {
            strategy: self.strategy,
            tolerance: None,
            tolerance_str: self.tolerance.as_deref().map(PlSmallStr::from_str),
            left_by: by(left),
            right_by: by(right),
            allow_eq: self.exact,
            check_sortedness: false,
        })))
    }

    /// Polars' own join of two frames that are sorted by their times.
    pub(crate) fn join(&self, left: LazyFrame, right: LazyFrame, how: &JoinType) -> LazyFrame {
        left.join(right, [col(&self.left_on)], [col(&self.right_on)], JoinArgs::new(how.clone()))
    }

    /// In words.
    pub(crate) fn words(&self) -> String {
        let tolerance = self.tolerance.as_ref().map(|tolerance| format!(" WITHIN {tolerance}")).unwrap_or_default();
        let exact = if self.exact { "" } else { ", NOT AT THE SAME TIME" };
        let strategy = format!("{:?}", self.strategy).to_uppercase();
        format!("{strategy} BY {:?}{tolerance}{exact}", [&self.left_on, &self.right_on])
    }
}
