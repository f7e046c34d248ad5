//! Runs a golden's query as a notebook's would run, with a sink and a checkpoint.

use std::time::Duration;

use engine::{BatchStep, Crash, Options, OutputMode, Query, Trigger};
use polars::prelude::*;

use crate::common::frames::Frame;
use crate::common::query::{Kept, crash_after};
use crate::file::Golden;
use crate::log::{Cut, in_batches};
use crate::queries;

const DEADLINE: Duration = Duration::from_secs(30);

/// What a run left.
pub(crate) struct Ran {
    pub(crate) batches: Vec<(u64, DataFrame)>,
    pub(crate) late: u64,
    result: DataFrame,
    is_ordered: bool,
}

/// Runs a query to its end, where `crash` says so in two starts; gives why it is refused, if it is.
pub(crate) fn ran(
    frame: &Frame,
    golden: &Golden,
    cut: Cut,
    mode: OutputMode,
    crash: Option<(u64, BatchStep)>,
) -> Result<Ran, String> {
    let (kept, folder) = (Kept::default(), tempfile::tempdir().unwrap());
    let batches = cut.of(&golden.batches);
    let open = in_batches(&queries::opened(&golden.name, &batches.concat()), &batches);
    let crash = crash.map(|(batch, step)| crash_after(batch, step));
    let start = |crash: Option<Crash>| {
        // A state is written with every third row, so that a restart repeats some batches and has a state for others.
        let options = Options { trigger: Trigger::AvailableNow, snapshot_rows: 3, crash, ..Options::default() };
        let query = Query::write("golden", &frame.0, open.clone(), options, kept.output(mode, folder.path()))
            .map_err(|e| e.to_string())?;
        assert!(query.await_termination(DEADLINE), "{}: {:?}", golden.name, query.status());
        Ok::<Query, String>(query)
    };
    if crash.is_some() {
        assert!(start(crash)?.exception().is_some(), "{}: there is a crash", golden.name);
    }
    let query = start(None)?;
    assert_eq!(query.exception(), None, "{}", golden.name);
    let late = query.status().late_rows;
    Ok(Ran { batches: kept.batches(), late, result: query.result().frame(), is_ordered: frame.0.order().is_some() })
}

impl Ran {
    /// What each batch gave.
    pub(crate) fn text(&self) -> String {
        let batch = |(number, rows): &(u64, DataFrame)| match rows.height() {
            0 => format!("batch {number}: nothing\n"),
            _ => format!("batch {number}\n{}\n{}", header(rows), lines(rows).concat()),
        };
        self.batches.iter().map(batch).collect()
    }

    /// All rows that were given, in an order of their own.
    pub(crate) fn rows(&self) -> String {
        let mut lines: Vec<String> = self.batches.iter().flat_map(|(_, rows)| lines(rows)).collect();
        lines.sort_unstable();
        lines.concat()
    }

    /// The result at the end; where it has no order, in one of its own.
    pub(crate) fn end(&self) -> String {
        let mut lines = lines(&self.result);
        if !self.is_ordered {
            lines.sort_unstable();
        }
        lines.concat()
    }
}

fn header(rows: &DataFrame) -> String {
    rows.get_column_names().iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" | ")
}

fn lines(rows: &DataFrame) -> Vec<String> {
    let columns: Vec<&Series> = rows.columns().iter().map(|column| column.as_materialized_series()).collect();
    let line = |row: usize| columns.iter().map(|column| cell(&column.get(row).unwrap())).collect::<Vec<_>>();
    (0..rows.height()).map(|row| line(row).join(" | ").trim_end().to_owned() + "\n").collect()
}

/// A value as the rows of a file have it.
fn cell(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Null => String::new(),
        AnyValue::String("") => "\"\"".to_owned(),
        AnyValue::String(text) => (*text).to_owned(),
        AnyValue::Datetime(at, _, _) => {
            let (seconds, thousandths) = (at.div_euclid(1000), at.rem_euclid(1000));
            let clock = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
            if thousandths == 0 { clock } else { format!("{clock}.{thousandths:03}") }
        }
        AnyValue::List(values) => {
            format!("[{}]", values.iter().map(|value| cell(&value)).collect::<Vec<_>>().join(", "))
        }
        AnyValue::Float64(value) => value.to_string(),
        value => value.to_string(),
    }
}
