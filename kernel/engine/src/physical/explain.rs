//! A plan as it runs in words: the last operation first and what is read last, with what each remembers.

use std::fmt::Write as _;

use plan::{Scan, Step, Words};

use super::{Accumulator, Input, MOST_KEPT, Method, Operation, PhysicalPlan};

impl PhysicalPlan {
    /// The plan in words.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut text = String::new();
        self.write_lines(0, &mut text);
        text
    }

    fn write_lines(&self, mut depth: usize, text: &mut String) {
        for stage in self.stages.iter().rev() {
            write_line(text, depth, &stage.operation.words().line());
            depth += 1;
        }
        match &self.input {
            Input::Scan(scan) => write_line(text, depth, &self.source(scan)),
            Input::Union(inputs) => {
                write_line(text, depth, "UNION");
                inputs.iter().for_each(|input| self.read_of(input).write_lines(depth + 1, text));
            }
            Input::Sides(sides) => sides.iter().for_each(|side| side.write_lines(depth, text)),
        }
    }

    fn source(&self, scan: &Scan) -> String {
        let columns: Vec<String> = self.read.iter().map(|(name, dtype)| format!("{name}: {dtype}")).collect();
        format!("SOURCE {} [{}]", scan.explain(), columns.join(", "))
    }

    /// One of the inputs, for who reads only the columns that this plan reads of all of them.
    pub(super) fn read_of(&self, input: &PhysicalPlan) -> PhysicalPlan {
        let mut columns = self.source_columns();
        if columns.is_empty() {
            // Rows without a column could not be counted.
            columns.extend(input.schema().iter_names().next().cloned());
        }
        let mut narrow = input.select(&columns).unwrap_or_else(|_| input.clone());
        // It only names the columns that are read.
        narrow.stages.pop();
        narrow
    }

    /// Whether it is said how late rows may come, before a stage.
    pub(super) fn has_watermark(&self, stage: usize) -> bool {
        let is_mark = |operation: &Operation| matches!(operation, Operation::Step(Step::Watermark(_)));
        let above = match &self.input {
            Input::Sides(sides) => sides.iter().any(|side| side.has_watermark(side.stages.len())),
            Input::Scan(_) | Input::Union(_) => false,
        };
        above || self.stages[..stage].iter().any(|stage| is_mark(&stage.operation))
    }
}

impl Operation {
    /// The operation in words.
    pub(super) fn words(&self) -> Words {
        match self {
            Operation::Step(step) => step.words(),
            Operation::Aggregate(aggregate, method) => {
                let Words { title, details } = aggregate.words();
                Words { title, details: details.into_iter().chain(kept(method)).collect() }
            }
            Operation::TimedJoin(join) => join.words.clone(),
            Operation::HashJoin(join) => join.words.clone(),
            Operation::LateForJoin(words) => words.clone(),
        }
    }

    /// What it remembers from batch to batch, and for how long, if anything.
    pub(super) fn state(&self, has_watermark: bool) -> Option<String> {
        let until =
            if has_watermark { "until the watermark has passed them" } else { "for ever: there is no watermark" };
        Some(match self {
            Operation::Aggregate(aggregate, method) => {
                let kept = method.kept();
                match aggregate.over {
                    Some(_) => format!("keeps {kept}, {until}"),
                    None => format!("keeps {kept}, for ever: keys do not end"),
                }
            }
            Operation::TimedJoin(_) => format!("keeps the rows of both sides, {until}"),
            Operation::HashJoin(join) => match join.time_key {
                Some(_) => format!("keeps the rows of both sides, {until}"),
                None => "keeps the rows of both sides, for ever: no key is a time".to_owned(),
            },
            Operation::Step(Step::Unique(_)) => format!("keeps the values that came, {until}"),
            Operation::Step(Step::Sort(order)) => match order.k {
                Some(k) => format!("keeps {k} rows at the most to show, and those that may follow"),
                None => "keeps all rows, in their order".to_owned(),
            },
            Operation::Step(Step::Limit(n)) => format!("counts up to {n}"),
            Operation::Step(Step::WithState(..)) => {
                "keeps a state for each key, until the function forgets it".to_owned()
            }
            // Which rows are late is said by the watermark alone.
            Operation::Step(_) | Operation::LateForJoin(_) => return None,
        })
    }
}

impl Method {
    /// What is kept, in words.
    fn kept(&self) -> String {
        match self {
            Method::Merge { accumulators, retracts, .. } if accumulators.iter().any(|a| a.keeps_values(*retracts)) => {
                "values of each group".to_owned()
            }
            Method::Merge { accumulators, .. } if accumulators.len() < 2 => "one value a group".to_owned(),
            Method::Merge { accumulators, .. } => format!("{} values a group", accumulators.len()),
            Method::Regroup { .. } => "the rows of each group".to_owned(),
        }
    }
}

fn write_line(text: &mut String, depth: usize, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{:indent$}{line}", "", indent = depth * 2);
}

/// What an aggregation keeps beyond a few numbers a group, how much of it, and how far it may be off.
fn kept(method: &Method) -> Vec<String> {
    let most = format!("AT MOST {} GiB", MOST_KEPT >> 30);
    let (accumulators, retracts) = match method {
        Method::Regroup { because } => return vec![format!("KEEPING ROWS, {most}, BECAUSE {because}")],
        Method::Merge { accumulators, retracts, .. } => (accumulators, *retracts),
    };
    let of = |a: &Accumulator| match &a.only {
        Some(only) => format!("{:?}", a.input.clone().filter(only.clone())),
        None => format!("{:?}", a.input),
    };
    // They are numbered as they were asked for, and stand in the order of a state.
    let mut asked: Vec<&Accumulator> = accumulators.iter().collect();
    asked.sort_by_key(|a| (a.name.len(), a.name.clone()));
    let values: Vec<String> = asked.iter().copied().filter(|a| a.keeps_values(retracts)).map(of).collect();
    let about: Vec<String> =
        asked.iter().copied().filter_map(|a| Some(a.function.error()?.replace("{}", &of(a)))).collect();
    let mut words: Vec<String> = retracts.then(|| "SUBTRACTING ROWS THAT CHANGE".to_owned()).into_iter().collect();
    if !values.is_empty() {
        words.push(format!("KEEPING VALUES OF [{}], {most}", values.join(", ")));
    }
    if !about.is_empty() {
        words.push(format!("APPROXIMATE: {}", about.join(", ")));
    }
    words
}
