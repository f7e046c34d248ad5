//! The producer: even, countable, and repeatable. On the embedded broker, or on CORRIENTE_TEST_KAFKA.

use std::time::{Duration, Instant};

use connectors::bank::{ProduceConfig, Producer};
use engine::Source as _;

use crate::place::*;

fn config(topic: &str) -> ProduceConfig {
    ProduceConfig { bootstrap: bootstrap(), topic: topic.to_owned(), ..ProduceConfig::default() }
}

#[test]
fn it_keeps_its_rate_evenly_and_stops_at_what_it_counted() {
    let topic = fresh("paced");
    let begun = Instant::now();
    let mut producer = Producer::start(config(&topic)).unwrap();
    assert!(producer.produced() > 0, "the first records are there when it has started");
    // An even stream: at a thousand a second something new is there every few milliseconds.
    let schema = schema(&topic);
    let mut source = open(&topic, &schema);
    let mut from = source.latest().unwrap();
    let (mut arrivals, mut rows, watched) = (0, 0, Instant::now());
    while watched.elapsed() < Duration::from_secs(2) {
        let to = source.available(&from, 100_000, Duration::from_millis(100)).unwrap();
        rows += from.distance_to(&to);
        arrivals += usize::from(to != from);
        from = to;
    }
    // On a machine that is shared both are lower than they should be, and what comes late comes at once.
    assert!((1_000..3_000).contains(&rows), "{rows}");
    assert!(arrivals > 50, "{arrivals}");
    let made = producer.stop();
    let due = begun.elapsed().as_secs_f64() * 1_000.0;
    assert!((0.5 * due..due + 2.0).contains(&(made as f64)), "{made} of {due} that were due");
    let (start, end) = (source.start().unwrap(), source.latest().unwrap());
    assert_eq!(start.distance_to(&end), made, "what it counts is what there is");
    assert_eq!(producer.produced(), made);
}

#[test]
fn a_history_comes_first_in_order_and_up_to_now() {
    let topic = fresh("history");
    let begun = Instant::now();
    let mut producer =
        Producer::start(ProduceConfig { history: Duration::from_secs(60), count: Some(61_000), ..config(&topic) })
            .unwrap();
    eprintln!("started in {:?}", begun.elapsed());
    assert_eq!(producer.wait(), 61_000);
    // 60,000 are of the past and come at once; the last thousand take their second.
    assert!((Duration::from_millis(500)..Duration::from_secs(20)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    let mut source = open(&topic, &schema(&topic));
    let read = read_all(&mut source, 10_000);
    for partition in 0..4 {
        let rows = read.partition(partition).unwrap();
        let ids: Vec<&str> = rows.column("txn_id").unwrap().str().unwrap().iter().flatten().collect();
        assert!(ids.is_sorted());
    }
    let newest = read.parts.iter().filter_map(|part| part.newest_ms).max().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    assert!((now as i64 - newest).abs() < 20_000);
}

#[test]
fn the_rate_does_not_change_the_records() {
    let read = |rate: f64, history: u64| {
        let topic = fresh("repeat");
        let config = ProduceConfig {
            rate,
            count: Some(3_000),
            history: Duration::from_secs(history),
            start_ms: Some(START_MS),
            ..config(&topic)
        };
        Producer::start(config).unwrap().wait();
        read_all(&mut open(&topic, &schema(&topic)), 1_000)
    };
    // A thousand a second from three seconds before, and as fast as possible: the same times, hence the same records.
    let (paced, fast) = (read(1_000.0, 3), read(0.0, 0));
    for partition in 0..4 {
        assert!(paced.partition(partition).unwrap().equals_missing(&fast.partition(partition).unwrap()));
    }
}

#[test]
fn it_is_fast_when_it_may_be() {
    let topic = fresh("fast");
    let begun = Instant::now();
    let mut producer = Producer::start(ProduceConfig { rate: 0.0, count: Some(300_000), ..config(&topic) }).unwrap();
    assert_eq!(producer.wait(), 300_000);
    let per_second = 300_000.0 / begun.elapsed().as_secs_f64();
    eprintln!("{per_second:.0} records/s produced");
    // Far below the figure on a quiet machine, and far above what a mistake would leave.
    assert!(per_second > 50_000.0, "{per_second}");
}

#[test]
fn one_without_an_end_stops_when_told_or_dropped() {
    let topic = fresh("endless");
    let mut producer = Producer::start(ProduceConfig { rate: 0.0, ..config(&topic) }).unwrap();
    let made = producer.stop();
    assert!(made > 0);
    drop(Producer::start(ProduceConfig { rate: 50.0, ..config(&topic) }).unwrap());
}
