//! The source on a broker: exact ranges, whatever the cuts. Each test runs on the embedded broker, and with
//! CORRIENTE_TEST_KAFKA=host:port on that one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use connectors::bank::Generator;
use connectors::{KafkaOptions, KafkaSource, StartingOffsets, create_topic, sample_schema, topics};
use engine::{Offsets, Source as _};
use polars::prelude::*;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::place::*;

const COUNT: u64 = 20_000;

#[test]
fn the_bank_is_read_back_whole_and_its_schema_is_told() {
    let (topic, malformed) = bank_topic("bank", COUNT);
    let sample = sample_schema(&options(&topic)).unwrap();
    let text = DataType::String;
    let utc = DataType::Datetime(TimeUnit::Milliseconds, Some(TimeZone::UTC));
    let expect: Vec<DataType> =
        [vec![text.clone(); 5], vec![DataType::Decimal(38, 2)], vec![text; 4], vec![utc]].concat();
    assert_eq!(sample.schema.iter_values().cloned().collect::<Vec<_>>(), expect);
    assert_eq!(sample.records, 1_000);

    let mut source = open(&topic, &sample.schema);
    let read = read_all(&mut source, 3_000);
    assert_eq!(read.dead.len() as u64, malformed, "{:?}", read.dead);
    assert_eq!(read.rows() as u64, COUNT - malformed);
    // Every row is the generator's own, and a card's rows are in order.
    let mut generator = Generator::new(1);
    let first_ms = START_MS - COUNT.cast_signed();
    let mut made = BTreeMap::new();
    for n in 0..COUNT.cast_signed() {
        let record = generator.next(first_ms + n);
        if !record.malformed {
            let json: serde_json::Value = serde_json::from_slice(record.value).unwrap();
            made.insert(json["txn_id"].as_str().unwrap().to_owned(), json);
        }
    }
    for partition in 0..4 {
        let rows = read.partition(partition).unwrap();
        let ids: Vec<&str> = rows.column("txn_id").unwrap().str().unwrap().iter().flatten().collect();
        assert!(ids.is_sorted());
        let amounts = rows.column("amount").unwrap().cast(&DataType::String).unwrap();
        let times = rows.column("event_time").unwrap().to_physical_repr().i64().unwrap().clone();
        for (at, id) in ids.iter().enumerate() {
            let json = made.remove(*id).unwrap();
            assert_eq!(times.get(at), json["event_time"].as_i64());
            assert_eq!(
                amounts.str().unwrap().get(at).unwrap().parse::<f64>().unwrap(),
                json["amount"].as_f64().unwrap()
            );
        }
    }
    assert!(made.is_empty());
    assert!(read.parts.iter().all(|part| part.newest_ms.is_some_and(|at| (first_ms..START_MS).contains(&at))));
}

#[test]
fn the_same_range_gives_the_same_rows() {
    let (topic, _) = bank_topic("ranges", COUNT);
    let schema = schema(&topic);
    let mut source = open(&topic, &schema);
    let first = read_all(&mut source, 700);
    assert!(first.ranges.len() > 20);
    // Backwards, on the same source, range by range: nothing of it is at hand any more.
    let mut parts = first.parts.iter().rev();
    for (from, to) in first.ranges.iter().rev().take(12) {
        let again = source.read(from, to).unwrap();
        for part in again.parts.iter().rev() {
            let before = parts.next().unwrap();
            assert_eq!((&before.partition, before.newest_ms), (&part.partition, part.newest_ms));
            assert!(before.rows.equals_missing(&part.rows), "{from:?} {to:?}");
        }
    }
    // On another source, with other cuts.
    let other = read_all(&mut open(&topic, &schema), 4_999);
    for partition in 0..4 {
        assert!(first.partition(partition).unwrap().equals_missing(&other.partition(partition).unwrap()));
    }
    assert_eq!(first.dead.len(), other.dead.len());
    // And the whole in one read that is larger than any segment.
    let (start, end) = (source.start().unwrap(), source.latest().unwrap());
    let whole = source.read(&start, &end).unwrap();
    assert_eq!(whole.parts.iter().map(|part| part.rows.height()).sum::<usize>(), first.rows());
}

