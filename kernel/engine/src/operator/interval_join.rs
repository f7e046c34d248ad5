//! The join of two streams within a bound of time. Rows of both sides are kept as long as a row may come that belongs to them,
//! which the watermark says; a row that comes is looked up among those of the other side by its key and its time.

use crate::physical::TimedJoin;
use polars::prelude::*;

use super::arrivals::{Arrival, Arrivals};
use super::by_time::ByTime;
use super::{BatchResult, Operator, never_changing};
use crate::change::Delta;
use crate::state::StateTables;
use crate::state::timed_rows::{TimedRow, TimedRows};

/// The rows that are kept.
pub(crate) struct IntervalJoin {
    join: TimedJoin,
    bound: i64,
    how: JoinType,
    sides: [JoinTable; 2],
}

struct JoinTable {
    kept: TimedRows,
    index: ByTime,
    /// Whether rows that nothing belonged to are in the result.
    gives_alone: bool,
}

/// Rows of the result by the numbers of those that they are made of, and the rows that are not needed after it.
#[derive(Default)]
struct Matches {
    pairs: [Vec<Option<u64>>; 2],
    done: [Vec<u64>; 2],
}

const LEFT: usize = 0;
const RIGHT: usize = 1;

impl IntervalJoin {
    /// `input` is the schema of the rows of both sides.
    pub(super) fn new(join: &TimedJoin, bound: i64, how: &JoinType, input: &SchemaRef) -> PolarsResult<IntervalJoin> {
        let side = |columns: &[PlSmallStr], gives_alone: bool| {
            PolarsResult::Ok(JoinTable {
                kept: TimedRows::new(join, columns, input)?,
                index: ByTime::default(),
                gives_alone,
            })
        };
        let left = side(&join.left, matches!(how, JoinType::Left | JoinType::Full | JoinType::Anti))?;
        let right = side(&join.right, matches!(how, JoinType::Right | JoinType::Full))?;
        Ok(IntervalJoin { join: join.clone(), bound, how: how.clone(), sides: [left, right] })
    }

    /// Whether it only matters that something belongs to a row of the left.
    fn asks_only(&self) -> bool {
        matches!(self.how, JoinType::Semi | JoinType::Anti)
    }

    /// Looks a row up among those of the other side, and keeps it.
    fn meet(&mut self, side: usize, (id, arrival): (u64, Arrival), key: &[u8], found: &mut Matches) -> usize {
        let (Some(time), true) = (arrival.time, arrival.has_key) else {
            found.done[side].push(id);
            let alone = self.sides[side].gives_alone;
            if alone {
                found.alone(side, id);
            }
            return usize::from(arrival.time.is_none() && !alone);
        };
        let (from, to) = (time.saturating_sub(self.bound), time.saturating_add(self.bound));
        let place = TimedRow { time, order: arrival.order, id };
        if self.asks_only() {
            self.ask(side, place, (from, to), key, found);
            return 0;
        }
        let [left, right] = &mut self.sides;
        let (mine, other) = if side == LEFT { (left, right) } else { (right, left) };
        let others = other.index.between(key, from, to);
        for met in others {
            found.pairs[side].push(Some(id));
            found.pairs[1 - side].push(Some(met.id));
            if other.gives_alone {
                other.kept.rows.mark(met.id);
            }
        }
        if mine.gives_alone && !others.is_empty() {
            mine.kept.rows.mark(id);
        }
        mine.index.insert(key, place);
        0
    }

    /// The same where a row of the left is done as soon as anything belongs to it.
    fn ask(&mut self, side: usize, place: TimedRow, (from, to): (i64, i64), key: &[u8], found: &mut Matches) {
        let [left, right] = &mut self.sides;
        if side == RIGHT {
            let met = left.index.take_between(key, from, to);
            found.done[LEFT].extend(met.iter().map(|met| met.id));
            if self.how == JoinType::Semi {
                met.iter().for_each(|met| found.alone(LEFT, met.id));
            }
            right.index.insert(key, place);
        } else if right.index.between(key, from, to).is_empty() {
            left.index.insert(key, place);
        } else {
            found.done[LEFT].push(place.id);
            if self.how == JoinType::Semi {
                found.alone(LEFT, place.id);
            }
        }
    }

    /// The rows of the result; those that are done are freed.
    fn rows(&mut self, found: &Matches) -> PolarsResult<DataFrame> {
        let [left, right] = &mut self.sides;
        let mut rows = left.kept.take(&found.pairs[LEFT])?;
        if !self.join.right.is_empty() {
            rows.hstack_mut(right.kept.take(&found.pairs[RIGHT])?.columns())?;
        }
        for (side, done) in [left, right].into_iter().zip(&found.done) {
            done.iter().for_each(|id| side.kept.rows.free(*id));
            side.kept.rows.tidy()?;
        }
        rows.select(self.join.left.iter().chain(&self.join.right).cloned())
    }
}

impl Operator for IntervalJoin {
    /// Gives the pairs that the batch makes. A row of one side that is late, or has no time, is in none.
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let arrivals = Arrivals::new(&self.join, never_changing(delta)?, watermark)?;
        let (mut found, mut timeless) = (Matches::default(), 0);
        let new = [LEFT, RIGHT].map(|side| arrivals.keep(side, &mut self.sides[side].kept));
        // Each side meets those of the other that came before it: the right the old ones of the left, the left all of the right.
        for (side, new) in new.into_iter().enumerate().rev() {
            for (id, arrival) in new? {
                timeless += self.meet(side, (id, arrival), arrivals.key(&arrival), &mut found);
            }
        }
        Ok(BatchResult { delta: Delta::Append(self.rows(&found)?), late: arrivals.late, timeless })
    }

    /// Forgets the rows that nothing can belong to any more; gives those that nothing belonged to, where they are in the result.
    fn close(&mut self, watermark: i64, _wanted: bool) -> PolarsResult<Option<DataFrame>> {
        let mut found = Matches::default();
        for (number, side) in self.sides.iter_mut().enumerate() {
            while let Some(place) = side.index.pop(watermark.saturating_sub(self.bound)) {
                if side.gives_alone && !side.kept.rows.is_marked(place.id) {
                    found.alone(number, place.id);
                }
                found.done[number].push(place.id);
            }
        }
        let rows = self.rows(&found)?;
        Ok((rows.height() > 0).then_some(rows))
    }

    fn due(&self, _wanted: bool) -> Option<i64> {
        let waiting = self.sides.iter().filter(|side| side.gives_alone);
        waiting.filter_map(|side| side.index.oldest()).min().map(|time| time.saturating_add(self.bound))
    }

    fn finish(&mut self) -> PolarsResult<Option<DataFrame>> {
        self.close(i64::MAX, true)
    }

    fn state(&mut self) -> StateTables<'_> {
        let [left, right] = &mut self.sides;
        vec![&mut left.kept, &mut right.kept]
    }

    fn restored(&mut self, _: Option<i64>) -> PolarsResult<()> {
        for side in &mut self.sides {
            for (place, key) in side.kept.places()? {
                side.index.insert(key.as_deref().unwrap_or_default(), place);
            }
        }
        Ok(())
    }
}

impl Matches {
    /// A row with nothing beside it.
    fn alone(&mut self, side: usize, id: u64) {
        self.pairs[side].push(Some(id));
        self.pairs[1 - side].push(None);
    }
}
