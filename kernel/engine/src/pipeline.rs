//! A plan made ready to run: the steps in their stages, with the state between them. A pipeline is a function of its
//! state and a batch; it reads no source, writes no sink and tells no time.

use std::collections::BTreeMap;
use std::sync::Arc;

use plan::{Cut, Method, Plan, Step};
use polars::prelude::*;

use crate::change::{Changes, Delta};
use crate::clock::Clock;
use crate::operator::columns::POSITION;
use crate::operator::merged::Merged;
use crate::operator::regrouped::Regrouped;
use crate::operator::sessions::Sessions;
use crate::operator::sides::Sides;
use crate::operator::sorted::Sorted;
use crate::operator::stateful::Stateful;
use crate::operator::unique::Unique;
use crate::operator::watermark::{WatermarkTracker, steps};
use crate::operator::{Touched, stateless};
use crate::saved::Saved;
use crate::source::PartitionRows;

/// Whether rows behind the watermark are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A stream: they are, and the windows behind it are closed.
    Stream,
    /// A batch: the whole input is there, so nothing is late.
    Batch,
}

/// Which rows a batch gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputMode {
    /// Rows that never change any more: of an aggregation, those whose windows the watermark has closed.
    Append,
    /// Rows that are new or have changed.
    #[default]
    Update,
    /// All rows of the result as it is now.
    Complete,
}

/// A running plan.
pub struct Pipeline {
    /// Row-wise steps up to the watermark, run partition by partition.
    front: Vec<Step>,
    watermark: Option<WatermarkTracker>,
    stages: Vec<Stage>,
    /// The stage that gives rows only when they are final.
    finals: Option<usize>,
    /// How many rows of each partition there were, where their order matters.
    positions: Option<BTreeMap<i32, i64>>,
    next_id: u64,
    empty: DataFrame,
}

enum Stage {
    Rows(Vec<Step>),
    Merged(Box<Merged>),
    Regrouped(Box<Regrouped>),
    Sessions(Box<Sessions>),
    Unique(Unique),
    /// Rows that may still pass.
    Limit(u64),
    Stateful(Box<Stateful>),
    Sorted(Box<Sorted>),
    Sides(Box<Sides>),
}

/// What a batch led to.
#[derive(Debug)]
pub struct Output {
    /// The changes of the result.
    pub changes: Changes,
    /// Rows dropped because they came after the watermark: once for each window that a row would have been in.
    pub late: usize,
    /// Rows dropped because they have no event time.
    pub timeless: usize,
}

impl Pipeline {
    /// Makes a plan ready, with an empty state. `source` are the columns that its batches will have.
    ///
    /// # Errors
    /// Never for a plan that was checked when it was made; what Polars says otherwise.
    pub fn new(plan: &Plan, source: &SchemaRef, mode: Mode, clock: &Arc<dyn Clock>) -> PolarsResult<Pipeline> {
        let steps = plan.steps_with_schemas();
        let first = steps.iter().find_map(|(step, _)| match step {
            Step::Aggregate(aggregate) => Some(keeps_rows(&aggregate.method)),
            // What a function gives has no position.
            Step::WithState(..) | Step::JoinSides(_) => Some(false),
            _ => None,
        });
        let mut ordered = first.unwrap_or(false);
        let mut pipeline = Pipeline {
            front: Vec::new(),
            watermark: None,
            stages: Vec::new(),
            finals: None,
            positions: ordered.then(BTreeMap::new),
            next_id: 0,
            empty: DataFrame::empty_with_schema(plan.schema()),
        };
        let mut input = source.clone();
        let marked = steps.iter().position(|(step, _)| matches!(step, Step::Watermark(_)));
        let mut time = None;
        for (number, (step, schema)) in steps.into_iter().enumerate() {
            match step {
                Step::Watermark(watermark) => {
                    let Some(DataType::Datetime(unit, _)) = input.get(&watermark.column) else {
                        polars_bail!(ComputeError: "the watermark's column \"{}\" is no datetime", watermark.column);
                    };
                    if mode == Mode::Stream {
                        time = Some(watermark.column.clone());
                        pipeline.watermark = Some(WatermarkTracker::new(watermark, *unit, clock.clone()));
                    }
                }
                step if stateless::takes(step) && marked.is_some_and(|marked| number < marked) => {
                    pipeline.front.push(step.clone());
                    input = stateless::execute(std::slice::from_ref(step), DataFrame::empty_with_schema(&input))?
                        .schema()
                        .clone();
                }
                step if stateless::takes(step) => {
                    match pipeline.stages.last_mut() {
                        Some(Stage::Rows(steps)) => steps.push(step.clone()),
                        _ => pipeline.stages.push(Stage::Rows(vec![step.clone()])),
                    }
                    input = stateless::execute(std::slice::from_ref(step), DataFrame::empty_with_schema(&input))?
                        .schema()
                        .clone();
                }
                step => {
                    let stage = Stage::new(step, &with_position(&input, ordered), schema, time.as_ref())?;
                    pipeline.stages.extend(stage);
                    if matches!(step, Step::Aggregate(_) | Step::WithState(..) | Step::JoinSides(_)) {
                        input = schema.clone();
                        ordered = false;
                    }
                }
            }
        }
        Ok(pipeline)
    }

