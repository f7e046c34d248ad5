//! How long from the newest event to a result that has it: Corriente's live query beside a hand-written loop, each over a
//! topic of its own into which the bank produces evenly. `tests/bench latency` calls this.
//!
//! `latency BOOTSTRAP RATE SECONDS BROKER`, the last being the broker's name; prints a line of JSON.
#![allow(missing_docs, clippy::print_stdout)]

mod sides;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use connectors::bank::{ProduceConfig, Producer};
use engine::{Options, Query, State};
use serde_json::json;

use sides::by_hand::{Groups, Reader, partitions};
use sides::corriente::frame;
use sides::{Failure, Key};

const KEY: Key = Key::Category;
/// What is not measured: connections are made, and what came before the query began is read.
const WARM_UP: Duration = Duration::from_secs(3);
/// What was promised, in milliseconds.
const P50_MS: f64 = 4.0;
const P99_MS: f64 = 12.0;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, rate, seconds, broker] = &arguments[..] else {
        return Err("latency BOOTSTRAP RATE SECONDS BROKER".into());
    };
    let load = Load { bootstrap, rate: rate.parse()?, seconds: seconds.parse()? };
    let by_hand = by_hand(&load)?;
    let corriente = corriente(&load)?;
    let line = json!({
        "case": "latency", "broker": broker, "rows_per_second": load.rate, "seconds": load.seconds,
        "hand_written_p50_ms": by_hand.share(0.5), "hand_written_p99_ms": by_hand.share(0.99),
        "corriente_p50_ms": corriente.share(0.5), "corriente_p99_ms": corriente.share(0.99),
        "hand_written_updates": by_hand.0.len(), "corriente_updates": corriente.0.len(),
        "ratio": rounded(corriente.share(0.5) / by_hand.share(0.5)),
        "ratio_p99": rounded(corriente.share(0.99) / by_hand.share(0.99)),
        "wanted_p50_ms": P50_MS, "wanted_p99_ms": P99_MS,
    });
    println!("{line}");
    Ok(())
}

/// What comes into a topic.
struct Load<'a> {
    bootstrap: &'a str,
    rate: f64,
    seconds: u64,
}

impl Load<'_> {
    fn start(&self, topic: &str) -> Result<Producer, Failure> {
        let topic = topic.to_owned();
        let bootstrap = self.bootstrap.to_owned();
        Ok(Producer::start(ProduceConfig { bootstrap, topic, rate: self.rate, ..ProduceConfig::default() })?)
    }

    fn lasts(&self) -> Duration {
        WARM_UP + Duration::from_secs(self.seconds)
    }
}

/// Milliseconds from the newest event to a result that has it, one a result.
struct Delays(Vec<f64>);

impl Delays {
    /// Of a run that began then: a result counts if it has an event that none before it had.
    fn add(&mut self, began: Instant, newest_ms: i64, before_ms: i64) {
        if newest_ms > before_ms && began.elapsed() > WARM_UP {
            self.0.push(now_ms() - newest_ms as f64);
        }
    }

    fn sorted(mut self) -> Delays {
        self.0.sort_by(f64::total_cmp);
        self
    }

    fn share(&self, part: f64) -> f64 {
        let at = (self.0.len() as f64 * part) as usize;
        self.0.get(at.min(self.0.len().saturating_sub(1))).copied().map_or(f64::NAN, rounded)
    }
}

fn by_hand(load: &Load<'_>) -> Result<Delays, Failure> {
    let topic = "latency-by-hand";
    let _producer = load.start(topic)?;
    let mut reader = Reader::new(load.bootstrap, topic, &partitions(load.bootstrap, topic)?)?;
    let (began, mut groups, mut delays, mut newest) = (Instant::now(), Groups::default(), Delays(Vec::new()), 0);
    while began.elapsed() < load.lasts() {
        let before = newest;
        let mut take = |record: &[u8], time_ms: i64| {
            groups.add(KEY, record);
            newest = newest.max(time_ms);
        };
        if reader.next(1, 100, &mut take)? > 0 {
            // What is there already, without waiting for more.
            reader.next(usize::MAX, 0, &mut take)?;
        }
        delays.add(began, newest, before);
    }
    Ok(delays.sorted())
}

fn corriente(load: &Load<'_>) -> Result<Delays, Failure> {
    let topic = "latency-corriente";
    let _producer = load.start(topic)?;
    let frame = frame(load.bootstrap, topic, KEY)?;
    let query = Query::start("latency", &frame.plan, Arc::clone(&frame.open), Options::default())?;
    let result = query.result();
    let (began, mut delays, mut newest, mut version) = (Instant::now(), Delays(Vec::new()), 0, 0);
    while began.elapsed() < load.lasts() {
        let status = result.wait(version, Duration::from_millis(100));
        if let State::Failed(message) = status.state {
            return Err(message.into());
        }
        let before = newest;
        newest = newest.max(status.newest_ms.unwrap_or(0));
        delays.add(began, newest, before);
        version = status.version;
        // As a view does: a query that nobody looks at rests.
        result.touch();
    }
    Ok(delays.sorted())
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() * 1e3
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
