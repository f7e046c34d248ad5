//! The as-of join of two streams: each row of the left with the one of the right, of the same keys, that is nearest in time. Which
//! one that is is known once the watermark has passed all that may come; until then the row waits.

use plan::AsofStrategy;
use polars::prelude::*;

use super::arrivals::Arrivals;
use super::by_time::{ByTime, Queue};
use super::{BatchResult, Operator, never_changing};
use crate::change::Delta;
use crate::physical::TimedJoin;
use crate::state::StateTables;
use crate::state::timed_rows::{JoinKey, TimedRow, TimedRows};

/// So many rows may be noted for nothing.
const FEW: usize = 1024;

/// The rows that wait, and those that may be the nearest.
pub(crate) struct AsofJoin {
    join: TimedJoin,
    rule: Rule,
    left: TimedRows,
    waiting: Queue<Option<JoinKey>>,
    right: TimedRows,
    index: ByTime,
    /// Rows of the right that the watermark has passed, the newest of each key. Only kept where they get too old.
    newest: Queue<JoinKey>,
}

/// Which row is the nearest.
pub(super) struct Rule {
    pub(super) strategy: AsofStrategy,
    pub(super) tolerance: Option<i64>,
    pub(super) exact: bool,
}

impl Rule {
    /// The nearest of some rows in the order of time, as Polars finds it: of several of one time the last, but looking forward
    /// the first.
    pub(super) fn nearest(&self, rows: &[TimedRow], time: i64) -> Option<TimedRow> {
        let before = rows.partition_point(|place| if self.exact { place.time <= time } else { place.time < time });
        let before = before.checked_sub(1).and_then(|at| rows.get(at));
        let first = rows.partition_point(|place| if self.exact { place.time < time } else { place.time <= time });
        let place = match self.strategy {
            AsofStrategy::Backward => before,
            AsofStrategy::Forward => rows.get(first),
            AsofStrategy::Nearest => {
                let after = rows.get(first).map(|next| rows.partition_point(|place| place.time <= next.time) - 1);
                let after = after.and_then(|at| rows.get(at));
                match (before, after) {
                    (Some(before), Some(after)) if apart(after.time, time) > apart(before.time, time) => Some(before),
                    (before, after) => after.or(before),
                }
            }
        };
        let is_near =
            |place: &&TimedRow| self.tolerance.is_none_or(|most| apart(place.time, time) <= most.unsigned_abs());
        place.filter(is_near).copied()
    }

    /// How long after its time a row may have to wait.
    fn patience(&self) -> i64 {
        if self.strategy == AsofStrategy::Backward { 0 } else { self.tolerance.unwrap_or(i64::MAX) }
    }

    /// How far the watermark may be past a row of the right that a row of the left may still get.
    fn memory(&self) -> i64 {
        let tolerance = self.tolerance.unwrap_or(i64::MAX);
        if self.strategy == AsofStrategy::Nearest { tolerance.saturating_mul(2) } else { tolerance }
    }
}

fn apart(a: i64, b: i64) -> u64 {
    a.abs_diff(b)
}

impl AsofJoin {
    /// `input` is the schema of the rows of both sides.
    pub(super) fn new(join: &TimedJoin, rule: Rule, input: &SchemaRef) -> PolarsResult<AsofJoin> {
        Ok(AsofJoin {
            join: join.clone(),
            rule,
            left: TimedRows::new(join, &join.left, input)?,
            waiting: Queue::default(),
            right: TimedRows::new(join, &join.right, input)?,
            index: ByTime::default(),
            newest: Queue::default(),
        })
    }

    /// Rows of the left, each with one of the right or none. They are not needed any more.
    fn rows(&mut self, left: &[Option<u64>], right: &[Option<u64>]) -> PolarsResult<DataFrame> {
        let mut rows = self.left.take(left)?;
        if !self.join.right.is_empty() {
            rows.hstack_mut(self.right.take(right)?.columns())?;
        }
        left.iter().flatten().for_each(|id| self.left.rows.free(*id));
        self.left.rows.tidy()?;
        Ok(rows)
    }

