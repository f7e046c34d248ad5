//! Every table that an operator declares comes back as it was: from all of it, from what changed of it state by state, and from what
//! changed after it had come back. Each operator is here with random rows, cuts and restarts; what is compared is the tables
//! themselves, those of a pipeline and those of a fresh one that took its states over.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;

use engine::{Pipeline, Snapshot};
use plan::{Moment, Plan, StateFunction, asof, hopping, session, tumbling, within};
use polars::prelude::*;
use proptest::prelude::*;

use common::cuts::{ALL, Cuts, Run, SIDES, cuts, open};
use common::frames::{Frame, join_asof, join_changing, join_stream};
use common::holds;
use common::rows::{Lines, Row, frame, rows};
use common::states::States;

/// Rows, the way they come, and which state has everything although it need not.
#[derive(Clone, Debug)]
struct Case {
    rows: Vec<Row>,
    cuts: Cuts,
    all_at: usize,
}

fn cases() -> impl Strategy<Value = Case> {
    (rows(50), cuts(), 0..9usize).prop_map(|(rows, cuts, all_at)| Case { rows, cuts, all_at })
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{:?}, all at {}", Lines(&self.rows), self.cuts, self.all_at)
    }
}

fn source() -> Plan {
    let source = Plan::source("memory rows", frame(&[]).schema().clone());
    // A struct is not written by its row alone.
    let columns = ["event_time", "key", "whole", "float", "small", "cents", "flag", "tags"].map(col);
    source.select(&columns).unwrap().with_watermark("event_time", "8s").unwrap()
}

fn collected() -> Vec<Expr> {
    let (small, key) = (|| col("small"), || col("key"));
    vec![
        len().alias("n"),
        col("float").mean().alias("mean"),
        col("cents").sum().alias("sum"),
        key().max().alias("last key"),
        small().median().alias("median"),
        small().n_unique().alias("different"),
        key().n_unique().alias("keys"),
        key().first().alias("first"),
        small().top_k(lit(2)).alias("largest"),
        small().approx_n_unique().alias("about different"),
    ]
}

fn counted() -> Vec<Expr> {
    vec![len().alias("n"), col("small").sum().alias("sum"), col("small").min().alias("min")]
}

fn listed() -> Vec<Expr> {
    vec![col("small").alias("all"), len().alias("n")]
}

/// A function that is called again ten seconds after a key's newest row, and then forgets it.
fn totals() -> StateFunction {
    StateFunction::new(|state: &mut i64, rows: DataFrame, moment: &mut Moment| {
        *state += rows.column("small")?.i32()?.iter().flatten().map(i64::from).sum::<i64>();
        if let Some(newest) = rows.column("event_time")?.to_physical_repr().i64()?.max() {
            moment.set_timeout_ms(newest + 10_000);
        }
        if moment.timed_out() {
            moment.forget();
        }
        df!["total" => [*state]]
    })
}

type Build = fn(&[Row]) -> Frame;

fn alone(rows: &[Row], plan: Plan) -> Frame {
    (plan, open(rows, &ALL))
}

fn windows(rows: &[Row], window: &plan::Window, aggs: &[Expr]) -> Frame {
    alone(rows, source().group_by_dynamic(&col("event_time"), &[col("key")], window, aggs).unwrap())
}

fn groups(aggs: &[Expr]) -> Plan {
    source().group_by(&[col("key"), col("flag")], aggs).unwrap()
}

fn sides(rows: &[Row], how: &JoinType) -> Frame {
    let [left, right] = SIDES.map(|side| (source(), open(rows, side)));
    let on = [col("key")];
    join_stream(&left, &right, (&on, &on), how, &within("event_time", "event_time", "5s")).unwrap()
}

fn changing(rows: &[Row], how: &JoinType) -> Frame {
    let (time, on) = (col("event_time"), [col("event_time"), col("key")]);
    let [left, right] = SIDES.map(|side| {
        let windows = source().group_by_dynamic(&time, &[col("key")], &tumbling("4s"), &counted()).unwrap();
        (windows, open(rows, side))
    });
    join_changing(&left, &right, (&on, &on), how).unwrap()
}