#[test]
fn any_range_can_be_read_at_any_time() {
    let (topic, _) = bank_topic("any", COUNT);
    let mut source = open(&topic, &schema(&topic));
    let (start, end) = (source.start().unwrap(), source.latest().unwrap());
    let whole = read_up_to(&mut source, start.clone(), &end, 100_000);
    let dead: Vec<_> = whole.dead.iter().map(|dead| (dead.partition.partition, dead.offset)).collect();
    // A card is in one partition, and every record of the bank has a number.
    let ids = |rows: &DataFrame| {
        rows.column("txn_id").unwrap().str().unwrap().iter().flatten().map(str::to_owned).collect::<Vec<_>>()
    };
    let all: BTreeMap<i32, Vec<String>> =
        (0..4).map(|partition| (partition, ids(&whole.partition(partition).unwrap()))).collect();
    let end_of = |number: i32| end.0.iter().find(|(at, _)| at.partition == number).map(|(_, end)| *end).unwrap();
    let mut chance = 1u64;
    let mut below = |limit: i64| {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from(chance >> 33).unwrap() % limit.max(1)
    };
    for _ in 0..100 {
        let range = |partition: i32, below: &mut dyn FnMut(i64) -> i64| {
            let end = end_of(partition);
            let from = below(end + 1);
            (from, from + below((end - from + 1).min(900)))
        };
        let ranges: BTreeMap<i32, (i64, i64)> =
            (0..4).map(|partition| (partition, range(partition, &mut below))).collect();
        let from: Offsets = ranges.iter().map(|(partition, range)| (*partition, range.0)).collect();
        let to: Offsets = ranges.iter().map(|(partition, range)| (*partition, range.1)).collect();
        let batch = source.read(&from, &to).unwrap();
        for (partition, (from, to)) in ranges {
            let before = |offset: i64| {
                usize::try_from(offset).unwrap()
                    - dead.iter().filter(|dead| dead.0 == partition && dead.1 < offset).count()
            };
            let expect = &all[&partition][before(from)..before(to)];
            let got = batch
                .parts
                .iter()
                .find(|part| part.partition.partition == partition)
                .map_or_else(Vec::new, |part| ids(&part.rows));
            assert_eq!(got, expect, "{partition}: {from}..{to}");
        }
    }
    // And from a place in the middle the stream goes on to the end.
    let middle: Offsets = end.0.iter().map(|(partition, end)| (partition.clone(), end / 2)).collect();
    let rest = read_up_to(&mut source, middle.clone(), &end, 1_000);
    assert_eq!((rest.rows() + rest.dead.len()) as u64, middle.distance_to(&end));
}

#[test]
fn after_reading_something_again_the_stream_goes_on() {
    let topic = topic_of("again", &["{\"x\":0}", "{\"x\":1}"]);
    let mut source = open(&topic, &schema(&topic));
    let start = source.start().unwrap();
    let end = source.latest().unwrap();
    assert_eq!(read_up_to(&mut source, start.clone(), &end, 100).rows(), 2);
    assert_eq!(source.read(&start, &end).unwrap().parts[0].rows.height(), 2);
    send(&topic, &["{\"x\":2}"]);
    let later = source.latest().unwrap();
    let read = read_up_to(&mut source, end, &later, 100);
    assert_eq!(read.partition(0).unwrap().column("x").unwrap().i64().unwrap().get(0), Some(2));
}

#[test]
fn a_source_that_first_reads_old_ranges_of_all_partitions_goes_on_behind_them() {
    let (topic, _) = bank_topic("restarted", COUNT);
    let mut source = open(&topic, &schema(&topic));
    let end = source.latest().unwrap();
    let at = |offset: i64| -> Offsets { end.0.keys().map(|partition| (partition.clone(), offset)).collect() };
    let mut count = 0;
    for n in 0..10 {
        let old = source.read(&at(n * 100), &at(n * 100 + 100)).unwrap();
        count += old.parts.iter().map(|part| part.rows.height()).sum::<usize>() + old.dead_letters.len();
    }
    assert_eq!(count as u64, at(0).distance_to(&at(1_000)));
    let rest = read_up_to(&mut source, at(1_000), &end, 1_000);
    assert_eq!((rest.rows() + rest.dead.len()) as u64, at(1_000).distance_to(&end));
}

