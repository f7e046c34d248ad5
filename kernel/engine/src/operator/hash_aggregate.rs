//! Aggregation by merging: each row of a batch is merged into its group, whose values are kept. The work grows with the batch,
//! not with the state. Its input is rows that never change, or rows that are given with those that they replace, which are taken
//! back.

use std::hint::black_box;

use plan::Aggregate;
use polars::prelude::*;

use super::columns::{COUNT, POSITION, START, decoded, encoded, kept_as, keys_of, named_keys};
use super::panes::PaneGrid;
use super::windows::Windows;
use super::{AggregateDelta, BatchResult, Operator, never_changing};
use crate::alone::Alone;
use crate::change::Delta;
use crate::physical::Accumulator;
use crate::state::groups::rows::{GroupKey, KeyBytes, TOUCHED};
use crate::state::groups::{GroupTable, WindowGroups, take_ended};
use crate::state::retained::check_values;
use crate::state::{Sign, StateTables};
use placed::Placed;
use retraction::OldRows;
use tree::Tree;

mod panes;
mod placed;
mod retraction;
mod tree;

/// The state and its parameters.
pub(crate) struct HashAggregate {
    plan: Aggregate,
    outputs: Vec<Expr>,
    /// The result's schema: keys, time, aggregates.
    schema: SchemaRef,
    cut: Option<Windows>,
    /// The column with the event time that `first` and `last` go by.
    order: Option<PlSmallStr>,
    /// The panes of windows that overlap, where what is aggregated of each can be put together.
    panes: Option<PaneGrid>,
    /// Where only final rows are wanted, what makes a window out of its panes; then the panes are what is kept as windows.
    tree: Option<Tree>,
    only_final: bool,
    /// Where an operator behind it wants to know how the rows of groups were.
    old: Option<OldRows>,
    table: GroupTable,
    /// The identities of groups that were closed, until they are asked for.
    closed: Vec<u64>,
}

/// What an aggregation keeps, and what it makes of it.
pub(crate) struct Aggregates<'a> {
    pub(crate) accumulators: &'a [Accumulator],
    /// The result's columns after keys and time, as expressions over the accumulators' columns.
    pub(crate) outputs: &'a [Expr],
    /// Whether rows of the input change.
    pub(crate) retracts: bool,
}

/// The groups that a batch touches.
#[derive(Default)]
struct TouchedGroups {
    /// The slot of each row's group.
    slots: Vec<u32>,
    /// The slot of each group.
    touched: Vec<u32>,
    /// Where each group comes first.
    firsts: Vec<IdxSize>,
}

/// Rows whose groups are looked for together, so that memory answers for one while the others are asked for.
const TOGETHER: usize = 256;

impl HashAggregate {
    /// `schema` is the result's, and `order` the column with the event time, where there is one. Old rows are given beside the new
    /// ones where they are `retracted`.
    pub(crate) fn new(
        plan: &Aggregate,
        &Aggregates { accumulators, outputs, retracts }: &Aggregates<'_>,
        order: Option<PlSmallStr>,
        schema: SchemaRef,
        retracted: bool,
    ) -> HashAggregate {
        let keys_name = kept_as(schema.iter_values().take(plan.keys.len()));
        let table = GroupTable::new(accumulators, retracts, keys_name);
        let cut = Windows::of(plan, &schema);
        // What a batch has of a pane is put into windows as a whole, of which nothing is taken back.
        let are_panes = table.cells.len() == accumulators.len() && !retracts;
        HashAggregate {
            panes: cut.as_ref().and_then(Windows::panes).filter(|_| are_panes),
            cut,
            tree: None,
            only_final: false,
            order,
            plan: plan.clone(),
            outputs: outputs.to_vec(),
            schema,
            old: retracted.then(OldRows::default),
            table,
            closed: Vec::new(),
        }
    }
}

