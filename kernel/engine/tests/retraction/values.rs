//! Values of every type that come and go: huge ones and what is no number, decimals, text and nulls; groups that come and go with
//! them, two and three levels of aggregations.

use std::fmt;

use plan::Plan;
use polars::prelude::*;
use proptest::prelude::*;

use super::common::cuts::{ALL, Cuts, Run, cuts, open};
use super::common::holds;
use super::common::rows::{Lines, Row, frame, rows};
use super::{Between, same, subtractions};

#[derive(Clone, Debug)]
struct Case {
    rows: Vec<Row>,
    cuts: Cuts,
    /// Which steps stand between.
    between: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "steps {}\n{}{:?}", self.between, Lines(&self.rows), self.cuts)
    }
}

fn cases() -> impl Strategy<Value = Case> {
    (rows(70), cuts(), 0..STEPS).prop_map(|(mut rows, cuts, between)| {
        // What swallows all that stands beside it in a float.
        for row in rows.iter_mut().filter(|row| row.whole.is_some_and(|whole| whole % 5 == 0)) {
            row.float = row.float.map(|float| if float < 0.0 { -1e300 } else { 1e300 });
        }
        Case { rows, cuts, between }
    })
}

const STEPS: usize = 5;

fn steps(between: usize) -> Vec<Between> {
    use Between::*;
    match between {
        0 => Vec::new(),
        1 => vec![Filter(col("i").gt(lit(-300)))],
        2 => vec![With((col("f") * lit(0.5)).alias("f")), Filter(col("b").or(col("i").is_null()))],
        3 => vec![Filter(col("t").neq(lit("key 1"))), With(col("t").str().to_uppercase().alias("t"))],
        // A column that is a group's comes from another one.
        _ => vec![
            With((col("i") % lit(3)).cast(DataType::String).alias("g")),
            Select(["g", "f", "d", "i", "s", "t", "b", "at"].map(col).to_vec()),
        ],
    }
}

/// The last of each key: values that are replaced by any others.
fn below() -> Plan {
    let last = |name: &str, new: &str| col(name).last().alias(new);
    let aggs = [
        last("key", "g"),
        last("float", "f"),
        last("cents", "d"),
        last("whole", "i"),
        last("small", "s"),
        last("key", "t"),
        last("flag", "b"),
        last("event_time", "at"),
    ];
    let source = Plan::source("memory rows", frame(&[]).schema().clone());
    source.group_by(&[(col("small") % lit(9)).alias("k")], &aggs).unwrap()
}

fn aggs() -> Vec<Expr> {
    let (f, d, i, s, t) = (|| col("f"), || col("d"), || col("i"), || col("s"), || col("t"));
    let quantile = |of: Expr, q: f64, method| of.quantile(lit(q), method);
    vec![
        len().alias("n"),
        f().count().alias("known"),
        f().sum().alias("sum"),
        f().mean().alias("mean"),
        f().var(1).alias("var"),
        f().std(1).alias("var root"),
        f().min().alias("least"),
        f().max().alias("most"),
        f().n_unique().alias("different"),
        f().filter(f().gt(lit(0.0))).sum().alias("positive"),
        quantile(f(), 0.3, QuantileMethod::Lower).alias("third"),
        d().sum().alias("d sum"),
        d().mean().alias("d mean"),
        d().min().alias("d min"),
        d().max().alias("d max"),
        d().n_unique().alias("d different"),
        i().sum().alias("i sum"),
        i().min().alias("i min"),
        i().max().alias("i max"),
        i().filter(i().gt(lit(0))).len().alias("i positive"),
        i().null_count().alias("i nulls"),
        s().sum().alias("s sum"),
        s().mean().alias("s mean"),
        s().var(1).alias("var of s"),
        s().median().alias("s middle"),
        quantile(s(), 0.7, QuantileMethod::Linear).alias("s upper"),
        (s().max() - s().min()).alias("s range"),
        s().top_k(lit(3)).alias("s largest"),
        t().min().alias("t min"),
        t().max().alias("t max"),
        t().n_unique().alias("t different"),
        t().bottom_k(lit(2)).alias("t smallest"),
        col("b").any(false).alias("any"),
        col("b").sum().alias("b sum"),
        col("at").min().alias("first"),
        col("at").max().alias("newest"),
    ]
}

/// The lists in an order, which Polars does not promise.
fn in_order(frame: &DataFrame) -> DataFrame {
    let sorted = ["s largest", "t smallest"].map(|name| col(name).list().sort(SortOptions::default()));
    frame.clone().lazy().with_columns(sorted).collect().unwrap()
}

/// An aggregate for which all rows are kept.
fn kept() -> Expr {
    col("i").first().alias("kept")
}

impl Case {
    fn steps_on(&self, plan: Plan) -> Plan {
        steps(self.between).iter().fold(plan, |plan, step| step.on_plan(&plan))
    }

