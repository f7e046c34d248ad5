//! `corriente produce bank`: the demo's transactions into any cluster.

use std::time::Duration;

use connectors::bank::{ProduceConfig, Producer};

/// What was asked for.
pub(crate) struct Wanted {
    pub(crate) bootstrap: String,
    pub(crate) topic: String,
    pub(crate) rate: f64,
    pub(crate) count: Option<u64>,
    pub(crate) seed: u64,
}

#[allow(clippy::print_stdout)]
pub(crate) fn bank(wanted: Wanted) -> anyhow::Result<()> {
    anyhow::ensure!(
        wanted.rate.is_finite() && wanted.rate >= 0.0,
        "--rate is a number of transactions a second, 0 or more"
    );
    let topic = wanted.topic.clone();
    let mut producer = Producer::start(ProduceConfig {
        bootstrap: wanted.bootstrap,
        topic: wanted.topic,
        rate: wanted.rate,
        count: wanted.count,
        seed: wanted.seed,
        ..ProduceConfig::default()
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                ended = tokio::signal::ctrl_c() => return ended,
                _ = terminate.recv() => return Ok(()),
                _ = second.tick() => {
                    eprint!("\r{} transactions in \"{topic}\"", producer.produced());
                    if producer.is_done() {
                        return Ok(());
                    }
                }
            }
        }
    })?;
    let produced = producer.stop();
    eprintln!();
    println!("produced {produced} transactions into \"{topic}\"");
    match producer.error() {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}
