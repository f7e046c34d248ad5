//! With a watermark only the rows are missing that came behind it, and each window is final once.

use std::collections::BTreeMap;
use std::fmt;

use plan::Plan;
use polars::prelude::*;
use proptest::prelude::*;

use crate::common::compare::equal;
use crate::common::cuts::{ALL, Cuts, cuts, open, streamed};
use crate::common::rows::{Lines, PARTITIONS, Row, frame, rows};
use crate::windows::{Shape, by_start, sessions, spans};

#[derive(Clone, Debug)]
pub(crate) struct Late {
    rows: Vec<Row>,
    cuts: Cuts,
    delay: i64,
    regroup: bool,
    shape: Shape,
}

/// From one window's start to the next.
const EVERY: &str = "10s";

pub(crate) fn late() -> impl Strategy<Value = Late> {
    let shape = prop_oneof![
        2 => Just(Shape::Tumbling(EVERY)),
        2 => prop::sample::select(vec!["30s", "25s"]).prop_map(|period| Shape::Hopping(period, EVERY)),
        3 => (1..20_000i64).prop_map(Shape::Session),
    ];
    (rows(120), cuts(), 1..40_000i64, any::<bool>(), shape).prop_map(|(rows, cuts, delay, regroup, shape)| Late {
        rows,
        cuts,
        delay,
        regroup,
        shape,
    })
}

impl Late {
    fn plan(&self) -> Plan {
        let plan = Plan::source("memory rows", frame(&[]).schema().clone()).filter(passes()).unwrap();
        let plan = plan.with_watermark("event_time", &format!("{}ms", self.delay)).unwrap();
        plan.group_by_dynamic(&col("event_time"), &[col("key")], &self.shape.window(), &self.aggs()).unwrap()
    }

    fn aggs(&self) -> Vec<Expr> {
        let newest = col("event_time").max().alias("newest");
        let mut aggs = vec![len().alias("n"), col("whole").sum(), col("float").mean(), col("small").std(1), newest];
        if self.regroup {
            aggs.extend([col("key").n_unique().alias("keys"), col("cents").last(), col("flag").alias("list")]);
        }
        aggs
    }

    /// The length of a window, in milliseconds; of a session, the gap behind its last row.
    fn length(&self) -> i64 {
        match self.shape {
            Shape::Session(gap) => gap,
            Shape::Hopping(period, _) => Duration::parse(period).duration_ns() / 1_000_000,
            _ => Duration::parse(EVERY).duration_ns() / 1_000_000,
        }
    }

    /// The starts of a row's windows, and which of them are in time at a watermark: those that end after it. What session a row
    /// is in is not known yet; it is in time if its own time is.
    fn starts(&self, at: i64, watermark: i64) -> Vec<(i64, bool)> {
        let period = match self.shape {
            Shape::Session(_) => return vec![(at, at >= watermark)],
            Shape::Hopping(period, _) => period,
            _ => EVERY,
        };
        let starts = spans(&[at], period, EVERY).into_iter().map(|(_, start)| start);
        starts.map(|start| (start, start + self.length() > watermark)).collect()
    }

    /// The rows that are not late, once for each window they are in, and how many are late: a row is late for a window that
    /// ended at or before the watermark that stood when its batch began.
    fn split(&self) -> (Vec<Row>, Vec<i64>, usize) {
        let is_there = |row: &&Row| row.float.is_none_or(|f| f.is_nan() || f > -9e5);
        let mut newest: BTreeMap<i32, i64> = BTreeMap::new();
        let mut watermark = i64::MIN;
        let (mut kept, mut late) = (Vec::new(), 0);
        for batch in self.cuts.batches(&self.rows) {
            for row in batch.iter().filter(is_there) {
                for (start, in_time) in row.time.iter().flat_map(|at| self.starts(*at, watermark)) {
                    if in_time {
                        kept.push((row.clone(), start));
                    } else {
                        late += 1;
                    }
                }
            }
            for (row, at) in batch.iter().filter(is_there).filter_map(|row| Some((row, row.time?))) {
                newest.entry(row.partition).and_modify(|newest| *newest = at.max(*newest)).or_insert(at);
            }
            if newest.len() == PARTITIONS as usize {
                watermark = watermark.max(newest.values().min().unwrap() - self.delay);
            }
        }
        // `last` goes by time, partition and offset.
        kept.sort_by_key(|(row, _)| (row.time, row.partition));
        let (kept, mut starts): (Vec<Row>, Vec<i64>) = kept.into_iter().unzip();
        if let Shape::Session(gap) = self.shape {
            starts = sessions(&frame(&kept), "event_time", &[col("key")], gap).unwrap();
        }
        (kept, starts, late)
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        let (plan, open) = (self.plan(), open(&self.rows, &ALL));
        let (kept, starts, late) = self.split();
        let said = |error: PolarsError| error.to_string();
        let sorted = |frame: DataFrame| frame.sort(["key", "event_time"], SortMultipleOptions::default()).map_err(said);
        let polars = by_start(frame(&kept), starts, "event_time", &[col("key")], &self.aggs()).map_err(said)?;
        let polars = sorted(polars.collect().map_err(said)?)?;
        let ran = streamed(&plan, &open, &self.cuts, false).map_err(said)?;
        if ran.late != late {
            return Err(format!("{} rows are counted as late, and {late} are", ran.late));
        }
        equal(&sorted(ran.result)?, &polars)?;
        let ran = streamed(&plan, &open, &self.cuts, true).map_err(said)?;
        let last = if matches!(self.shape, Shape::Session(_)) { "newest" } else { "event_time" };
        let end = col(last).cast(DataType::Int64) + lit(self.length());
        let ended = end.lt_eq(lit(ran.watermark.unwrap_or(i64::MIN)));
        equal(&sorted(ran.given)?, &polars.lazy().filter(ended).collect().map_err(said)?)
            .map_err(|error| format!("of the final rows: {error}"))
    }
}

fn passes() -> Expr {
    col("float").is_null().or(col("float").gt(lit(-9e5)))
}

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}{}{:?}", self.plan().explain(), Lines(&self.rows), self.cuts)
    }
}