    /// What Polars makes of the result below.
    fn expected(&self, below: &DataFrame) -> DataFrame {
        let rows = steps(self.between).iter().fold(below.clone().lazy(), |rows, step| step.on_frame(rows));
        let finite = when(col("f").is_finite()).then(col("f").abs()).otherwise(lit(0.0));
        let aggs: Vec<Expr> = aggs().into_iter().chain([finite.max().fill_null(0.0).alias("scale")]).collect();
        rows.group_by_stable([col("g")]).agg(aggs).collect().unwrap()
    }

    fn check(&self) -> Result<(), String> {
        let of = |aggs: Vec<Expr>| self.steps_on(below()).group_by(&[col("g")], &aggs).unwrap();
        let (plan, twin) = (of(aggs()), of(aggs().into_iter().chain([kept()]).collect()));
        assert_eq!((subtractions(&plan), subtractions(&twin)), (1, 0));
        let said = |error: PolarsError| error.to_string();
        let open = open(&self.rows, &ALL);
        let mut below = Run::begin(&below(), &open, &self.cuts, false).map_err(said)?;
        let mut ours = Run::begin(&plan, &open, &self.cuts, false).map_err(said)?;
        let mut slow = Run::begin(&twin, &open, &self.cuts, false).map_err(said)?;
        let mut number = 0;
        while below.batch().map_err(said)?.is_some() {
            ours.batch().map_err(|error| format!("batch {number}: {error}"))?;
            slow.batch().map_err(said)?;
            let expected = in_order(&self.expected(&below.live.frame()));
            let [ours, slow] = [&ours, &slow].map(|run| in_order(&run.live.frame()));
            same(&ours, &expected, 1).map_err(|error| format!("batch {number}, Polars: {error}"))?;
            let by_group = |frame: DataFrame| frame.sort(["g"], SortMultipleOptions::default()).map_err(said);
            let mut slow = by_group(slow.drop("kept").map_err(said)?)?;
            slow.with_column(by_group(expected)?.column("scale").unwrap().clone()).map_err(said)?;
            same(&ours, &slow, 1).map_err(|error| format!("batch {number}, the twin: {error}"))?;
            number += 1;
        }
        Ok(())
    }

    /// Groups of groups of groups: what is added up is exact.
    fn check_three_levels(&self) -> Result<(), String> {
        let again = || {
            vec![
                len().alias("groups"),
                col("n").sum(),
                col("i sum").sum(),
                col("d sum").sum(),
                col("d min").min(),
                col("t max").max(),
                col("most").max(),
                col("least").n_unique(),
                col("s range").mean().alias("range"),
                col("newest").max(),
            ]
        };
        let over = |plan: Plan, more: Vec<Expr>| {
            let few = plan.filter(col("n").lt(lit(6))).unwrap();
            few.group_by(&[(col("n") % lit(3)).alias("m")], &again().into_iter().chain(more).collect::<Vec<_>>())
                .unwrap()
        };
        let middle = self.steps_on(below()).group_by(&[col("g")], &aggs()).unwrap();
        let ours = over(middle.clone(), Vec::new());
        // Once it is the uppermost that keeps rows, once the one in the middle.
        let aggs_of_rows: Vec<Expr> = aggs().into_iter().chain([kept()]).collect();
        let uppermost = over(middle, vec![col("n").first().alias("kept")]);
        let lower = self.steps_on(below()).group_by(&[col("g")], &aggs_of_rows).unwrap();
        // What nobody uses is not kept.
        let lower = over(lower, vec![col("kept").count().alias("kept")]);
        assert_eq!([&ours, &uppermost, &lower].map(subtractions), [2, 1, 1]);
        let said = |error: PolarsError| error.to_string();
        let open = open(&self.rows, &ALL);
        let begin = |plan: &Plan| Run::begin(plan, &open, &self.cuts, false).map_err(said);
        let (mut ours, mut uppermost, mut lower) = (begin(&ours)?, begin(&uppermost)?, begin(&lower)?);
        let mut number = 0;
        while ours.batch().map_err(|error| format!("batch {number}: {error}"))?.is_some() {
            uppermost.batch().map_err(said)?;
            lower.batch().map_err(|error| format!("batch {number}, rows below: {error}"))?;
            let twin = uppermost.live.frame().drop("kept").map_err(said)?;
            same(&ours.live.frame(), &twin, 1).map_err(|error| format!("batch {number}: {error}"))?;
            let lower = lower.live.frame().drop("kept").map_err(said)?;
            same(&lower, &twin, 1).map_err(|error| format!("batch {number}, rows below: {error}"))?;
            number += 1;
        }
        Ok(())
    }
}

#[test]
fn what_is_left_is_what_polars_gives_for_the_rows_that_are_left() {
    holds(20, &cases(), Case::check);
}

#[test]
fn three_levels_are_what_all_rows_give() {
    holds(15, &cases(), Case::check_three_levels);
}
