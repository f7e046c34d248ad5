//! One transaction after the other, from a seed and the times they are asked for: the same seed and the same times give
//! the same records, byte for byte, however fast. Pure; runs on the thread that asks.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt::Write as _;

use polars::prelude::AnyValue;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::category::{CATEGORIES, ELECTRONICS, Mix, SERVICES, multiple};
use super::world::{ACCOUNTS, Account, accounts};
use crate::kafka::Fields;

/// One record in so many is malformed.
const MALFORMED: u32 = 1_000;
/// One record in so many is late.
const LATE: u32 = 50;
/// The latest of them.
const LATE_MS: i64 = 20_000;
/// After one record in so many a burst begins on its card.
const BURST: u32 = 4_000;
/// After one record in so many its card is used in another country.
const ABROAD: u32 = 6_000;

/// A record, ready to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The account.
    pub key: &'a str,
    /// JSON, unless malformed.
    pub value: &'a [u8],
    /// When it is sent, in milliseconds since the epoch: what [`Generator::next`] was given.
    pub time_ms: i64,
    /// Whether it is spoilt. One whose single field has the wrong type can still be read by who does not ask for that
    /// field.
    pub malformed: bool,
}

/// Makes transactions. What it makes depends on the seed and on the times it is asked for, and on nothing else.
pub struct Generator {
    random: ChaCha8Rng,
    accounts: Vec<Account>,
    mix: Mix,
    /// What was decided to happen later.
    planned: BinaryHeap<Reverse<Planned>>,
    made: u64,
    malformed: u64,
    fields: Fields,
    id: String,
    value: Vec<u8>,
}

/// A transaction's fields, in the order in which they are written.
const FIELDS: [&str; 11] = [
    "txn_id",
    "account_id",
    "card_type",
    "merchant",
    "category",
    "amount",
    "currency",
    "country",
    "channel",
    "status",
    "event_time",
];

/// Ordered by when it is due, and then by its number.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Planned {
    due_ms: i64,
    number: u64,
    account: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Ordinary,
    Burst,
    Abroad,
}

struct Transaction {
    account: usize,
    category: usize,
    merchant: usize,
    cents: u64,
    country: &'static str,
    channel: &'static str,
    status: &'static str,
    event_ms: i64,
}

impl Generator {
    /// The transactions of `seed`, from the first.
    #[must_use]
    pub fn new(seed: u64) -> Generator {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let accounts = accounts(&mut random);
        Generator {
            random,
            accounts,
            mix: Mix::new(),
            planned: BinaryHeap::new(),
            made: 0,
            malformed: 0,
            fields: Fields::new(FIELDS),
            id: String::new(),
            value: Vec::with_capacity(512),
        }
    }

    /// How many records were made.
    #[must_use]
    pub fn made(&self) -> u64 {
        self.made
    }

