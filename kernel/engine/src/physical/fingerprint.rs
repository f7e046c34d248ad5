//! What a query and its state are known by. A state depends on what is read, on every operation up to the last that keeps
//! something, and on what that keeps; on nothing that comes after it, nor on where the topics are, the rows of a frame that they are
//! looked up in, or the words of a plan. Where two plans have one fingerprint of the state, either goes on with the state of the
//! other.

use plan::{Plan, Step, text};
use polars::prelude::PlSmallStr;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Accumulator, Function, HashJoin, Input, Method, Operation, Pairing, PhysicalPlan, TimedJoin};

/// The version of what is kept and how: another one is another state. It changes with the operators' tables.
const STATE_VERSION: u32 = 2;
/// The version of what a query is known by.
const QUERY_VERSION: u32 = 1;

/// The SHA-256 of what a plan asks.
#[must_use]
pub(crate) fn query_fingerprint(plan: &Plan) -> String {
    hash(&json!({ "query": QUERY_VERSION, "plan": text::identity(plan) }))
}

impl PhysicalPlan {
    /// The SHA-256 of what the state depends on.
    #[must_use]
    pub fn state_fingerprint(&self) -> String {
        hash(&json!({ "state": STATE_VERSION, "of": self.state() }))
    }

    fn state(&self) -> Value {
        let last = self.stages.iter().rposition(|stage| stage.operation.has_state());
        let stages = last.map_or(0, |last| last + 1);
        let until = self.identities(stages, last);
        // Without a state there still is a watermark.
        let marks = self.stages[stages..].iter().filter_map(|stage| match &stage.operation {
            Operation::Step(step @ Step::Watermark(_)) => Some(text::step_identity(step)),
            _ => None,
        });
        let marks: Vec<Value> = marks.collect();
        json!({ "input": self.input_identity(stages > 0), "stages": until, "marks": marks })
    }

    /// The first so many stages; what comes after the one that is `last` may not have its columns in another order.
    fn identities(&self, stages: usize, last: Option<usize>) -> Vec<Value> {
        let until = self.stages[..stages].iter().enumerate().map(|(number, stage)| match &stage.operation {
            Operation::Step(step) => text::step_identity(step),
            Operation::Aggregate(aggregate, method) => {
                // What comes after it may keep its columns in their order.
                let said = text::aggregate_identity(aggregate, Some(number) != last);
                json!({ "said": said, "kept": method.identity() })
            }
            Operation::TimedJoin(join) => join.identity(),
            Operation::HashJoin(join) => join.identity(),
            Operation::LateForJoin(_) => json!("late sides"),
        });
        until.collect()
    }

    /// What is read; with its columns, where a state depends on them.
    fn input_identity(&self, with_columns: bool) -> Value {
        match &self.input {
            Input::Scan(scan) if with_columns => text::scan_identity(scan, &self.read),
            Input::Scan(scan) => json!({ "connector": scan.connector, "topics": scan.topics }),
            Input::Union(inputs) => {
                let inputs = inputs.iter().map(|input| {
                    let input = if with_columns { self.read_of(input) } else { input.clone() };
                    json!([input.input_identity(with_columns), input.steps_identity(with_columns)])
                });
                json!({ "union": inputs.collect::<Vec<_>>() })
            }
            // The join keeps what all of their stages give.
            Input::Sides(sides) => {
                let sides = sides.iter().map(|side| {
                    let stages = side.identities(side.stages.len(), None);
                    json!({ "input": side.input_identity(true), "stages": stages })
                });
                json!({ "sides": sides.collect::<Vec<_>>() })
            }
        }
    }

    fn steps_identity(&self, are_wanted: bool) -> Vec<Value> {
        let steps = self.stages.iter().filter_map(|stage| match &stage.operation {
            Operation::Step(step) if are_wanted => Some(text::step_identity(step)),
            _ => None,
        });
        steps.collect()
    }
}

impl Method {
    fn identity(&self) -> Value {
        match self {
            Method::Merge { accumulators, retracts, .. } => {
                let kept = json!(accumulators.iter().map(Accumulator::identity).collect::<Vec<_>>());
                // Of rows that change it is kept in another form, by which they can be taken back.
                if *retracts { json!({ "of rows that change": kept }) } else { kept }
            }
            Method::Regroup { .. } => json!("rows"),
        }
    }
}

impl Accumulator {
    /// What it is, whatever it is called.
    pub(super) fn identity(&self) -> Value {
        json!({
            "function": self.function.identity(), "of": text::expression(&self.input),
            "type": text::type_identity(&self.input_dtype), "only": self.only.as_ref().map(text::expression),
        })
    }
}

impl Function {
    fn identity(self) -> Value {
        match self {
            Function::Len => json!("len"),
            Function::Count => json!("count"),
            Function::Sum => json!("sum"),
            Function::Mean => json!("mean"),
            Function::Min => json!("min"),
            Function::Max => json!("max"),
            Function::Var { ddof } => json!({ "var": ddof }),
            Function::Std { ddof } => json!({ "std": ddof }),
            Function::First => json!("first"),
            Function::Last => json!("last"),
            Function::Distinct => json!("distinct"),
            Function::Quantiles => json!("values"),
            Function::Largest { k } => json!({ "largest": k }),
            Function::Smallest { k } => json!({ "smallest": k }),
            Function::ApproxDistinct => json!("about distinct"),
            Function::ApproxQuantiles => json!("about values"),
        }
    }
}

impl TimedJoin {
    fn identity(&self) -> Value {
        let names = |names: &[PlSmallStr]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let by = match &self.pairing {
            Pairing::Within { bound, how } => json!({ "within": bound, "how": how.to_string() }),
            Pairing::Asof { strategy, tolerance, exact } => {
                json!({ "asof": text::strategy_identity(*strategy), "tolerance": tolerance, "exact": exact })
            }
        };
        json!({ "join": by, "left": names(&self.left), "right": names(&self.right), "keys": self.keys.len() })
    }
}

impl HashJoin {
    fn identity(&self) -> Value {
        let names = |names: &[PlSmallStr]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({
            "join": self.how.to_string(), "left": names(&self.left), "right": names(&self.right),
            "keys": self.keys.len(), "time": self.time_key,
        })
    }
}

fn hash(value: &Value) -> String {
    hex::encode(Sha256::digest(text::canonical(value)))
}
