//! The rows of several plans as those of one.

use polars::prelude::DataType;

use crate::node::{Node, Plan, Step};
use crate::{PlanError, zones};

impl Plan {
    /// The rows of several plans; their columns must be the same, in any order.
    ///
    /// # Errors
    /// Other columns, or a plan that has a watermark or a state: those come after the union.
    pub fn union(inputs: &[Plan]) -> Result<Plan, PlanError> {
        let Some(first) = inputs.first() else {
            return refused("there is no frame".to_owned(), "Give one at the least.");
        };
        for plan in inputs {
            check_rows(plan)?;
            check_columns(first, plan)?;
        }
        Ok(Plan::of(Node::Union(inputs.to_vec()), first.schema().clone()))
    }
}

/// Each row must be what it is whichever rows come from elsewhere.
fn check_rows(plan: &Plan) -> Result<(), PlanError> {
    let first = "Union the rows first, and say the rest of the whole.";
    if let Node::Join(_) = plan.root().node() {
        return refused("a frame has a state already".to_owned(), first);
    }
    for step in plan.steps() {
        let has = match step {
            Step::Watermark(_) => "a watermark",
            Step::ProcessingTime(_) => "a time of processing",
            Step::Aggregate(_) => "an aggregation",
            step if step.has_state() => "a state",
            Step::Join(lookup) if lookup.refresh().is_some() => {
                let detail = "a frame looks rows up in one that is read anew".to_owned();
                return refused(detail, "Union the rows first, and look those of the whole up.");
            }
            _ => continue,
        };
        let detail = format!("a frame has {has} already");
        return refused(detail, first);
    }
    Ok(())
}

fn check_columns(first: &Plan, plan: &Plan) -> Result<(), PlanError> {
    let dtype = |name: &str| -> Option<&DataType> { plan.schema().get(name) };
    let mixed = first.schema().iter().find_map(|(name, one)| {
        Some(format!("column \"{name}\" is of two zones: {}", zones::mixed_zones(one, dtype(name)?)?))
    });
    if let Some(detail) = mixed {
        return refused(detail, zones::ONE_ZONE);
    }
    let same = plan.schema().len() == first.schema().len()
        && first.schema().iter().all(|(name, one)| dtype(name) == Some(one));
    if same {
        return Ok(());
    }
    let detail = format!("the columns differ: {:?} and {:?}", first.schema(), plan.schema());
    refused(detail, "Give them the same names and types with select(…).")
}

fn refused<T>(detail: String, hint: &'static str) -> Result<T, PlanError> {
    Err(PlanError::Refused { operation: "union", detail, hint })
}
