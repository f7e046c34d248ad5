//! A join of a stream with a frame that stands beside it: a look-up for each row, without a state. How rows are found is the engine's
//! concern.

use std::time::Duration;

use polars::prelude::*;

use crate::asof::Asof;
use crate::expr::{check_row_wise, schema_after};
use crate::node::{Plan, Step};
use crate::refreshed::{Refreshed, Table};
use crate::words::Words;
use crate::{PlanError, zones};

/// The frame that is looked into, and how.
#[derive(Clone, Debug)]
pub struct Lookup {
    right: DataFrame,
    refreshed: Option<(Refreshed, Duration)>,
    left_on: Vec<Expr>,
    right_on: Vec<Expr>,
    how: How,
    /// Whether a key may be in the frame once only.
    unique: bool,
}

#[derive(Clone, Debug)]
enum How {
    Equal(JoinType),
    Nearest(Asof),
}

impl Plan {
    /// Joins the rows with a frame that stands still, or is read anew now and then, as Polars' `join`: `Inner`, `Left`, `Semi` or
    /// `Anti`.
    ///
    /// # Errors
    /// An unknown column, keys of other types, another kind of join, or keys that are not unique where the rows change.
    pub fn join(
        &self,
        right: impl Into<Table>,
        left_on: &[Expr],
        right_on: &[Expr],
        how: &JoinType,
    ) -> Result<Plan, PlanError> {
        check_row_wise("join", self.schema(), left_on)?;
        self.looked_up(Lookup::new(right.into(), left_on, right_on, how, self.appends())?)
    }

    /// Joins each row with the one of such a frame that is nearest in time, as Polars' `join_asof`.
    ///
    /// # Errors
    /// An unknown column, or keys or times of other types.
    pub fn join_asof(
        &self,
        right: impl Into<Table>,
        by_left: &[Expr],
        by_right: &[Expr],
        on: &Asof,
    ) -> Result<Plan, PlanError> {
        check_row_wise("join_asof", self.schema(), by_left)?;
        if on.tolerance.is_some() {
            self.time_column("join_asof", &col(&on.left_on))?;
        }
        self.looked_up(Lookup::asof(right.into(), by_left, by_right, on)?)
    }

    /// The rows with what is found of them.
    pub(crate) fn looked_up(&self, lookup: Lookup) -> Result<Plan, PlanError> {
        let (own, right) = (self.schema(), lookup.right.schema());
        let ([left_on, right_on], none) = (lookup.keys(), lookup.right.clear().lazy());
        let schema = match &lookup.how {
            How::Equal(how) => {
                check_row_wise("join", own, left_on)?;
                zones::check_equal("join", (own, left_on), (right, right_on))?;
                schema_after("join", own, &[], |rows| rows.join(none, left_on, right_on, JoinArgs::new(how.clone())))?
            }
            How::Nearest(on) => {
                on.check("join_asof", [own, right], [left_on, right_on])?;
                schema_after("join_asof", own, &[], |rows| on.columns(rows, right, right_on))?
            }
        };
        Ok(self.step(Step::Join(Box::new(lookup)), schema))
    }
}

impl Lookup {
    /// Rows of equal keys. `appends` says whether the rows of the stream never change; where they do, a row may have one match
    /// only.
    pub(crate) fn new(
        right: Table,
        left_on: &[Expr],
        right_on: &[Expr],
        how: &JoinType,
        appends: bool,
    ) -> Result<Lookup, PlanError> {
        if !matches!(how, JoinType::Inner | JoinType::Left | JoinType::Semi | JoinType::Anti) {
            return Err(PlanError::Refused {
                operation: "join",
                detail: format!(
                    "a {how} join gives rows of the frame that no row of the stream has met, and a stream never ends"
                ),
                hint: "Use JoinType::Inner, Left, Semi or Anti.",
            });
        }
        let unique = !appends && matches!(how, JoinType::Inner | JoinType::Left);
        Lookup::with("join", right, (left_on, right_on), How::Equal(how.clone()), unique)
    }

    /// The row of equal keys that is nearest in time.
    pub(crate) fn asof(right: Table, by_left: &[Expr], by_right: &[Expr], on: &Asof) -> Result<Lookup, PlanError> {
        Lookup::with("join_asof", right, (by_left, by_right), How::Nearest(on.clone()), false)
    }

    fn with(
        operation: &'static str,
        right: Table,
        on: (&[Expr], &[Expr]),
        how: How,
        unique: bool,
    ) -> Result<Lookup, PlanError> {
        let (right, refreshed) = match right {
            Table::Still(right) => (right, None),
            Table::Refreshed(table) => (table.first(operation)?, Some((table.clone(), table.every(operation)?))),
        };
        check_row_wise(operation, right.schema(), on.1)?;
        if let How::Nearest(on) = &how {
            check_row_wise(operation, right.schema(), &[col(&on.right_on)])?;
        }
        let (left_on, right_on) = (on.0.to_vec(), on.1.to_vec());
        let lookup = Lookup { right, refreshed, left_on, right_on, how, unique };
        let polars = |error: PolarsError| PlanError::Polars { operation, detail: error.to_string() };
        if !lookup.is_told_apart(&lookup.right).map_err(polars)? {
            return Err(PlanError::Refused {
                operation,
                detail: "the rows of an aggregation change, and the frame has several rows for one key".to_owned(),
                hint: "Join the rows before they are aggregated, or make the frame's keys unique.",
            });
        }
        Ok(lookup)
    }