    /// How many of them are malformed.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// The next record, sent at `time_ms`, which is never before that of the last one.
    pub fn next(&mut self, time_ms: i64) -> Record<'_> {
        let (account, kind) = match self.planned.peek() {
            Some(Reverse(planned)) if planned.due_ms <= time_ms => {
                let next = (planned.account, planned.kind);
                self.planned.pop();
                next
            }
            _ => (self.pick_account(), Kind::Ordinary),
        };
        let transaction = self.transaction(account, kind, time_ms);
        if kind == Kind::Ordinary {
            self.plan(account, time_ms);
        }
        self.write(&transaction);
        let malformed = self.random.random_ratio(1, MALFORMED);
        if malformed {
            self.spoil();
            self.malformed += 1;
        }
        self.made += 1;
        Record { key: &self.accounts[account].id, value: &self.value, time_ms, malformed }
    }

    /// Some accounts are used far more than others.
    fn pick_account(&mut self) -> usize {
        let chance: f64 = self.random.random();
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "below 10,000"
        )]
        let place = (chance * chance * ACCOUNTS as f64) as usize;
        place.min(ACCOUNTS - 1)
    }

    fn transaction(&mut self, account: usize, kind: Kind, time_ms: i64) -> Transaction {
        let random = &mut self.random;
        let owner = &self.accounts[account];
        let category = match kind {
            Kind::Ordinary => self.mix.pick(time_ms, random.random()),
            Kind::Burst => SERVICES,
            Kind::Abroad => ELECTRONICS,
        };
        let of = &CATEGORIES[category];
        let online = kind == Kind::Burst || kind == Kind::Ordinary && random.random_ratio(of.online, 100);
        let away = kind == Kind::Abroad || random.random_ratio(if online { 12 } else { 2 }, 100);
        let cents = match kind {
            Kind::Burst => f64::from(random.random_range(50..500)),
            _ => of.middle_cents * owner.freely * multiple(random.random()),
        };
        let channel = match (online, of.is_cash()) {
            (true, _) => "online",
            (_, true) => "atm",
            _ if random.random_ratio(6, 10) => "contactless",
            _ => "pos",
        };
        let status = match random.random_range(0..100) {
            0..94 => "approved",
            94..99 => "declined",
            _ => "reversed",
        };
        let late = if random.random_ratio(1, LATE) { random.random_range(500..=LATE_MS) } else { 0 };
        Transaction {
            account,
            category,
            merchant: random.random_range(0..of.merchants.len()),
            cents: whole_cents(cents, of.is_cash()),
            country: if away { owner.abroad(random.random_range(0..64)) } else { owner.home() },
            channel,
            status,
            event_ms: time_ms - late,
        }
    }

    /// Decides whether something begins with this use of a card.
    fn plan(&mut self, account: usize, time_ms: i64) {
        let mut due_ms = time_ms;
        if self.random.random_ratio(1, BURST) {
            for _ in 0..self.random.random_range(8..=20) {
                due_ms += self.random.random_range(800..4_000);
                self.plan_one(due_ms, account, Kind::Burst);
            }
        }
        if self.random.random_ratio(1, ABROAD) {
            let due_ms = time_ms + self.random.random_range(60_000..480_000);
            self.plan_one(due_ms, account, Kind::Abroad);
        }
    }

    fn plan_one(&mut self, due_ms: i64, account: usize, kind: Kind) {
        let number = self.made << 8 | self.planned.len() as u64 & 0xFF;
        self.planned.push(Reverse(Planned { due_ms, number, account, kind }));
    }

    /// As `write_kafka` writes a row.
    fn write(&mut self, transaction: &Transaction) {
        let Transaction { account, category, merchant, cents, country, channel, status, event_ms } = transaction;
        let (owner, of) = (&self.accounts[*account], &CATEGORIES[*category]);
        self.id.clear();
        // A text takes all it is given.
        let _ = write!(self.id, "T{:012}", self.made);
        let values = [
            AnyValue::String(&self.id),
            AnyValue::String(&owner.id),
            AnyValue::String(owner.card_type),
            AnyValue::String(of.merchants[*merchant]),
            AnyValue::String(of.name),
            AnyValue::Decimal(i128::from(*cents), 38, 2),
            AnyValue::String(owner.currency),
            AnyValue::String(country),
            AnyValue::String(channel),
            AnyValue::String(status),
            AnyValue::Int64(*event_ms),
        ];
        self.value.clear();
        self.fields.put(&mut self.value, &values);
    }

    /// Does to the record what happens to records.
    fn spoil(&mut self) {
        let length = self.value.len();
        match self.random.random_range(0..5) {
            // Cut off; never to nothing, and never whole.
            0 | 1 => self.value.truncate(self.random.random_range(1..length)),
            2 => self.replace(b"\"amount\":", b"\"n/a\""),
            3 => self.replace(b"\"event_time\":", b"\"yesterday\""),
            _ => self.value[..8].copy_from_slice(&[0xFF, 0xFE, 0x00, 0x9C, 0x07, 0xF3, 0x00, 0xC1]),
        }
    }

    /// Puts `instead` in the place of the number behind `key`.
    fn replace(&mut self, key: &[u8], instead: &[u8]) {
        let Some(at) = self.value.windows(key.len()).position(|window| window == key) else { return };
        let from = at + key.len();
        let length = self.value[from..].iter().take_while(|byte| !matches!(byte, b',' | b'}')).count();
        self.value.splice(from..from + length, instead.iter().copied());
    }
}

