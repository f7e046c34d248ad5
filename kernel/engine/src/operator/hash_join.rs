//! The join of rows that change, by equal keys alone: what Flink calls a regular join, and databases a symmetric hash join. The
//! rows of both sides are kept, and the result has each pair as long as both of its rows are there. A batch costs the pairs that
//! it touches. A pair keeps its identity while its rows change, as long as they keep their keys.

use std::collections::BTreeMap;

use polars::prelude::*;

use super::columns::integers;
use super::{BatchResult, Operator};
use crate::change::{Changes, Delta, Revision};
use crate::physical::HashJoin;
use crate::state::StateTables;
use crate::state::pairs::{PairTable, RowPair};
use crate::state::retained::check_joined;
use table::{HashKey, HashTable};

mod table;

const LEFT: usize = 0;
const RIGHT: usize = 1;

/// The numbers of rows that are gone, or others now, by their identities; of the left and of the right.
type Replaced = [PlHashMap<u64, u64>; 2];

/// The state and its parameters.
pub(crate) struct SymmetricHashJoin {
    plan: HashJoin,
    sides: [HashTable; 2],
    /// The pairs that are in the result.
    pairs: PairTable,
    /// The keys of each time, where a key is a time after which nothing of it changes.
    times: Option<BTreeMap<i64, PlHashSet<HashKey>>>,
    /// The result where there is nothing in it.
    none: DataFrame,
    /// The identities of pairs that nothing changes any more, until they are asked for.
    closed: Vec<u64>,
    /// Whether old rows are given beside the new.
    retracted: bool,
}

/// What a batch affects.
#[derive(Default)]
struct PairChanges {
    /// The pairs, in the order in which they were affected, each with its identity before the batch.
    pairs: PlIndexMap<RowPair, Option<u64>>,
    replaced: Replaced,
    /// Rows that were late.
    late: usize,
}

impl SymmetricHashJoin {
    /// `input` has the columns of both sides, and `schema` those of the result. Old rows are given beside the new ones where they are
    /// `retracted`.
    pub(super) fn new(
        plan: &HashJoin,
        input: &SchemaRef,
        schema: &SchemaRef,
        retracted: bool,
    ) -> PolarsResult<SymmetricHashJoin> {
        let all = DataFrame::empty_with_schema(input);
        let side = |columns: &[PlSmallStr], gives_alone: bool| {
            let names = plan.keys.iter().chain(columns).cloned();
            PolarsResult::Ok(HashTable::new(all.select(names)?, plan, columns, gives_alone))
        };
        let left = side(&plan.left, matches!(plan.how, JoinType::Left | JoinType::Full | JoinType::Anti))?;
        let right = side(&plan.right, matches!(plan.how, JoinType::Right | JoinType::Full))?;
        Ok(SymmetricHashJoin {
            plan: plan.clone(),
            sides: [left, right],
            pairs: PairTable::default(),
            times: plan.time_key.map(|_| BTreeMap::new()),
            none: DataFrame::empty_with_schema(schema),
            closed: Vec::new(),
            retracted,
        })
    }

    /// Takes in what a batch changes of a side.
    fn take(
        &mut self,
        side: usize,
        delta: Delta,
        watermark: Option<i64>,
        affected: &mut PairChanges,
    ) -> PolarsResult<()> {
        let Changes { ids, rows, deletes } = match delta {
            Delta::Append(rows) => {
                let (rows, late) = self.in_time(rows, watermark)?;
                affected.late += late;
                self.sides[side].numbered(rows)
            }
            Delta::Change(revision) => revision.changes,
        };
        let (keys, store) = (self.plan.keys_of(&rows)?, &mut self.sides[side].rows);
        let replaced = deletes.iter().chain(&ids).filter_map(|id| Some((*id, store.remove(*id)?)));
        affected.replaced[side].extend(replaced);
        store.put(&ids, rows)?;
        for id in deletes {
            self.unlink(side, id, affected);
        }
        for (id, key) in ids.into_iter().zip(keys) {
            self.link(side, id, key, affected);
        }
        Ok(())
    }

    /// The rows that may still be in a pair, and how many others there are.
    fn in_time(&self, rows: DataFrame, watermark: Option<i64>) -> PolarsResult<(DataFrame, usize)> {
        let (Some((number, _)), Some(watermark)) = (self.plan.time_key, watermark) else { return Ok((rows, 0)) };
        let times = integers(&rows, &self.plan.keys[number])?;
        let keep: BooleanChunked = times.iter().map(|time| Some(time.is_none_or(|time| time > watermark))).collect();
        let kept = rows.filter(&keep)?;
        let late = rows.height() - kept.height();
        Ok((kept, late))
    }

