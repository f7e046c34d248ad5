//! The events of the crate `nexmark`, the same in every run, and the topics that have them: written by `write_kafka` from a log in
//! memory, and read as a notebook reads them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use broker::{Broker, Config};
use corriente::StreamFrame;
use corriente::prelude::*;
use serde::Deserialize;

use crate::log;

const EVENTS: usize = 20_000;
/// The program that makes them is compiled first.
const DEADLINE: Duration = Duration::from_secs(600);

#[derive(Deserialize)]
pub(crate) struct Person {
    pub(crate) id: usize,
    pub(crate) name: String,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) date_time: u64,
    email_address: String,
    credit_card: String,
    extra: String,
}

#[derive(Deserialize)]
pub(crate) struct Auction {
    pub(crate) id: usize,
    pub(crate) date_time: u64,
    pub(crate) expires: u64,
    pub(crate) seller: usize,
    pub(crate) category: usize,
    initial_bid: usize,
    reserve: usize,
    item_name: String,
    description: String,
    extra: String,
}

#[derive(Deserialize)]
pub(crate) struct Bid {
    pub(crate) auction: usize,
    pub(crate) bidder: usize,
    pub(crate) price: usize,
    pub(crate) date_time: u64,
    channel: String,
    url: String,
    extra: String,
}

#[derive(Deserialize)]
enum Event {
    Person(Person),
    Auction(Auction),
    Bid(Bid),
}

#[derive(Default)]
pub(crate) struct Events {
    pub(crate) persons: Vec<Person>,
    pub(crate) auctions: Vec<Auction>,
    pub(crate) bids: Vec<Bid>,
}

impl Events {
    /// The first events of the crate `nexmark`, from a program of its own: tests/nexmark says why.
    pub(crate) fn generate() -> Events {
        let mut cargo = Command::new(env!("CARGO"));
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/nexmark/Cargo.toml");
        cargo.args(["run", "--release", "--locked", "--quiet", "--manifest-path"]).arg(manifest);
        cargo.arg("--target-dir").arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("nexmark"));
        cargo.arg(EVENTS.to_string()).env_remove("CARGO_BUILD_RUSTC_WORKSPACE_WRAPPER").stdin(Stdio::null());
        let (send, made) = channel();
        std::thread::Builder::new().name("events".into()).spawn(move || send.send(cargo.output())).unwrap();
        let made = made.recv_timeout(DEADLINE).expect("no events came in time").unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut events = Events::default();
        for line in made.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line).unwrap() {
                Event::Person(person) => events.persons.push(person),
                Event::Auction(auction) => events.auctions.push(auction),
                Event::Bid(bid) => events.bids.push(bid),
            }
        }
        events
    }
}

/// A broker with a topic for each kind of event.
pub(crate) struct Topics(Broker);

impl Topics {
    pub(crate) fn write(events: &Events) -> Topics {
        let topics = Topics(Broker::start(Config::default()).unwrap());
        topics.put("persons", persons(&events.persons), "id");
        topics.put("auctions", auctions(&events.auctions), "id");
        topics.put("bids", bids(&events.bids), "auction");
        topics
    }

    fn put(&self, topic: &str, events: DataFrame, key: &str) {
        connectors::create_topic(&self.0.bootstrap(), topic, 4).unwrap();
        let time = col("date_time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
        let events = events.lazy().with_columns([time]).collect().unwrap();
        let schema = events.schema().clone();
        let frame = StreamFrame::from_source(format!("memory {topic}"), schema, log::open(vec![events], usize::MAX));
        let writer = frame.write_kafka(self.0.bootstrap(), topic).key(key);
        writer.trigger(Trigger::AvailableNow).start().unwrap().await_termination().unwrap();
    }

    fn read(&self, topic: &str) -> StreamFrame {
        read_kafka(self.0.bootstrap()).topic(topic).json().unwrap()
    }

    pub(crate) fn persons(&self) -> StreamFrame {
        self.read("persons").with_watermark("date_time", "2s")
    }

    pub(crate) fn auctions(&self) -> StreamFrame {
        self.read("auctions").with_watermark("date_time", "2s")
    }

    /// Whose time is that of processing.
    pub(crate) fn bids_as_they_come(&self) -> StreamFrame {
        self.read("bids")
    }

    pub(crate) fn bids(&self) -> StreamFrame {
        self.read("bids").with_watermark("date_time", "2s")
    }
}

fn whole<T>(events: &[T], of: impl Fn(&T) -> usize) -> Vec<i64> {
    events.iter().map(|event| of(event) as i64).collect()
}

fn time<T>(events: &[T], of: impl Fn(&T) -> u64) -> Vec<i64> {
    events.iter().map(|event| of(event) as i64).collect()
}

fn text<'a, T>(events: &'a [T], of: impl Fn(&'a T) -> &'a str) -> Vec<&'a str> {
    events.iter().map(of).collect()
}

fn persons(events: &[Person]) -> DataFrame {
    df![
        "id" => whole(events, |e| e.id),
        "name" => text(events, |e| &e.name),
        "email_address" => text(events, |e| &e.email_address),
        "credit_card" => text(events, |e| &e.credit_card),
        "city" => text(events, |e| &e.city),
        "state" => text(events, |e| &e.state),
        "date_time" => time(events, |e| e.date_time),
        "extra" => text(events, |e| &e.extra),
    ]
    .unwrap()
}

fn auctions(events: &[Auction]) -> DataFrame {
    let frame = df![
        "id" => whole(events, |e| e.id),
        "item_name" => text(events, |e| &e.item_name),
        "description" => text(events, |e| &e.description),
        "initial_bid" => whole(events, |e| e.initial_bid),
        "reserve" => whole(events, |e| e.reserve),
        "date_time" => time(events, |e| e.date_time),
        "expires" => time(events, |e| e.expires),
        "seller" => whole(events, |e| e.seller),
        "category" => whole(events, |e| e.category),
        "extra" => text(events, |e| &e.extra),
    ];
    let expires = col("expires").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.unwrap().lazy().with_columns([expires]).collect().unwrap()
}

fn bids(events: &[Bid]) -> DataFrame {
    df![
        "auction" => whole(events, |e| e.auction),
        "bidder" => whole(events, |e| e.bidder),
        "price" => whole(events, |e| e.price),
        "channel" => text(events, |e| &e.channel),
        "url" => text(events, |e| &e.url),
        "date_time" => time(events, |e| e.date_time),
        "extra" => text(events, |e| &e.extra),
    ]
    .unwrap()
}
