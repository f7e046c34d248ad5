//! How long a record takes from its bytes to a row, and beside it how long a hand-written loop takes to a struct of the same
//! fields with serde_json, which is what one would write; our rows end in columns, the loop's struct is looked at and let go.
//! `cargo run --release --example decode` prints a line of JSON a case.
#![allow(missing_docs, clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use connectors::bank::Generator;
use connectors::{Format, Json, Rows};
use engine::RowFilter;
use polars::prelude::{
    DataType, IntoLazy as _, PlSmallStr, PolarsResult, Schema, SortOptions, TimeUnit, TimeZone, col, lit,
};

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
    let bytes = records.iter().map(Vec::len).sum::<usize>() / records.len();
    let by_hand: [fn(_); 2] = [by_hand::<Transaction<'_>>, by_hand::<Four<'_>>];
    let cases = [("11 of 11 fields", None), ("4 of 11 fields", Some(&four[..]))];
    for ((case, columns), by_hand) in cases.into_iter().zip(by_hand) {
        let mut json = Json::new(&schema, columns)?;
        let mut rows = Rows::new(json.schema().clone())?;
        let mut malformed = 0;
        let ours = |some: &[Vec<u8>]| {
            malformed += some.iter().filter(|record| json.decode(record, &mut rows).is_err()).count();
            black_box(rows.take().map_or(0, |frame| frame.height()));
        };
        let [limit, ours] = best_of(&records, by_hand, ours);
        println!(
            "{{\"case\":\"{case}\",\"ns_a_row\":{ours:.0},\"by_hand_ns_a_row\":{limit:.0},\"ratio\":{:.3},\"bytes_a_row\":{bytes},\"malformed\":{malformed}}}",
            limit / ours,
            malformed = malformed / ROUNDS,
        );
    }
    for percent in [1, 50, 99, 100] {
        needed(&records, &schema, percent)?;
    }
    Ok(())
}

/// All fields of records of which a filter needs so many: left out before their columns grow, and beside it decoded and then
/// filtered by Polars.
fn needed(records: &[Vec<u8>], schema: &Schema, percent: usize) -> PolarsResult<()> {
    let mut json = Json::new(schema, None)?;
    let mut all = Rows::new(json.schema().clone())?;
    records.iter().for_each(|record| drop(json.decode(record, &mut all)));
    let ids = all.take()?.column("txn_id")?.sort(SortOptions::default())?;
    let last = ids.str()?.get((ids.len() * percent / 100).min(ids.len() - 1)).unwrap_or_default().to_owned();
    let predicate = if percent == 100 { col("txn_id").lt_eq(lit(last)) } else { col("txn_id").lt(lit(last)) };
    let filter = RowFilter { passes: vec![predicate.clone()], ..RowFilter::default() };
    let way = |rows: Rows| {
        let (mut json, mut rows, predicate) = (Json::new(schema, None), rows, predicate.clone());
        move |some: &[Vec<u8>]| {
            let Ok(json) = &mut json else { return };
            some.iter().for_each(|record| drop(json.decode(record, &mut rows)));
            let rows = rows.take().and_then(|rows| rows.lazy().filter(predicate.clone()).collect());
            black_box(rows.map_or(0, |rows| rows.height()));
        }
    };
    let empty = || Rows::new(json.schema().clone());
    let [after, pushed] = best_of(records, way(empty()?), way(empty()?.with_filter(&filter)));
    println!(
        "{{\"case\":\"{percent} % of the rows are needed\",\"ns_a_row\":{pushed:.0},\"filtered_after_ns_a_row\":{after:.0},\"ratio\":{:.3}}}",
        after / pushed
    );
    Ok(())
}

fn by_hand<'a, T: serde::Deserialize<'a>>(some: &'a [Vec<u8>]) {
    for record in some {
        let _ = black_box(serde_json::from_slice::<T>(record));
    }
}

/// Nanoseconds a record of each of two ways, in turn, so that a machine that is slow for a while is so for both.
fn best_of<'a>(records: &'a [Vec<u8>], one: impl FnMut(&'a [Vec<u8>]), other: impl FnMut(&'a [Vec<u8>])) -> [f64; 2] {
    let mut best = [f64::MAX; 2];
    let (mut one, mut other) = (one, other);
    let timed = |way: &mut dyn FnMut(&'a [Vec<u8>]), best: &mut f64| {
        let begun = Instant::now();
        records.chunks(8_192).for_each(way);
        *best = best.min(begun.elapsed().as_secs_f64() * 1e9 / records.len() as f64);
    };
    for _ in 0..ROUNDS {
        timed(&mut one, &mut best[0]);
        timed(&mut other, &mut best[1]);
    }
    best
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

/// What a query by category needs.
#[derive(serde::Deserialize)]
#[allow(dead_code, reason = "only to be read into")]
struct Four<'a> {
    category: &'a str,
    amount: f64,
    status: &'a str,
    event_time: i64,
}