impl Operator for HashAggregate {
    fn execute(&mut self, delta: Delta, watermark: Option<i64>) -> PolarsResult<BatchResult> {
        let (subtracted, rows) = match delta {
            Delta::Change(revision) if self.table.counted.is_some() => {
                let (subtracted, rows) = revision.subtracted_and_added()?;
                (Some(subtracted), rows)
            }
            delta => (None, never_changing(delta)?),
        };
        let _alone = Alone::with(rows.height() + subtracted.as_ref().map_or(0, DataFrame::height));
        self.table.begin();
        if let Some(old) = &mut self.old {
            old.begin(self.table.next_id, &self.schema);
        }
        let MergedBatch { keys, mut touched, late, timeless } = match (subtracted, self.panes) {
            (Some(subtracted), _) => self.replace(&subtracted, &rows, watermark)?,
            (None, Some(grid)) => self.take_by_pane(&grid, rows, watermark)?,
            (None, None) => self.take_all(&rows, watermark, Sign::Added)?,
        };
        touched.iter().for_each(|(_, slot)| self.table.groups.unmark(*slot, TOUCHED));
        let deletes = self.let_go_of_empty(&mut touched);
        let retracted = self.old.as_mut().map(OldRows::taken);
        if self.only_final {
            let rows = DataFrame::empty_with_schema(&self.schema);
            let (ids, deletes) = (Vec::new(), Vec::new());
            return Ok(AggregateDelta { ids, rows, deletes, retracted, late, timeless }.into());
        }
        let (starts, slots): (Vec<i64>, Vec<u32>) = touched.into_iter().unzip();
        // A key that is taken back is read of the state: one that was read of the rows may have another zero.
        let mut columns = match keys.filter(|_| self.old.is_none()) {
            Some(keys) => keys,
            None => self.keys(&slots)?,
        };
        columns.extend(self.named(starts)?);
        let ids = slots.iter().map(|slot| self.table.groups.id(*slot)).collect();
        Ok(AggregateDelta { ids, rows: self.rows(columns, &slots)?, deletes, retracted, late, timeless }.into())
    }

    fn close(&mut self, watermark: i64, wanted: bool) -> PolarsResult<Option<DataFrame>> {
        if let (Some(grid), true) = (self.panes, self.tree.is_some()) {
            return self.close_panes(&grid, watermark);
        }
        let mut closed: Vec<(i64, u32)> = Vec::new();
        while let Some((start, window)) = take_ended(&mut self.table.windows, watermark) {
            closed.extend(window.index.slots().map(|slot| (start, slot)));
        }
        let rows = if wanted && !closed.is_empty() { Some(self.rows_of(&mut closed)?) } else { None };
        self.closed.extend(closed.iter().map(|(_, slot)| self.table.groups.id(*slot)));
        self.table.forget(closed.into_iter().map(|(_, slot)| slot));
        Ok(rows)
    }

    fn only_final(&mut self) {
        self.only_final = true;
        self.tree = self.panes.as_ref().map(Tree::new);
    }

    fn due(&self, wanted: bool) -> Option<i64> {
        if let (Some(grid), Some(tree)) = (&self.panes, &self.tree) {
            let first = self.table.windows.keys().next().map(|pane| tree.next(grid, *pane));
            return first.map(|start| grid.end(start)).filter(|_| wanted);
        }
        self.table.next_end().filter(|_| wanted)
    }

    fn settled(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.closed)
    }

    fn state(&mut self) -> StateTables<'_> {
        vec![&mut self.table]
    }

    /// Windows whose time was over are not written as gone.
    fn restored(&mut self, watermark: Option<i64>) -> PolarsResult<()> {
        while let Some((_, window)) = watermark.and_then(|watermark| take_ended(&mut self.table.windows, watermark)) {
            self.table.forget(window.index.slots());
        }
        self.grow_tree(watermark)
    }
}

/// What a batch's rows did.
struct MergedBatch {
    /// The keys of the groups that were touched, where they are at hand.
    keys: Option<Vec<Column>>,
    /// The window and the slot of each group that was touched.
    touched: Vec<(i64, u32)>,
    late: usize,
    timeless: usize,
}

/// Rows that are put into their windows in one go, counted once for each.
const AT_ONCE: usize = 1 << 20;

impl HashAggregate {
    /// Takes rows in, or back: so many at a time that they have room when each is there once for each of its windows.
    fn take_all(&mut self, rows: &DataFrame, watermark: Option<i64>, sign: Sign) -> PolarsResult<MergedBatch> {
        let at_once = (AT_ONCE / self.cut.as_ref().map_or(1, Windows::of_each)).max(1);
        if rows.height() <= at_once {
            return self.take(rows.clone(), watermark, sign);
        }
        let mut all = MergedBatch { keys: None, touched: Vec::new(), late: 0, timeless: 0 };
        for first in (0..rows.height()).step_by(at_once) {
            let taken = self.take(rows.slice(first as i64, at_once), watermark, sign)?;
            all.touched.extend(taken.touched);
            all.late += taken.late;
            all.timeless += taken.timeless;
        }
        Ok(all)
    }

