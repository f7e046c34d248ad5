//! Where only final rows are wanted what is kept is panes, and a window is made of its panes when it ends. So that it is made of
//! few, a tree stands over them: what sixteen of them have together, and sixteen of those. A row costs one step for each storey,
//! and a window at most thirty for each.

use std::collections::BTreeMap;

use polars::prelude::*;

use super::panes::Gathered;
use super::{HashAggregate, WindowGroups};
use crate::operator::panes::PaneGrid;
use crate::state::groups::index::GroupIndex;
use crate::state::groups::rows::GroupKey;
use crate::state::groups::take_ended;

/// Parts of one stretch.
const PARTS: i64 = 16;

/// What stands over the panes.
pub(super) struct Tree {
    /// The stretches of each storey by their starts; the lowest are of sixteen panes.
    storeys: Vec<BTreeMap<i64, WindowGroups>>,
    /// Windows that end here or before are closed.
    pub(super) closed: Option<i64>,
}

impl Tree {
    pub(super) fn new(grid: &PaneGrid) -> Tree {
        let lengths = storeys(grid).take_while(|length| length * 2 <= grid.period);
        Tree { storeys: lengths.map(|_| BTreeMap::new()).collect(), closed: None }
    }

    /// The start of the first window with this pane that is not closed.
    pub(super) fn next(&self, grid: &PaneGrid, pane: i64) -> i64 {
        grid.oldest(pane).max(self.closed.map_or(i64::MIN, |closed| grid.first_open(closed)))
    }

    /// The panes and stretches that a window is made of.
    fn parts<'a>(
        &'a self,
        grid: &PaneGrid,
        panes: &'a BTreeMap<i64, WindowGroups>,
        start: i64,
    ) -> impl Iterator<Item = &'a WindowGroups> {
        let (grid, mut at) = (*grid, start);
        let all: Vec<(i64, &BTreeMap<i64, WindowGroups>)> =
            [(grid.length(), panes)].into_iter().chain(storeys(&grid).zip(&self.storeys)).collect();
        std::iter::from_fn(move || {
            let left = start + grid.period - at;
            let fits =
                |(length, _): &&(i64, &BTreeMap<i64, WindowGroups>)| *length <= left && grid.floor(at, *length) == at;
            let (length, stretches) = all.iter().rev().find(fits).filter(|_| left > 0)?;
            let part = stretches.get(&at);
            at += length;
            Some(part)
        })
        .flatten()
    }
}

/// The lengths of the stretches of each storey.
fn storeys(grid: &PaneGrid) -> impl Iterator<Item = i64> + use<> {
    std::iter::successors(Some(grid.length() * PARTS), |length| length.checked_mul(PARTS))
}

impl HashAggregate {
    /// Puts what was gathered of a pane and key into the pane, and into all that stands over it.
    pub(super) fn keep(&mut self, tree: &mut Tree, grid: &PaneGrid, one: &Gathered) -> PolarsResult<()> {
        self.table.groups.expect(1)?;
        let key = self.table.groups.key(one.slot);
        let key = GroupKey::new(&key);
        let end = grid.end(grid.newest(one.pane));
        let slot = self.table.find_or_add_in(one.pane, end, &key, one.hash);
        let id = self.table.groups.id(slot);
        self.table.combine(&[(one.slot, slot)]);
        self.raise(tree, grid, one, &key, id)
    }

    /// Puts what a slot has into all that stands over a pane.
    fn raise(
        &mut self,
        tree: &mut Tree,
        grid: &PaneGrid,
        one: &Gathered,
        key: &GroupKey<'_>,
        id: u64,
    ) -> PolarsResult<()> {
        self.table.groups.expect(tree.storeys.len())?;
        let mut pairs = Vec::with_capacity(tree.storeys.len());
        for (length, stretches) in storeys(grid).zip(&mut tree.storeys) {
            let start = grid.floor(one.pane, length);
            let last = start + length - grid.length();
            let window = stretches.entry(start).or_insert_with(|| WindowGroups::new(grid.end(grid.newest(last))));
            let (slot, _) = self.table.groups.find_or_add(&mut window.index, key, one.hash, id);
            self.table.groups.as_old_as(slot, id);
            pairs.push((one.slot, slot));
        }
        self.table.combine(&pairs);
        Ok(())
    }

    /// Makes what stands over the panes out of them; windows that end at `closed` or before are closed.
    pub(super) fn grow_tree(&mut self, closed: Option<i64>) -> PolarsResult<()> {
        let (Some(grid), Some(_)) = (self.panes, self.tree.take()) else { return Ok(()) };
        let mut tree = Tree { closed, ..Tree::new(&grid) };
        let panes = self.table.windows.iter().flat_map(|(pane, window)| window.index.hashed().map(|of| (*pane, of)));
        let all: Vec<Gathered> = panes.map(|(pane, (hash, slot))| Gathered { pane, hash, slot }).collect();
        for one in all {
            let (key, id) = (self.table.groups.key(one.slot), self.table.groups.id(one.slot));
            self.raise(&mut tree, &grid, &one, &GroupKey::new(&key), id)?;
        }
        self.tree = Some(tree);
        Ok(())
    }

    /// The rows of the windows that have ended; forgets what no window needs any more.
    pub(super) fn close_panes(&mut self, grid: &PaneGrid, watermark: i64) -> PolarsResult<Option<DataFrame>> {
        let Some(mut tree) = self.tree.take() else { return Ok(None) };
        let mut made = Vec::new();
        let mut next = self.table.windows.keys().next().map(|pane| tree.next(grid, *pane));
        while let Some(start) = next.filter(|start| grid.end(*start) <= watermark) {
            self.make(&tree, grid, start, &mut made)?;
            // Where there are no rows there is no window.
            let pane = self.table.windows.range(start + grid.every..).next().map(|(pane, _)| *pane);
            next = pane.map(|pane| grid.oldest(pane).max(start + grid.every));
        }
        let rows = if made.is_empty() { None } else { Some(self.rows_of(&mut made)?) };
        self.table.forget(made.into_iter().map(|(_, slot)| slot));
        let mut ended = Vec::new();
        for stretches in [&mut self.table.windows].into_iter().chain(&mut tree.storeys) {
            while let Some((_, window)) = take_ended(stretches, watermark) {
                ended.extend(window.index.slots());
            }
        }
        self.table.forget(ended.into_iter());
        tree.closed = tree.closed.max(Some(watermark));
        self.tree = Some(tree);
        Ok(rows)
    }

    /// Makes the groups of a window out of its panes.
    fn make(&mut self, tree: &Tree, grid: &PaneGrid, start: i64, made: &mut Vec<(i64, u32)>) -> PolarsResult<()> {
        let mut index = GroupIndex::default();
        let panes = std::mem::take(&mut self.table.windows);
        let mut pairs = Vec::new();
        for window in tree.parts(grid, &panes, start) {
            for (hash, from) in window.index.hashed() {
                self.table.groups.expect(1)?;
                let (key, id) = (self.table.groups.key(from), self.table.groups.id(from));
                let key = GroupKey::new(&key);
                let (slot, is_new) = self.table.groups.find_or_add(&mut index, &key, hash, id);
                if is_new {
                    made.push((start, slot));
                }
                self.table.groups.as_old_as(slot, id);
                pairs.push((from, slot));
            }
        }
        self.table.windows = panes;
        self.table.combine(&pairs);
        Ok(())
    }
}
