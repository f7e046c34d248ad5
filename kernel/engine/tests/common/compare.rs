//! Whether two frames are equal: floats to 1e-9, everything else to the letter.

use polars::prelude::*;

/// Compares row by row.
pub(crate) fn equal(ours: &DataFrame, polars: &DataFrame) -> Result<(), String> {
    let both = || format!("ours: {ours}\nPolars: {polars}");
    if ours.schema() != polars.schema() {
        return Err(format!("the columns differ: {:?} and {:?}", ours.schema(), polars.schema()));
    }
    if ours.height() != polars.height() {
        return Err(format!("there are {} rows and not {}\n{}", ours.height(), polars.height(), both()));
    }
    for (a, b) in ours.columns().iter().zip(polars.columns()) {
        let same = if a.dtype() == &DataType::Float64 {
            a.f64().unwrap().iter().zip(b.f64().unwrap().iter()).all(|(x, y)| close(x, y))
        } else {
            a.equals_missing(b)
        };
        if !same {
            return Err(format!("column \"{}\" differs\n{}", a.name(), both()));
        }
    }
    Ok(())
}

fn close(x: Option<f64>, y: Option<f64>) -> bool {
    match (x, y) {
        (Some(x), Some(y)) => {
            x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1e3)
        }
        (x, y) => x == y,
    }
}

/// Compares the rows whatever their order.
pub(crate) fn same_rows(ours: &DataFrame, polars: &DataFrame) -> Result<(), String> {
    if ours.schema() != polars.schema() {
        return Err(format!("the columns differ: {:?} and {:?}", ours.schema(), polars.schema()));
    }
    let lines = |frame: &DataFrame| -> Vec<String> {
        let columns: Vec<&Series> = frame.columns().iter().map(|c| c.as_materialized_series()).collect();
        let cell = |value: AnyValue<'_>| match value {
            AnyValue::Float64(x) => format!("{x:?}"),
            value => value.to_string(),
        };
        let line = |row| columns.iter().map(|c| cell(c.get(row).unwrap())).collect::<Vec<_>>();
        let mut lines: Vec<String> = (0..frame.height()).map(|row| line(row).join(" ")).collect();
        lines.sort_unstable();
        lines
    };
    if lines(ours) == lines(polars) { Ok(()) } else { Err(format!("the rows differ\nours: {ours}\nPolars: {polars}")) }
}
