//! One query for several views: a frame that is shown twice runs once, and what stands on a running query's rows is made of its
//! result.

use plan::{Node, Plan};

use super::{Query, fingerprint};
use crate::result::{Derivation, LiveResult, Status, derives};

impl Query {
    /// The result of `plan`, where this query has it or has what it is made of; `name` is what people see of it. The plan must be
    /// this query's or stand on it: two that merely read the same are not known to be the same.
    ///
    /// Rows that never change are not taken for a longer plan, for of a stream a result has the newest alone.
    #[must_use]
    pub fn view(&self, name: &str, plan: &Plan) -> Option<LiveResult> {
        if self.has_output || !self.is_active() {
            return None;
        }
        let (mut steps, mut rest) = (Vec::new(), plan);
        while !rest.is(&self.plan) {
            match rest.node() {
                Node::Step { input, step } if derives(step) => {
                    let time = input.times().nearest().cloned();
                    steps.push(Derivation { step: step.clone(), schema: rest.schema().clone(), time });
                    rest = input;
                }
                _ => return None,
            }
        }
        if steps.is_empty() {
            return Some(self.result.clone());
        }
        if self.plan.appends() {
            return None;
        }
        steps.reverse();
        let status = Status { name: name.to_owned(), fingerprint: fingerprint(plan), ..Status::default() };
        // What cannot be made of it is run as a query of its own, which tells why.
        self.result.derive(&steps, status).ok().flatten()
    }
}
