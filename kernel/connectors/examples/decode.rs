//! How long a record takes from its bytes to a row, and beside it, as the measure of the machine, how long serde_json
//! takes to a struct of the same fields. `cargo run --release --example decode` prints a line of JSON a case.
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
        text("txn_id"),
        text("account_id"),
        text("card_type"),
        text("merchant"),
        text("category"),
        ("amount".into(), DataType::Decimal(38, 2)),
        text("currency"),
        text("country"),
        text("channel"),
        text("status"),
        ("event_time".into(), DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC))),
    ]
    .into_iter()
    .collect();
    let four = ["category", "amount", "status", "event_time"].map(str::to_owned);
    let ns = best_of(&records, |some| {
        some.iter().filter(|record| serde_json::from_slice::<Transaction<'_>>(record).is_err()).count()
    });
    println!("{{\"case\":\"serde_json to a struct\",\"ns_a_row\":{:.0},\"malformed\":{}}}", ns.0, ns.1);
    for (case, columns) in [("11 of 11 fields", None), ("4 of 11 fields", Some(&four[..]))] {
        let mut json = Json::new(&schema, columns)?;
        let mut rows = Rows::new(json.schema().clone())?;
        let (ns, malformed) = best_of(&records, |some| {
            let malformed = some.iter().filter(|record| json.decode(record, &mut rows).is_err()).count();
            black_box(rows.take().map_or(0, |frame| frame.height()));
            malformed
        });
        let bytes: usize = records.iter().map(Vec::len).sum();
        println!(
            "{{\"case\":\"{case}\",\"ns_a_row\":{ns:.0},\"bytes_a_row\":{},\"malformed\":{malformed}}}",
            bytes / records.len()
        );
    }
    Ok(())
}

/// Nanoseconds a record, and how many were malformed.
fn best_of(records: &[Vec<u8>], mut decode: impl FnMut(&[Vec<u8>]) -> usize) -> (f64, usize) {
    let mut best = f64::MAX;
    let mut malformed = 0;
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        malformed = records.chunks(8_192).map(&mut decode).sum();
        best = best.min(begun.elapsed().as_secs_f64());
    }
    (best * 1e9 / records.len() as f64, malformed)
}

#[derive(serde::Deserialize)]
#[allow(dead_code, reason = "only to be read into")]
struct Transaction<'a> {
    txn_id: &'a str,
    account_id: &'a str,
    card_type: &'a str,
    merchant: &'a str,
    category: &'a str,
    amount: f64,
    currency: &'a str,
    country: &'a str,
    channel: &'a str,
    status: &'a str,
    event_time: i64,
}
