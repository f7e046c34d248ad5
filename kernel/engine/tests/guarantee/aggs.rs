//! Random aggregates, by number: those that are merged first, then those that need a group's rows.

use polars::prelude::*;

/// What the aggregates may look at.
pub(crate) struct Sees {
    /// Whether floats decide anything.
    pub(crate) decides: bool,
    /// Whether all are to be merged.
    pub(crate) merges: bool,
    /// Whether rows have an order.
    pub(crate) placed: bool,
}

/// The aggregates that give lists whose values Polars has in no order that it promises.
pub(crate) const LARGEST: usize = 29;
pub(crate) const SMALLEST: usize = 30;

/// An aggregate of a column; the number of rows where the function does not go with it.
pub(crate) fn aggregate((name, dtype): &(PlSmallStr, DataType), function: usize, sees: &Sees) -> Expr {
    let function = if sees.merges { function % 14 } else { function };
    merged(name, dtype, function)
        .or_else(|| regrouped(name, dtype, function, sees))
        .or_else(|| ordered(name, dtype, function).filter(|_| sees.placed && !dtype.is_nested()))
        .unwrap_or_else(len)
}

fn merged(name: &PlSmallStr, dtype: &DataType, function: usize) -> Option<Expr> {
    let column = || col(name.clone());
    // Means of integers of 64 bits lose digits, which one depends on the order.
    let narrow = matches!(dtype, DataType::Int32 | DataType::UInt32 | DataType::Float64);
    let is_whole = matches!(dtype, DataType::Int32 | DataType::Int64);
    let positive = || column().gt(lit(0));
    let number = dtype.is_primitive_numeric() || matches!(dtype, DataType::Boolean | DataType::Decimal(_, _));
    let ordered = !dtype.is_nested();
    Some(match function {
        0 => len(),
        1 => column().count(),
        2 | 3 if number => column().sum(),
        4 if ordered => column().min(),
        5 if ordered => column().max(),
        6 if narrow || matches!(dtype, DataType::Decimal(_, _)) => column().mean(),
        7 if narrow => column().var(1),
        // With no degree taken, Polars gives a group of one null the deviation 0.
        8 if narrow => column().std(1),
        9 if is_whole => column().filter(positive()).sum(),
        10 if is_whole => when(positive()).then(column()).otherwise(lit(0)).sum(),
        11 if is_whole => column().max() - column().min(),
        12 if is_whole => column().filter(positive()).len(),
        13 if dtype.is_float() => (column() * lit(2.0)).max() + lit(1.0),
        _ => return None,
    })
}

fn regrouped(name: &PlSmallStr, dtype: &DataType, function: usize, sees: &Sees) -> Option<Expr> {
    let column = || col(name.clone());
    let narrow = matches!(dtype, DataType::Int32 | DataType::UInt32 | DataType::Float64);
    let is_whole = dtype.is_integer();
    let exact = !dtype.is_nested() && (sees.decides || !dtype.is_float());
    Some(match function {
        14 | 15 if exact => column().n_unique(),
        16 | 17 if narrow => column().median(),
        18 if narrow => column().quantile(lit(0.9), QuantileMethod::Linear),
        19 if is_whole => column().gt(lit(0)).any(true),
        20 if is_whole => column().gt(lit(0)).all(true),
        21 if dtype == &DataType::Int32 => (column() - column().mean()).abs().max(),
        LARGEST if is_whole => column().top_k(lit(3)),
        SMALLEST if is_whole => column().filter(column().gt(lit(0))).bottom_k(lit(2)),
        22 if dtype == &DataType::Int64 => (column().sum() * lit(2)).alias("doubled"),
        _ => return None,
    })
}

/// By the time, the partition and the offset.
fn ordered(name: &PlSmallStr, dtype: &DataType, function: usize) -> Option<Expr> {
    let column = || col(name.clone());
    Some(match function {
        23 | 24 => column().first(),
        25 | 26 => column().last(),
        27 => column(),
        28 if dtype.is_integer() => {
            column().sort_by([column()], SortMultipleOptions::default().with_maintain_order(true)).first()
        }
        _ => return None,
    })
}