    /// Says which partitions the source has.
    pub fn expect(&mut self, partitions: impl Iterator<Item = i32>) {
        if let Some(watermark) = &mut self.watermark {
            watermark.expect(partitions);
        }
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// What Polars says of an expression that fails on the rows.
    pub fn execute(&mut self, parts: Vec<PartitionRows>) -> PolarsResult<Output> {
        self.run(parts, None)
    }

    /// Takes a batch in once more; `watermark` is what stood after it then, in its column's unit.
    ///
    /// # Errors
    /// As for [`Pipeline::execute`].
    pub fn repeat(&mut self, parts: Vec<PartitionRows>, watermark: Option<i64>) -> PolarsResult<Output> {
        self.run(parts, Some(watermark))
    }

    fn run(&mut self, parts: Vec<PartitionRows>, repeated: Option<Option<i64>>) -> PolarsResult<Output> {
        let before = self.watermark.as_ref().and_then(WatermarkTracker::current);
        let Some(rows) = self.rows(parts)? else {
            return Ok(Output { changes: self.no_changes(), late: 0, timeless: 0 });
        };
        // A batch that is repeated is given the watermark that it had.
        let after = match repeated {
            Some(watermark) => {
                self.set_watermark(watermark);
                watermark
            }
            None => self.watermark.as_mut().and_then(WatermarkTracker::advance),
        };
        let per_ms = self.watermark.as_ref().map_or(1, WatermarkTracker::steps_per_ms);
        let (mut delta, mut late, mut timeless) = (Delta::Append(rows), 0, 0);
        for (number, stage) in self.stages.iter_mut().enumerate() {
            let (changed, dropped) = stage.execute(delta, before, per_ms)?;
            let wanted = self.finals == Some(number);
            late += dropped.0;
            timeless += dropped.1;
            let closed = match after {
                Some(after) => stage.close(after, wanted, per_ms)?,
                None => None,
            };
            delta = match (changed, closed) {
                (Delta::Append(mut rows), Some(closed)) => {
                    rows.vstack_mut(&closed)?;
                    Delta::Append(rows)
                }
                (Delta::Change(_), Some(closed)) => Delta::Append(closed),
                (Delta::Change(changes), None) if wanted => Delta::Append(changes.rows.clear()),
                (changed, None) => changed,
            };
        }
        let changes = match delta {
            Delta::Append(rows) => self.appended(rows),
            Delta::Change(changes) => changes,
        };
        Ok(Output { changes, late, timeless })
    }

    /// Has the last aggregation give only rows that are final.
    pub fn append(&mut self) {
        self.finals = self.stages.iter().rposition(Stage::aggregates);
    }

    /// What the pipeline holds.
    ///
    /// # Errors
    /// What Polars says of the tables.
    pub fn save(&self) -> PolarsResult<Saved> {
        let mut saved = Saved::default();
        saved.facts.next_id = self.next_id;
        saved.facts.positions.clone_from(&self.positions);
        if let Some(watermark) = &self.watermark {
            saved.facts.watermark = watermark.current();
            saved.facts.newest = watermark.newest();
        }
        for (number, stage) in self.stages.iter().enumerate() {
            let fact = stage.save(number, &mut saved.frames)?;
            saved.facts.stages.push(fact);
        }
        Ok(saved)
    }

    /// Takes over what [`Pipeline::save`] gave, in a pipeline of the same plan.
    ///
    /// # Errors
    /// A table that is missing or has other columns.
    pub fn restore(&mut self, mut saved: Saved) -> PolarsResult<()> {
        self.next_id = saved.facts.next_id;
        self.positions.clone_from(&saved.facts.positions);
        if let Some(watermark) = &mut self.watermark {
            watermark.restore(saved.facts.watermark, &saved.facts.newest);
        }
        for number in 0..self.stages.len() {
            let fact = saved.facts.stages.get(number).copied().unwrap_or_default();
            self.stages[number].restore(number, fact, &mut saved)?;
        }
        Ok(())
    }

    /// The watermark in its column's unit.
    #[must_use]
    pub fn watermark(&self) -> Option<i64> {
        self.watermark.as_ref().and_then(WatermarkTracker::current)
    }

    fn set_watermark(&mut self, watermark: Option<i64>) {
        if let Some(tracker) = &mut self.watermark {
            tracker.set(watermark);
        }
    }

    /// The watermark in milliseconds since the epoch.
    #[must_use]
    pub fn watermark_ms(&self) -> Option<i64> {
        self.watermark.as_ref().and_then(WatermarkTracker::current_ms)
    }

    /// The rows that enter the stages.
    fn rows(&mut self, parts: Vec<PartitionRows>) -> PolarsResult<Option<DataFrame>> {
        let mut all: Option<DataFrame> = None;
        for part in parts {
            let mut rows = part.rows;
            if let Some(positions) = &mut self.positions {
                let seen = positions.entry(part.partition).or_default();
                rows.with_column(position(part.partition, *seen, rows.height()))?;
                *seen += rows.height() as i64;
            }
            let rows = stateless::execute(&self.front, rows)?;
            if let Some(watermark) = &mut self.watermark {
                watermark.observe(part.partition, &rows)?;
            }
            match &mut all {
                Some(all) => drop(all.vstack_mut(&rows)?),
                None => all = Some(rows),
            }
        }
        Ok(all)
    }

    fn appended(&mut self, mut rows: DataFrame) -> Changes {
        // Positions are for the operators.
        let _ = rows.drop_in_place(POSITION);
        let first = self.next_id;
        self.next_id += rows.height() as u64;
        Changes { ids: (first..self.next_id).collect(), rows, deletes: Vec::new() }
    }

    fn no_changes(&self) -> Changes {
        Changes { ids: Vec::new(), rows: self.empty.clone(), deletes: Vec::new() }
    }
}

impl Stage {
    /// A step with a state. `input` is the schema before it, `schema` after it, `time` the watermark's column.
    fn new(
        step: &Step,
        input: &SchemaRef,
        schema: &SchemaRef,
        time: Option<&PlSmallStr>,
    ) -> PolarsResult<Option<Stage>> {
        Ok(Some(match step {
            Step::Unique(columns) => Stage::Unique(Unique::new(columns, time.filter(|t| input.contains(t)).cloned())),
            Step::Limit(n) => Stage::Limit(*n),
            Step::JoinSides(join) => Stage::Sides(Box::new(Sides::new(join, input)?)),
            Step::Sort(order) => Stage::Sorted(Box::new(Sorted::new(&order.by, &order.options, order.k, schema))),
            Step::WithState(keys, function) => {
                Stage::Stateful(Box::new(Stateful::new(keys, function, &without_position(input), schema)))
            }
            Step::Aggregate(aggregate) => match (&aggregate.method, &aggregate.over) {
                (_, Some(over)) if matches!(over.cut, Cut::Session { .. }) => {
                    let Cut::Session { gap } = over.cut else { return Ok(None) };
                    let Some(DataType::Datetime(unit, _)) = input.get(&over.time) else {
                        polars_bail!(ComputeError: "the sessions' column \"{}\" is no datetime", over.time);
                    };
                    let gap = steps(gap.duration_ns(), *unit);
                    Stage::Sessions(Box::new(Sessions::new(aggregate, over, gap.max(1), input, schema.clone())))
                }
                (Method::Merge { accumulators, outputs }, _) => {
                    Stage::Merged(Box::new(Merged::new(aggregate, accumulators, outputs, schema.clone())))
                }
                (Method::Regroup { .. }, _) => {
                    Stage::Regrouped(Box::new(Regrouped::new(aggregate, input, schema.clone())))
                }
            },
            _ => return Ok(None),
        }))
    }

