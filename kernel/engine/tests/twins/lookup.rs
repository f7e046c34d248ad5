//! A look-up in a frame, beside Polars' own join of each batch with the whole frame: frames so long that they are looked into by
//! an index, with keys that come several times, nulls, and numbers of another type.

use std::sync::Arc;

use engine::{Clock, ManualClock, Mode, PartitionRows, Pipeline};
use plan::{AsofStrategy, Plan, asof};
use polars::prelude::*;
use proptest::prelude::*;

use crate::common::asof::ByHand;
use crate::common::holds;
use crate::common::rows::{Row, frame, rows};
use crate::{Case, cases, same};

/// A frame to look into: the rows' own columns, as often as makes it long, under names some of which are the stream's.
fn table(rows: &[Row]) -> DataFrame {
    let names =
        || [col("key"), col("small").cast(DataType::Int64).alias("number"), col("float"), col("flag").alias("yes")];
    let rows = frame(rows).lazy().select(names()).with_row_index("place", None).collect().unwrap();
    let mut all = rows.clone();
    while all.height() < 400 && rows.height() > 0 {
        all.vstack_mut(&rows).unwrap();
    }
    // Keys that no row of the stream has.
    let strange = df!["key" => (0..200).map(|n| format!("strange {n}")).collect::<Vec<_>>()].unwrap();
    let whole = all.lazy();
    let strange = strange.lazy().with_columns([
        lit(NULL).cast(DataType::Int64).alias("number"),
        lit(NULL).cast(DataType::Float64).alias("float"),
        lit(NULL).cast(DataType::Boolean).alias("yes"),
        lit(0).cast(IDX_DTYPE).alias("place"),
    ]);
    let columns = || ["place", "key", "number", "float", "yes"].map(col);
    polars::prelude::concat([whole.select(columns()), strange.select(columns())], UnionArgs::default())
        .unwrap()
        .collect()
        .unwrap()
}

/// What must be equal.
fn keys(n: usize) -> (Vec<Expr>, Vec<Expr>) {
    match n % 5 {
        0 => (vec![col("key")], vec![col("key")]),
        1 => (vec![col("small")], vec![col("number")]),
        2 => (vec![col("float")], vec![col("float")]),
        3 => (vec![col("key"), col("flag")], vec![col("key"), col("yes")]),
        _ => (vec![col("small") * lit(2) + lit(1), col("key")], vec![col("number") + lit(1), col("key")]),
    }
}

#[derive(Clone, Debug)]
struct Looked {
    case: Case,
    table: Vec<Row>,
    on: usize,
    how: JoinType,
}

impl std::fmt::Display for Looked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}\non {}, {}, in {:?}", self.case, self.on, self.how, self.table)
    }
}

fn looked() -> impl Strategy<Value = Looked> {
    let how = prop::sample::select(vec![JoinType::Inner, JoinType::Left, JoinType::Semi, JoinType::Anti]);
    (cases(), rows(30), 0..5usize, how).prop_map(|(case, table, on, how)| Looked { case, table, on, how })
}

fn pipeline(plan: &Plan) -> Pipeline {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    Pipeline::new(plan, std::slice::from_ref(frame(&[]).schema()), Mode::Stream, &clock).unwrap()
}

/// Runs a plan batch by batch, and gives what `polars` makes of the same rows to be compared with each.
fn compare(case: &Case, plan: &Plan, polars: impl Fn(LazyFrame) -> LazyFrame) -> Result<(), String> {
    let said = |error: PolarsError| error.to_string();
    let mut pipeline = pipeline(plan);
    for (number, batch) in case.cuts.batches(&case.rows).iter().enumerate() {
        let rows = frame(batch);
        let part = PartitionRows { partition: 0.into(), rows: rows.clone(), newest_ms: None };
        let ours = pipeline.execute(vec![part]).map_err(said)?.changes.rows;
        let theirs = polars(rows.lazy()).collect().map_err(said)?;
        if !ours.equals_missing(&theirs) {
            return same(number, "joined rows", &[theirs.to_string()], &[ours.to_string()]);
        }
    }
    Ok(())
}

#[test]
fn a_look_up_is_polars_own_join_with_the_whole_frame() {
    holds(20, &looked(), |Looked { case, table: rows, on, how }| {
        let (table, (left, right)) = (table(rows), keys(*on));
        let plan = Plan::source("memory rows", frame(&[]).schema().clone());
        let plan = plan.join(table.clone(), &left, &right, how).map_err(|error| error.to_string())?;
        let mut args = JoinArgs::new(how.clone());
        args.maintain_order = MaintainOrderJoin::LeftRight;
        compare(case, &plan, |rows| rows.join(table.clone().lazy(), left.clone(), right.clone(), args.clone()))
    });
}

#[test]
fn a_look_up_by_time_is_one_by_hand_in_the_whole_frame() {
    holds(10, &looked(), |Looked { case, table: rows, .. }| {
        let time = DataType::Datetime(TimeUnit::Milliseconds, None);
        let at = (col("place").cast(DataType::Int64) * lit(1_700) - lit(20_000)).cast(time).alias("at");
        let table = table(rows).lazy().select([at, col("key").alias("of"), col("number")]).collect().unwrap();
        let on = asof("event_time", "at");
        let plan = Plan::source("memory rows", frame(&[]).schema().clone());
        let plan =
            plan.join_asof(table.clone(), &[col("key")], &[col("of")], &on).map_err(|error| error.to_string())?;
        compare(case, &plan, |rows| {
            let by = [vec!["key".into()], vec!["of".into()]];
            let (times, strategy) = (["event_time", "at"], AsofStrategy::Backward);
            let hand = ByHand { times, by, strategy, tolerance: None, exact: true };
            hand.join(&rows.collect().unwrap(), &table).unwrap().lazy()
        })
    });
}
