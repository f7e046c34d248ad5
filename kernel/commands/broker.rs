//! `corriente broker`: the embedded broker as a process of its own.

use anyhow::Context as _;
use broker::{Broker, Config};

#[allow(clippy::print_stdout)]
pub(crate) fn run(listen: String, megabytes: usize) -> anyhow::Result<()> {
    let memory = megabytes.checked_mul(1 << 20).context("--memory is more than a machine has")?;
    let broker = Broker::start(Config { listen, memory, ..Config::default() })?;
    println!("listening on {}", broker.bootstrap());
    wait_for_the_end()?;
    broker.stop();
    Ok(())
}

/// Returns on Ctrl-C or SIGTERM.
pub(crate) fn wait_for_the_end() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            ended = tokio::signal::ctrl_c() => ended?,
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}
