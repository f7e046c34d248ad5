//! `corriente kernel`: serves one connection until it is asked to end.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use evaluator::{Place, Toolchain};
use jupyter::{Connection, History};

use crate::bridge::Bridge;

/// Names the file that keeps the cells that were run; empty for none.
const HISTORY: &str = "CORRIENTE_HISTORY";

pub(crate) fn run(file: &Path) -> anyhow::Result<()> {
    let connection = Connection::read(file)?;
    let found = Toolchain::find().and_then(|toolchain| {
        // SAFETY: no thread has been started yet.
        let place = unsafe { Place::prepare(&toolchain) }?;
        Ok((place, toolchain))
    });
    // A kernel without a toolchain or a folder starts too: the notebook is where its message is read.
    let (place, toolchain) = match found {
        Ok((place, toolchain)) => (Some(place), Ok(toolchain)),
        Err(error) => (None, Err(error)),
    };
    jupyter::run(&connection, history(), |publisher| Bridge::new(publisher, place.as_ref(), toolchain))
        .context("the kernel ended")?;
    Ok(())
}

fn history() -> History {
    let in_home = || {
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")));
        state.map(|state| state.join("corriente/history.jsonl"))
    };
    let file = std::env::var_os(HISTORY).map_or_else(in_home, |set| Some(PathBuf::from(set)));
    file.filter(|file| !file.as_os_str().is_empty()).map_or_else(History::default, |file| History::in_file(&file))
}