    /// Takes a batch in; gives what comes of it, and the rows that were late or had no time.
    fn execute(&mut self, delta: Delta, watermark: Option<i64>, per_ms: i64) -> PolarsResult<(Delta, (usize, usize))> {
        let nothing = (0, 0);
        Ok(match (self, delta) {
            (Stage::Rows(steps), Delta::Append(rows)) => (Delta::Append(stateless::execute(steps, rows)?), nothing),
            (Stage::Rows(steps), Delta::Change(changes)) => {
                (Delta::Change(stateless::execute_keyed(steps, changes)?), nothing)
            }
            (Stage::Merged(merged), Delta::Append(rows)) => changed(merged.execute(rows, watermark)?),
            (Stage::Regrouped(regrouped), delta) => changed(regrouped.execute(delta, watermark)?),
            (Stage::Sessions(sessions), delta) => changed(sessions.execute(delta, watermark)?),
            (Stage::Unique(unique), Delta::Append(rows)) => {
                let (rows, late) = unique.execute(rows, watermark)?;
                (Delta::Append(rows), (late, 0))
            }
            (Stage::Limit(left), Delta::Append(rows)) => {
                let rows = rows.head(Some(usize::try_from(*left).unwrap_or(usize::MAX)));
                *left -= rows.height() as u64;
                (Delta::Append(rows), nothing)
            }
            (Stage::Sorted(sorted), Delta::Append(mut rows)) => {
                // A rank is no position.
                let _ = rows.drop_in_place(POSITION);
                (Delta::Change(sorted.execute(Delta::Append(rows))?), nothing)
            }
            (Stage::Sorted(sorted), delta) => (Delta::Change(sorted.execute(delta)?), nothing),
            (Stage::Sides(sides), Delta::Append(rows)) => {
                let (pairs, late, timeless) = sides.execute(rows, watermark)?;
                (Delta::Append(pairs), (late, timeless))
            }
            (Stage::Stateful(stateful), Delta::Append(rows)) => {
                (Delta::Append(stateful.execute(&rows, watermark.map(|at| at.div_euclid(per_ms)))?), nothing)
            }
            (
                Stage::Merged(_) | Stage::Unique(_) | Stage::Limit(_) | Stage::Stateful(_) | Stage::Sides(_),
                Delta::Change(_),
            ) => {
                polars_bail!(ComputeError: "an operator for rows that never change was given rows that do")
            }
        })
    }

