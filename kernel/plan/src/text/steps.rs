//! Plans and their steps in a text: what a plan begins with, and then one step after the other.

use std::collections::{BTreeMap, BTreeSet};

use polars::prelude::*;
use serde::{Deserialize, Serialize};

use super::NoText;
use super::dtype::FieldText;
use super::expr::{ExprText, Named};
use super::join::{AsofText, HowText};
use super::value::ColumnText;
use super::window::WindowText;
use crate::aggregate::{Aggregate, Over};
use crate::join::{Join, JoinKind, Within};
use crate::node::{Node, Order, Step};
use crate::scan::{Format, Scan};
use crate::times::AHEAD_MS;
use crate::{Plan, PlanError};

/// A plan.
#[derive(Serialize, Deserialize)]
pub(super) struct PlanText {
    of: RootText,
    steps: Vec<StepText>,
}

/// What a plan begins with.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RootText {
    Scan {
        connector: String,
        topics: Vec<String>,
        address: Option<String>,
        options: BTreeMap<String, String>,
        format: Option<FormatText>,
        columns: Vec<FieldText>,
        /// The columns that a person said, where a sample says the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sampled: Option<BTreeSet<String>>,
    },
    Union(Vec<PlanText>),
    Join {
        left: Box<PlanText>,
        right: Box<PlanText>,
        left_on: Vec<ExprText>,
        right_on: Vec<ExprText>,
        by: JoinText,
        late: bool,
    },
}

