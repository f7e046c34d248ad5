//! Whether an aggregation of rows that change can subtract the old rows and add the new ones. Then it keeps what it keeps of rows that
//! never change, by group; else all rows of its input are kept. An old row must come out of everything that stands between as it
//! did when it was new, or what it left in a sum would stay for ever.

use plan::{Aggregate, Step};
use polars::prelude::Expr;
use polars_plan::utils::has_expr;

use super::{Accumulator, Method};
use crate::physical::Operation;
use crate::physical::approximate::is_approx_quantile;

/// How rows come to an operation.
#[derive(Clone, Debug, Default)]
pub(crate) enum ChangelogMode {
    /// They never change.
    #[default]
    Append,
    /// They change.
    Change {
        /// Why an old row cannot be told again beside the new one, where it cannot.
        unrepeatable: Option<String>,
    },
}

impl ChangelogMode {
    /// How they come to the operation behind one that is given such rows.
    pub(crate) fn after(self, operation: &Operation) -> ChangelogMode {
        let unrepeatable = match operation {
            // It tells an old row by what it keeps; the expressions above that are evaluated again.
            Operation::Aggregate(_, Method::Merge { outputs, .. }) => outputs.iter().find_map(called),
            // What they have given, and rows, they keep.
            Operation::Aggregate(_, Method::Regroup { .. }) | Operation::Step(Step::Aggregate(_) | Step::Sort(_)) => {
                None
            }
            Operation::Step(step) => match self {
                ChangelogMode::Append => return ChangelogMode::Append,
                ChangelogMode::Change { unrepeatable } => unrepeatable.or_else(|| differs(step)),
            },
            // It keeps the rows of both sides.
            Operation::HashJoin(_) => None,
            Operation::TimedJoin(_) | Operation::LateForJoin(_) => return self,
        };
        ChangelogMode::Change { unrepeatable }
    }

    /// Whether old rows are to be subtracted by an aggregation that would merge these accumulators; or why it cannot.
    pub(super) fn retracts(&self, aggregate: &Aggregate, accumulators: &[Accumulator]) -> Result<bool, String> {
        let ChangelogMode::Change { unrepeatable } = self else { return Ok(false) };
        let inputs = accumulators.iter().flat_map(|accumulator| accumulator.only.iter().chain([&accumulator.input]));
        let because = unrepeatable
            .clone()
            .or_else(|| aggregate.keys.iter().chain(inputs).find_map(called))
            .or_else(|| accumulators.iter().find_map(forgets));
        because.map_or(Ok(true), Err)
    }
}

/// Why a step may give another row for the same one the next time.
fn differs(step: &Step) -> Option<String> {
    match step {
        Step::MapBatches(closure) => {
            Some(format!("{} may give other rows for the same ones", closure.words().title.to_lowercase()))
        }
        Step::Join(_) => Some("the frame that rows which change are looked up in may be another one later".to_owned()),
        Step::ProcessingTime(_) => Some("the time of processing goes on".to_owned()),
        Step::Filter(expr) => called(expr),
        Step::Select(exprs) | Step::WithColumns(exprs) => exprs.iter().find_map(called),
        _ => None,
    }
}

/// That an expression calls a function of which nothing is known.
fn called(expr: &Expr) -> Option<String> {
    let calls = |part: &Expr| matches!(part, Expr::AnonymousFunction { .. }) && !is_approx_quantile(part);
    has_expr(expr, calls).then(|| format!("the function in `{expr:?}` may give another value for the same row"))
}

/// Why an accumulator cannot take a value back.
fn forgets(accumulator: &Accumulator) -> Option<String> {
    let function = accumulator.function;
    if function.is_ordered() {
        return Some("first and last of rows that change".to_owned());
    }
    function.error().map(|_| "a sketch of rows that change cannot forget".to_owned())
}