#[test]
fn only_the_columns_asked_for_come() {
    let (topic, malformed) = bank_topic("columns", 2_000);
    let schema = schema(&topic);
    let columns = Some(vec!["event_time".to_owned(), "category".to_owned()]);
    let mut source = KafkaSource::open(options(&topic), schema.clone(), columns).unwrap();
    assert_eq!(source.schema().iter_names().collect::<Vec<_>>(), ["category", "event_time"]);
    let read = read_all(&mut source, 1_000);
    assert!(read.parts.iter().all(|part| part.rows.width() == 2));
    assert!(read.dead.len() as u64 <= malformed);
    let mut none = KafkaSource::open(options(&topic), schema, Some(Vec::new())).unwrap();
    let read = read_all(&mut none, 300);
    assert_eq!(read.rows() + read.dead.len(), 2_000);
}

#[test]
fn a_record_is_there_within_moments() {
    let topic = topic_of("live", &["{\"x\":0}"]);
    let mut source = open(&topic, &schema(&topic));
    let mut from = source.latest().unwrap();
    assert_eq!(
        source.available(&from, 10, Duration::from_millis(20)).unwrap(),
        from,
        "nothing came, so the wait is over in time"
    );
    let mut slowest = Duration::ZERO;
    for n in 1..20 {
        send(&topic, &[&format!("{{\"x\":{n}}}")]);
        let sent = Instant::now();
        let to = source.available(&from, 10, Duration::from_secs(5)).unwrap();
        slowest = slowest.max(sent.elapsed());
        let batch = source.read(&from, &to).unwrap();
        assert_eq!(batch.parts[0].rows.column("x").unwrap().i64().unwrap().get(0), Some(n));
        from = to;
    }
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
}

#[test]
fn it_starts_where_it_is_told() {
    let (topic, _) = bank_topic("start", 4_000);
    let schema = schema(&topic);
    let started = |start| {
        let mut source = KafkaSource::open(KafkaOptions { start, ..options(&topic) }, schema.clone(), None).unwrap();
        (source.start().unwrap(), source)
    };
    let (earliest, mut source) = started(StartingOffsets::Earliest);
    let latest = source.latest().unwrap();
    assert_eq!(earliest.distance_to(&latest), 4_000);
    assert_eq!(started(StartingOffsets::Latest).0, latest);
    assert_eq!(started(StartingOffsets::Timestamp(0)).0, earliest);
    assert_eq!(started(StartingOffsets::Timestamp(START_MS + 1)).0, latest);
    // A record a millisecond: the last thousand lie after this time.
    let (middle, mut source) = started(StartingOffsets::Timestamp(START_MS - 1_000));
    let read = read_up_to(&mut source, middle, &latest, 10_000);
    assert_eq!(read.rows() + read.dead.len(), 1_000);
}

#[test]
fn a_malformed_record_is_a_dead_letter_with_its_place() {
    let topic = topic_of("dead", &["{\"x\":1}", "{\"x\":", "{\"x\":\"two\"}", "{\"x\":3}"]);
    let schema = Schema::from_iter([("x".into(), DataType::Int64)]).into();
    let read = read_all(&mut open(&topic, &schema), 100);
    assert_eq!(read.rows(), 2);
    let said: Vec<_> = read
        .dead
        .iter()
        .map(|dead| (dead.partition.partition, dead.offset, dead.reason.as_str(), dead.excerpt.as_str()))
        .collect();
    let expect = [
        (0, 1, "the record is cut off: it ends at byte 5 in the middle of its JSON", "{\"x\":"),
        (0, 2, "field \"x\" is the text \"two\", and a whole number was expected", "{\"x\":\"two\"}"),
    ];
    assert_eq!(said, expect);
    assert!(read.dead.iter().all(|dead| dead.partition.topic == topic.as_str()));
}

