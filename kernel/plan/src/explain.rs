//! A plan in words, the last step first and the source last, as Polars prints its plans.

use std::fmt::Write as _;

use polars::prelude::{AnyValue, Expr};
use polars_plan::plans::LiteralValue;

use crate::aggregate::{Accumulator, MOST_KEPT, Method, Over};
use crate::node::{MOST_SORTED, Node, Plan, Step};
use crate::window::Cut;

pub(crate) fn text(plan: &Plan) -> String {
    let (source, columns, steps) = plan.steps();
    let mut lines: Vec<String> = steps.iter().rev().map(|step| line(step)).collect();
    let columns: Vec<String> = columns.iter().map(|(name, dtype)| format!("{name}: {dtype}")).collect();
    lines.push(format!("SOURCE {source} [{}]", columns.join(", ")));
    let mut text = String::new();
    for (depth, line) in lines.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:indent$}{line}", "", indent = depth * 2);
    }
    text
}

/// What a view of the plan is called: the topic, how it is grouped, and how many of the first rows there are.
pub(crate) fn title(plan: &Plan) -> String {
    let (source, _, _) = plan.steps();
    let topic = source.split(" at ").next().unwrap_or(source).split_once(' ').map_or(source, |(_, topic)| topic);
    let is_late = plan.steps().2.iter().any(|step| matches!(step, Step::LateRows(_)));
    let topic = if is_late { format!("late rows of {topic}") } else { topic.to_owned() };
    let first = match plan.order() {
        Some(order) if order.k < MOST_SORTED => format!(", first {}", order.k),
        Some(_) => ", sorted".to_owned(),
        None => String::new(),
    };
    let Some((aggregate, schema)) = plan.aggregate() else { return topic + &first };
    let keys: Vec<&str> = schema.iter_names().take(aggregate.keys.len()).map(|name| name.as_str()).collect();
    let by = if keys.is_empty() { String::new() } else { format!(" by {}", keys.join(", ")) };
    let over = aggregate.over.as_ref().map(|over| format!(", {}", in_words(over))).unwrap_or_default();
    format!("{topic}{by}{over}{first}")
}

/// As in `every 10s`.
fn in_words(over: &Over) -> String {
    let text = over.window.text();
    let kind = text.split(").").next().unwrap_or(text);
    let lengths: Vec<&str> = kind.split('"').skip(1).step_by(2).collect();
    match (over.cut, lengths.as_slice()) {
        (Cut::Session { .. }, [gap]) => format!("sessions {gap} apart"),
        (_, [every]) => format!("every {every}"),
        (_, [period, every]) => format!("{period} every {every}"),
        _ => text.to_owned(),
    }
}

/// How many of a literal's values the words show.
const MOST_VALUES: usize = 12;

/// Expressions in words. Of a literal with many values Polars prints none or a few, and two plans that differ in them would look alike.
fn words<'a>(exprs: impl IntoIterator<Item = &'a Expr>, printed: &str) -> String {
    let mut text = printed.to_owned();
    for part in exprs.into_iter().flatten() {
        let Expr::Literal(literal) = part else { continue };
        let values = match literal {
            LiteralValue::Series(series) => (**series).clone(),
            LiteralValue::Scalar(scalar) => match scalar.value() {
                AnyValue::List(series) => series.clone(),
                _ => continue,
            },
            _ => continue,
        };
        let all: Vec<String> = values.iter().map(|value| value.to_string()).collect();
        let shown = all.iter().take(MOST_VALUES).cloned().collect::<Vec<_>>().join(", ");
        let more = match all.len() {
            0..=MOST_VALUES => String::new(),
            // FNV-1a: a hash that is the same in every version.
            count => {
                let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                let whole = all.join("\u{1f}").bytes().fold(0xcbf2_9ce4_8422_2325, hash);
                format!(", … {count} in all, {whole:016x}")
            }
        };
        let _ = write!(text, " WITH [{shown}{more}]");
    }
    text
}

