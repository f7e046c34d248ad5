//! Filters that are decided on a row's cells, before any column grows: comparisons of a column with a literal or with several,
//! and what `and`, `or` and `not` make of them. Each means to the letter what Polars makes of the same expression; an expression that
//! is not known here is left to Polars, and the rows stay.

use std::cmp::Ordering;

use engine::RowFilter;
use polars::prelude::*;
use polars_plan::dsl::{BooleanFunction, FunctionExpr};
use polars_plan::plans::DynLiteralValue;

use super::rows::{Cell, Kind};

/// Says which rows are needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    passes: Vec<Test>,
    needed: Vec<Test>,
    /// The column whose time is told of rows that pass and are not needed.
    time: Option<usize>,
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Needed,
    /// It is not needed; its time, where that moves the watermark.
    LeftOut(Option<i64>),
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Compare {
        column: usize,
        operator: Compare,
        value: Value,
    },
    OneOf {
        column: usize,
        values: Values,
    },
    /// A column of truth values.
    Is(usize),
    Null(usize),
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Debug, PartialEq)]
enum Value {
    Text(String),
    Whole(i64),
    Float(f64),
    Bool(bool),
    /// In the column's own scale.
    Decimal(i128),
    /// What a decimal of this scale is compared with as a float.
    OfDecimal(f64, f64),
}

/// Values of one type.
#[derive(Clone, Debug, PartialEq)]
enum Values {
    Text(PlHashSet<String>),
    Whole(PlHashSet<i64>),
}

impl Filter {
    /// What of `filter` is known here, for rows of `schema`; None where nothing is.
    pub(crate) fn new(filter: &RowFilter, schema: &Schema) -> Option<Filter> {
        let known = |exprs: &[Expr]| exprs.iter().flat_map(conjuncts).map(|e| Test::new(e, schema)).collect::<Vec<_>>();
        let passes = known(&filter.passes);
        // A row of which it is not known whether it passes must not move the watermark.
        let decided = passes.iter().all(Option::is_some);
        let time = filter.time.as_ref().and_then(|time| schema.index_of(time)).filter(|_| decided);
        let needed = if time.is_some() { known(&filter.needed) } else { Vec::new() };
        let filter = Filter {
            passes: passes.into_iter().flatten().collect(),
            needed: needed.into_iter().flatten().collect(),
            time,
        };
        (!filter.passes.is_empty() || !filter.needed.is_empty()).then_some(filter)
    }

    #[inline]
    pub(crate) fn judge(&self, cells: &[Cell], record: &str, scratch: &str) -> Verdict {
        let all = |tests: &[Test]| tests.iter().all(|test| test.of(cells, record, scratch) == Some(true));
        if !all(&self.passes) {
            return Verdict::LeftOut(None);
        }
        if !all(&self.needed) {
            let time = self.time.and_then(|time| cells.get(time));
            return Verdict::LeftOut(time.and_then(|time| if let Cell::Int(time) = time { Some(*time) } else { None }));
        }
        Verdict::Needed
    }
}

/// What must all be true for `expr` to be.
fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    match expr {
        Expr::BinaryExpr { left, op: Operator::And | Operator::LogicalAnd, right } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        other => vec![other],
    }
}