    /// Makes the pairs of a row that is new, or another one now.
    fn link(&mut self, side: usize, id: u64, key: HashKey, affected: &mut PairChanges) {
        if self.sides[side].key(id).is_some_and(|before| *before == key) {
            let partners: Vec<u64> = self.partners(side, &key).to_vec();
            if self.asks_only() {
                if side == LEFT && self.pairs.id(&[Some(id), None]).is_some() {
                    self.touch([Some(id), None], affected);
                }
            } else if partners.is_empty() {
                if self.sides[side].gives_alone {
                    self.touch(alone(side, id), affected);
                }
            } else {
                partners.into_iter().for_each(|other| self.touch(pair(side, id, other), affected));
            }
            return;
        }
        self.unlink(side, id, affected);
        self.wait(&key);
        let partners: Vec<u64> = self.partners(side, &key).to_vec();
        let is_first = self.sides[side].link(id, key);
        if self.asks_only() {
            if side == LEFT && partners.is_empty() == self.sides[LEFT].gives_alone {
                self.begin([Some(id), None], affected);
            } else if side == RIGHT && is_first {
                partners.into_iter().for_each(|left| self.turn(left, affected));
            }
            return;
        }
        if partners.is_empty() && self.sides[side].gives_alone {
            self.begin(alone(side, id), affected);
        }
        for other in partners {
            if is_first && self.sides[1 - side].gives_alone {
                self.end(alone(1 - side, other), affected);
            }
            self.begin(pair(side, id, other), affected);
        }
    }

    /// Ends the pairs of a row, if it has a key.
    fn unlink(&mut self, side: usize, id: u64, affected: &mut PairChanges) {
        let Some((key, was_last)) = self.sides[side].unlink(id) else { return };
        let partners: Vec<u64> = self.partners(side, &key).to_vec();
        if self.asks_only() {
            if side == LEFT {
                self.end([Some(id), None], affected);
            } else if was_last {
                partners.into_iter().for_each(|left| self.turn(left, affected));
            }
            return;
        }
        if partners.is_empty() {
            self.end(alone(side, id), affected);
        }
        for other in partners {
            self.end(pair(side, id, other), affected);
            if was_last && self.sides[1 - side].gives_alone {
                self.begin(alone(1 - side, other), affected);
            }
        }
    }

    /// Notes when nothing of a key changes any more; of one without a time, nothing does.
    fn wait(&mut self, key: &HashKey) {
        if let Some(times) = &mut self.times {
            times.entry(key.time.unwrap_or(i64::MIN)).or_default().insert(key.clone());
        }
    }

    /// Whether it only matters that a row of the left has a match.
    fn asks_only(&self) -> bool {
        matches!(self.plan.how, JoinType::Semi | JoinType::Anti)
    }

    /// The rows of the other side with this key.
    fn partners(&self, side: usize, key: &HashKey) -> &[u64] {
        self.sides[1 - side].with(key)
    }

    /// A pair is in the result from now on.
    fn begin(&mut self, pair: RowPair, affected: &mut PairChanges) {
        self.touch(pair, affected);
        self.pairs.put(pair, affected.pairs.get(&pair).copied().flatten());
    }

    /// A pair is in the result no longer.
    fn end(&mut self, pair: RowPair, affected: &mut PairChanges) {
        self.touch(pair, affected);
        self.pairs.remove(&pair);
    }

    /// A row of the left comes into the result, or leaves it.
    fn turn(&mut self, left: u64, affected: &mut PairChanges) {
        let pair = [Some(left), None];
        if self.pairs.id(&pair).is_some() { self.end(pair, affected) } else { self.begin(pair, affected) }
    }

    fn touch(&mut self, pair: RowPair, affected: &mut PairChanges) {
        affected.pairs.entry(pair).or_insert_with(|| self.pairs.id(&pair));
    }

    /// What a batch changed of the result.
    fn changes(&self, affected: &PairChanges) -> PolarsResult<Changes> {
        let (mut ids, mut there, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
        for (pair, before) in &affected.pairs {
            match (before, self.pairs.id(pair)) {
                (_, Some(id)) => {
                    ids.push(id);
                    there.push(*pair);
                }
                (Some(id), None) => deletes.push(*id),
                (None, None) => {}
            }
        }
        let rows = self.rows_of(&there, |side, id| self.sides[side].rows.number_of(id))?;
        Ok(Changes { ids, rows, deletes })
    }

    /// The rows of the affected pairs as they were before the batch.
    fn retracted(&self, affected: &PairChanges) -> PolarsResult<DataFrame> {
        let before = affected.pairs.iter().filter(|(_, before)| before.is_some()).map(|(pair, _)| *pair);
        let number = |side: usize, id: u64| {
            affected.replaced[side].get(&id).copied().or_else(|| self.sides[side].rows.number_of(id))
        };
        self.rows_of(&before.collect::<Vec<_>>(), number)
    }

    /// The rows of pairs, of which `number` gives where their rows are.
    fn rows_of(&self, pairs: &[RowPair], number: impl Fn(usize, u64) -> Option<u64>) -> PolarsResult<DataFrame> {
        if pairs.is_empty() {
            return Ok(self.none.clone());
        }
        let of = |side: usize| {
            let numbers: Vec<Option<u64>> =
                pairs.iter().map(|pair| pair[side].and_then(|id| number(side, id))).collect();
            self.sides[side].take(&numbers)
        };
        let mut rows = of(LEFT)?;
        let right = of(RIGHT)?;
        match rows.width() {
            0 => rows = right,
            _ => rows.hstack_mut(right.columns()).map(drop)?,
        }
        rows.select(self.none.get_column_names_owned())
    }

    /// Gives the room of rows back that are in no pair any more.
    fn tidy(&mut self) -> PolarsResult<()> {
        self.sides.iter_mut().try_for_each(|side| side.rows.tidy())?;
        check_joined(self.sides.iter().map(|side| side.rows.bytes()).sum())
    }
}

impl Operator for SymmetricHashJoin {
    fn execute(&mut self, _: Delta, _: Option<i64>) -> PolarsResult<BatchResult> {
        polars_bail!(ComputeError: "a join was given the rows of one side")
    }