/// Every operator that keeps something, in the ways in which it keeps it, and whether only final rows are asked for.
const OPERATORS: [(&str, bool, Build); 22] = [
    ("values merged", false, |rows| alone(rows, groups(&counted()))),
    ("values merged in windows", false, |rows| windows(rows, &tumbling("5s"), &collected())),
    ("values merged, final", true, |rows| windows(rows, &tumbling("5s"), &collected())),
    ("panes", false, |rows| windows(rows, &hopping("9s", "3s"), &counted())),
    ("panes, final", true, |rows| windows(rows, &hopping("40s", "1s"), &counted())),
    ("all rows", false, |rows| alone(rows, source().group_by(&[], &counted()).unwrap())),
    ("groups of groups", false, |rows| {
        alone(rows, groups(&counted()).group_by(&[col("n")], &[col("sum").sum(), col("min").max()]).unwrap())
    }),
    ("rows of groups", false, |rows| alone(rows, groups(&listed()))),
    ("rows of windows", false, |rows| windows(rows, &hopping("9s", "3s"), &listed())),
    ("rows of groups of groups", false, |rows| {
        alone(rows, groups(&counted()).group_by(&[col("n")], &[col("sum").first().alias("one")]).unwrap())
    }),
    ("groups of rows of groups", false, |rows| {
        alone(rows, groups(&listed()).group_by(&[col("n")], &[len().alias("groups")]).unwrap())
    }),
    ("sessions", false, |rows| windows(rows, &session("2s"), &counted())),
    ("groups of sessions", false, |rows| {
        let (sessions, open) = windows(rows, &session("2s"), &counted());
        (sessions.group_by(&[col("n")], &[col("sum").sum()]).unwrap(), open)
    }),
    ("first rows", false, |rows| {
        alone(rows, source().top_k(5, &[col("small")], &SortMultipleOptions::default()).unwrap())
    }),
    ("groups in order", false, |rows| {
        let order = SortMultipleOptions::default();
        alone(rows, groups(&counted()).sort(&[col("sum")], &order).unwrap())
    }),
    ("different values", false, |rows| alone(rows, source().unique(Some(&["key", "event_time"])).unwrap())),
    ("a limit", false, |rows| alone(rows, source().limit(7).unwrap())),
    ("a function", false, |rows| alone(rows, source().with_state(&[col("key")], totals()).unwrap())),
    ("pairs within a bound", false, |rows| sides(rows, &JoinType::Full)),
    ("rows that were met", false, |rows| sides(rows, &JoinType::Anti)),
    ("pairs as of a time", false, |rows| {
        let [left, right] = SIDES.map(|side| (source(), open(rows, side)));
        let on = [col("key")];
        join_asof(&left, &right, (&on, &on), &asof("event_time", "event_time").tolerance("5s")).unwrap()
    }),
    ("pairs of rows that change", false, |rows| changing(rows, &JoinType::Full)),
];

/// What a state has, a line a row, without an order.
fn lines(saved: &Snapshot) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, frame) in &saved.frames {
        let line = |row: usize| {
            let cell = |column: &Column| match column.get(row).unwrap() {
                // A set has no order.
                AnyValue::Binary(bytes) if column.name().starts_with("__corriente_collected") => {
                    let mut bytes = bytes.to_vec();
                    bytes.sort_unstable();
                    format!("{}: {bytes:?}", column.name())
                }
                value => format!("{}: {value:?}", column.name()),
            };
            let mut cells: Vec<String> = frame.columns().iter().map(cell).collect();
            cells.sort_unstable();
            cells.join(", ")
        };
        let mut lines: Vec<String> = (0..frame.height()).map(line).collect();
        lines.sort_unstable();
        all.insert(name.clone(), lines);
    }
    all.insert("facts".to_owned(), vec![format!("{:?}", saved.facts)]);
    all
}

/// Compares two pipelines by all that they keep.
fn same(batch: usize, ours: &mut Pipeline, twin: &mut Pipeline) -> Result<(), String> {
    let said = |error: PolarsError| error.to_string();
    let (ours, twin) = (lines(&ours.snapshot(true).map_err(said)?), lines(&twin.snapshot(true).map_err(said)?));
    for name in ours.keys().chain(twin.keys()) {
        let [lines, theirs] = [&ours, &twin].map(|tables| tables.get(name).cloned().unwrap_or_default());
        if lines != theirs {
            let (lines, theirs) = (lines.join("\n  "), theirs.join("\n  "));
            return Err(format!("after batch {batch}, table {name}:\nkept\n  {lines}\nrestored\n  {theirs}"));
        }
    }
    Ok(())
}

/// Which tables there were rows in.
static SEEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

impl Case {
    fn check(&self, (plan, open): &Frame, finals: bool) -> Result<(), String> {
        let said = |error: PolarsError| error.to_string();
        let unbroken = Cuts { restarts: Vec::new(), ..self.cuts.clone() };
        let mut run = Run::begin(plan, open, &unbroken, finals).map_err(said)?;
        let mut states = States::default();
        for batch in 0.. {
            if self.cuts.restarts.contains(&batch) && batch > 0 {
                run.pipeline = run.anew().map_err(said)?;
                states.restore(&mut run.pipeline).map_err(said)?;
            }
            if run.batch().map_err(said)?.is_none() {
                break;
            }
            match batch == self.all_at {
                true => states.keep_all(&mut run.pipeline).map_err(said)?,
                false => states.keep(&mut run.pipeline).map_err(said)?,
            }
            let mut twin = run.anew().map_err(said)?;
            states.restore(&mut twin).map_err(said)?;
            let saved = twin.snapshot(true).map_err(said)?;
            let filled = saved.frames.iter().filter(|(_, frame)| frame.height() > 0);
            let names = filled.filter_map(|(name, _)| Some(name.split_once('-')?.1.to_owned()));
            SEEN.lock().unwrap().extend(names);
            same(batch, &mut run.pipeline, &mut twin)?;
        }
        Ok(())
    }
}

#[test]
fn every_table_comes_back_as_it_was_from_all_of_it_and_from_its_changes() {
    for (name, finals, build) in OPERATORS {
        holds(6, &cases(), |case| case.check(&build(&case.rows), finals).map_err(|error| format!("{name}: {error}")));
    }
    let tables = ["groups", "left", "output", "pairs", "right", "rows", "seen", "spans", "states", "timeouts"];
    assert_eq!(SEEN.lock().unwrap().iter().map(String::as_str).collect::<Vec<_>>(), tables);
}
