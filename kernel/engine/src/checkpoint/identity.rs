//! What a checkpoint belongs to: a query, by its words. One that was changed is refused, or goes on where its state is the one
//! that it would have had.

use std::path::Path;

use plan::Plan;
use serde::{Deserialize, Serialize};

use super::{CheckpointError, VERSION, corrupt, failed, write_whole};
use crate::pipeline::OutputMode;

/// What a query is known by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The format's version.
    version: u32,
    /// The plan in words.
    plan: String,
    /// What the state hangs on; two queries with the same may go on with one another's. `None` where it is all of the plan.
    state: Option<String>,
    /// The output mode's name.
    mode: String,
}

impl Identity {
    /// Of a query as it is now.
    pub(crate) fn new(plan: &Plan, mode: OutputMode) -> Identity {
        // Of a whole result all rows are kept as they were made.
        let state = (mode != OutputMode::Complete).then(|| {
            let columns = plan.schema().iter().map(|(name, dtype)| format!("{name}: {dtype}"));
            format!("{}RESULT [{}]", plan.explain_state(), columns.collect::<Vec<_>>().join(", "))
        });
        Identity { version: VERSION, plan: plan.explain(), state, mode: format!("{mode:?}").to_lowercase() }
    }

    /// Looks whether a folder's checkpoint is this query's; where there is none it is from now on. Gives what is asked
    /// otherwise, where that changes nothing of the state.
    ///
    /// # Errors
    /// Another query's checkpoint, or one of another version, or one that cannot be read.
    pub(super) fn check(&self, folder: &Path) -> Result<Option<String>, CheckpointError> {
        let path = folder.join("query.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return self.write(&path).map(|()| None),
            Err(error) => return Err(failed(path)(error)),
        };
        // The version first: another one may have other fields.
        let any: serde_json::Value = serde_json::from_str(&text).map_err(|e| corrupt(&path, &e))?;
        let found = any["version"].as_u64().and_then(|version| u32::try_from(version).ok()).unwrap_or_default();
        if found != VERSION {
            return Err(CheckpointError::Version { folder: folder.to_owned(), found });
        }
        let before: Identity = serde_json::from_str(&text).map_err(|e| corrupt(&path, &e))?;
        if before == *self {
            return Ok(None);
        }
        let difference = self.difference(&before);
        if before.mode != self.mode || self.state.is_none() || before.state != self.state {
            return Err(CheckpointError::Changed { folder: folder.to_owned(), difference });
        }
        self.write(&path)?;
        Ok(Some(difference))
    }

    fn write(&self, path: &Path) -> Result<(), CheckpointError> {
        let text = serde_json::to_string_pretty(self).map_err(|e| corrupt(path, &e))?;
        write_whole(path, text.as_bytes())
    }

    /// The lines that were asked before, and those that are asked now.
    fn difference(&self, before: &Identity) -> String {
        let lines = |identity: &Identity| {
            let mut lines: Vec<String> = identity.plan.lines().map(|line| line.trim().to_owned()).collect();
            lines.push(format!("OUTPUT MODE {}", identity.mode));
            lines
        };
        let (then, now) = (lines(before), lines(self));
        let gone = then.iter().filter(|line| !now.contains(line)).map(|line| format!("- {line}"));
        let new = now.iter().filter(|line| !then.contains(line)).map(|line| format!("+ {line}"));
        gone.chain(new).collect::<Vec<_>>().join("\n")
    }
}
