//! From what a plan says to operations, each chain of them over one input or over the two that it joins.

use plan::{Node, Plan};

use super::{Input, Operation, PhysicalPlan, join};

/// The operations of a plan, each as it is said.
pub(super) fn lower(plan: &Plan) -> PhysicalPlan {
    let read = plan.schema().clone();
    match plan.node() {
        Node::Scan(scan) => PhysicalPlan { input: Input::Scan(scan.clone()), read, stages: Vec::new() },
        Node::Union(inputs) => union(inputs.iter().map(lower).collect()),
        Node::Join(said) => join::lower(said, plan.schema()),
        Node::Step { input, step } => lower(input).with(Operation::Step(step.clone()), read),
    }
}

/// The rows of plans with the same columns.
pub(super) fn union(inputs: Vec<PhysicalPlan>) -> PhysicalPlan {
    let read = inputs.first().map(|first| first.schema().clone()).unwrap_or_default();
    PhysicalPlan { input: Input::Union(inputs), read, stages: Vec::new() }
}
