//! Joins in a text: what becomes of rows without a match, and which row is the nearest.

use polars::prelude::JoinType;
use serde::{Deserialize, Serialize};

use super::NoText;
use crate::asof::{Asof, AsofStrategy};

#[derive(Serialize, Deserialize)]
pub(super) struct AsofText {
    left: String,
    right: String,
    strategy: StrategyText,
    tolerance: Option<String>,
    exact: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StrategyText {
    Backward,
    Forward,
    Nearest,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum HowText {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
}

impl AsofText {
    pub(super) fn of(on: &Asof) -> AsofText {
        let strategy = StrategyText::of(on.strategy);
        let (left, right) = (on.left_on.clone(), on.right_on.clone());
        AsofText { left, right, strategy, tolerance: on.tolerance.clone(), exact: on.exact }
    }

    pub(super) fn read(&self) -> Asof {
        let strategy = match self.strategy {
            StrategyText::Backward => AsofStrategy::Backward,
            StrategyText::Forward => AsofStrategy::Forward,
            StrategyText::Nearest => AsofStrategy::Nearest,
        };
        let on = crate::asof(&self.left, &self.right).strategy(strategy).allow_exact_matches(self.exact);
        self.tolerance.iter().fold(on, |on, tolerance| on.tolerance(tolerance))
    }
}

impl StrategyText {
    pub(super) fn of(strategy: AsofStrategy) -> StrategyText {
        match strategy {
            AsofStrategy::Backward => StrategyText::Backward,
            AsofStrategy::Forward => StrategyText::Forward,
            AsofStrategy::Nearest => StrategyText::Nearest,
        }
    }
}

impl HowText {
    pub(super) fn of(how: &JoinType) -> Result<HowText, NoText> {
        Ok(match how {
            JoinType::Inner => HowText::Inner,
            JoinType::Left => HowText::Left,
            JoinType::Right => HowText::Right,
            JoinType::Full => HowText::Full,
            JoinType::Semi => HowText::Semi,
            JoinType::Anti => HowText::Anti,
            other => return Err(NoText(format!("a {other} join"))),
        })
    }

    pub(super) fn read(&self) -> JoinType {
        match self {
            HowText::Inner => JoinType::Inner,
            HowText::Left => JoinType::Left,
            HowText::Right => JoinType::Right,
            HowText::Full => JoinType::Full,
            HowText::Semi => JoinType::Semi,
            HowText::Anti => JoinType::Anti,
        }
    }
}
