//! What a state consists of, and what it hangs on, in words.

use std::fmt::Write as _;

use plan::{Cut, Over, Step};

use super::{Accumulator, Input, Method, Operation, PhysicalPlan, Stage};

impl Stage {
    /// The names of the tables in which its operator keeps what it keeps from batch to batch.
    pub(crate) fn tables(&self) -> &'static [&'static str] {
        match &self.operation {
            Operation::Aggregate(aggregate, method) => match (method, &aggregate.over) {
                (Method::Merge { .. }, over) if !matches!(over, Some(Over { cut: Cut::Session { .. }, .. })) => {
                    &["groups"]
                }
                // What was given is not told again to the letter by the rows.
                _ if self.retracted => &["spans", "rows", "output"],
                _ => &["spans", "rows"],
            },
            Operation::TimedJoin(_) => &["left", "right"],
            Operation::HashJoin(_) => &["left", "right", "pairs"],
            Operation::Step(Step::Unique(_)) => &["seen"],
            Operation::Step(Step::Limit(_)) => &["left"],
            Operation::Step(Step::Sort(_)) => &["rows"],
            Operation::Step(Step::WithState(..)) => &["states", "timeouts"],
            // Which rows are late is said by the watermark alone.
            Operation::Step(_) | Operation::LateForJoin(_) => &[],
        }
    }
}

impl PhysicalPlan {
    /// The part of the plan that a state is made by, in words: up to its last operation that keeps something, with what is kept
    /// in its order. Without such an operation, what is read and the watermark. Where two plans have the same words, either can
    /// go on with the state of the other.
    #[must_use]
    pub fn explain_state(&self) -> String {
        if let Some(last) = self.stages.iter().rposition(|stage| stage.operation.has_state()) {
            let mut part = self.clone();
            part.stages.truncate(last + 1);
            return part.explain() + &part.all_kept();
        }
        let marks = self.stages.iter().enumerate().filter_map(|(number, stage)| match &stage.operation {
            Operation::Step(step @ Step::Watermark(watermark)) => {
                let dtype = self.before(number).get(&watermark.column);
                Some(format!("{} {dtype:?}\n", step.words().line()))
            }
            _ => None,
        });
        format!("{}{}\n", marks.collect::<String>(), self.titles())
    }

    fn titles(&self) -> String {
        match &self.input {
            Input::Scan(scan) => scan.explain(),
            Input::Union(inputs) => inputs.iter().map(PhysicalPlan::titles).collect::<Vec<_>>().join(" + "),
            Input::Sides(sides) => sides.iter().map(PhysicalPlan::titles).collect::<Vec<_>>().join(" + "),
        }
    }

    /// What the aggregations keep, in the order in which it stands in a state. It may hang on what nobody uses.
    fn all_kept(&self) -> String {
        let mut text = match &self.input {
            Input::Sides(sides) => sides.iter().map(PhysicalPlan::all_kept).collect(),
            Input::Scan(_) | Input::Union(_) => String::new(),
        };
        for stage in &self.stages {
            let Operation::Aggregate(_, Method::Merge { accumulators, retracts, .. }) = &stage.operation else {
                continue;
            };
            let keeps = if *retracts { "KEEPS OF ROWS THAT CHANGE" } else { "KEEPS" };
            for Accumulator { function, input, only, input_dtype, readings, .. } in accumulators {
                let readings: Vec<f64> = readings.iter().map(|reading| reading.quantile).collect();
                // Writing to a string does not fail.
                let _ =
                    writeln!(text, "{keeps} {function:?} OF {input:?} ({input_dtype}) WHERE {only:?}, AT {readings:?}");
            }
        }
        text
    }
}
