//! Which rows a sink has, by their keys: so that it can be told of those that leave the result. A row is known from when it
//! comes until nothing can change it any more. Part of a query's state; used by its thread.

use std::sync::Arc;

use plan::{Cut, Node, Plan, Step};
use polars::prelude::*;

use crate::change::Changes;
use crate::operator::columns::{ROW, decoded, encoded};
use crate::pipeline::OutputMode;
use crate::state::{PendingTable, numbered};

/// The keys of rows that may leave.
#[derive(Debug)]
pub(super) struct SinkKeys {
    fields: Vec<Field>,
    /// By the rows' identities.
    keys: PlHashMap<u64, Arc<[u8]>>,
    /// How many rows have a key.
    counts: PlHashMap<Arc<[u8]>, usize>,
    /// Rows that came, went, or have another key since the last state, once there was one.
    changed: Option<PlHashSet<u64>>,
}

impl SinkKeys {
    /// Nothing known yet, for a sink that knows rows by `keys`. `None` where no row can leave it.
    pub(super) fn new(plan: &Plan, mode: OutputMode, keys: &[PlSmallStr]) -> PolarsResult<Option<SinkKeys>> {
        if keys.is_empty() || mode == OutputMode::Append || plan.appends() || stays(plan, keys) {
            return Ok(None);
        }
        let field = |name: &PlSmallStr| Ok(Field::new(name.clone(), plan.schema().try_get(name)?.clone()));
        let fields = keys.iter().map(field).collect::<PolarsResult<_>>()?;
        let (keys, counts) = Default::default();
        Ok(Some(SinkKeys { fields, keys, counts, changed: None }))
    }

    /// Takes in what a batch changed, and which rows nothing changes any more; gives the keys that rows had and none has now.
    pub(super) fn change(&mut self, changes: &Changes, closed: &[u64]) -> PolarsResult<DataFrame> {
        let mut left = Vec::new();
        for id in &changes.deletes {
            left.extend(self.forget(*id));
        }
        let columns = self.fields.iter().map(|field| changes.rows.column(field.name()).cloned());
        let keys = encoded(&columns.collect::<PolarsResult<Vec<_>>>()?, changes.rows.height())?;
        for (id, key) in changes.ids.iter().zip(keys.iter()) {
            let key = key.unwrap_or_default();
            if self.keys.get(id).is_none_or(|before| before.as_ref() != key) {
                left.extend(self.forget(*id));
                self.learn(*id, key);
            }
        }
        left.retain(|key| !self.counts.contains_key(key));
        // A key may have been given back more than once.
        let mut told = PlHashSet::default();
        left.retain(|key| told.insert(key.clone()));
        for id in closed {
            self.forget(*id);
        }
        keys_frame(&left.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &self.fields)
    }

    /// The rows, to become a table: `all`, or what [changed](numbered::changes) since this was last asked.
    pub(super) fn freeze(&mut self, all: bool) -> PolarsResult<PendingTable> {
        let changed = self.changed.replace(PlHashSet::default()).unwrap_or_default();
        let (mut ids, mut keys, mut gone): (Vec<u64>, Vec<Arc<[u8]>>, Vec<u64>) = Default::default();
        if all {
            (ids, keys) = self.keys.iter().map(|(id, key)| (*id, Arc::clone(key))).unzip();
        } else {
            for id in changed {
                match self.keys.get(&id) {
                    Some(key) => {
                        ids.push(id);
                        keys.push(Arc::clone(key));
                    }
                    None => gone.push(id),
                }
            }
        }
        let fields = self.fields.clone();
        Ok(Box::new(move || {
            let mut table = keys_frame(&keys.iter().map(AsRef::as_ref).collect::<Vec<_>>(), &fields)?;
            table.with_column(Column::from(Series::new(ROW.into(), ids)))?;
            if all { Ok(table) } else { numbered::changes(table, gone) }
        }))
    }

    /// Takes over what [`SinkKeys::freeze`] gave, with all that changed of it; or says why it cannot.
    pub(super) fn restore(&mut self, saved: Option<DataFrame>) -> Result<(), String> {
        let Some(saved) = saved else {
            return Err(format!(
                "the checkpoint does not say which rows have which {}, for it had no such key. {ELSEWHERE}",
                names(&self.fields)
            ));
        };
        let theirs: Vec<Field> = saved.schema().iter_fields().take(saved.width() - 1).collect();
        if theirs != self.fields {
            let (theirs, ours) = (names(&theirs), names(&self.fields));
            return Err(format!(
                "the checkpoint knows rows by {theirs}, and the sink by {ours}. {ELSEWHERE}, or give it the key it had"
            ));
        }
        self.fill(&saved).map_err(|error| error.to_string())?;
        self.changed = Some(PlHashSet::default());
        Ok(())
    }

    fn fill(&mut self, saved: &DataFrame) -> PolarsResult<()> {
        let columns = self.fields.iter().map(|field| saved.column(field.name()).cloned());
        let keys = encoded(&columns.collect::<PolarsResult<Vec<_>>>()?, saved.height())?;
        for (id, key) in saved.column(ROW)?.u64()?.iter().zip(keys.iter()) {
            self.learn(id.unwrap_or_default(), key.unwrap_or_default());
        }
        Ok(())
    }

    fn learn(&mut self, id: u64, key: &[u8]) {
        let key = match self.counts.get_key_value(key) {
            Some((known, _)) => known.clone(),
            None => key.into(),
        };
        *self.counts.entry(key.clone()).or_default() += 1;
        self.keys.insert(id, key);
        self.changed.iter_mut().for_each(|changed| changed.extend([id]));
    }