/// Whole cents, at least one; out of a machine come whole tens.
fn whole_cents(cents: f64, cash: bool) -> u64 {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "amounts are above zero and far below 2^53"
    )]
    let cents = (cents + 0.5) as u64;
    if cash { (cents / 1_000).clamp(1, 100) * 1_000 } else { cents.max(1) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    const START: i64 = 1_795_446_000_000;

    struct Made {
        key: String,
        value: Vec<u8>,
        malformed: bool,
        time_ms: i64,
    }

    /// `count` records, one every `step_ms`.
    fn make(seed: u64, count: i64, step_ms: i64) -> (Vec<Made>, u64) {
        let mut generator = Generator::new(seed);
        let one = |n| {
            let record = generator.next(START + n * step_ms);
            Made {
                key: record.key.to_owned(),
                value: record.value.to_vec(),
                malformed: record.malformed,
                time_ms: record.time_ms,
            }
        };
        let made = (0..count).map(one).collect();
        (made, generator.malformed())
    }

    fn parsed(made: &[Made]) -> Vec<(i64, serde_json::Value)> {
        made.iter()
            .filter(|record| !record.malformed)
            .map(|record| (record.time_ms, serde_json::from_slice(&record.value).unwrap()))
            .collect()
    }

    #[test]
    fn the_same_seed_and_times_give_the_same_records() {
        let (one, again) = (make(7, 5_000, 1).0, make(7, 5_000, 1).0);
        assert!(one.iter().zip(&again).all(|(one, again)| one.value == again.value && one.key == again.key));
        let other = make(8, 5_000, 1).0;
        assert!(one.iter().zip(&other).filter(|(one, other)| one.value == other.value).count() < 5);
    }

    #[test]
    fn the_first_record_of_seed_one_is_always_this() {
        // Pinned: a change of the generator changes every saved notebook.
        let (made, _) = make(1, 1, 1);
        let value = String::from_utf8(made[0].value.clone()).unwrap();
        assert_eq!(value, include_str!("first_record.json").trim_end());
    }

    #[test]
    fn every_record_has_the_documented_fields_in_order() {
        let (made, malformed) = make(1, 20_000, 1);
        assert_eq!(made.iter().filter(|record| record.malformed).count() as u64, malformed);
        for record in made.iter().filter(|record| !record.malformed) {
            let text = std::str::from_utf8(&record.value).unwrap();
            let places: Vec<usize> = FIELDS.iter().map(|field| text.find(&format!("\"{field}\":")).unwrap()).collect();
            assert!(places.is_sorted(), "{text}");
            let amount = text.split("\"amount\":").nth(1).unwrap().split(',').next().unwrap();
            assert_eq!(amount.split('.').nth(1).map(str::len), Some(2), "{text}");
            let json: serde_json::Value = serde_json::from_str(text).unwrap();
            assert_eq!(json["account_id"], record.key.as_str());
            assert!(json["amount"].as_f64().unwrap() > 0.0);
            assert!(super::super::SCHEMA_DOC.contains(json["category"].as_str().unwrap()));
        }
    }

    #[test]
    fn proportions_are_as_documented() {
        let count = 200_000i64;
        let (made, malformed) = make(3, count, 1);
        let share = |n: usize| n as f64 / count as f64;
        assert!((0.0007..0.0013).contains(&share(usize::try_from(malformed).unwrap())), "{malformed}");
        let json = parsed(&made);
        let late: Vec<i64> = json
            .iter()
            .map(|(sent, json)| sent - json["event_time"].as_i64().unwrap())
            .filter(|late| *late > 0)
            .collect();
        assert!((0.017..0.023).contains(&share(late.len())), "{}", late.len());
        assert!(late.iter().all(|late| *late <= LATE_MS));
        let with = |field: &str, value: &str| share(json.iter().filter(|(_, json)| json[field] == value).count());
        assert!((0.93..0.95).contains(&with("status", "approved")));
        assert!((0.04..0.06).contains(&with("status", "declined")));
        assert!((0.85..0.95).contains(&with("currency", "EUR")));
        let accounts: BTreeSet<&str> = json.iter().map(|(_, json)| json["account_id"].as_str().unwrap()).collect();
        assert!(accounts.len() > 9_000, "{}", accounts.len());
        let categories: BTreeSet<&str> = json.iter().map(|(_, json)| json["category"].as_str().unwrap()).collect();
        assert_eq!(categories.len(), 12);
        assert!(json.iter().any(|(_, json)| json["amount"].as_f64().unwrap() > 1_000.0), "a heavy tail");
    }

    #[test]
    fn cards_are_tried_in_bursts_and_used_in_two_countries() {
        let (made, _) = make(5, 600_000, 1);
        let mut small: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let mut tills: BTreeMap<String, Vec<(i64, String)>> = BTreeMap::new();
        for (sent, json) in parsed(&made) {
            let key = json["account_id"].as_str().unwrap().to_owned();
            if json["amount"].as_f64().unwrap() < 5.0 && json["category"] == "services" {
                small.entry(key).or_default().push(sent);
            } else if json["category"] == "electronics" && json["channel"] != "online" {
                tills.entry(key).or_default().push((sent, json["country"].to_string()));
            }
        }
        let bursts = small.values().filter(|times| times.windows(8).any(|eight| eight[7] - eight[0] < 32_000)).count();
        assert!((60..300).contains(&bursts), "{bursts}");
        assert!(tills.values().flatten().map(|(_, country)| country).collect::<BTreeSet<_>>().len() > 10);
    }

    #[test]
    fn restaurants_are_busier_in_the_evening_than_at_night() {
        let share = |hour: i64| {
            let mut generator = Generator::new(1);
            let midnight = START - START.rem_euclid(86_400_000);
            let mut restaurant = |n: i64| {
                generator
                    .next(midnight + hour * 3_600_000 + n * 100)
                    .value
                    .windows(13)
                    .any(|window| window == b"\"restaurants\"")
            };
            (0..20_000).filter(|n| restaurant(*n)).count()
        };
        assert!(share(21) > 2 * share(9), "{} {}", share(21), share(9));
    }
}
