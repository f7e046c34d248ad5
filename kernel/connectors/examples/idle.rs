//! What a query costs the machine when nothing comes: its process's time on the cores over a topic without new records, beside that
//! of a bare rdkafka consumer which polls. `tests/bench idle` calls this, with the broker in a process of its own.
//!
//! `idle BOOTSTRAP SECONDS BROKER`, the last being the broker's name; prints a line of JSON.
#![allow(missing_docs, clippy::print_stdout)]

mod sides;

use std::sync::Arc;
use std::time::{Duration, Instant};

use connectors::bank::{ProduceConfig, Producer};
use engine::{ForeachBatch, Options, OutputMode, Query, QueryOutput, State};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;

use sides::by_hand::partitions;
use sides::corriente::frame;
use sides::{Failure, Key};

/// What is there before it is quiet.
const ROWS: u64 = 10_000;
/// What is not measured: connections are made, and what is there is read.
const WARM_UP: Duration = Duration::from_secs(5);
const TOPIC: &str = "quiet";
/// Of a core, as much as the consumer or this, whichever is more: a thousandth is below what the clock's ticks tell apart.
const WANTED_PERCENT: f64 = 1.0;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bootstrap, seconds, broker] = &arguments[..] else { return Err("idle BOOTSTRAP SECONDS BROKER".into()) };
    let lasts = Duration::from_secs(seconds.parse()?);
    let config = ProduceConfig {
        bootstrap: bootstrap.clone(),
        topic: TOPIC.to_owned(),
        rate: 0.0,
        count: Some(ROWS),
        ..ProduceConfig::default()
    };
    Producer::start(config)?.wait();
    let by_hand = by_hand(bootstrap, lasts)?;
    let looked_at = looked_at(bootstrap, lasts)?;
    let written = written(bootstrap, lasts)?;
    let line = json!({
        "case": "idle", "broker": broker, "seconds": lasts.as_secs(),
        "consumer_percent_of_a_core": by_hand, "query_percent_of_a_core": looked_at,
        "query_with_a_checkpoint_percent_of_a_core": written,
        "ratio": rounded(looked_at.max(written) / by_hand.max(0.01)),
        "wanted_percent_at_most": WANTED_PERCENT.max(by_hand),
    });
    println!("{line}");
    Ok(())
}

/// The loop that a person would write: an assigned consumer that is polled.
fn by_hand(bootstrap: &str, lasts: Duration) -> Result<f64, Failure> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("group.id", "by-hand").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create()?;
    let mut list = TopicPartitionList::new();
    for partition in partitions(bootstrap, TOPIC)? {
        list.add_partition_offset(TOPIC, partition.number, Offset::Beginning)?;
    }
    consumer.assign(&list)?;
    let poll_for = |time: Duration| -> Result<(), Failure> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            consumer.poll(Duration::from_millis(100)).transpose()?;
        }
        Ok(())
    };
    poll_for(WARM_UP)?;
    percent_of(lasts, || poll_for(lasts))
}

/// A windowed query whose result somebody looks at.
fn looked_at(bootstrap: &str, lasts: Duration) -> Result<f64, Failure> {
    let frame = frame(bootstrap, TOPIC, Key::Category)?;
    let query = Query::start("idle", &frame.plan, Arc::clone(&frame.open), Options::default())?;
    quiet(&query, lasts)
}

/// A windowed query that writes, with a checkpoint.
fn written(bootstrap: &str, lasts: Duration) -> Result<f64, Failure> {
    let (frame, folder) = (frame(bootstrap, TOPIC, Key::Category)?, tempfile::tempdir()?);
    let output = QueryOutput {
        sink: Box::new(ForeachBatch::new(|_, _| Ok(()))),
        mode: OutputMode::Update,
        checkpoint: Some(folder.path().to_owned()),
        use_newest_good_state: false,
    };
    let query = Query::write("idle", &frame.plan, Arc::clone(&frame.open), Options::default(), output)?;
    quiet(&query, lasts)
}

/// What a query costs once it has read what there is.
fn quiet(query: &Query, lasts: Duration) -> Result<f64, Failure> {
    let look_for = |time: Duration| -> Result<(), Failure> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let status = query.result().wait(u64::MAX, Duration::from_millis(1_000));
            if let State::Failed(message) = status.state {
                return Err(message.into());
            }
            // As a view does: a query that nobody looks at rests.
            query.result().touch();
        }
        Ok(())
    };
    look_for(WARM_UP)?;
    let status = query.status();
    if status.rows_read + status.dead_letters < ROWS {
        return Err(format!("it has not read what there is: {status:?}").into());
    }
    percent_of(lasts, || look_for(lasts))
}

/// The part of a core that this process takes while something is done.
fn percent_of(lasts: Duration, done: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
    let before = ticks()?;
    done()?;
    // Linux has a hundred ticks a second, whatever the machine.
    Ok(rounded((ticks()? - before) as f64 / lasts.as_secs_f64()))
}

/// The ticks that this process has had, its own and the system's for it.
fn ticks() -> Result<u64, Failure> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The name, in brackets, may have spaces; user's and system's ticks are the 14th and 15th field of all.
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let [user, system] =
        [fields.get(11), fields.get(12)].map(|field| field.and_then(|ticks| ticks.parse::<u64>().ok()));
    user.zip(system).map(|(user, system)| user + system).ok_or_else(|| format!("no ticks in {stat}").into())
}

fn rounded(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