    /// Takes rows in, or back, each once for each of its windows.
    fn take(&mut self, rows: DataFrame, watermark: Option<i64>, sign: Sign) -> PolarsResult<MergedBatch> {
        let (none, positioned) = (rows.height() == 0, rows.schema().contains(POSITION));
        let rows = match &self.cut {
            Some(windows) => windows.assigned(rows)?,
            None => rows.lazy(),
        };
        let mut rows = self.inputs(rows, none, positioned)?;
        let placed = match &self.cut {
            Some(windows) => Placed::new(windows, &mut rows, watermark)?,
            None => Placed::together(rows.height()),
        };
        let keys = keys_of(&rows, self.plan.keys.len())?;
        let TouchedGroups { slots, touched, firsts } = self.find(&encoded(&keys, rows.height())?, &placed)?;
        let mut touched: Vec<(i64, u32)> = firsts.iter().map(|row| placed.start(*row as usize)).zip(touched).collect();
        self.note_old(&touched)?;
        if self.plan.is_of_all() && self.table.windows.is_empty() {
            touched.push((0, self.begin_the_only_group()));
        }
        self.count_rows(&slots, sign)?;
        for (number, cells) in self.table.cells.iter_mut().enumerate() {
            let input = rows.column(&input(number))?;
            match sign {
                Sign::Added => cells.merge(&mut self.table.groups, &slots, input)?,
                Sign::Subtracted => cells.subtract(&mut self.table.groups, &slots, input)?,
            }
        }
        self.table.collections.merge(&slots, &rows, sign)?;
        check_values(self.table.collections.bytes())?;
        let firsts = IdxCa::from_vec(PlSmallStr::EMPTY, firsts);
        let keys = keys.iter().map(|column| column.take(&firsts)).collect::<PolarsResult<Vec<_>>>()?;
        Ok(MergedBatch { keys: Some(keys), touched, late: placed.late, timeless: placed.timeless })
    }

    /// Rows of groups, in the order of window and age.
    fn rows_of(&self, groups: &mut [(i64, u32)]) -> PolarsResult<DataFrame> {
        groups.sort_by_cached_key(|(start, slot)| (*start, self.table.groups.id(*slot)));
        let (starts, slots): (Vec<i64>, Vec<u32>) = groups.iter().copied().unzip();
        let mut columns = self.keys(&slots)?;
        columns.extend(self.named(starts)?);
        self.rows(columns, &slots)
    }

    /// The keys of groups.
    fn keys(&self, slots: &[u32]) -> PolarsResult<Vec<Column>> {
        let fields: Vec<Field> = self.schema.iter_fields().take(self.plan.keys.len()).collect();
        let keys: Vec<KeyBytes> = slots.iter().map(|slot| self.table.groups.key(*slot)).collect();
        decoded(&keys.iter().map(|key| key.as_ref()).collect::<Vec<_>>(), &fields)
    }

    /// The rows' windows and keys, and what is aggregated of them.
    fn inputs(&self, rows: LazyFrame, none: bool, positioned: bool) -> PolarsResult<DataFrame> {
        let start = self.plan.over.iter().map(|_| col(START));
        let inputs = self.table.cells.iter().enumerate().map(|(number, cells)| cells.input().alias(input(number)));
        let inputs = inputs.chain(self.table.collections.inputs(self.order.as_ref(), positioned));
        // A column that is there for every row: where only rows are counted, nothing else is selected.
        let rows = rows.with_columns([lit(true).alias(COUNT)]);
        let columns = start.chain(named_keys(&self.plan.keys)).chain(inputs).chain([col(COUNT)]);
        let rows = rows.select(columns.collect::<Vec<_>>()).collect()?;
        // Beside no column at all a literal is a row.
        Ok(if none { rows.clear() } else { rows })
    }

