//! What a pipeline holds, given away and taken over: its own facts, and the tables of its operators. Here and nowhere else are they
//! written and restored, each under the number of its stage and the name that the physical plan gives it.

use polars::prelude::{PolarsResult, polars_err};

use super::{OperatorNode, Pipeline, PipelineStage};
use crate::snapshot::{Facts, PendingState, Snapshot};
use crate::state::StateTable;

impl Pipeline {
    /// What the pipeline holds, for a checkpoint that is kept up: all of it, or only what changed since this was last called
    /// or the pipeline was restored. See [`Snapshot::go_on`].
    ///
    /// # Errors
    /// What Polars says of the tables.
    pub fn snapshot(&mut self, all: bool) -> PolarsResult<Snapshot> {
        self.freeze(all)?.tables()
    }

    /// As [`Pipeline::snapshot`], without the work that can be done beside.
    pub(crate) fn freeze(&mut self, all: bool) -> PolarsResult<PendingState> {
        let mut state = PendingState::new(self.facts());
        for (number, stage) in self.stages.iter_mut().enumerate() {
            let PipelineStage::Operator(node) = stage else { continue };
            for (name, table) in node.state(number) {
                if let Some(number) = table.number() {
                    state.facts.numbers.insert(name.clone(), *number);
                }
                state.add(name, all, table.freeze(all)?);
            }
        }
        Ok(state)
    }

    /// Takes over what [`Pipeline::snapshot`] gave, in a new pipeline of the same plan.
    ///
    /// # Errors
    /// A table that is missing or has other columns.
    pub fn restore(&mut self, mut saved: Snapshot) -> PolarsResult<()> {
        self.owes_a_row = false;
        self.next_id = saved.facts.next_id;
        self.at(saved.facts.moment_ms);
        self.positions.restore(&saved.facts.positions);
        let current = saved.facts.watermark;
        if let Some(watermark) = &mut self.watermark {
            watermark.restore(current, &saved.facts.newest);
        }
        for (number, stage) in self.stages.iter_mut().enumerate() {
            let PipelineStage::Operator(node) = stage else { continue };
            for (name, table) in node.state(number) {
                let missing = || polars_err!(ComputeError: "the saved state has no table \"{name}\"");
                if let Some(number) = table.number() {
                    *number = saved.facts.numbers.remove(&name).ok_or_else(missing)?;
                }
                let frame = saved.frames.remove(&name).ok_or_else(missing)?;
                table.restore(frame, saved.changes.remove(&name).unwrap_or_default())?;
            }
            let watermark = node.own(current);
            node.operator.restored(watermark)?;
        }
        Ok(())
    }

    fn facts(&self) -> Facts {
        let (next_id, moment_ms) = (self.next_id, self.moment_ms);
        let positions = self.positions.save();
        let mut facts = Facts { next_id, moment_ms, positions, ..Facts::default() };
        if let Some(watermark) = &self.watermark {
            facts.watermark = watermark.current();
            facts.newest = watermark.newest();
        }
        facts
    }
}

impl OperatorNode {
    /// The operator's tables by their names, as that of the stage with this number.
    fn state(&mut self, number: usize) -> impl Iterator<Item = (String, &mut dyn StateTable)> {
        let (names, tables) = (self.tables, self.operator.state());
        debug_assert_eq!(names.len(), tables.len(), "the plan names other tables than the operator has: {names:?}");
        names.iter().map(move |name| format!("{number}-{name}")).zip(tables)
    }
}
