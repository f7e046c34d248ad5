//! A join of a stream with a frame that stands still: a look-up for each row, without a state.

use polars::prelude::*;

use crate::PlanError;

/// The frame that is looked into, and how.
#[derive(Clone, Debug)]
pub struct Lookup {
    right: DataFrame,
    left_on: Vec<Expr>,
    right_on: Vec<Expr>,
    how: JoinType,
}

impl Lookup {
    /// `appends` says whether the rows of the stream never change; where they do, a row may have one match only.
    pub(crate) fn new(
        right: DataFrame,
        left_on: &[Expr],
        right_on: &[Expr],
        how: &JoinType,
        appends: bool,
    ) -> Result<Lookup, PlanError> {
        let refused = |detail: String, hint| Err(PlanError::Refused { operation: "join", detail, hint });
        if !matches!(how, JoinType::Inner | JoinType::Left | JoinType::Semi | JoinType::Anti) {
            return refused(
                format!(
                    "a {how} join gives rows of the frame that no row of the stream has met, and a stream never ends"
                ),
                "Use JoinType::Inner, Left, Semi or Anti.",
            );
        }
        if !appends && matches!(how, JoinType::Inner | JoinType::Left) {
            let polars = |error: PolarsError| PlanError::Polars { operation: "join", detail: error.to_string() };
            let keys = right.clone().lazy().select(right_on).collect().map_err(polars)?;
            let unique = keys.clone().lazy().unique(None, UniqueKeepStrategy::Any).collect().map_err(polars)?;
            if unique.height() != keys.height() {
                return refused(
                    "the rows of an aggregation change, and the frame has several rows for one key".to_owned(),
                    "Join the rows before they are aggregated, or make the frame's keys unique.",
                );
            }
        }
        Ok(Lookup { right, left_on: left_on.to_vec(), right_on: right_on.to_vec(), how: how.clone() })
    }

    /// The join on Polars' own frame; rows stay in the order they came in.
    pub fn join(&self, rows: LazyFrame) -> LazyFrame {
        let mut options = JoinArgs::new(self.how.clone());
        options.maintain_order = MaintainOrderJoin::LeftRight;
        rows.join(self.right.clone().lazy(), self.left_on.clone(), self.right_on.clone(), options)
    }

    /// What the rows are looked up by.
    pub fn left_on(&self) -> &[Expr] {
        &self.left_on
    }

    /// What the frame's columns are called in the frame.
    pub(crate) fn names(&self) -> impl Iterator<Item = PlSmallStr> + '_ {
        self.right.schema().iter_names().cloned()
    }

    /// The frame in words.
    pub(crate) fn right(&self) -> Vec<String> {
        let columns: Vec<String> = self.right.schema().iter().map(|(name, dtype)| format!("{name}: {dtype}")).collect();
        vec![format!("{} rows that stand still", self.right.height()), columns.join(", ")]
    }

    /// In words.
    #[must_use]
    pub fn explain(&self) -> String {
        let columns: Vec<&str> = self.right.schema().iter_names().map(|name| name.as_str()).collect();
        format!(
            "{} JOIN {:?} = {:?} WITH {} ROWS OF {columns:?}",
            self.how.to_string().to_uppercase(),
            self.left_on,
            self.right_on,
            self.right.height()
        )
    }
}
