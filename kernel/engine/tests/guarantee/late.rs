//! With a watermark only the rows are missing that came behind it, and each window is final once.

use std::collections::BTreeMap;
use std::fmt;

use plan::Plan;
use polars::prelude::*;
use proptest::prelude::*;

use crate::common::compare::equal;
use crate::common::cuts::{ALL, Cuts, cuts, open, streamed};
use crate::common::rows::{Lines, PARTITIONS, Row, frame, rows};
use crate::windows::{Shape, by_start, spans};

#[derive(Clone, Debug)]
pub(crate) struct Late {
    rows: Vec<Row>,
    cuts: Cuts,
    delay: i64,
    regroup: bool,
    period: &'static str,
}

/// From one window's start to the next.
const EVERY: &str = "10s";

pub(crate) fn late() -> impl Strategy<Value = Late> {
    let period = prop::sample::select(vec![EVERY, EVERY, "30s", "25s"]);
    (rows(120), cuts(), 1..40_000i64, any::<bool>(), period).prop_map(|(rows, cuts, delay, regroup, period)| Late {
        rows,
        cuts,
        delay,
        regroup,
        period,
    })
}

impl Late {
    fn plan(&self) -> Plan {
        let plan = Plan::source("memory rows", frame(&[]).schema().clone()).filter(passes()).unwrap();
        let plan = plan.with_watermark("event_time", &format!("{}ms", self.delay)).unwrap();
        let shape = if self.period == EVERY { Shape::Tumbling(EVERY) } else { Shape::Hopping(self.period, EVERY) };
        plan.group_by_dynamic(&col("event_time"), &[col("key")], &shape.window(), &self.aggs()).unwrap()
    }

    fn aggs(&self) -> Vec<Expr> {
        let mut aggs = vec![len().alias("n"), col("whole").sum(), col("float").mean(), col("small").std(1)];
        if self.regroup {
            aggs.extend([col("key").n_unique().alias("keys"), col("cents").last(), col("flag").alias("list")]);
        }
        aggs
    }

    /// The rows that are not late, once for each window they are in, and how many are late: a row is late for a window that
    /// ended at or before the watermark that stood when its batch began.
    fn split(&self) -> (Vec<Row>, Vec<i64>, usize) {
        let is_there = |row: &&Row| row.float.is_none_or(|f| f.is_nan() || f > -9e5);
        let period = Duration::parse(self.period).duration_ns() / 1_000_000;
        let mut newest: BTreeMap<i32, i64> = BTreeMap::new();
        let mut watermark = i64::MIN;
        let (mut kept, mut late) = (Vec::new(), 0);
        for batch in self.cuts.batches(&self.rows) {
            for row in batch.iter().filter(is_there) {
                for (_, start) in row.time.iter().flat_map(|at| spans(&[*at], self.period, EVERY)) {
                    if start + period <= watermark {
                        late += 1;
                    } else {
                        kept.push((row.clone(), start));
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
        let (kept, starts) = kept.into_iter().unzip();
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
        let period = Duration::parse(self.period).duration_ns() / 1_000_000;
        let ended =
            (col("event_time").cast(DataType::Int64) + lit(period)).lt_eq(lit(ran.watermark.unwrap_or(i64::MIN)));
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
