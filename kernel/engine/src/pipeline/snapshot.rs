//! What a pipeline holds, given away and taken over: its own facts, and the tables of each stage under the stage's number.

use polars::prelude::{DataFrame, PolarsResult, polars_err};

use super::Pipeline;
use crate::operator::GROUPS;
use crate::snapshot::{Facts, PendingState, Snapshot};

impl Pipeline {
    /// What the pipeline holds.
    ///
    /// # Errors
    /// What Polars says of the tables.
    pub fn save(&self) -> PolarsResult<Snapshot> {
        let mut saved = Snapshot { facts: self.facts(), ..Snapshot::default() };
        for (number, stage) in self.stages.iter().enumerate() {
            saved.put(number, stage.operator.save()?);
        }
        Ok(saved)
    }

    /// What the pipeline holds, for a checkpoint that is kept up: all of it, or only what changed since this was last called
    /// or the pipeline was restored. See [`Snapshot::go_on`].
    ///
    /// # Errors
    /// As for [`Pipeline::save`].
    pub fn snapshot(&mut self, all: bool) -> PolarsResult<Snapshot> {
        self.freeze(all)?.tables()
    }

    /// As [`Pipeline::snapshot`], without the work that can be done beside.
    pub(crate) fn freeze(&mut self, all: bool) -> PolarsResult<PendingState> {
        let mut state = PendingState::new(self.facts());
        for (number, stage) in self.stages.iter_mut().enumerate() {
            let frozen = stage.operator.freeze(all)?;
            state.add(move |saved| {
                saved.put(number, frozen()?);
                Ok(())
            });
        }
        Ok(state)
    }

    /// Takes over what [`Pipeline::save`] or [`Pipeline::snapshot`] gave, in a pipeline of the same plan.
    ///
    /// # Errors
    /// A table that is missing or has other columns.
    pub fn restore(&mut self, mut saved: Snapshot) -> PolarsResult<()> {
        self.owes_a_row = false;
        self.next_id = saved.facts.next_id;
        self.at(saved.facts.moment_ms);
        self.positions.restore(&saved.facts.positions);
        if let Some(watermark) = &mut self.watermark {
            watermark.restore(saved.facts.watermark, &saved.facts.newest);
        }
        for (number, stage) in self.stages.iter_mut().enumerate() {
            let fact = saved.facts.stages.get(number).copied().unwrap_or_default();
            let changes = saved.take_changes(&format!("{number}-{GROUPS}"));
            let mut table = |name: &str| stage_table(&mut saved, number, name);
            stage.operator.restore(fact, &mut table)?;
            if !changes.is_empty() {
                stage.operator.restore_changes(fact, changes, &mut table)?;
            }
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

fn stage_table(saved: &mut Snapshot, number: usize, name: &str) -> PolarsResult<DataFrame> {
    let name = format!("{number}-{name}");
    saved.take(&name)?.ok_or_else(|| polars_err!(ComputeError: "the saved state has no table \"{name}\""))
}