    /// Gives what changes of the pairs. Rows that never change are late once the watermark has passed the time among their keys.
    fn execute_sides(&mut self, sides: [Delta; 2], watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let mut affected = PairChanges::default();
        for (side, delta) in sides.into_iter().enumerate() {
            self.take(side, delta, watermark, &mut affected)?;
        }
        let changes = self.changes(&affected)?;
        let retracted = if self.retracted { Some(self.retracted(&affected)?) } else { None };
        self.tidy()?;
        Ok(BatchResult { delta: Delta::Change(Revision { changes, retracted }), late: affected.late, timeless: 0 })
    }

    fn close(&mut self, watermark: i64, wanted: bool) -> PolarsResult<Option<DataFrame>> {
        let (mut pairs, mut replaced) = (Vec::new(), Replaced::default());
        while let Some(first) = self.times.as_mut().and_then(BTreeMap::first_entry) {
            if *first.key() > watermark {
                break;
            }
            for key in first.remove() {
                self.close_key(&key, &mut pairs, &mut replaced);
            }
        }
        if pairs.is_empty() && replaced.iter().all(PlHashMap::is_empty) {
            return Ok(None);
        }
        pairs.sort_unstable_by_key(|(id, _)| *id);
        let of = |side: usize, id: u64| replaced[side].get(&id).copied();
        let rows = match wanted {
            true => Some(self.rows_of(&pairs.iter().map(|(_, pair)| *pair).collect::<Vec<_>>(), of)?),
            false => None,
        };
        self.closed.extend(pairs.iter().map(|(id, _)| *id));
        self.tidy()?;
        Ok(rows.filter(|rows| rows.height() > 0))
    }

    fn due(&self, wanted: bool) -> Option<i64> {
        self.times.as_ref()?.keys().next().copied().filter(|_| wanted)
    }

    fn settled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.closed)
    }

    fn state(&mut self) -> StateTables<'_> {
        let [left, right] = &mut self.sides;
        vec![&mut left.rows, &mut right.rows, &mut self.pairs]
    }

    fn restored(&mut self, _: Option<i64>) -> PolarsResult<()> {
        self.sides.iter_mut().try_for_each(|side| side.link_all(&self.plan))?;
        let keys: Vec<HashKey> = self.sides.iter().flat_map(HashTable::keys).cloned().collect();
        keys.iter().for_each(|key| self.wait(key));
        Ok(())
    }
}

impl SymmetricHashJoin {
    /// Forgets the rows of a key, and gives the pairs that they are in.
    fn close_key(&mut self, key: &HashKey, pairs: &mut Vec<(u64, RowPair)>, replaced: &mut Replaced) {
        let taken = self.sides.each_mut().map(|side| side.take_key(key));
        for ((id, _), side) in taken.iter().enumerate().flat_map(|(side, rows)| rows.iter().map(move |row| (row, side)))
        {
            let pair = alone(side, *id);
            pairs.extend(self.pairs.remove(&pair).map(|number| (number, pair)));
        }
        if !key.has_null && !self.asks_only() {
            let both =
                taken[LEFT].iter().flat_map(|(left, _)| taken[RIGHT].iter().map(move |(right, _)| (left, right)));
            for (left, right) in both {
                let pair = [Some(*left), Some(*right)];
                pairs.extend(self.pairs.remove(&pair).map(|number| (number, pair)));
            }
        }
        for (taken, replaced) in taken.into_iter().zip(replaced) {
            replaced.extend(taken);
        }
    }
}

fn pair(side: usize, id: u64, other: u64) -> RowPair {
    if side == LEFT { [Some(id), Some(other)] } else { [Some(other), Some(id)] }
}

fn alone(side: usize, id: u64) -> RowPair {
    if side == LEFT { [Some(id), None] } else { [None, Some(id)] }
}
