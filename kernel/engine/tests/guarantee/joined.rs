//! Two streams that are joined, which a plan begins with, and what Polars makes of the same rows.

use std::collections::BTreeSet;

use engine::OpenSource;
use plan::{AsofStrategy, Plan, asof, within};
use polars::prelude::*;
use proptest::prelude::*;

use crate::both::{Both, refused};
use crate::common::asof::ByHand;
use crate::common::cuts::{SIDES, open};
use crate::common::frames::{Frame, join_asof, join_changing, join_stream, union};
use crate::common::rows::{Row, frame};
use crate::words::{self, Word};

/// How two streams are joined.
#[derive(Clone, Debug)]
pub(crate) struct Joined {
    kind: Kind,
    /// Which columns must be equal, by number.
    on: usize,
    /// Whether the right's time has a name of its own.
    is_renamed: bool,
    /// The columns that the right has beside its time and its keys.
    right: u16,
    /// What is said of each side before.
    words: [Vec<Word>; 2],
    /// Whether the stream with two partitions is the right one.
    is_swapped: bool,
    /// Whether that stream is two by `union`.
    is_united: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Within {
        how: JoinType,
        bound: i64,
    },
    Asof {
        strategy: AsofStrategy,
        tolerance: Option<i64>,
        exact: bool,
    },
    /// Both sides are aggregated by what must be equal.
    Changing {
        how: JoinType,
    },
}

pub(crate) fn joined() -> impl Strategy<Value = Joined> {
    use JoinType::{Anti, Full, Inner, Left, Right, Semi};
    let how = prop::sample::select(vec![Inner, Left, Right, Full, Semi, Anti]);
    let changing = how.clone().prop_map(|how| Kind::Changing { how });
    let within = (how, 1..20_000i64).prop_map(|(how, bound)| Kind::Within { how, bound });
    let asof = (strategy(), prop::option::of(1..20_000i64), any::<bool>()).prop_map(|(strategy, tolerance, exact)| {
        // A stream has to be told how long a row waits for a later one.
        let tolerance = tolerance.or((strategy != AsofStrategy::Backward).then_some(5_000));
        Kind::Asof { strategy, tolerance, exact }
    });
    let kind = prop_oneof![3 => within, 2 => asof, 3 => changing];
    let whether = prop::array::uniform3(any::<bool>());
    (kind, 0..6usize, any::<u16>(), prop::array::uniform2(words::of_side()), whether).prop_map(
        |(kind, on, right, words, [is_renamed, is_swapped, is_united])| Joined {
            kind,
            on,
            is_renamed,
            right,
            words,
            is_swapped,
            is_united,
        },
    )
}

pub(crate) fn strategy() -> impl Strategy<Value = AsofStrategy> {
    use AsofStrategy::{Backward, Forward, Nearest};
    prop_oneof![2 => Just(Backward), 1 => Just(Forward), 1 => Just(Nearest)]
}

/// The number of a row of the left, and that of a row of the right that belongs to it.
const NUMBERS: [&str; 2] = ["the left's number", "the right's number"];

impl Joined {
    /// The plan and the way to the rows.
    pub(crate) fn frame(&self, rows: &[Row], delay_ms: i64) -> Result<Frame, String> {
        let [left, right] = self.sides(rows)?.map(|(both, open)| (both.plan, open));
        let left = match self.kind {
            Kind::Changing { .. } => left,
            _ => (refused(left.0.with_watermark("event_time", &format!("{delay_ms}ms")))?, left.1),
        };
        refused(self.join(&left, &right))
    }

    fn join(&self, left: &Frame, right: &Frame) -> Result<Frame, plan::PlanError> {
        let [left_on, right_on] = self.on();
        let on: (&[Expr], &[Expr]) = (&left_on, &right_on);
        match &self.kind {
            Kind::Within { how, bound } => {
                let within = within("event_time", self.right_time(), format!("{bound}ms"));
                join_stream(left, right, on, how, &within)
            }
            Kind::Asof { strategy, tolerance, exact } => {
                let by = asof("event_time", self.right_time()).strategy(*strategy).allow_exact_matches(*exact);
                let by = tolerance.iter().fold(by, |by, tolerance| by.tolerance(format!("{tolerance}ms")));
                join_asof(left, right, on, &by)
            }
            Kind::Changing { how } => join_changing(left, right, (&self.keys(0), &self.keys(1)), how),
        }
    }

