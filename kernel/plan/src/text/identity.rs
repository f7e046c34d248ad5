//! What a plan asks, as data to know it by: everything that makes a difference to its result, and nothing else. Not where the
//! topics are, nor the rows of a frame that they are looked up in, which may be others tomorrow; not the order of aggregates,
//! nor how a length of time was written. The same in every version of Polars.

use polars::prelude::*;
use serde_json::{Value, json};

use super::dtype::TypeText;
use super::expr::expression;
use super::join::StrategyText;
use super::window::{ClosedText, LabelText};
use crate::aggregate::Aggregate;
use crate::join::{Join, JoinKind};
use crate::lookup::Lookup;
use crate::node::{Node, Order, Step};
use crate::scan::{Format, Scan};
use crate::window::Cut;
use crate::{AsofStrategy, Plan};

/// What a plan asks.
#[must_use]
pub fn identity(plan: &Plan) -> Value {
    let root = plan.root();
    let of = match root.node() {
        Node::Scan(scan) => scan_identity(scan, root.schema()),
        Node::Union(inputs) => json!({ "union": inputs.iter().map(identity).collect::<Vec<_>>() }),
        Node::Join(join) => join_identity(join),
        Node::Step { step, .. } => step_identity(step),
    };
    let steps: Vec<Value> = plan.steps().into_iter().map(step_identity).collect();
    json!({ "of": of, "steps": steps })
}

/// What is read, of which `read` are the columns.
#[must_use]
pub fn scan_identity(scan: &Scan, read: &Schema) -> Value {
    let format = scan.format.as_ref().map(|Format { name, options }| json!({ "name": name, "options": options }));
    json!({ "connector": scan.connector, "topics": scan.topics, "format": format, "columns": columns(read) })
}

/// What a step asks.
#[must_use]
pub fn step_identity(step: &Step) -> Value {
    match step {
        Step::Filter(predicate) => json!({ "filter": expression(predicate) }),
        Step::Select(exprs) => json!({ "select": all(exprs) }),
        Step::WithColumns(exprs) => json!({ "with_columns": all(exprs) }),
        Step::Watermark(mark) => {
            json!({ "watermark": mark.column.as_str(), "delay_ms": mark.delay_ms, "by_clock": mark.by_clock })
        }
        Step::ProcessingTime(column) => json!({ "processing_time": column.as_str() }),
        Step::LateRows(of) => json!({ "late_rows": step_identity(of) }),
        Step::Explode(names) => json!({ "explode": texts(names) }),
        Step::Unnest(names) => json!({ "unnest": texts(names) }),
        // What a person's function does is not known.
        Step::MapBatches(closure) => json!({ "function": closure.words().line() }),
        Step::WithState(keys, _) => json!({ "with_state": all(keys) }),
        Step::Join(lookup) => look_up(lookup),
        Step::Unique(names) => json!({ "unique": texts(names) }),
        Step::Limit(rows) => json!({ "limit": rows }),
        Step::Sort(Order { by, options, k }) => json!({
            "sort": all(by), "descending": options.descending, "nulls_last": options.nulls_last, "rows": k,
        }),
        Step::Aggregate(aggregate) => aggregate_identity(aggregate, false),
    }
}

/// What an aggregation asks; `in_order` says whether the order of its aggregates makes a difference.
#[must_use]
pub fn aggregate_identity(aggregate: &Aggregate, in_order: bool) -> Value {
    let over = aggregate.over.as_ref().map(|over| {
        let cut = match over.cut {
            Cut::Every(hops) => {
                let [every, period, offset] = [hops.every, hops.period, hops.offset].map(length);
                let (closed, label) = (ClosedText::of(hops.closed), LabelText::of(hops.label));
                json!({
                    "every": every, "period": period, "offset": offset,
                    "closed": closed, "label": label, "boundaries": hops.boundaries,
                })
            }
            Cut::Session { gap } => json!({ "gap": length(gap) }),
        };
        json!({ "time": over.time.as_str(), "cut": cut })
    });
    let mut aggregates = all(&aggregate.written);
    if !in_order {
        aggregates.sort_by_cached_key(canonical);
    }
    json!({ "aggregate": aggregates, "keys": all(&aggregate.keys), "over": over })
}

/// The direction in which the nearest row is looked for.
#[must_use]
pub fn strategy_identity(strategy: AsofStrategy) -> Value {
    json!(StrategyText::of(strategy))
}

/// Columns with their types.
#[must_use]
pub fn columns(schema: &Schema) -> Vec<Value> {
    schema.iter().map(|(name, dtype)| json!([name.as_str(), type_identity(dtype)])).collect()
}

/// The columns that [`columns`] wrote, if all of their types have a text.
#[must_use]
pub fn read_columns(columns: &[Value]) -> Option<Schema> {
    let field = |column: &Value| {
        let (name, dtype) = serde_json::from_value::<(String, TypeText)>(column.clone()).ok()?;
        Some(Field::new(name.into(), dtype.read().ok()?))
    };
    columns.iter().map(field).collect()
}

/// A type.
#[must_use]
pub fn type_identity(dtype: &DataType) -> Value {
    let text = TypeText::of(dtype).ok().and_then(|text| serde_json::to_value(text).ok());
    text.unwrap_or_else(|| Value::String(dtype.to_string()))
}

/// A value as text that is the same however it was put together: names in their order, no spaces.
#[must_use]
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Object(fields) => {
            let mut fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{}:{}", Value::String(name.clone()), canonical(value)))
                .collect();
            fields.sort_unstable();
            format!("{{{}}}", fields.join(","))
        }
        value => value.to_string(),
    }
}

fn join_identity(join: &Join) -> Value {
    let kind = match &join.kind {
        JoinKind::Within { how, .. } => json!({ "how": how.to_string() }),
        JoinKind::Asof(on) => json!({ "asof": StrategyText::of(on.strategy), "exact": on.exact }),
        JoinKind::Equal(how) => json!({ "equal": how.to_string() }),
    };
    let sides = join
        .sides
        .iter()
        .map(|side| json!({ "of": identity(&side.plan), "on": all(&side.on), "time": side.time.as_ref().map(PlSmallStr::as_str) }));
    let bound = join.bound().map(|(steps, _)| steps);
    json!({ "join": sides.collect::<Vec<_>>(), "by": kind, "bound": bound, "late": join.late })
}

fn look_up(lookup: &Lookup) -> Value {
    let [left, right] = lookup.keys();
    let nearest = lookup
        .nearest()
        .map(|on| json!([&on.left_on, &on.right_on, StrategyText::of(on.strategy), &on.tolerance, on.exact]));
    json!({
        "look_up": columns(lookup.frame().schema()), "left_on": all(left), "right_on": all(right),
        "how": lookup.how().map_or("ASOF".to_owned(), ToString::to_string), "nearest": nearest,
    })
}

fn length(duration: Duration) -> Value {
    json!([duration.negative(), duration.months(), duration.weeks(), duration.days(), duration.nanoseconds()])
}

fn all(exprs: &[Expr]) -> Vec<Value> {
    exprs.iter().map(expression).collect()
}

fn texts(names: &[PlSmallStr]) -> Vec<&str> {
    names.iter().map(PlSmallStr::as_str).collect()
}