#[derive(Serialize, Deserialize)]
struct FormatText {
    name: String,
    options: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum JoinText {
    Within { left: String, right: String, bound: String, how: HowText },
    Asof(AsofText),
    Equal { how: HowText },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StepText {
    Filter(ExprText),
    Select(Vec<ExprText>),
    WithColumns(Vec<ExprText>),
    Watermark {
        column: String,
        delay: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ahead_ms: Option<i64>,
    },
    ProcessingTime {
        column: String,
    },
    LateRows(Box<StepText>),
    Explode(Vec<String>),
    Unnest(Vec<String>),
    LookUp {
        frame: Vec<ColumnText>,
        left_on: Vec<ExprText>,
        right_on: Vec<ExprText>,
        by: LookUpText,
    },
    Unique(Vec<String>),
    Limit(u64),
    Sort {
        by: Vec<ExprText>,
        descending: Vec<bool>,
        nulls_last: Vec<bool>,
        in_order: bool,
        /// None for all.
        rows: Option<usize>,
    },
    Aggregate {
        keys: Vec<ExprText>,
        over: Option<OverText>,
        aggregates: Vec<ExprText>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LookUpText {
    Equal(HowText),
    Asof(AsofText),
}

#[derive(Serialize, Deserialize)]
struct OverText {
    time: String,
    window: WindowText,
}

impl PlanText {
    pub(super) fn of(plan: &Plan) -> Result<PlanText, PlanError> {
        let root = plan.root();
        let of = match root.node() {
            Node::Scan(scan) => scan_text(scan).map_err(|no| no_text("read", &no))?,
            Node::Union(inputs) => RootText::Union(inputs.iter().map(PlanText::of).collect::<Result<_, _>>()?),
            Node::Join(join) => join_text(join)?,
            // A root is none.
            Node::Step { step, .. } => return Err(no_text(&step.words().title, &NoText("the step".to_owned()))),
        };
        let text = |step: &&Step| StepText::of(step).map_err(|no| no_text(&step.words().title, &no));
        Ok(PlanText { of, steps: plan.steps().iter().map(text).collect::<Result<_, _>>()? })
    }

    pub(super) fn read(&self, named: Named<'_>) -> Result<Plan, PlanError> {
        let all = |exprs: &[ExprText]| exprs.iter().map(|expr| expr.read(named)).collect::<Result<Vec<_>, _>>();
        let root = match &self.of {
            RootText::Scan { connector, topics, address, options, format, columns, sampled } => {
                let columns = columns.iter().map(FieldText::read).collect::<Result<Schema, _>>()?;
                let format = format
                    .as_ref()
                    .map(|FormatText { name, options }| Format { name: name.clone(), options: options.clone() });
                Plan::scan(Scan {
                    connector: connector.clone(),
                    topics: topics.clone(),
                    address: address.clone(),
                    options: options.clone(),
                    format,
                    schema: columns.into(),
                    sampled: sampled.clone(),
                })
            }
            RootText::Union(inputs) => {
                Plan::union(&inputs.iter().map(|input| input.read(named)).collect::<Result<Vec<_>, _>>()?)?
            }
            RootText::Join { left, right, left_on, right_on, by, late } => {
                let (left, right) = (left.read(named)?, right.read(named)?);
                let kind = match by {
                    JoinText::Within { left: one, right: other, bound, how } => {
                        JoinKind::Within { within: crate::within(one, other, bound), how: how.read() }
                    }
                    JoinText::Asof(on) => JoinKind::Asof(on.read()),
                    JoinText::Equal { how } => JoinKind::Equal(how.read()),
                };
                left.join_as(&right, [&all(left_on)?, &all(right_on)?], &kind, *late)?
            }
        };
        self.steps.iter().try_fold(root, |plan, step| step.apply(&plan, named))
    }
}

fn no_text(step: &str, no: &NoText) -> PlanError {
    PlanError::Refused {
        operation: "to_text",
        detail: format!("{step} has {}, which cannot be written down", no.0),
        hint: "Say it in Polars' expressions, or give the frame to the engine of this process alone.",
    }
}

fn scan_text(scan: &Scan) -> Result<RootText, NoText> {
    let Scan { connector, topics, address, options, format, schema, sampled } = scan;
    Ok(RootText::Scan {
        connector: connector.clone(),
        topics: topics.clone(),
        address: address.clone(),
        options: options.clone(),
        format: format
            .as_ref()
            .map(|Format { name, options }| FormatText { name: name.clone(), options: options.clone() }),
        columns: schema.iter().map(|(name, dtype)| FieldText::of(name, dtype)).collect::<Result<_, _>>()?,
        sampled: sampled.clone(),
    })
}

fn join_text(join: &Join) -> Result<RootText, PlanError> {
    let [left, right] = &join.sides;
    let on = |exprs: &[Expr]| texts(exprs).map_err(|no| no_text(&join.words().title, &no));
    let how = |how: &JoinType| HowText::of(how).map_err(|no| no_text(&join.words().title, &no));
    let by = match &join.kind {
        JoinKind::Within { within: Within { left, right, bound }, how: kind } => {
            JoinText::Within { left: left.clone(), right: right.clone(), bound: bound.clone(), how: how(kind)? }
        }
        JoinKind::Asof(on) => JoinText::Asof(AsofText::of(on)),
        JoinKind::Equal(kind) => JoinText::Equal { how: how(kind)? },
    };
    Ok(RootText::Join {
        left_on: on(&left.on)?,
        right_on: on(&right.on)?,
        left: Box::new(PlanText::of(&left.plan)?),
        right: Box::new(PlanText::of(&right.plan)?),
        by,
        late: join.late,
    })
}

fn texts(exprs: &[Expr]) -> Result<Vec<ExprText>, NoText> {
    exprs.iter().map(ExprText::exact).collect()
}

fn names(names: &[PlSmallStr]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

impl StepText {
    fn of(step: &Step) -> Result<StepText, NoText> {
        let function = || NoText("a function of one's own".to_owned());
        Ok(match step {
            Step::Filter(predicate) => StepText::Filter(ExprText::exact(predicate)?),
            Step::Select(exprs) => StepText::Select(texts(exprs)?),
            Step::WithColumns(exprs) => StepText::WithColumns(texts(exprs)?),
            Step::Watermark(mark) => StepText::Watermark {
                column: mark.column.to_string(),
                delay: mark.delay.clone(),
                ahead_ms: (mark.ahead_ms != AHEAD_MS).then_some(mark.ahead_ms),
            },
            Step::ProcessingTime(column) => StepText::ProcessingTime { column: column.to_string() },
            Step::LateRows(of) => StepText::LateRows(Box::new(StepText::of(of)?)),
            Step::Explode(columns) => StepText::Explode(names(columns)),
            Step::Unnest(columns) => StepText::Unnest(names(columns)),
            Step::MapBatches(_) | Step::WithState(..) => return Err(function()),
            Step::Join(lookup) if lookup.refresh().is_some() => return Err(function()),
            Step::Join(lookup) => {
                let [left_on, right_on] = lookup.keys();
                let columns = lookup.frame().columns().iter();
                StepText::LookUp {
                    frame: columns.map(|c| ColumnText::of(c.as_materialized_series())).collect::<Result<_, _>>()?,
                    left_on: texts(left_on)?,
                    right_on: texts(right_on)?,
                    by: match (lookup.nearest(), lookup.how()) {
                        (Some(on), _) => LookUpText::Asof(AsofText::of(on)),
                        (None, how) => LookUpText::Equal(HowText::of(how.unwrap_or(&JoinType::Inner))?),
                    },
                }
            }
            Step::Unique(columns) => StepText::Unique(names(columns)),
            Step::Limit(rows) => StepText::Limit(*rows),
            Step::Sort(Order { by, options, k }) => StepText::Sort {
                by: texts(by)?,
                descending: options.descending.clone(),
                nulls_last: options.nulls_last.clone(),
                in_order: options.maintain_order,
                rows: *k,
            },
            Step::Aggregate(aggregate) => {
                let Aggregate { keys, over, written } = aggregate.as_ref();
                let over = over.as_ref().map(|Over { time, window, .. }| OverText {
                    time: time.to_string(),
                    window: WindowText::of(window),
                });
                StepText::Aggregate { keys: texts(keys)?, over, aggregates: texts(written)? }
            }
        })
    }

    fn apply(&self, plan: &Plan, named: Named<'_>) -> Result<Plan, PlanError> {
        let all = |exprs: &[ExprText]| exprs.iter().map(|expr| expr.read(named)).collect::<Result<Vec<_>, _>>();
        match self {
            StepText::Filter(predicate) => plan.filter(predicate.read(named)?),
            StepText::Select(exprs) => plan.select(&all(exprs)?),
            StepText::WithColumns(exprs) => plan.with_columns(&all(exprs)?),
            StepText::Watermark { column, delay, ahead_ms } => match (plan.with_watermark(column, delay)?, ahead_ms) {
                (marked, Some(ahead_ms)) => marked.with_max_ahead(&format!("{ahead_ms}ms")),
                (marked, None) => Ok(marked),
            },
            StepText::ProcessingTime { column } => plan.with_processing_time(column),
            StepText::LateRows(of) => of.apply(plan, named)?.late_of_last(),
            StepText::Explode(names) => plan.explode(&refs(names)),
            StepText::Unnest(names) => plan.unnest(&refs(names)),
            StepText::LookUp { frame, left_on, right_on, by } => {
                let frame = frame.iter().map(ColumnText::read).collect::<Result<Vec<_>, _>>()?;
                let height = frame.first().map_or(0, |column| column.len());
                let frame = DataFrame::new(height, frame.into_iter().map(Column::from).collect())
                    .map_err(|error| PlanError::Polars { operation: "from_text", detail: error.to_string() })?;
                let (left_on, right_on) = (all(left_on)?, all(right_on)?);
                match by {
                    LookUpText::Equal(how) => plan.join(frame, &left_on, &right_on, &how.read()),
                    LookUpText::Asof(on) => plan.join_asof(frame, &left_on, &right_on, &on.read()),
                }
            }
            StepText::Unique(names) => plan.unique(Some(&refs(names))),
            StepText::Limit(rows) => plan.limit(*rows),
            StepText::Sort { by, descending, nulls_last, in_order, rows } => {
                let options = SortMultipleOptions::default()
                    .with_order_descending_multi(descending.clone())
                    .with_nulls_last_multi(nulls_last.clone())
                    .with_maintain_order(*in_order);
                plan.ordered("sort", &all(by)?, &options, *rows)
            }
            StepText::Aggregate { keys, over, aggregates } => {
                let (keys, aggregates) = (all(keys)?, all(aggregates)?);
                let over = over.as_ref().map(|OverText { time, window }| {
                    let window = window.read();
                    Ok(Over { time: time.as_str().into(), cut: window.cut()?, window })
                });
                plan.aggregated(&keys, over.transpose()?, &aggregates)
            }
        }
    }
}

fn refs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}
