//! The twins of the operators that give rows: each a list of what has come, and a loop over it.

use std::collections::BTreeMap;

use crate::common::cuts::SIDES;
use crate::common::rows::Row;
use crate::{Twin, float, maybe};

fn number(row: &Row) -> String {
    maybe(row.whole)
}

/// The first row of each key and flag.
#[derive(Default)]
pub(crate) struct Unique {
    seen: Vec<Row>,
}

impl Twin for Unique {
    fn take(&mut self, batch: &[Row], before: Option<i64>, after: Option<i64>) -> (Vec<String>, usize) {
        let (mut given, mut late) = (Vec::new(), 0);
        for row in batch {
            // A row without a time is never over.
            if before.is_some_and(|watermark| row.time.is_some_and(|time| time <= watermark)) {
                late += 1;
            } else if self.seen.iter().all(|seen| (&seen.key, seen.flag) != (&row.key, row.flag)) {
                self.seen.push(row.clone());
                given.push(number(row));
            }
        }
        self.seen.retain(|row| after.is_none_or(|watermark| row.time.is_none_or(|time| time > watermark)));
        (given, late)
    }
}

/// The `k` rows with the largest value and number; those without a value come last.
pub(crate) struct Sorted {
    k: usize,
    all: Vec<Row>,
}

impl Sorted {
    pub(crate) fn new(k: usize) -> Sorted {
        Sorted { k, all: Vec::new() }
    }
}

impl Twin for Sorted {
    fn take(&mut self, batch: &[Row], _: Option<i64>, _: Option<i64>) -> (Vec<String>, usize) {
        self.all.extend(batch.iter().cloned());
        self.all.sort_by_key(|row| std::cmp::Reverse((row.small, row.whole)));
        (Vec::new(), 0)
    }

    fn result(&self) -> Option<Vec<String>> {
        let line = |row: &Row| format!("{} | {}", maybe(row.small), number(row));
        Some(self.all.iter().take(self.k).map(line).collect())
    }

    fn is_ordered(&self) -> bool {
        true
    }
}

/// The largest number of each key and value, in order; those of one number in the order in which they changed last.
pub(crate) struct Ranked {
    k: usize,
    largest: bool,
    nulls_last: bool,
    groups: Vec<(Group, Option<f64>)>,
}

/// A key and a value.
type Group = (Option<String>, Option<i32>);

impl Ranked {
    pub(crate) fn new(k: usize, largest: bool, nulls_last: bool) -> Ranked {
        Ranked { k, largest, nulls_last, groups: Vec::new() }
    }
}

impl Twin for Ranked {
    fn take(&mut self, batch: &[Row], _: Option<i64>, _: Option<i64>) -> (Vec<String>, usize) {
        let mut changed: Vec<(Group, Option<f64>)> = Vec::new();
        for row in batch {
            let group = (row.key.clone(), row.small);
            let at = changed.iter().position(|(other, _)| *other == group).unwrap_or_else(|| {
                let known = self.groups.iter().position(|(other, _)| *other == group);
                changed.push(known.map_or((group, None), |at| self.groups.remove(at)));
                changed.len() - 1
            });
            let top = &mut changed[at].1;
            *top = match (*top, row.float) {
                (Some(top), Some(float)) => Some(if top.is_nan() || float > top { float } else { top }),
                (top, float) => top.or(float),
            };
        }
        self.groups.extend(changed);
        (Vec::new(), 0)
    }

    fn result(&self) -> Option<Vec<String>> {
        // NaN is larger than all numbers.
        let compare = |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
            (false, false) => a.partial_cmp(&b).unwrap(),
            (a, b) => a.cmp(&b),
        };
        let mut sorted = self.groups.clone();
        sorted.sort_by(|(_, a), (_, b)| match (a, b) {
            (Some(a), Some(b)) if self.largest => compare(*b, *a),
            (Some(a), Some(b)) => compare(*a, *b),
            _ if self.nulls_last => a.is_none().cmp(&b.is_none()),
            _ => b.is_none().cmp(&a.is_none()),
        });
        let line = |((key, small), top): &(Group, Option<f64>)| {
            format!("{} | {} | {}", maybe(key.clone()), maybe(*small), maybe(top.map(float)))
        };
        Some(sorted.iter().take(self.k).map(line).collect())
    }

    fn is_ordered(&self) -> bool {
        true
    }
}

/// As many rows as may still pass.
pub(crate) struct Limited(pub(crate) usize);

