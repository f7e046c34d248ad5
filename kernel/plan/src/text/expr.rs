//! Expressions in a text: Polars' tree, in words of ours.

use std::sync::Arc;

use polars::chunked_array::cast::CastOptions;
use polars::prelude::*;
use polars_plan::plans::{DynLiteralValue, LiteralValue};
use serde::{Deserialize, Serialize};

use super::dtype::TypeText;
use super::function::FunctionText;
use super::value::{ColumnText, ValueText};
use super::{NoText, nothing};
use crate::PlanError;

/// An expression.
#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum ExprText {
    Column {
        name: String,
    },
    Columns {
        names: Vec<String>,
        strict: bool,
    },
    AllColumns,
    Alias {
        of: Box<ExprText>,
        name: String,
    },
    KeepName {
        of: Box<ExprText>,
    },
    /// A whole number, a fraction or a text whose type is told by what stands beside it.
    Number {
        value: String,
    },
    Fraction {
        value: String,
    },
    Text {
        value: String,
    },
    Value {
        dtype: TypeText,
        value: ValueText,
    },
    Values {
        of: ColumnText,
    },
    Binary {
        left: Box<ExprText>,
        op: OperatorText,
        right: Box<ExprText>,
    },
    Cast {
        of: Box<ExprText>,
        dtype: TypeText,
        overflow: OverflowText,
    },
    When {
        condition: Box<ExprText>,
        then: Box<ExprText>,
        otherwise: Box<ExprText>,
    },
    Aggregate {
        of: Box<ExprText>,
        by: AggregateText,
    },
    Len,
    Filter {
        of: Box<ExprText>,
        by: Box<ExprText>,
    },
    Function {
        name: FunctionText,
        of: Vec<ExprText>,
    },
    Named {
        name: String,
        of: Vec<ExprText>,
    },
    /// What has no text, in words: only in what a query is known by.
    Other {
        words: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OperatorText {
    Eq,
    EqMissing,
    NotEq,
    NotEqMissing,
    Lt,
    LtEq,
    Gt,
    GtEq,
    Plus,
    Minus,
    Multiply,
    Divide,
    TrueDivide,
    FloorDivide,
    Modulus,
    BitAnd,
    BitOr,
    Xor,
    And,
    Or,
}

/// What becomes of a value that a type does not hold.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum OverflowText {
    Error,
    Null,
    Wrap,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AggregateText {
    Min { nan_wins: bool },
    Max { nan_wins: bool },
    Median,
    NUnique,
    First,
    FirstNonNull,
    Last,
    LastNonNull,
    Mean,
    Implode { in_order: bool },
    Count { nulls: bool },
    Sum,
    Std { ddof: u8 },
    Var { ddof: u8 },
}

/// Makes an expression again that is one of this program's own, by its name and what it works on.
pub type Named<'a> = &'a dyn Fn(&str, &[Expr]) -> Option<Expr>;

/// This program's own among Polars' expressions.
const NAMED: [&str; 1] = ["approx_quantile"];

/// An expression as what a query is known by: exact, and the same in every version.
#[must_use]
pub fn expression(expr: &Expr) -> serde_json::Value {
    let text = ExprText::known(expr);
    serde_json::to_value(text).unwrap_or_else(|_| serde_json::Value::String(format!("{expr:?}")))
}

impl ExprText {
    /// The text, with words in the place of what has none.
    pub(super) fn known(expr: &Expr) -> ExprText {
        match ExprText::of(expr, &|part| Ok(ExprText::Other { words: format!("{part:?}") })) {
            Ok(text) => text,
            Err(_) => ExprText::Other { words: format!("{expr:?}") },
        }
    }

    /// The text that can be read again.
    pub(super) fn exact(expr: &Expr) -> Result<ExprText, NoText> {
        ExprText::of(expr, &|part| Err(NoText(format!("`{part:?}`"))))
    }

    /// `other` is asked for what has no text.
    fn of(expr: &Expr, other: &dyn Fn(&Expr) -> Result<ExprText, NoText>) -> Result<ExprText, NoText> {
        let one = |expr: &Expr| ExprText::of(expr, other).map(Box::new);
        let all = |exprs: &[Expr]| exprs.iter().map(|expr| ExprText::of(expr, other)).collect::<Result<Vec<_>, _>>();
        Ok(match expr {
            Expr::Column(name) => ExprText::Column { name: name.to_string() },
            Expr::Selector(Selector::Wildcard) => ExprText::AllColumns,
            Expr::Selector(Selector::ByName { names, strict }) => {
                ExprText::Columns { names: names.iter().map(ToString::to_string).collect(), strict: *strict }
            }
            Expr::Alias(of, name) => ExprText::Alias { of: one(of)?, name: name.to_string() },
            Expr::KeepName(of) => ExprText::KeepName { of: one(of)? },
            Expr::Literal(literal) => match literal_text(literal) {
                Ok(text) => text,
                Err(_) => return other(expr),
            },
            Expr::BinaryExpr { left, op, right } => {
                ExprText::Binary { left: one(left)?, op: OperatorText::of(*op), right: one(right)? }
            }
            Expr::Cast { expr: of, dtype, options } => match dtype.as_literal().map(TypeText::of) {
                Some(Ok(dtype)) => ExprText::Cast { of: one(of)?, dtype, overflow: OverflowText::of(*options) },
                _ => return other(expr),
            },
            Expr::Ternary { predicate, truthy, falsy } => {
                ExprText::When { condition: one(predicate)?, then: one(truthy)?, otherwise: one(falsy)? }
            }
            Expr::Agg(aggregate) => match AggregateText::of(aggregate) {
                Some((by, of)) => ExprText::Aggregate { of: one(of)?, by },
                None => return other(expr),
            },
            Expr::Len => ExprText::Len,
            Expr::Filter { input, by } => ExprText::Filter { of: one(input)?, by: one(by)? },
            Expr::Function { input, function } => match FunctionText::of(function) {
                Some(name) => ExprText::Function { name, of: all(input)? },
                None => return other(expr),
            },
            Expr::AnonymousFunction { input, fmt_str, .. } if NAMED.contains(&fmt_str.as_str()) => {
                ExprText::Named { name: fmt_str.to_string(), of: all(input)? }
            }
            _ => return other(expr),
        })
    }

    pub(super) fn read(&self, named: Named<'_>) -> Result<Expr, PlanError> {
        let one = |text: &ExprText| text.read(named).map(Arc::new);
        let all = |texts: &[ExprText]| texts.iter().map(|text| text.read(named)).collect::<Result<Vec<_>, _>>();
        Ok(match self {
            ExprText::Column { name } => Expr::Column(name.as_str().into()),
            ExprText::AllColumns => Expr::Selector(Selector::Wildcard),
            ExprText::Columns { names, strict } => {
                let names = names.iter().map(|name| PlSmallStr::from_str(name)).collect();
                Expr::Selector(Selector::ByName { names, strict: *strict })
            }
            ExprText::Alias { of, name } => Expr::Alias(one(of)?, name.as_str().into()),
            ExprText::KeepName { of } => Expr::KeepName(one(of)?),
            ExprText::Number { value } => {
                let value = value.parse().map_err(|_| nothing(&format!("the number \"{value}\"")))?;
                Expr::Literal(LiteralValue::Dyn(DynLiteralValue::Int(value)))
            }
            ExprText::Fraction { value } => {
                let value = value.parse().map_err(|_| nothing(&format!("the fraction \"{value}\"")))?;
                Expr::Literal(LiteralValue::Dyn(DynLiteralValue::Float(value)))
            }
            ExprText::Text { value } => Expr::Literal(LiteralValue::Dyn(DynLiteralValue::Str(value.as_str().into()))),
            ExprText::Value { dtype, value } => {
                let dtype = dtype.read()?;
                let value = value.read(&dtype)?;
                Expr::Literal(LiteralValue::Scalar(Scalar::new(dtype, value)))
            }
            ExprText::Values { of } => Expr::Literal(LiteralValue::Series(SpecialEq::new(of.read()?))),
            ExprText::Binary { left, op, right } => {
                Expr::BinaryExpr { left: one(left)?, op: op.read(), right: one(right)? }
            }
            ExprText::Cast { of, dtype, overflow } => {
                Expr::Cast { expr: one(of)?, dtype: dtype.read()?.into(), options: overflow.read() }
            }
            ExprText::When { condition, then, otherwise } => {
                Expr::Ternary { predicate: one(condition)?, truthy: one(then)?, falsy: one(otherwise)? }
            }
            ExprText::Aggregate { of, by } => Expr::Agg(by.read(one(of)?)),
            ExprText::Len => Expr::Len,
            ExprText::Filter { of, by } => Expr::Filter { input: one(of)?, by: one(by)? },
            ExprText::Function { name, of } => Expr::Function { input: all(of)?, function: name.read()? },
            ExprText::Named { name, of } => {
                named(name, &all(of)?).ok_or_else(|| nothing(&format!("the function \"{name}\"")))?
            }
            ExprText::Other { words } => return Err(nothing(&format!("the expression {words}"))),
        })
    }
}

fn literal_text(literal: &LiteralValue) -> Result<ExprText, NoText> {
    Ok(match literal {
        LiteralValue::Dyn(DynLiteralValue::Int(value)) => ExprText::Number { value: value.to_string() },
        LiteralValue::Dyn(DynLiteralValue::Float(value)) => ExprText::Fraction { value: format!("{value:?}") },
        LiteralValue::Dyn(DynLiteralValue::Str(value)) => ExprText::Text { value: value.to_string() },
        LiteralValue::Scalar(scalar) => {
            ExprText::Value { dtype: TypeText::of(scalar.dtype())?, value: ValueText::of(scalar.value())? }
        }
        LiteralValue::Series(series) => ExprText::Values { of: ColumnText::of(series)? },
        _ => return Err(NoText("a literal".to_owned())),
    })
}

impl OperatorText {
    fn of(op: Operator) -> OperatorText {
        use OperatorText as T;
        match op {
            Operator::Eq => T::Eq,
            Operator::EqValidity => T::EqMissing,
            Operator::NotEq => T::NotEq,
            Operator::NotEqValidity => T::NotEqMissing,
            Operator::Lt => T::Lt,
            Operator::LtEq => T::LtEq,
            Operator::Gt => T::Gt,
            Operator::GtEq => T::GtEq,
            Operator::Plus => T::Plus,
            Operator::Minus => T::Minus,
            Operator::Multiply => T::Multiply,
            Operator::RustDivide => T::Divide,
            Operator::TrueDivide => T::TrueDivide,
            Operator::FloorDivide => T::FloorDivide,
            Operator::Modulus => T::Modulus,
            Operator::And => T::BitAnd,
            Operator::Or => T::BitOr,
            Operator::Xor => T::Xor,
            Operator::LogicalAnd => T::And,
            Operator::LogicalOr => T::Or,
        }
    }

    fn read(&self) -> Operator {
        use OperatorText as T;
        match self {
            T::Eq => Operator::Eq,
            T::EqMissing => Operator::EqValidity,
            T::NotEq => Operator::NotEq,
            T::NotEqMissing => Operator::NotEqValidity,
            T::Lt => Operator::Lt,
            T::LtEq => Operator::LtEq,
            T::Gt => Operator::Gt,
            T::GtEq => Operator::GtEq,
            T::Plus => Operator::Plus,
            T::Minus => Operator::Minus,
            T::Multiply => Operator::Multiply,
            T::Divide => Operator::RustDivide,
            T::TrueDivide => Operator::TrueDivide,
            T::FloorDivide => Operator::FloorDivide,
            T::Modulus => Operator::Modulus,
            T::BitAnd => Operator::And,
            T::BitOr => Operator::Or,
            T::Xor => Operator::Xor,
            T::And => Operator::LogicalAnd,
            T::Or => Operator::LogicalOr,
        }
    }
}

impl OverflowText {
    fn of(options: CastOptions) -> OverflowText {
        match options {
            CastOptions::Strict => OverflowText::Error,
            CastOptions::NonStrict => OverflowText::Null,
            CastOptions::Overflowing => OverflowText::Wrap,
        }
    }

    fn read(&self) -> CastOptions {
        match self {
            OverflowText::Error => CastOptions::Strict,
            OverflowText::Null => CastOptions::NonStrict,
            OverflowText::Wrap => CastOptions::Overflowing,
        }
    }
}

impl AggregateText {
    /// What aggregates, and what is aggregated.
    fn of(aggregate: &AggExpr) -> Option<(AggregateText, &Expr)> {
        use AggregateText as T;
        let (by, of) = match aggregate {
            AggExpr::Min { input, propagate_nans } => (T::Min { nan_wins: *propagate_nans }, input),
            AggExpr::Max { input, propagate_nans } => (T::Max { nan_wins: *propagate_nans }, input),
            AggExpr::Median(input) => (T::Median, input),
            AggExpr::NUnique(input) => (T::NUnique, input),
            AggExpr::First(input) => (T::First, input),
            AggExpr::FirstNonNull(input) => (T::FirstNonNull, input),
            AggExpr::Last(input) => (T::Last, input),
            AggExpr::LastNonNull(input) => (T::LastNonNull, input),
            AggExpr::Mean(input) => (T::Mean, input),
            AggExpr::Implode { input, maintain_order } => (T::Implode { in_order: *maintain_order }, input),
            AggExpr::Count { input, include_nulls } => (T::Count { nulls: *include_nulls }, input),
            AggExpr::Sum(input) => (T::Sum, input),
            AggExpr::Std(input, ddof) => (T::Std { ddof: *ddof }, input),
            AggExpr::Var(input, ddof) => (T::Var { ddof: *ddof }, input),
            _ => return None,
        };
        Some((by, of))
    }

    fn read(&self, input: Arc<Expr>) -> AggExpr {
        use AggregateText as T;
        match self {
            T::Min { nan_wins } => AggExpr::Min { input, propagate_nans: *nan_wins },
            T::Max { nan_wins } => AggExpr::Max { input, propagate_nans: *nan_wins },
            T::Median => AggExpr::Median(input),
            T::NUnique => AggExpr::NUnique(input),
            T::First => AggExpr::First(input),
            T::FirstNonNull => AggExpr::FirstNonNull(input),
            T::Last => AggExpr::Last(input),
            T::LastNonNull => AggExpr::LastNonNull(input),
            T::Mean => AggExpr::Mean(input),
            T::Implode { in_order } => AggExpr::Implode { input, maintain_order: *in_order },
            T::Count { nulls } => AggExpr::Count { input, include_nulls: *nulls },
            T::Sum => AggExpr::Sum(input),
            T::Std { ddof } => AggExpr::Std(input, *ddof),
            T::Var { ddof } => AggExpr::Var(input, *ddof),
        }
    }
}