    fn close(&mut self, watermark: i64, wanted: bool, per_ms: i64) -> PolarsResult<Option<DataFrame>> {
        match self {
            Stage::Merged(merged) => merged.close(watermark, wanted),
            Stage::Regrouped(regrouped) => regrouped.close(watermark, wanted),
            Stage::Sessions(sessions) => sessions.close(watermark, wanted),
            Stage::Unique(unique) => {
                unique.close(watermark);
                Ok(None)
            }
            Stage::Stateful(stateful) => stateful.close(watermark.div_euclid(per_ms)),
            Stage::Sides(sides) => sides.close(watermark),
            Stage::Rows(_) | Stage::Limit(_) | Stage::Sorted(_) => Ok(None),
        }
    }

    fn aggregates(&self) -> bool {
        matches!(self, Stage::Merged(_) | Stage::Regrouped(_) | Stage::Sessions(_))
    }

    fn save(&self, number: usize, frames: &mut BTreeMap<String, DataFrame>) -> PolarsResult<u64> {
        let (fact, groups, rows) = match self {
            Stage::Rows(_) => return Ok(0),
            Stage::Limit(left) => return Ok(*left),
            Stage::Unique(unique) => (0, unique.save()?, None),
            Stage::Stateful(stateful) => (0, stateful.save()?, None),
            Stage::Sides(sides) => {
                let (next, left, right) = sides.save();
                (next, left, Some(right))
            }
            Stage::Sorted(sorted) => {
                let (rows, shown) = sorted.save();
                (0, shown, Some(rows))
            }
            Stage::Merged(merged) => {
                let (next, groups) = merged.save()?;
                (next, groups, None)
            }
            Stage::Regrouped(regrouped) => {
                let (next, groups, rows) = regrouped.save()?;
                (next, groups, Some(rows))
            }
            Stage::Sessions(sessions) => {
                let (next, groups, rows) = sessions.save()?;
                (next, groups, Some(rows))
            }
        };
        frames.insert(format!("{number}-groups"), groups);
        frames.extend(rows.map(|rows| (format!("{number}-rows"), rows)));
        Ok(fact)
    }