impl Test {
    fn new(expr: &Expr, schema: &Schema) -> Option<Test> {
        let pair =
            |left: &Expr, right: &Expr| Some((Box::new(Test::new(left, schema)?), Box::new(Test::new(right, schema)?)));
        match expr {
            Expr::Alias(inner, _) => Test::new(inner, schema),
            Expr::Column(name) => {
                let (column, _, dtype) = schema.get_full(name)?;
                (*dtype == DataType::Boolean).then_some(Test::Is(column))
            }
            Expr::BinaryExpr { left, op: Operator::And | Operator::LogicalAnd, right } => {
                pair(left, right).map(|(left, right)| Test::And(left, right))
            }
            Expr::BinaryExpr { left, op: Operator::Or | Operator::LogicalOr, right } => {
                pair(left, right).map(|(left, right)| Test::Or(left, right))
            }
            Expr::BinaryExpr { left, op, right } => {
                let operator = Compare::of(*op)?;
                match (left.as_ref(), right.as_ref()) {
                    (Expr::Column(name), Expr::Literal(value)) => compare(schema, name, operator, value),
                    (Expr::Literal(value), Expr::Column(name)) => compare(schema, name, operator.turned(), value),
                    _ => None,
                }
            }
            Expr::Function { input, function: FunctionExpr::Boolean(BooleanFunction::IsIn { nulls_equal: false }) } => {
                match input.as_slice() {
                    [Expr::Column(name), values] => one_of(schema, name, &listed(values)?),
                    _ => None,
                }
            }
            Expr::Function { input, function: FunctionExpr::Boolean(function) } => {
                let [input] = input.as_slice() else { return None };
                let null = || if let Expr::Column(name) = input { schema.index_of(name).map(Test::Null) } else { None };
                match function {
                    BooleanFunction::IsNull => null(),
                    BooleanFunction::IsNotNull => null().map(|null| Test::Not(Box::new(null))),
                    BooleanFunction::Not => Test::new(input, schema).map(|test| Test::Not(Box::new(test))),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Its truth, by the rules for nulls that Polars has.
    fn of(&self, cells: &[Cell], record: &str, scratch: &str) -> Option<bool> {
        match self {
            Test::Compare { column, operator, value } => {
                Some(operator.holds(value.compared(cells.get(*column)?, record, scratch)?))
            }
            Test::OneOf { column, values } => values.contain(cells.get(*column)?, record, scratch),
            Test::Is(column) => match cells.get(*column)? {
                Cell::Bool(value) => Some(*value),
                _ => None,
            },
            Test::Null(column) => Some(matches!(cells.get(*column)?, Cell::Null)),
            Test::Not(test) => test.of(cells, record, scratch).map(|value| !value),
            Test::And(left, right) => match (left.of(cells, record, scratch), right.of(cells, record, scratch)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Test::Or(left, right) => match (left.of(cells, record, scratch), right.of(cells, record, scratch)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
        }
    }
}

/// The values of a list that is given.
fn listed(expr: &Expr) -> Option<Series> {
    match expr {
        Expr::Alias(inner, _) => listed(inner),
        Expr::Agg(AggExpr::Implode { input, .. }) => match input.as_ref() {
            Expr::Literal(LiteralValue::Series(values)) => Some((**values).clone()),
            _ => None,
        },
        Expr::Literal(LiteralValue::Scalar(scalar)) => match scalar.value() {
            AnyValue::List(values) => Some(values.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a column's value is among others of its own type, no null among them. Where there are none a null is not among them
/// either, and not null.
fn one_of(schema: &Schema, name: &str, values: &Series) -> Option<Test> {
    let (column, _, dtype) = schema.get_full(name)?;
    if values.dtype() != dtype || values.is_empty() || values.null_count() > 0 {
        return None;
    }
    let values = match Kind::of(dtype)? {
        Kind::Text => Values::Text(values.str().ok()?.iter().flatten().map(str::to_owned).collect()),
        Kind::Int(..) => Values::Whole(values.cast(&DataType::Int64).ok()?.i64().ok()?.iter().flatten().collect()),
        _ => return None,
    };
    Some(Test::OneOf { column, values })
}

/// A column's comparison with a literal, for the types where Polars' own is known to the letter.
fn compare(schema: &Schema, name: &str, operator: Compare, literal: &LiteralValue) -> Option<Test> {
    let (column, _, dtype) = schema.get_full(name)?;
    let value = match (Kind::of(dtype)?, literal) {
        (Kind::Text, literal) => Value::Text(literal.extract_str()?.to_owned()),
        (Kind::Bool, literal) => Value::Bool(literal.bool()?),
        (Kind::Int(..), LiteralValue::Dyn(DynLiteralValue::Int(value))) => Value::Whole(i64::try_from(*value).ok()?),
        // The column becomes one of floats then, and its largest numbers are rounded.
        (Kind::Int(..), LiteralValue::Dyn(DynLiteralValue::Float(value))) => Value::Float(*value),
        (Kind::Float, LiteralValue::Dyn(DynLiteralValue::Float(value))) if *dtype == DataType::Float64 => {
            Value::Float(*value)
        }
        #[allow(clippy::cast_precision_loss, reason = "as Polars casts it")]
        (Kind::Float, LiteralValue::Dyn(DynLiteralValue::Int(value))) if *dtype == DataType::Float64 => {
            Value::Float(*value as f64)
        }
        (Kind::Decimal { scale, .. }, LiteralValue::Dyn(DynLiteralValue::Int(value))) => Value::Decimal(
            10i128.checked_pow(u32::try_from(scale).ok()?)?.checked_mul(i128::from(i64::try_from(*value).ok()?))?,
        ),
        // Larger powers of ten are not exact.
        (Kind::Decimal { scale: scale @ ..=22, .. }, LiteralValue::Dyn(DynLiteralValue::Float(value))) => {
            Value::OfDecimal(*value, 10f64.powi(i32::try_from(scale).ok()?))
        }
        _ => return None,
    };
    if matches!(value, Value::Float(float) | Value::OfDecimal(float, _) if float.is_nan()) {
        return None;
    }
    Some(Test::Compare { column, operator, value })
}

/// A cell's text; none for null.
fn text<'a>(cell: &Cell, record: &'a str, scratch: &'a str) -> Option<&'a str> {
    match cell {
        Cell::Text(from, to) => record.get(*from..*to),
        Cell::Scratch(from, to) => scratch.get(*from..*to),
        _ => None,
    }
}

impl Values {
    /// Whether the cell is one of them; none for null.
    fn contain(&self, cell: &Cell, record: &str, scratch: &str) -> Option<bool> {
        match (cell, self) {
            (cell, Values::Text(values)) => Some(values.contains(text(cell, record, scratch)?)),
            (Cell::Int(cell), Values::Whole(values)) => Some(values.contains(cell)),
            _ => None,
        }
    }
}

impl Value {
    /// How the cell compares with it; none for null.
    fn compared(&self, cell: &Cell, record: &str, scratch: &str) -> Option<Ordering> {
        match (cell, self) {
            (cell, Value::Text(value)) => Some(text(cell, record, scratch)?.cmp(value)),
            (Cell::Int(cell), Value::Whole(value)) => Some(cell.cmp(value)),
            #[allow(clippy::cast_precision_loss, reason = "as Polars casts it")]
            (Cell::Int(cell), Value::Float(value)) => (*cell as f64).partial_cmp(value),
            (Cell::Float(cell), Value::Float(value)) => cell.partial_cmp(value),
            (Cell::Decimal(cell), Value::Decimal(value)) => Some(cell.cmp(value)),
            #[allow(clippy::cast_precision_loss, reason = "as Polars casts it")]
            (Cell::Decimal(cell), Value::OfDecimal(value, scale)) => (*cell as f64 / scale).partial_cmp(value),
            (Cell::Bool(cell), Value::Bool(value)) => Some(cell.cmp(value)),
            _ => None,
        }
    }
}

impl Compare {
    fn of(operator: Operator) -> Option<Compare> {
        Some(match operator {
            Operator::Eq => Compare::Equal,
            Operator::NotEq => Compare::NotEqual,
            Operator::Lt => Compare::Less,
            Operator::LtEq => Compare::LessOrEqual,
            Operator::Gt => Compare::Greater,
            Operator::GtEq => Compare::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The operator when the sides change places.
    fn turned(self) -> Compare {
        match self {
            Compare::Less => Compare::Greater,
            Compare::LessOrEqual => Compare::GreaterOrEqual,
            Compare::Greater => Compare::Less,
            Compare::GreaterOrEqual => Compare::LessOrEqual,
            same => same,
        }
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Compare::Equal => order.is_eq(),
            Compare::NotEqual => order.is_ne(),
            Compare::Less => order.is_lt(),
            Compare::LessOrEqual => order.is_le(),
            Compare::Greater => order.is_gt(),
            Compare::GreaterOrEqual => order.is_ge(),
        }
    }
}