#[test]
fn what_was_deleted_before_it_was_read_is_one_dead_letter() {
    let topic = topic_of("lost", &["{\"x\":0}", "{\"x\":1}", "{\"x\":2}", "{\"x\":3}"]);
    let schema = schema(&topic);
    let mut source = open(&topic, &schema);
    let (start, end) = (source.start().unwrap(), source.latest().unwrap());
    let admin: rdkafka::admin::AdminClient<rdkafka::client::DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap()).create().unwrap();
    let mut upto = rdkafka::TopicPartitionList::new();
    upto.add_partition_offset(&topic, 0, rdkafka::Offset::Offset(3)).unwrap();
    let options = rdkafka::admin::AdminOptions::new();
    let runtime = wait_for(admin.delete_records(&upto, &options));
    runtime.unwrap();
    let read = read_up_to(&mut source, start, &end, 100);
    assert_eq!(read.rows(), 1);
    assert_eq!(read.dead.len(), 1);
    assert_eq!(read.dead[0].reason, "the 3 records from here to offset 2 were deleted before they were read");
}

#[test]
fn offsets_without_records_are_stepped_over() {
    let topic = topic_of("gaps", &["{\"x\":0}"]);
    let schema = schema(&topic);
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap())
        .set("transactional.id", fresh("writer"))
        .create()
        .unwrap();
    if let Err(error) = producer.init_transactions(Duration::from_secs(5)) {
        eprintln!("not run here: this broker has no transactions ({error})");
        return;
    }
    for (value, commit) in [("{\"x\":1}", true), ("{\"x\":2}", false), ("{\"x\":3}", true), ("{\"x\":4}", false)] {
        producer.begin_transaction().unwrap();
        producer
            .send(BaseRecord::<(), str>::to(&topic).partition(0).payload(value))
            .map_err(|(error, _)| error)
            .unwrap();
        producer.flush(Duration::from_secs(10)).unwrap();
        if commit {
            producer.commit_transaction(Duration::from_secs(10)).unwrap()
        } else {
            producer.abort_transaction(Duration::from_secs(10)).unwrap()
        }
    }
    // An open one on top: what it wrote is not read, and does not hold up the end.
    producer.begin_transaction().unwrap();
    producer
        .send(BaseRecord::<(), str>::to(&topic).partition(0).payload("{\"x\":5}"))
        .map_err(|(error, _)| error)
        .unwrap();
    producer.flush(Duration::from_secs(10)).unwrap();
    for max_rows in [1, 100] {
        let mut source = open(&topic, &schema);
        let end = source.latest().unwrap();
        assert_eq!(end.0.values().copied().next(), Some(9), "four records, four markers, and the first");
        let read = read_all(&mut source, max_rows);
        let x: Vec<i64> = read.partition(0).unwrap().column("x").unwrap().i64().unwrap().into_no_null_iter().collect();
        assert_eq!(x, [0, 1, 3]);
        let whole = source.read(&source_start(), &end).unwrap();
        assert_eq!(whole.parts[0].rows.height(), 3, "the same by reading again");
    }
    producer.abort_transaction(Duration::from_secs(10)).unwrap();
}

fn source_start() -> Offsets {
    Offsets::from([(0, 0)])
}

#[test]
fn a_backlog_larger_than_the_buffer_is_read_in_one_go_and_in_many() {
    let (topic, malformed) = bank_topic("backlog", 500_000);
    let schema = schema(&topic);
    let mut source = open(&topic, &schema);
    let (start, end) = (source.start().unwrap(), source.latest().unwrap());
    let begun = Instant::now();
    let batch = source.read(&start, &end).unwrap();
    let rows: usize = batch.parts.iter().map(|part| part.rows.height()).sum();
    assert_eq!((rows as u64, batch.dead_letters.len() as u64), (500_000 - malformed, malformed));
    let one = begun.elapsed();
    let begun = Instant::now();
    assert_eq!(read_up_to(&mut source, start, &end, 100_000).rows(), rows);
    eprintln!(
        "500,000 rows of 11 fields: {:.0} rows/s in one read, {:.0} in batches",
        5e5 / one.as_secs_f64(),
        5e5 / begun.elapsed().as_secs_f64()
    );
}

#[test]
fn topics_are_listed_and_created_once() {
    let topic = fresh("created");
    assert!(create_topic(&bootstrap(), &topic, 3).unwrap());
    assert!(!create_topic(&bootstrap(), &topic, 5).unwrap());
    let listed = topics(&options(&topic)).unwrap();
    assert_eq!(listed.iter().find(|listed| listed.name == topic).unwrap().partitions, 3);
}