    fn side(&self, rows: &[Row], side: usize) -> Result<Frame, plan::PlanError> {
        let source = |partitions: &[i32]| {
            let name = format!("memory {} {partitions:?}", ["left", "right"][side]);
            (Plan::source(name, frame(&[]).schema().clone()), open(rows, partitions))
        };
        match self.partitions(side) {
            [first, second] if self.is_united => union(&[source(&[*first]), source(&[*second])]),
            partitions => Ok(source(partitions)),
        }
    }

    /// Each side, and the way to its rows.
    fn sides(&self, rows: &[Row]) -> Result<[(Both, OpenSource); 2], String> {
        let side = |side: usize| {
            let (mut plan, open) = refused(self.side(rows, side))?;
            let partitions = self.partitions(side).iter();
            let rows = partitions.flat_map(|partition| rows.iter().filter(|row| row.partition == *partition));
            let mut polars = frame(&rows.cloned().collect::<Vec<_>>()).lazy();
            if side == 1 {
                plan = refused(plan.select(&self.right()))?;
                polars = polars.select(self.right());
            }
            let mut both = Both::new(plan, polars);
            both.time = Some(["event_time", self.right_time()][side].into());
            self.words[side].iter().try_for_each(|word| both.say(word))?;
            if let Kind::Changing { .. } = self.kind {
                let names = self.key_names(side).into_iter();
                let keys: Vec<Expr> =
                    self.on()[side].iter().zip(names).map(|(on, name)| on.clone().alias(name)).collect();
                let aggs = [
                    len().alias(format!("{side} n")),
                    col(both.time.clone().unwrap()).max().alias(format!("{side} at")),
                ];
                both.plan = refused(both.plan.group_by(&keys, &aggs))?;
                both.polars = both.polars.group_by(keys).agg(aggs);
            }
            Ok::<_, String>((both, open))
        };
        Ok([side(0)?, side(1)?])
    }

    /// What Polars makes of the same rows.
    pub(crate) fn polars(&self, rows: &[Row]) -> Result<LazyFrame, String> {
        let said = |error: PolarsError| error.to_string();
        let [left, right] = self.sides(rows)?.map(|(both, _)| both.polars.collect().map_err(said));
        let (left, right) = (left?, right?);
        let joined = match &self.kind {
            Kind::Within { how, bound } => self.within(left, right, how, *bound),
            Kind::Asof { strategy, tolerance, exact } => self.asof(left, right, *strategy, *tolerance, *exact),
            Kind::Changing { how } => {
                left.lazy().join(right.lazy(), self.keys(0), self.keys(1), JoinArgs::new(how.clone())).collect()
            }
        };
        Ok(joined.map_err(said)?.lazy())
    }

    /// Polars' own join, of rows that also agree in which of the pairs near in time they are.
    fn within(&self, left: DataFrame, right: DataFrame, how: &JoinType, bound: i64) -> PolarsResult<DataFrame> {
        let [mut left_on, mut right_on] = self.on();
        let left = left.with_row_index(NUMBERS[0].into(), None)?.lazy();
        let right = right.with_row_index(NUMBERS[1].into(), None)?.lazy();
        let named = |on: &[Expr]| on.iter().enumerate().map(|(n, key)| key.clone().alias(format!("key {n}"))).collect();
        let (mut of_left, mut of_right): (Vec<Expr>, Vec<Expr>) = (named(&left_on), named(&right_on));
        of_left.extend([col(NUMBERS[0]), col("event_time").cast(DataType::Int64).alias("left")]);
        of_right.extend([col(NUMBERS[1]), col(self.right_time()).cast(DataType::Int64).alias("right")]);
        let keys: Vec<Expr> = (0..left_on.len()).map(|n| col(format!("key {n}"))).collect();
        let apart = col("left") - col("right");
        let pairs = left
            .clone()
            .select(of_left)
            .join(right.clone().select(of_right), &keys, &keys, JoinArgs::new(JoinType::Inner))
            .filter(apart.clone().lt_eq(lit(bound)).and(apart.gt_eq(lit(-bound))))
            .select(NUMBERS.map(col));
        let by_number = [col(NUMBERS[0])];
        let mut joined = if matches!(how, JoinType::Semi | JoinType::Anti) {
            left.join(pairs, &by_number, &by_number, JoinArgs::new(how.clone())).collect()?
        } else {
            let left = left.join(pairs, &by_number, &by_number, JoinArgs::new(JoinType::Left));
            left_on.push(col(NUMBERS[1]));
            right_on.push(col(NUMBERS[1]));
            left.join(right, left_on, right_on, JoinArgs::new(how.clone())).collect()?
        };
        for name in [NUMBERS[0], NUMBERS[1], &format!("{}_right", NUMBERS[1])] {
            if joined.schema().contains(name) {
                joined.drop_in_place(name)?;
            }
        }
        Ok(joined)
    }

