//! Prints the first events of the crate `nexmark` as JSON, a line each, the same in every run: `nexmark-events 20000`.

use std::io::{BufWriter, Write as _};

use anyhow::Context as _;
use nexmark::EventGenerator;
use nexmark::config::NexmarkConfig;

/// Events in a second of event time.
const RATE: usize = 100;
/// When the first one is.
const START_MS: u64 = 1_700_000_000_000;
/// Events that come in an order of their own: those of half a second.
const OUT_OF_ORDER: usize = 50;

fn main() -> anyhow::Result<()> {
    let count = std::env::args().nth(1).context("say how many events there are to be")?.parse()?;
    let config = NexmarkConfig {
        first_rate: RATE,
        next_rate: RATE,
        base_time: START_MS,
        out_of_order_group_size: OUT_OF_ORDER,
        ..NexmarkConfig::default()
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    for event in EventGenerator::new(config).take(count) {
        writeln!(out, "{}", serde_json::to_string(&event)?)?;
    }
    Ok(out.flush()?)
}
