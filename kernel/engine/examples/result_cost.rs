//! What it costs to keep a result of a million rows of which a batch changes a thousand: when nobody looks, and when somebody
//! looks after each batch. One JSON object a line.
//!
//! `cargo run --release --workspace --locked --example result_cost`

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use engine::{Changes, LiveResult, Page, ROWS_HELD, Status};
use polars::prelude::*;

/// Rows that a batch changes, far from one another.
const CHANGED: u64 = 1_000;
const BATCHES: u64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    for is_looked_at in [false, true] {
        let rows = ROWS_HELD as u64;
        let all = changes((0..rows).collect(), 0)?;
        let result = LiveResult::new(all.rows.schema().clone(), Status::default());
        result.apply(&all, |_| {})?;
        let page = Page { len: 20, ..Page::default() };
        result.page(&page)?;
        let begun = Instant::now();
        let batches = if is_looked_at { BATCHES / 20 } else { BATCHES };
        for batch in 0..batches {
            let ids = (0..CHANGED).map(|n| (n * 997 + batch * 7_919) % rows).collect();
            result.apply(&changes(ids, batch)?, |_| {})?;
            if is_looked_at {
                result.page(&page)?;
            }
        }
        let batch_ms = begun.elapsed().as_secs_f64() * 1e3 / batches as f64;
        writeln!(
            std::io::stdout(),
            "{{\"rows\": {rows}, \"changed\": {CHANGED}, \"looked_at\": {is_looked_at}, \"batch_ms\": {batch_ms:.3}}}"
        )?;
    }
    Ok(())
}

fn changes(ids: Vec<u64>, batch: u64) -> PolarsResult<Changes> {
    let rows = df![
        "key" => ids.iter().map(|id| format!("account {id}")).collect::<Vec<_>>(),
        "n" => ids.iter().map(|id| id + batch).collect::<Vec<_>>(),
        "total" => ids.iter().map(|id| *id as f64 * 1.5).collect::<Vec<_>>(),
    ]?;
    Ok(Changes { ids, rows, deletes: Vec::new() })
}
