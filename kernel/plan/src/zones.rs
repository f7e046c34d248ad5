//! Times of different zones, which Polars neither compares nor joins nor puts into one column; it says so in words about types.

use polars::prelude::*;

use crate::PlanError;

/// The way out of mixed zones.
pub const ONE_ZONE: &str = "Bring both to one zone with dt().convert_time_zone(TimeZone::UTC); a time that has none is given one with dt().replace_time_zone(…).";

/// What two types are, in words, if they are times of different zones.
#[must_use]
pub fn mixed_zones(one: &DataType, other: &DataType) -> Option<String> {
    let (DataType::Datetime(_, one), DataType::Datetime(_, other)) = (one, other) else { return None };
    let words = |zone: &Option<TimeZone>| match zone {
        Some(zone) => format!("in {zone}"),
        None => "without a zone".to_owned(),
    };
    (one != other).then(|| format!("one is a time {}, the other one {}", words(one), words(other)))
}

/// The refusal of an expression that compares or subtracts times of different zones, if one does.
pub(crate) fn refused(operation: &'static str, schema: &SchemaRef, exprs: &[Expr]) -> Option<PlanError> {
    exprs.iter().flatten().find_map(|part| {
        let Expr::BinaryExpr { left, right, .. } = part else { return None };
        let mixed = mixed(schema, left, schema, right)?;
        Some(PlanError::Refused {
            operation,
            detail: format!("`{part:?}` takes two times together: {mixed}"),
            hint: ONE_ZONE,
        })
    })
}

/// Refuses rows to be equal by times of different zones.
pub(crate) fn check_equal(
    operation: &'static str,
    (left_schema, left): (&SchemaRef, &[Expr]),
    (right_schema, right): (&SchemaRef, &[Expr]),
) -> Result<(), PlanError> {
    for (one, other) in left.iter().zip(right) {
        if let Some(mixed) = mixed(left_schema, one, right_schema, other) {
            let detail = format!("`{one:?}` and `{other:?}` are never equal: {mixed}");
            return Err(PlanError::Refused { operation, detail, hint: ONE_ZONE });
        }
    }
    Ok(())
}

fn mixed(left_schema: &SchemaRef, left: &Expr, right_schema: &SchemaRef, right: &Expr) -> Option<String> {
    mixed_zones(left.to_field(left_schema).ok()?.dtype(), right.to_field(right_schema).ok()?.dtype())
}