    /// Forgets a row; gives its key where no other row has it.
    fn forget(&mut self, id: u64) -> Option<Arc<[u8]>> {
        let key = self.keys.remove(&id)?;
        self.changed.iter_mut().for_each(|changed| changed.extend([id]));
        let count = self.counts.get_mut(&key)?;
        *count -= 1;
        if *count > 0 {
            return None;
        }
        self.counts.remove(&key);
        Some(key)
    }
}

/// Keys as columns.
fn keys_frame(keys: &[&[u8]], fields: &[Field]) -> PolarsResult<DataFrame> {
    DataFrame::new(keys.len(), decoded(keys, fields)?)
}

const ELSEWHERE: &str = "Choose another checkpoint and another place to write to";

fn names(fields: &[Field]) -> String {
    fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
}

/// Whether every row of the result stays, and keeps these columns: groups of rows that never change, by their own keys.
fn stays(plan: &Plan, keys: &[PlSmallStr]) -> bool {
    let Node::Step { input, step: Step::Aggregate(aggregate) } = plan.node() else { return false };
    let is_session = aggregate.over.as_ref().is_some_and(|over| matches!(over.cut, Cut::Session { .. }));
    let own = aggregate.columns_before();
    input.appends()
        && !is_session
        && keys.iter().all(|key| plan.schema().iter_names().take(own).any(|name| name == key))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn known() -> SinkKeys {
        let schema = df!["k" => ["a"], "n" => [1i64]].unwrap().schema().clone();
        let totals = Plan::source("memory rows", schema).group_by(&[col("k")], &[col("n").sum()]).unwrap();
        let plan = totals.filter(col("n").gt(lit(0))).unwrap();
        SinkKeys::new(&plan, OutputMode::Update, &["k".into()]).unwrap().unwrap()
    }

    /// The keys that left after rows came (identity and key), and identities went or were closed.
    fn change(known: &mut SinkKeys, rows: &[(u64, &str)], deletes: &[u64], closed: &[u64]) -> Vec<String> {
        let keys: Vec<&str> = rows.iter().map(|(_, key)| *key).collect();
        let ids = rows.iter().map(|(id, _)| *id).collect();
        let changes = Changes { ids, rows: df!["k" => keys].unwrap(), deletes: deletes.to_vec() };
        let gone = known.change(&changes, closed).unwrap();
        gone.column("k").unwrap().str().unwrap().iter().flatten().map(str::to_owned).collect()
    }

    #[test]
    fn a_key_leaves_with_its_last_row() {
        let mut known = known();
        assert!(change(&mut known, &[(1, "a"), (2, "b"), (3, "a")], &[9], &[]).is_empty());
        assert!(change(&mut known, &[], &[1, 7], &[]).is_empty(), "another row has it");
        assert_eq!(change(&mut known, &[], &[3], &[]), ["a"]);
        assert!(change(&mut known, &[], &[3], &[]).is_empty(), "once");
        assert_eq!(change(&mut known, &[(2, "c")], &[], &[]), ["b"], "a row that has another key now");
        assert!(change(&mut known, &[(4, "c")], &[2], &[]).is_empty(), "a row that takes it over");
        assert!(change(&mut known, &[(5, "d")], &[], &[4, 5]).is_empty());
        assert!(change(&mut known, &[], &[4, 5], &[]).is_empty(), "what is closed stays");
        assert!(known.keys.is_empty() && known.counts.is_empty());
    }

    #[test]
    fn what_is_saved_is_known_again_under_the_same_key_only() {
        let mut before = known();
        change(&mut before, &[(1, "a"), (2, "b"), (3, "a"), (4, "d")], &[], &[]);
        let all = before.freeze(true).unwrap()().unwrap();
        change(&mut before, &[(2, "c"), (5, "e")], &[4], &[3]);
        let changes = vec![before.freeze(false).unwrap()().unwrap(), before.freeze(false).unwrap()().unwrap()];
        assert_eq!(changes.iter().map(DataFrame::height).collect::<Vec<_>>(), [4, 0]);
        let mut after = known();
        after.restore(Some(numbered::changed(all.clone(), changes).unwrap())).unwrap();
        assert_eq!(after.freeze(false).unwrap()().unwrap().height(), 0);
        assert_eq!(change(&mut after, &[], &[1, 2, 3, 4, 5], &[]), ["a", "c", "e"]);
        assert!(known().restore(None).unwrap_err().contains("had no such key"));
        let mut other = known();
        other.fields = vec![Field::new("n".into(), DataType::Int64)];
        let refused = other.restore(Some(all)).unwrap_err();
        assert!(refused.contains("knows rows by k, and the sink by n"));
    }

    #[test]
    fn nothing_is_kept_where_no_row_can_leave() {
        let schema = df!["k" => ["a"], "n" => [1i64]].unwrap().schema().clone();
        let source = Plan::source("memory rows", schema);
        let totals = source.group_by(&[col("k")], &[col("n").sum()]).unwrap();
        let is_kept = |plan: &Plan, mode, key: &str| SinkKeys::new(plan, mode, &[key.into()]).unwrap().is_some();
        assert!(!is_kept(&source, OutputMode::Update, "k"));
        assert!(!is_kept(&totals, OutputMode::Update, "k"));
        assert!(is_kept(&totals, OutputMode::Update, "n"));
        assert!(is_kept(&totals.filter(col("n").gt(lit(0))).unwrap(), OutputMode::Complete, "k"));
        assert!(SinkKeys::new(&totals, OutputMode::Update, &[]).unwrap().is_none());
    }
}