    /// Forgets the rows of the right that no row of the left can get any more.
    fn forget(&mut self, watermark: i64) -> PolarsResult<()> {
        let old = watermark.checked_sub(self.rule.memory()).filter(|_| self.rule.tolerance.is_some());
        if self.rule.strategy == AsofStrategy::Backward {
            // Of the rows that are not after it, a later row of the left can only get the newest.
            while let Some((place, key)) = self.index.next(watermark) {
                if let Some(followed) = self.index.remove_followed(&key, watermark) {
                    self.right.rows.free(followed.id);
                }
                if self.rule.tolerance.is_some() {
                    self.newest.push(place, key);
                }
            }
            if self.newest.len() > 2 * self.index.keys() + FEW {
                let index = &self.index;
                self.newest.retain(|place, key| index.of(key).first() == Some(place));
            }
            while let Some((place, key)) = old.and_then(|old| self.newest.pop(old)) {
                if self.index.remove(&key, &place) {
                    self.right.rows.free(place.id);
                }
            }
        } else {
            while let Some(place) = old.and_then(|old| self.index.pop(old)) {
                self.right.rows.free(place.id);
            }
        }
        self.right.rows.tidy()
    }
}

impl Operator for AsofJoin {
    /// Gives the rows that nothing can be near to, because they have no time; the others wait.
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let mut arrivals = Arrivals::new(&self.join, never_changing(delta)?, watermark)?;
        arrivals.order_by_values(1, &self.join.right)?;
        let (mut alone, mut timeless) = (Vec::new(), 0);
        for (id, arrival) in arrivals.keep(0, &mut self.left)? {
            match arrival.time {
                Some(time) => {
                    let key = arrival.has_key.then(|| JoinKey::from_slice(arrivals.key(&arrival)));
                    self.waiting.push(TimedRow { time, order: arrival.order, id }, key);
                }
                None => alone.push(Some(id)),
            }
        }
        for (id, arrival) in arrivals.keep(1, &mut self.right)? {
            match arrival.time {
                Some(time) if arrival.has_key => {
                    self.index.insert(arrivals.key(&arrival), TimedRow { time, order: arrival.order, id });
                }
                time => {
                    timeless += usize::from(time.is_none());
                    self.right.rows.free(id);
                }
            }
        }
        let rows = self.rows(&alone, &vec![None; alone.len()])?;
        self.right.rows.tidy()?;
        Ok(BatchResult { delta: Delta::Append(rows), late: arrivals.late, timeless })
    }

    /// Gives the rows that have waited long enough, in the order of time.
    fn close(&mut self, watermark: i64, _wanted: bool) -> PolarsResult<Option<DataFrame>> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let passed = watermark.saturating_sub(self.rule.patience());
        while let Some((place, key)) = self.waiting.pop(passed) {
            let nearest = key.and_then(|key| self.rule.nearest(self.index.of(&key), place.time));
            left.push(Some(place.id));
            right.push(nearest.map(|nearest| nearest.id));
        }
        let rows = self.rows(&left, &right)?;
        self.forget(watermark)?;
        Ok((rows.height() > 0).then_some(rows))
    }

    fn due(&self, _wanted: bool) -> Option<i64> {
        self.waiting.oldest().map(|time| time.saturating_add(self.rule.patience()))
    }

    fn finish(&mut self) -> PolarsResult<Option<DataFrame>> {
        self.close(i64::MAX, true)
    }

    fn state(&mut self) -> StateTables<'_> {
        vec![&mut self.left, &mut self.right]
    }

    fn restored(&mut self, _: Option<i64>) -> PolarsResult<()> {
        for (place, key) in self.left.places()? {
            self.waiting.push(place, key);
        }
        for (place, key) in self.right.places()? {
            self.index.insert(key.as_deref().unwrap_or_default(), place);
        }
        Ok(())
    }
}
