//! Windows that overlap, by panes. A batch is first aggregated by pane and key, however many windows a pane is in; what comes of
//! that is then put into all of them, or, where only final rows are wanted, into the pane itself.

use polars::prelude::*;

use super::placed::Placed;
use super::{HashAggregate, MergedBatch, WindowGroups, input};
use crate::operator::columns::{POSITION, encoded, keys_of};
use crate::operator::panes::PaneGrid;
use crate::state::groups::index::GroupIndex;
use crate::state::groups::rows::{GroupKey, TOUCHED};

/// What a batch has of one pane and key.
pub(super) struct Gathered {
    pub(super) pane: i64,
    pub(super) hash: u32,
    pub(super) slot: u32,
}

/// What a batch has of one key: a window takes of it what comes before or after a place, or both. Time is cut into blocks as long as
/// a window, each window has the end of one and the beginning of the next, and of each pane it is known what its block has up to
/// it and from it on (M. van Herk, "A fast algorithm for local minimum and maximum filters", 1992).
#[derive(Default)]
struct PaneRun {
    /// The panes with their slots, rising.
    panes: Vec<(i64, u32)>,
    /// The slot with what the pane's block has up to the pane, and from it on.
    up_to: Vec<u32>,
    from: Vec<u32>,
    /// The slots that were made for that.
    made: Vec<u32>,
    /// The windows that have been given it: first and last start of stretches.
    done: Vec<(i64, i64)>,
}

impl PaneRun {
    /// Says which slots are to be combined into which, in order, so that the parts are there.
    fn put_together(&mut self, grid: &PaneGrid, pairs: &mut Vec<(u32, u32)>, mut add: impl FnMut() -> u32) {
        let block = |(pane, _): &(i64, u32)| grid.floor(*pane, grid.period);
        let count = self.panes.len();
        (self.up_to, self.from) = (vec![0; count], vec![0; count]);
        let mut join = |slots: &mut Vec<u32>, at: usize, other: Option<usize>| {
            let other = other.filter(|other| block(&self.panes[*other]) == block(&self.panes[at]));
            slots[at] = match other {
                None => self.panes[at].1,
                Some(other) => {
                    let slot = add();
                    pairs.extend([(slots[other], slot), (self.panes[at].1, slot)]);
                    self.made.push(slot);
                    slot
                }
            };
        };
        (0..count).for_each(|at| join(&mut self.up_to, at, at.checked_sub(1)));
        (0..count).rev().for_each(|at| join(&mut self.from, at, Some(at + 1).filter(|next| *next < count)));
    }

    /// The slots that together have what is in a window.
    fn within(&self, grid: &PaneGrid, start: i64) -> impl Iterator<Item = u32> + use<> {
        let first = self.panes.partition_point(|(pane, _)| *pane < start);
        let after = self.panes.partition_point(|(pane, _)| *pane < start + grid.period);
        let block = |at: usize| self.panes.get(at).map(|(pane, _)| grid.floor(*pane, grid.period));
        let own = Some(grid.floor(start, grid.period));
        let last = after.checked_sub(1).filter(|last| *last >= first);
        let from = (first < after && block(first) == own).then(|| self.from[first]);
        let up_to = last.filter(|last| block(*last) != own).map(|last| self.up_to[last]);
        from.into_iter().chain(up_to)
    }

    /// The starts of the windows with a pane that have not been given it, the newest first; they count as done.
    fn not_done(&mut self, grid: &PaneGrid, pane: i64, first_open: i64) -> Vec<i64> {
        let (first, last) = (grid.oldest(pane).max(first_open), grid.newest(pane));
        let (mut starts, mut start) = (Vec::new(), last);
        while start >= first {
            match self.done.iter().find(|(from, to)| (*from..=*to).contains(&start)) {
                Some((from, _)) => start = from - grid.every,
                None => {
                    starts.push(start);
                    start -= grid.every;
                }
            }
        }
        match self.done.iter_mut().find(|(from, to)| *from <= last + grid.every && first <= *to + grid.every) {
            Some((from, to)) => (*from, *to) = ((*from).min(first), (*to).max(last)),
            None => self.done.push((first, last)),
        }
        starts
    }
}

