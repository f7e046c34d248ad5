//! `corriente kernel`: serves one connection until it is asked to end.

use std::path::Path;

use anyhow::Context as _;
use evaluator::{Place, Toolchain};
use jupyter::Connection;

use crate::bridge::Bridge;

pub(crate) fn run(file: &Path) -> anyhow::Result<()> {
    let connection = Connection::read(file)?;
    let toolchain = Toolchain::find();
    let place = match &toolchain {
        // SAFETY: no thread has been started yet.
        Ok(toolchain) => Some(unsafe { Place::prepare(toolchain) }?),
        Err(_) => None,
    };
    // A kernel without a toolchain starts too: the notebook is where its message is read.
    jupyter::run(&connection, |publisher| Bridge::new(publisher, place.as_ref(), toolchain))
        .context("the kernel ended")?;
    Ok(())
}