pub(crate) fn line(step: &Step) -> String {
    match step {
        Step::Filter(predicate) => format!("FILTER {}", words([predicate], &format!("{predicate:?}"))),
        Step::Select(exprs) => format!("SELECT {}", words(exprs, &format!("{exprs:?}"))),
        Step::WithColumns(exprs) => format!("WITH_COLUMNS {}", words(exprs, &format!("{exprs:?}"))),
        Step::Watermark(watermark) => format!("WATERMARK \"{}\" {} late", watermark.column, watermark.delay),
        Step::ProcessingTime(column) => format!("PROCESSING TIME AS \"{column}\""),
        Step::LateRows(of) => format!("LATE ROWS OF {}", line(of)),
        Step::Explode(columns) => format!("EXPLODE {columns:?}"),
        Step::Unnest(columns) => format!("UNNEST {columns:?}"),
        Step::MapBatches(closure) => closure.explain(),
        Step::Join(lookup) => lookup.explain(),
        Step::Unique(columns) => format!("UNIQUE {columns:?}, THE FIRST TO COME"),
        Step::JoinSides(join) => join.explain().to_owned(),
        Step::Sort(order) => {
            let each = |said: &[bool]| {
                (0..order.by.len()).map(|n| said.get(n).or(said.first()) == Some(&true)).collect::<Vec<_>>()
            };
            let (descending, last) = (each(&order.options.descending), each(&order.options.nulls_last));
            format!("FIRST {} ROWS BY {:?}, DESCENDING {descending:?}, NULLS LAST {last:?}", order.k, order.by)
        }
        Step::WithState(keys, function) => format!("WITH_STATE {function:?} BY {keys:?}"),
        Step::Limit(n) => format!("LIMIT {n}"),
        Step::Aggregate(a) => {
            let over = a.over.as_ref().map(|over| format!(" OVER {} OF \"{}\"", over.window.text(), over.time));
            format!(
                "AGGREGATE {} BY {}{}{}",
                words(&a.written, &format!("{:?}", a.written)),
                words(&a.keys, &format!("{:?}", a.keys)),
                over.unwrap_or_default(),
                kept(&a.method)
            )
        }
    }
}

impl Plan {
    /// The part of the plan that a state is made by, in words: up to its last step that keeps something, as it
    /// [runs](Plan::optimized), with what is kept in its order. Without such a step, the source's name and the watermark. Where two
    /// plans have the same words, either can go on with the state of the other.
    #[must_use]
    pub fn explain_state(&self) -> String {
        let whole = self.optimized();
        let mut part = &whole;
        loop {
            match part.node() {
                Node::Step { step, .. } if step.has_state() => return text(part) + &all_kept(part),
                Node::Step { input, step: Step::Watermark(watermark) } => {
                    let dtype = input.schema().get(&watermark.column);
                    return format!("{} {dtype:?}\n{}\n", line(&Step::Watermark(watermark.clone())), part.steps().0);
                }
                Node::Step { input, .. } => part = input,
                Node::Source { .. } => return format!("{}\n", part.steps().0),
            }
        }
    }
}

/// What the aggregations keep, in the order in which it stands in a state. It may hang on what nobody uses.
fn all_kept(plan: &Plan) -> String {
    let mut text = String::new();
    for step in plan.steps().2 {
        let Step::Aggregate(aggregate) = step else { continue };
        let Method::Merge { accumulators, .. } = &aggregate.method else { continue };
        for Accumulator { function, input, only, input_dtype, readings, .. } in accumulators {
            let readings: Vec<f64> = readings.iter().map(|reading| reading.quantile).collect();
            // Writing to a string does not fail.
            let _ = writeln!(text, "KEEPS {function:?} OF {input:?} ({input_dtype}) WHERE {only:?}, AT {readings:?}");
        }
    }
    text
}

/// What an aggregation keeps beyond a few numbers a group, how much of it, and how far it may be off.
fn kept(method: &Method) -> String {
    let most = format!("AT MOST {} GiB", MOST_KEPT >> 30);
    let accumulators = match method {
        Method::Regroup { because } => return format!(", KEEPING ROWS, {most}, BECAUSE {because}"),
        Method::Merge { accumulators, .. } => accumulators,
    };
    let of = |a: &Accumulator| match &a.only {
        Some(only) => format!("{:?}", a.input.clone().filter(only.clone())),
        None => format!("{:?}", a.input),
    };
    let values: Vec<String> = accumulators.iter().filter(|a| a.function.keeps_values()).map(of).collect();
    let about: Vec<String> =
        accumulators.iter().filter_map(|a| Some(a.function.error()?.replace("{}", &of(a)))).collect();
    let mut words = String::new();
    if !values.is_empty() {
        words += &format!(", KEEPING VALUES OF [{}], {most}", values.join(", "));
    }
    if !about.is_empty() {
        words += &format!(", APPROXIMATE: {}", about.join(", "));
    }
    words
}