    /// The groups of rows; new ones get a slot.
    fn find(&mut self, keys: &BinaryOffsetChunked, placed: &Placed) -> PolarsResult<TouchedGroups> {
        self.table.groups.expect(keys.len())?;
        // Taken out while rows go from one to another.
        let open =
            |(start, end): &(i64, i64)| self.table.windows.remove(start).unwrap_or_else(|| WindowGroups::new(*end));
        let mut windows: Vec<WindowGroups> = placed.windows.iter().map(open).collect();
        let mut found = TouchedGroups { slots: Vec::with_capacity(keys.len()), ..TouchedGroups::default() };
        let mut rows = keys.iter().map(Option::unwrap_or_default).zip(&placed.of);
        loop {
            let some: Vec<(GroupKey<'_>, u32, u32)> = rows
                .by_ref()
                .take(TOGETHER)
                .map(|(key, window)| (GroupKey::new(key), self.table.hash(key), *window))
                .collect();
            if some.is_empty() {
                break;
            }
            let likely: Vec<Option<u32>> =
                some.iter().map(|(_, hash, window)| windows[*window as usize].index.likely(*hash)).collect();
            black_box(likely.into_iter().flatten().fold(0, |all, slot| all ^ self.table.groups.touch(slot)));
            for (key, hash, window) in &some {
                self.find_one(key, *hash, &mut windows[*window as usize], &mut found);
            }
        }
        let starts = placed.windows.iter().map(|(start, _)| *start);
        self.table.windows.extend(starts.zip(windows).filter(|(_, window)| !window.index.is_empty()));
        self.table.grow();
        Ok(found)
    }

    /// The group of all rows, of which there is none yet.
    fn begin_the_only_group(&mut self) -> u32 {
        let (mut window, hash) = (WindowGroups::new(i64::MAX), self.table.hash(&[]));
        let slot = self.table.find_or_add(&GroupKey::new(&[]), hash, &mut window);
        self.table.change(slot, &mut window);
        self.table.windows.insert(0, window);
        self.table.grow();
        slot
    }

    #[inline]
    fn find_one(&mut self, key: &GroupKey<'_>, hash: u32, window: &mut WindowGroups, found: &mut TouchedGroups) {
        let slot = self.table.find_or_add(key, hash, window);
        if !self.table.groups.mark(slot, TOUCHED) {
            self.table.change(slot, window);
            found.firsts.push(found.slots.len() as IdxSize);
            found.touched.push(slot);
        }
        found.slots.push(slot);
    }

    /// The columns that come of windows with these starts.
    fn named(&self, starts: Vec<i64>) -> PolarsResult<Vec<Column>> {
        self.cut.as_ref().map_or(Ok(Vec::new()), |windows| windows.named(starts))
    }

    /// The rows of groups as they are now, from the columns that come first: of keys, and of windows.
    fn rows(&self, first: Vec<Column>, slots: &[u32]) -> PolarsResult<DataFrame> {
        let names: Vec<PlSmallStr> = self.schema.iter_names().take(first.len()).cloned().collect();
        let mut columns: Vec<Column> =
            first.into_iter().zip(&names).map(|(column, name)| column.with_name(name.clone())).collect();
        for cells in &self.table.cells {
            columns.push(cells.column(&self.table.groups, slots)?);
        }
        columns.extend(self.table.collections.columns(slots)?);
        let frame = DataFrame::new(slots.len(), columns)?;
        let outputs: Vec<Expr> = names.into_iter().map(col).chain(self.outputs.iter().cloned()).collect();
        let rows = frame.lazy().select(outputs).collect().map_err(|error| self.in_words(error, slots))?;
        // Aggregates that are all literals give one row, whatever the groups.
        Ok(if rows.height() == slots.len() { rows } else { rows.new_from_index(0, slots.len()) })
    }
}

impl HashAggregate {
    /// What Polars says of the outputs, or that a count has no room in its type.
    fn in_words(&self, error: PolarsError, slots: &[u32]) -> PolarsError {
        if !self.table.cells.iter().any(|cells| cells.counts_beyond(&self.table.groups, slots)) {
            return error;
        }
        polars_err!(
            ComputeError: "a count has come beyond {}, the most that its type {} holds. Count in a wider one, as in len().cast(DataType::UInt64)",
            IdxSize::MAX, IDX_DTYPE
        )
    }
}

/// The name of what is aggregated by an accumulator.
fn input(number: usize) -> PlSmallStr {
    PlSmallStr::from_string(format!("__corriente_input_{number}"))
}