    fn asof(
        &self,
        left: DataFrame,
        right: DataFrame,
        strategy: AsofStrategy,
        tolerance: Option<i64>,
        exact: bool,
    ) -> PolarsResult<DataFrame> {
        let by = self.on().map(|by| names(&by).into_iter().collect());
        let right_time = self.right_time();
        let sorted = |frame: DataFrame, time: &str| {
            frame.lazy().sort([time], SortMultipleOptions::default().with_maintain_order(true)).collect()
        };
        ByHand { times: ["event_time", right_time], by, strategy, tolerance, exact }
            .join(&sorted(left, "event_time")?, &sorted(right, right_time)?)
    }

    /// The plan and Polars' frame, for more words.
    pub(crate) fn both(&self, plan: Plan, polars: LazyFrame) -> Both {
        match self.kind {
            Kind::Changing { .. } => {
                let counts = ["0 n", "1 n"].map(str::to_owned);
                let all = self.key_names(0).into_iter().chain(self.key_names(1)).chain(counts);
                let identity = all.filter(|name| plan.schema().contains(name)).map(PlSmallStr::from_string).collect();
                Both::new_changing(plan, polars, identity)
            }
            _ => Both::new_joined(plan, polars, self.time()),
        }
    }

    /// What a side is aggregated by, as it is called there.
    fn key_names(&self, side: usize) -> Vec<String> {
        (0..self.on()[side].len()).map(|n| format!("{side} key {n}")).collect()
    }

    fn keys(&self, side: usize) -> Vec<Expr> {
        self.key_names(side).into_iter().map(col).collect()
    }

    /// The column with the time that each row of the result has.
    fn time(&self) -> &'static str {
        match &self.kind {
            Kind::Within { how: JoinType::Right, .. } if self.is_renamed => "at",
            Kind::Within { how: JoinType::Right, .. } => "event_time_right",
            _ => "event_time",
        }
    }

    fn right_time(&self) -> &'static str {
        if self.is_renamed { "at" } else { "event_time" }
    }

    fn partitions(&self, side: usize) -> &'static [i32] {
        SIDES[if self.is_swapped { 1 - side } else { side }]
    }

    /// What must be equal on both sides: columns of one name, of other names and types, several, and expressions.
    fn on(&self) -> [Vec<Expr>; 2] {
        let same = |names: &[&str]| [0, 1].map(|_| names.iter().map(|name| col(*name)).collect::<Vec<_>>());
        match (self.on, &self.kind) {
            (0, _) => same(&["key"]),
            (1, _) => same(&["key", "flag"]),
            (2, _) => same(&["small"]),
            // Polars' as-of join goes by columns of one type.
            (_, Kind::Asof { .. }) => same(&[]),
            (3, _) => [vec![col("small")], vec![col("rank")]],
            (4, _) => same(&["float"]),
            _ => [vec![col("small") % lit(3)], vec![col("whole") % lit(3)]],
        }
    }

    /// The columns of the right.
    fn right(&self) -> Vec<Expr> {
        let keys = names(&self.on()[1]);
        let there = ["key", "flag", "small", "rank", "float", "whole", "cents", "tags"].into_iter().enumerate();
        let mut columns = vec![col("event_time").alias(self.right_time())];
        for (n, name) in there.filter(|(n, name)| self.right >> n & 1 == 1 || keys.contains(*name)) {
            columns.push(if n == 3 { col("small").cast(DataType::Int64).alias(name) } else { col(name) });
        }
        columns
    }
}

/// The columns that expressions name.
fn names(on: &[Expr]) -> BTreeSet<PlSmallStr> {
    plan::columns_of(on).unwrap_or_default()
}
