//! What a checkpoint belongs to: a query, by the fingerprints of what it asks and of what its state depends on. One that was changed
//! is refused, or goes on where its state is the one that it would have had.

use std::path::Path;

use plan::{Plan, text};
use serde::{Deserialize, Serialize};

use super::{CheckpointError, Hint, VERSION, damaged, read, replace};
use crate::disk::Disk;
use crate::physical::{PhysicalPlan, query_fingerprint};
use crate::pipeline::OutputMode;

/// What a query is known by.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The format's version.
    version: u32,
    /// The fingerprint of what is asked.
    asked: String,
    /// The fingerprint of what the state depends on.
    kept: String,
    /// The columns of the result.
    columns: Vec<String>,
    /// Whether the sink is told of rows that leave the result.
    tells: bool,
    /// The output mode's name.
    mode: String,
    /// The plan in words, and what its state depends on: what a person is told of a difference.
    plan: String,
    state: String,
}

impl Identity {
    /// Of a query as it is now; `tells` says whether its sink is told of rows that leave.
    pub(crate) fn new(plan: &Plan, mode: OutputMode, tells: bool) -> Identity {
        let physical = PhysicalPlan::of(plan);
        let mut columns: Vec<String> =
            plan.schema().iter().map(|(name, dtype)| format!("{name}: {}", text::type_identity(dtype))).collect();
        // A whole result is kept with its columns in their order.
        if mode != OutputMode::Complete {
            columns.sort_unstable();
        }
        Identity {
            version: VERSION,
            asked: query_fingerprint(plan),
            kept: physical.state_fingerprint(),
            columns,
            tells,
            mode: word(mode),
            plan: plan.explain(),
            state: physical.explain_state(),
        }
    }

    /// Looks whether a folder's checkpoint is this query's; where there is none it is from now on. Gives what is asked
    /// otherwise, where that changes nothing of the state.
    ///
    /// # Errors
    /// Another query's checkpoint, or one of another version, or one that cannot be read.
    pub(super) fn check(&self, disk: &dyn Disk, folder: &Path) -> Result<Option<String>, CheckpointError> {
        let path = folder.join("query.json");
        let Some(text) = read(&path)? else { return self.write(disk, folder).map(|()| None) };
        let corrupt = |error: serde_json::Error| damaged(&path, &error, Hint::Copy);
        // The version first: another one may have other fields.
        let any: serde_json::Value = serde_json::from_slice(&text).map_err(corrupt)?;
        if any.get("version").is_none() {
            return Err(damaged(&path, &"it has no version", Hint::Copy));
        }
        let found = any["version"].as_u64().and_then(|version| u32::try_from(version).ok()).unwrap_or_default();
        if found != VERSION {
            return Err(CheckpointError::Version { folder: folder.to_owned(), found });
        }
        let before: Identity = serde_json::from_slice(&text).map_err(corrupt)?;
        let same_state = before.kept == self.kept && before.columns == self.columns && before.mode == self.mode;
        if same_state && before.asked == self.asked {
            return Ok(None);
        }
        // Of a whole result all rows are kept as they were made.
        let is_whole = self.mode == word(OutputMode::Complete);
        if !same_state || is_whole || before.tells != self.tells {
            return Err(CheckpointError::Changed {
                folder: folder.to_owned(),
                difference: self.difference(&before, true),
            });
        }
        Ok(Some(self.difference(&before, false)))
    }

    /// Has a folder's checkpoint be this query's.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub(super) fn write(&self, disk: &dyn Disk, folder: &Path) -> Result<(), CheckpointError> {
        let path = folder.join("query.json");
        let text = serde_json::to_string_pretty(self).map_err(|error| damaged(&path, &error, Hint::Copy))?;
        replace(disk, &path, text.as_bytes())
    }

    /// The lines that were asked before, and those that are asked now; those of what is kept too, if they are to be told.
    fn difference(&self, before: &Identity, of_state: bool) -> String {
        let lines = |identity: &Identity| {
            let state = if of_state { identity.state.as_str() } else { "" };
            let mut lines: Vec<String> = Vec::new();
            for line in identity.plan.lines().chain(state.lines()).map(|line| line.trim().to_owned()) {
                if !lines.contains(&line) {
                    lines.push(line);
                }
            }
            lines.push(format!("RESULT [{}]", identity.columns.join(", ")));
            lines.push(format!("OUTPUT MODE {}", identity.mode));
            lines
        };
        let (then, now) = (lines(before), lines(self));
        let gone = then.iter().filter(|line| !now.contains(line)).map(|line| format!("- {line}"));
        let new = now.iter().filter(|line| !then.contains(line)).map(|line| format!("+ {line}"));
        let difference = gone.chain(new).collect::<Vec<_>>().join("\n");
        if difference.is_empty() { "- a value in its expressions\n+ another one".to_owned() } else { difference }
    }
}

/// An output mode's name.
fn word(mode: OutputMode) -> String {
    format!("{mode:?}").to_lowercase()
}
