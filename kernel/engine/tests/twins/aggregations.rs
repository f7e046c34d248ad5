//! The twins of the aggregations: all rows of a group, aggregated by hand.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::rows::Row;
use crate::{Twin, float, maybe};

/// What a group's rows give, in the order of time, partition and offset.
type Aggregates = fn(&[Row]) -> Vec<String>;
/// The start of a group's window and its key.
type Place = (i64, Option<String>);

/// Windows of one length, that overlap or not.
pub(crate) struct Windows {
    period: i64,
    every: i64,
    aggregates: Aggregates,
    groups: BTreeMap<Place, Vec<Row>>,
    given: BTreeSet<Place>,
}

impl Windows {
    pub(crate) fn new(period: i64, every: i64, aggregates: Aggregates) -> Windows {
        Windows { period, every, aggregates, groups: BTreeMap::new(), given: BTreeSet::new() }
    }
}

impl Twin for Windows {
    fn take(&mut self, batch: &[Row], before: Option<i64>, after: Option<i64>) -> (Vec<String>, usize) {
        let mut late = 0;
        for (row, time) in batch.iter().filter_map(|row| Some((row, row.time?))) {
            let mut start = time.div_euclid(self.every) * self.every;
            while start + self.period > time {
                if before.is_some_and(|watermark| start + self.period <= watermark) {
                    late += 1;
                } else {
                    self.groups.entry((start, row.key.clone())).or_default().push(row.clone());
                }
                start -= self.every;
            }
        }
        let mut given = Vec::new();
        for (place, rows) in &self.groups {
            let is_over = after.is_some_and(|watermark| place.0 + self.period <= watermark);
            if is_over && self.given.insert(place.clone()) {
                given.push(line(place, rows, self.aggregates));
            }
        }
        (given, late)
    }

    fn result(&self) -> Option<Vec<String>> {
        Some(self.groups.iter().map(|(place, rows)| line(place, rows, self.aggregates)).collect())
    }
}

/// Runs of a key's rows in which none comes `gap` or more after the one before it: those of all rows that are not late, cut as if
/// they had come at once.
pub(crate) struct Sessions {
    gap: i64,
    aggregates: Aggregates,
    rows: Vec<Row>,
    given: BTreeSet<Place>,
}

impl Sessions {
    pub(crate) fn new(gap: i64, aggregates: Aggregates) -> Sessions {
        Sessions { gap, aggregates, rows: Vec::new(), given: BTreeSet::new() }
    }

    fn cut(&self) -> Vec<(Place, Vec<Row>)> {
        let mut rows = self.rows.clone();
        rows.sort_by_key(|row| (row.key.clone(), row.time));
        let mut sessions: Vec<(Place, Vec<Row>)> = Vec::new();
        for row in rows {
            let time = row.time.unwrap();
            match sessions.last_mut() {
                Some((place, rows)) if place.1 == row.key && time - newest(rows) < self.gap => rows.push(row),
                _ => sessions.push(((time, row.key.clone()), vec![row])),
            }
        }
        sessions
    }
}

impl Twin for Sessions {
    fn take(&mut self, batch: &[Row], before: Option<i64>, after: Option<i64>) -> (Vec<String>, usize) {
        let is_late = |row: &&Row| before.is_some_and(|watermark| row.time.unwrap() < watermark);
        let (late, new): (Vec<&Row>, Vec<&Row>) = batch.iter().filter(|row| row.time.is_some()).partition(is_late);
        self.rows.extend(new.into_iter().cloned());
        let mut given = Vec::new();
        for (place, rows) in self.cut() {
            let is_over = after.is_some_and(|watermark| newest(&rows) + self.gap <= watermark);
            if is_over && self.given.insert(place.clone()) {
                given.push(line(&place, &rows, self.aggregates));
            }
        }
        (given, late.len())
    }

    fn result(&self) -> Option<Vec<String>> {
        Some(self.cut().into_iter().map(|(place, rows)| line(&place, &rows, self.aggregates)).collect())
    }
}

fn newest(rows: &[Row]) -> i64 {
    rows.iter().filter_map(|row| row.time).max().unwrap()
}

fn line((start, key): &Place, rows: &[Row], aggregates: Aggregates) -> String {
    let mut rows = rows.to_vec();
    // Those of a partition come in the order of their offsets.
    rows.sort_by_key(|row| (row.time, row.partition));
    let mut cells = vec![maybe(key.clone()), start.to_string()];
    cells.extend(aggregates(&rows));
    cells.join(" | ")
}

fn known(rows: &[Row]) -> Vec<i32> {
    rows.iter().filter_map(|row| row.small).collect()
}

fn mean(values: &[i32]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64)
}

pub(crate) fn merged(rows: &[Row]) -> Vec<String> {
    let values = known(rows);
    let mean = mean(&values);
    let squares = mean.map(|mean| values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>());
    let variance = squares.filter(|_| values.len() > 1).map(|squares| squares / (values.len() - 1) as f64);
    vec![
        rows.len().to_string(),
        values.len().to_string(),
        values.iter().sum::<i32>().to_string(),
        maybe(values.iter().min()),
        maybe(values.iter().max()),
        maybe(mean.map(float)),
        maybe(variance.map(float)),
        values.iter().filter(|v| **v > 0).sum::<i32>().to_string(),
    ]
}

pub(crate) fn kept(rows: &[Row]) -> Vec<String> {
    let mut values = known(rows);
    let mean = mean(&values);
    values.sort_unstable();
    let middle = |n: usize| f64::from(values[n]);
    let median = match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(middle(n / 2)),
        n => Some((middle(n / 2 - 1) + middle(n / 2)) / 2.0),
    };
    let different: BTreeSet<Option<i32>> = rows.iter().map(|row| row.small).collect();
    let all: Vec<String> = rows.iter().map(|row| maybe(row.small)).collect();
    let farthest = mean.map(|mean| values.iter().map(|v| (f64::from(*v) - mean).abs()).fold(0.0, f64::max));
    vec![
        maybe(median.map(float)),
        different.len().to_string(),
        maybe(rows.first().and_then(|row| row.whole)),
        maybe(rows.last().and_then(|row| row.whole)),
        format!("[{}]", all.join(", ")),
        maybe(farthest.map(float)),
    ]
}
