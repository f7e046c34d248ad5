//! The Nexmark queries (<https://github.com/nexmark/nexmark>) as a notebook has them: the events are read from topics of the
//! embedded broker as JSON, each query is the words of a cell, as a batch and as a running query, and its rows are those of a
//! plain computation over the events.
#![allow(clippy::unwrap_used, missing_docs)]

mod events;
#[path = "../../../engine/tests/common/log.rs"]
mod log;
mod plain;
mod queries;

use std::collections::BTreeSet;
use std::sync::OnceLock;

use corriente::prelude::*;

use events::{Events, Topics};

/// The events and the topics that have them; made once for all tests.
fn nexmark() -> &'static (Events, Topics) {
    static NEXMARK: OnceLock<(Events, Topics)> = OnceLock::new();
    NEXMARK.get_or_init(|| {
        let events = Events::generate();
        let topics = Topics::write(&events);
        (events, topics)
    })
}

/// Runs a query both ways and holds it against the plain rows.
fn check(name: &str, query: impl Fn(&Topics) -> StreamFrame, plain: impl Fn(&Events) -> Vec<String>) {
    let (events, topics) = nexmark();
    let frame = query(topics);
    let mut wanted = plain(events);
    wanted.sort_unstable();
    assert!(wanted.len() > 3, "{name} gives next to nothing: {wanted:?}");
    same(name, "collected", &rows(&frame.collect().unwrap()), &wanted);
    let running = frame.memory(name).output_mode(OutputMode::Update).trigger(Trigger::AvailableNow).start().unwrap();
    running.await_termination().unwrap();
    assert_eq!(running.status().late_rows, 0, "{name}");
    same(name, "streamed", &rows(&running.frame()), &wanted);
}

fn same(name: &str, how: &str, ours: &[String], wanted: &[String]) {
    let (a, b): (BTreeSet<&String>, BTreeSet<&String>) = (ours.iter().collect(), wanted.iter().collect());
    let some = |rows: Vec<&&String>| rows.into_iter().take(5).map(|row| format!("\n  {row}")).collect::<String>();
    let (extra, lost) = (some(a.difference(&b).collect()), some(b.difference(&a).collect()));
    let heights = format!("{name}, {how}: {} rows, and {} are wanted", ours.len(), wanted.len());
    assert!(ours == wanted, "{heights}; too many:{extra}\nmissing:{lost}");
}

/// The rows as text, sorted; times in milliseconds, floats to six digits behind the point.
fn rows(frame: &DataFrame) -> Vec<String> {
    let columns: Vec<&Series> = frame.columns().iter().map(|column| column.as_materialized_series()).collect();
    let line = |row: usize| columns.iter().map(|column| cell(&column.get(row).unwrap())).collect::<Vec<_>>();
    let mut lines: Vec<String> = (0..frame.height()).map(|row| line(row).join(" | ")).collect();
    lines.sort_unstable();
    lines
}

fn cell(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Float64(x) => format!("{x:.6}"),
        AnyValue::Datetime(at, _, _) => at.to_string(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::List(values) => format!("{:?}", values.iter().map(|value| cell(&value)).collect::<Vec<_>>()),
        value => value.to_string(),
    }
}

#[test]
fn q0_every_bid_as_it_is() {
    check("q0", queries::q0, plain::q0);
}

#[test]
fn q1_prices_in_euros() {
    check("q1", queries::q1, plain::q1);
}

#[test]
fn q2_bids_on_some_auctions() {
    check("q2", queries::q2, plain::q2);
}

#[test]
fn q3_who_sells_in_some_states() {
    check("q3", queries::q3, plain::q3);
}

#[test]
fn q4_the_average_price_of_a_category() {
    check("q4", queries::q4, plain::q4);
}

#[test]
fn q5_the_auctions_with_the_most_bids() {
    check("q5", queries::q5, plain::q5);
}

#[test]
fn q7_the_highest_bid() {
    check("q7", queries::q7, plain::q7);
}

#[test]
fn q8_who_has_come_and_sells_at_once() {
    check("q8", queries::q8, plain::q8);
}

#[test]
fn q11_how_often_somebody_bids_in_one_go() {
    check("q11", queries::q11, plain::q11);
}

#[test]
fn q12_bids_by_the_time_they_are_read() {
    let (events, topics) = nexmark();
    let frame = queries::q12(topics);
    let mut wanted = plain::q12(events);
    wanted.sort_unstable();
    // The windows are those of the clock: what can be said is how many bids are in all of them.
    let over_all = |windows: DataFrame| {
        let bids = windows.lazy().group_by([col("bidder")]).agg([col("bids").sum()]);
        rows(&bids.collect().unwrap())
    };
    same("q12", "collected", &over_all(frame.collect().unwrap()), &wanted);
    let running = frame.memory("q12").output_mode(OutputMode::Update).trigger(Trigger::AvailableNow).start().unwrap();
    running.await_termination().unwrap();
    same("q12", "streamed", &over_all(running.frame()), &wanted);
}