impl Twin for Limited {
    fn take(&mut self, batch: &[Row], _: Option<i64>, _: Option<i64>) -> (Vec<String>, usize) {
        let given: Vec<String> = batch.iter().take(self.0).map(number).collect();
        self.0 -= given.len();
        (given, 0)
    }
}

/// The running sum of each key; when its newest row is `timeout` old, once more, and then it begins anew.
pub(crate) struct Summed {
    timeout: i64,
    sums: BTreeMap<Option<String>, (i64, Option<i64>)>,
}

impl Summed {
    pub(crate) fn new(timeout: i64) -> Summed {
        Summed { timeout, sums: BTreeMap::new() }
    }
}

impl Twin for Summed {
    fn take(&mut self, batch: &[Row], _: Option<i64>, after: Option<i64>) -> (Vec<String>, usize) {
        let name = |key: &Option<String>| key.clone().unwrap_or_else(|| "none".to_owned());
        let mut given = Vec::new();
        // The function is told the newest time of a batch's rows.
        let mut newest: BTreeMap<Option<String>, i64> = BTreeMap::new();
        for row in batch {
            let (sum, _) = self.sums.entry(row.key.clone()).or_default();
            *sum += i64::from(row.small.unwrap_or_default());
            given.push(format!("{} | {sum} | false", name(&row.key)));
            if let Some(time) = row.time {
                newest.entry(row.key.clone()).and_modify(|newest| *newest = time.max(*newest)).or_insert(time);
            }
        }
        for (key, time) in newest {
            self.sums.entry(key).or_default().1 = Some(time + self.timeout);
        }
        self.sums.retain(|key, (sum, timeout)| {
            let is_up = after.zip(*timeout).is_some_and(|(watermark, timeout)| timeout <= watermark);
            if is_up {
                given.push(format!("{} | {sum} | true", name(key)));
            }
            !is_up
        });
        (given, 0)
    }
}

/// The pairs of rows with one key that are `bound` apart at the most.
pub(crate) struct Paired {
    bound: i64,
    keeps_left: bool,
    left: Vec<(Row, bool)>,
    right: Vec<Row>,
}

impl Paired {
    pub(crate) fn new(bound: i64, keeps_left: bool) -> Paired {
        Paired { bound, keeps_left, left: Vec::new(), right: Vec::new() }
    }

    fn belong(&self, left: &Row, right: &Row) -> bool {
        let apart = left.time.unwrap() - right.time.unwrap();
        left.key.is_some() && left.key == right.key && apart.abs() <= self.bound
    }
}

impl Twin for Paired {
    fn take(&mut self, batch: &[Row], before: Option<i64>, after: Option<i64>) -> (Vec<String>, usize) {
        let is_late = |row: &&Row| before.is_some_and(|watermark| row.time.unwrap() <= watermark);
        let (late, new): (Vec<&Row>, Vec<&Row>) = batch.iter().filter(|row| row.time.is_some()).partition(is_late);
        // Nothing will ever belong to a row without a time or a key.
        let is_left = |row: &Row| !SIDES[1].contains(&row.partition);
        let timeless = batch.iter().filter(|row| self.keeps_left && row.time.is_none() && is_left(row));
        let mut given: Vec<String> = timeless.map(|row| format!("{} | null", number(row))).collect();
        for row in new {
            // With those that have come before it, of the other side.
            if !is_left(row) {
                for n in 0..self.left.len() {
                    if self.belong(&self.left[n].0, row) {
                        self.left[n].1 = true;
                        given.push(format!("{} | {}", number(&self.left[n].0), number(row)));
                    }
                }
                self.right.push(row.clone());
            } else {
                if row.key.is_none() && self.keeps_left {
                    given.push(format!("{} | null", number(row)));
                    continue;
                }
                let near: Vec<&Row> = self.right.iter().filter(|right| self.belong(row, right)).collect();
                given.extend(near.iter().map(|right| format!("{} | {}", number(row), number(right))));
                let is_met = !near.is_empty();
                self.left.push((row.clone(), is_met));
            }
        }
        let is_open = |row: &Row| after.is_none_or(|watermark| row.time.unwrap() + self.bound > watermark);
        self.right.retain(|row| is_open(row));
        let (open, gone): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.left).into_iter().partition(|(row, _)| is_open(row));
        self.left = open;
        let alone = gone.into_iter().filter(|(_, is_met)| self.keeps_left && !is_met);
        given.extend(alone.map(|(row, _)| format!("{} | null", number(&row))));
        (given, late.len())
    }
}