    fn restore(&mut self, number: usize, fact: u64, saved: &mut Saved) -> PolarsResult<()> {
        let mut table = |what: &str| saved.take(&format!("{number}-{what}"));
        match self {
            Stage::Rows(_) => Ok(()),
            Stage::Limit(left) => {
                *left = fact;
                Ok(())
            }
            Stage::Unique(unique) => unique.restore(&table("groups")?),
            Stage::Stateful(stateful) => stateful.restore(&table("groups")?),
            Stage::Sides(sides) => {
                let left = table("groups")?;
                sides.restore(fact, left, table("rows")?);
                Ok(())
            }
            Stage::Sorted(sorted) => {
                let shown = table("groups")?;
                sorted.restore(table("rows")?, shown);
                Ok(())
            }
            Stage::Merged(merged) => merged.restore(fact, &table("groups")?),
            Stage::Regrouped(regrouped) => regrouped.restore(fact, &table("groups")?, &table("rows")?),
            Stage::Sessions(sessions) => sessions.restore(fact, &table("groups")?, &table("rows")?),
        }
    }
}

fn changed(touched: Touched) -> (Delta, (usize, usize)) {
    let Touched { ids, rows, deletes, late, timeless } = touched;
    (Delta::Change(Changes { ids, rows, deletes }), (late, timeless))
}

fn keeps_rows(method: &Method) -> bool {
    matches!(method, Method::Regroup { .. })
}

fn with_position(schema: &SchemaRef, ordered: bool) -> SchemaRef {
    let mut schema = schema.as_ref().clone();
    if ordered {
        schema.with_column(POSITION.into(), DataType::Int64);
    }
    Arc::new(schema)
}

fn without_position(schema: &SchemaRef) -> SchemaRef {
    let mut schema = schema.as_ref().clone();
    schema.shift_remove(POSITION);
    Arc::new(schema)
}

/// Positions of rows: by partition first, then by their order in it.
fn position(partition: i32, first: i64, rows: usize) -> Column {
    let base = (i64::from(partition) << 40) + first;
    Series::new(POSITION.into(), (base..base + rows as i64).collect::<Vec<i64>>()).into()
}