    /// The frame that is looked into: the one that stands still, or as it was read when the plan was made.
    #[must_use]
    pub fn frame(&self) -> &DataFrame {
        &self.right
    }

    /// What must be equal: of a row, and of the frame's.
    pub fn keys(&self) -> [&[Expr]; 2] {
        [&self.left_on, &self.right_on]
    }

    /// What of a row it is looked up by.
    #[must_use]
    pub fn reads(&self) -> Vec<Expr> {
        let time = match &self.how {
            How::Equal(_) => None,
            How::Nearest(on) => Some(col(&on.left_on)),
        };
        self.left_on.iter().cloned().chain(time).collect()
    }

    /// How often the frame is to be read anew, if it is.
    #[must_use]
    pub fn refresh(&self) -> Option<Duration> {
        self.refreshed.as_ref().map(|(_, every)| *every)
    }

    /// What a person's function gives that reads the frame anew, with the columns in their order; `None` where it stands still.
    ///
    /// # Errors
    /// What the function says, or other columns than the frame had, or several rows for a key that may be there once.
    pub fn read(&self) -> PolarsResult<Option<DataFrame>> {
        let Some((refreshed, _)) = &self.refreshed else { return Ok(None) };
        let right = self.with_same_columns(refreshed.read()?)?;
        polars_ensure!(self.is_told_apart(&right)?, Duplicate: "the frame has several rows for one key now");
        Ok(Some(right))
    }

    /// Of a join of equal keys, which kind it is.
    #[must_use]
    pub fn how(&self) -> Option<&JoinType> {
        match &self.how {
            How::Equal(how) => Some(how),
            How::Nearest(_) => None,
        }
    }

    /// Of an as-of join, which row is the nearest.
    #[must_use]
    pub fn nearest(&self) -> Option<&Asof> {
        match &self.how {
            How::Equal(_) => None,
            How::Nearest(on) => Some(on),
        }
    }

    /// Of an as-of join, the columns of the frame that are in the result, in their order.
    #[must_use]
    pub fn found(&self) -> Vec<PlSmallStr> {
        self.nearest().map_or_else(Vec::new, |on| on.found(self.right.schema(), &self.right_on))
    }

    /// What the frame's columns are called in the frame.
    pub fn names(&self) -> impl Iterator<Item = PlSmallStr> + '_ {
        self.right.schema().iter_names().cloned()
    }

    /// The frame in words.
    #[must_use]
    pub fn right(&self) -> Vec<String> {
        let columns: Vec<String> = self.right.schema().iter().map(|(name, dtype)| format!("{name}: {dtype}")).collect();
        let rows = match &self.refreshed {
            None => format!("{} rows that stand still", self.right.height()),
            Some((refreshed, _)) => format!("rows that are read anew every {}", refreshed.text()),
        };
        vec![rows, columns.join(", ")]
    }

    /// In words.
    #[must_use]
    pub fn words(&self) -> Words {
        let columns: Vec<&str> = self.right.schema().iter_names().map(|name| name.as_str()).collect();
        let rows = match &self.refreshed {
            None => format!("{} ROWS OF {columns:?}", self.right.height()),
            Some((refreshed, _)) => format!("ROWS OF {columns:?}, READ ANEW EVERY {}", refreshed.text()),
        };
        let (left, right, with) = (&self.left_on, &self.right_on, format!("WITH {rows}"));
        match &self.how {
            How::Equal(how) => Words::new(format!("{how} JOIN"), [format!("{left:?} = {right:?}"), with]),
            How::Nearest(on) => Words::new("ASOF JOIN", [format!("{left:?} = {right:?} {}", on.words()), with]),
        }
    }

    /// Whether each key is there once, where it must be.
    fn is_told_apart(&self, right: &DataFrame) -> PolarsResult<bool> {
        if !self.unique {
            return Ok(true);
        }
        let keys = right.clone().lazy().select(&self.right_on).collect()?;
        Ok(keys.clone().lazy().unique(None, UniqueKeepStrategy::Any).collect()?.height() == keys.height())
    }

    fn with_same_columns(&self, right: DataFrame) -> PolarsResult<DataFrame> {
        let (before, now) = (self.right.schema(), right.schema());
        for (name, dtype) in before.iter() {
            match now.get(name) {
                None => polars_bail!(SchemaMismatch: "there is no column \"{name}\" any more"),
                Some(other) if other != dtype => {
                    polars_bail!(SchemaMismatch: "column \"{name}\" is {other} now, and was {dtype}")
                }
                Some(_) => {}
            }
        }
        if let Some(name) = now.iter_names().find(|name| !before.contains(name)) {
            polars_bail!(SchemaMismatch: "there is a new column, \"{name}\"; leave it out with select(…)");
        }
        right.select(before.iter_names().cloned())
    }
}
