//! How long a record takes from its bytes to a row: `cargo run --release --example decode`. Prints a line of JSON a case.
#![allow(missing_docs, clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use connectors::bank::Generator;
use connectors::{Format, Json, Rows};
use polars::prelude::{DataType, PlSmallStr, PolarsResult, Schema, TimeUnit, TimeZone};

const RECORDS: i64 = 100_000;
const ROUNDS: usize = 10;

fn main() -> PolarsResult<()> {
    let mut generator = Generator::new(1);
    let records: Vec<Vec<u8>> = (0..RECORDS).map(|n| generator.next(1_795_446_000_000 + n).value.to_vec()).collect();
    let text = |name: &'static str| (PlSmallStr::from(name), DataType::String);
    let schema: Schema = [
        text("txn_id"), text("account_id"), text("card_type"), text("merchant"), text("category"),
        ("amount".into(), DataType::Decimal(38, 2)),
        text("currency"), text("country"), text("channel"), text("status"),
        ("event_time".into(), DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC))),
    ].into_iter().collect();
    let four = ["category", "amount", "status", "event_time"].map(str::to_owned);
    for (case, columns) in [("11 of 11 fields", None), ("4 of 11 fields", Some(&four[..]))] {
        let mut json = Json::new(&schema, columns)?;
        let mut rows = Rows::new(json.schema().clone())?;
        let mut best = f64::MAX;
        let mut malformed = 0usize;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            malformed = 0;
            for some in records.chunks(8_192) {
                malformed += some.iter().filter(|record| json.decode(record, &mut rows).is_err()).count();
                black_box(rows.take()?);
            }
            best = best.min(begun.elapsed().as_secs_f64());
        }
        let bytes: usize = records.iter().map(Vec::len).sum();
        let ns = best * 1e9 / records.len() as f64;
        println!("{{\"case\":\"{case}\",\"ns_a_row\":{ns:.0},\"bytes_a_row\":{},\"malformed\":{malformed}}}", bytes / records.len());
    }
    Ok(())
}