impl HashAggregate {
    /// Takes rows in by pane and key.
    pub(super) fn take_by_pane(
        &mut self,
        grid: &PaneGrid,
        rows: DataFrame,
        watermark: Option<i64>,
    ) -> PolarsResult<MergedBatch> {
        let (none, positioned) = (rows.height() == 0, rows.schema().contains(POSITION));
        let rows = match (&self.plan.over, &self.cut) {
            (Some(over), Some(windows)) => grid.assigned(windows.in_range(rows)?, &over.time)?,
            _ => rows,
        };
        let mut rows = self.inputs(rows.lazy(), none, positioned)?;
        let placed = Placed::in_panes(grid, &mut rows, watermark)?;
        let keys = keys_of(&rows, self.plan.keys.len())?;
        let (slots, gathered) = self.gather(&encoded(&keys, rows.height())?, &placed)?;
        for (number, cells) in self.table.cells.iter_mut().enumerate() {
            cells.merge(&mut self.table.groups, &slots, rows.column(&input(number))?)?;
        }
        let touched = match self.tree.take() {
            Some(mut tree) => {
                tree.closed = tree.closed.max(watermark);
                gathered.iter().try_for_each(|one| self.keep(&mut tree, grid, one))?;
                self.tree = Some(tree);
                Vec::new()
            }
            None => self.spread(grid, &gathered, watermark)?,
        };
        self.table.forget(gathered.into_iter().map(|one| one.slot));
        Ok(MergedBatch { keys: None, touched, late: placed.late, timeless: placed.timeless })
    }

    /// A slot for each pane and key of a batch, and the slot of each row.
    fn gather(&mut self, keys: &BinaryOffsetChunked, placed: &Placed) -> PolarsResult<(Vec<u32>, Vec<Gathered>)> {
        self.table.groups.expect(keys.len())?;
        let mut indexes: Vec<GroupIndex> = placed.windows.iter().map(|_| GroupIndex::default()).collect();
        let (mut slots, mut gathered) = (Vec::with_capacity(keys.len()), Vec::new());
        for (bytes, number) in keys.iter().map(Option::unwrap_or_default).zip(&placed.of) {
            let (key, hash, index) = (GroupKey::new(bytes), self.table.hash(bytes), &mut indexes[*number as usize]);
            let (slot, is_new) = self.table.groups.find_or_add(index, &key, hash, 0);
            if is_new {
                gathered.push(Gathered { pane: placed.windows[*number as usize].0, hash, slot });
            }
            slots.push(slot);
        }
        self.table.grow();
        Ok((slots, gathered))
    }

    /// Puts what was gathered into all windows that are open; gives the groups that were touched.
    fn spread(
        &mut self,
        grid: &PaneGrid,
        gathered: &[Gathered],
        watermark: Option<i64>,
    ) -> PolarsResult<Vec<(i64, u32)>> {
        let (mut runs, of_each) = self.runs(grid, gathered)?;
        // Taken out while groups come.
        let mut open: PlHashMap<i64, WindowGroups> = PlHashMap::default();
        let (mut touched, mut pairs) = (Vec::new(), Vec::new());
        for (one, run) in gathered.iter().zip(of_each) {
            let key = self.table.groups.key(one.slot);
            let key = GroupKey::new(&key);
            let first_open = watermark.map_or(i64::MIN, |watermark| grid.first_open(watermark));
            for start in runs[run].not_done(grid, one.pane, first_open) {
                self.table.groups.expect(1)?;
                let ended = || WindowGroups::new(grid.end(start));
                let window =
                    open.entry(start).or_insert_with(|| self.table.windows.remove(&start).unwrap_or_else(ended));
                let slot = self.table.find_or_add(&key, one.hash, window);
                if !self.table.groups.mark(slot, TOUCHED) {
                    self.table.change(slot, window);
                    touched.push((start, slot));
                }
                pairs.extend(runs[run].within(grid, start).map(|part| (part, slot)));
            }
        }
        self.note_old(&touched)?;
        self.table.combine(&pairs);
        self.table.windows.extend(open);
        self.table.forget(runs.into_iter().flat_map(|run| run.made));
        Ok(touched)
    }

    /// What was gathered of each key, and of which key each is.
    fn runs(&mut self, grid: &PaneGrid, gathered: &[Gathered]) -> PolarsResult<(Vec<PaneRun>, Vec<usize>)> {
        let (mut runs, mut of_each, mut index): (Vec<PaneRun>, _, _) = (Vec::new(), Vec::new(), GroupIndex::default());
        for one in gathered {
            let key = self.table.groups.key(one.slot);
            let key = GroupKey::new(&key);
            let number = index.find(one.hash, |run| self.table.groups.is(runs[run as usize].panes[0].1, &key));
            let number = number.unwrap_or_else(|| {
                index.insert(one.hash, runs.len() as u32);
                runs.push(PaneRun::default());
                runs.len() as u32 - 1
            });
            runs[number as usize].panes.push((one.pane, one.slot));
            of_each.push(number as usize);
        }
        self.table.groups.expect(2 * gathered.len())?;
        let mut pairs = Vec::new();
        for run in &mut runs {
            run.panes.sort_unstable();
            let key = self.table.groups.key(run.panes[0].1);
            run.put_together(grid, &mut pairs, || self.table.groups.add(0, &GroupKey::new(&key)));
        }
        self.table.combine(&pairs);
        Ok((runs, of_each))
    }
}
