//! Kafka as a connector: what a scan says of a topic, and the source that is opened by it. What may be a secret is in no scan: it
//! stays in this process, and the scan has the name under which it is found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use connectors::{KafkaOptions, KafkaSource, OnDataLoss, StartingOffsets};
use engine::{OpenSource, Sharing, Source, SourceError};
use plan::Scan;
use polars::prelude::{PlSmallStr, SchemaRef};

/// The connector's name.
pub(super) const NAME: &str = "kafka";
/// The option of a scan that says where a query without a checkpoint begins.
const START: &str = "starting offsets";
/// The option of a scan that says what becomes of a query whose next records are gone.
const DATA_LOSS: &str = "on data loss";
/// The option of a scan that says how often the topic is looked at, in nanoseconds.
const DISCOVERY: &str = "discovery interval ns";
/// The option of a scan that names the settings that are not in it.
const SETTINGS: &str = "settings";

/// Settings of librdkafka that are no secret and that another process needs too. All others are not in a scan: that one is no
/// secret cannot be told from its name.
const TOLD: [&str; 12] = [
    "broker.address.family",
    "check.crcs",
    "client.id",
    "client.rack",
    "enable.ssl.certificate.verification",
    "isolation.level",
    "sasl.mechanism",
    "sasl.mechanisms",
    "security.protocol",
    "session.timeout.ms",
    "ssl.ca.location",
    "ssl.endpoint.identification.algorithm",
];

/// A topic as a scan; where its columns are those of a sample, a person has said the types of some.
pub(super) fn scan<'a>(options: &KafkaOptions, schema: SchemaRef, said: impl IntoIterator<Item = &'a str>) -> Scan {
    let KafkaOptions { bootstrap, topic, settings, start, on_data_loss, discovery_interval, sampled } = options;
    let (told, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
        settings.clone().into_iter().partition(|(name, _)| TOLD.contains(&name.as_str()));
    let mut scan = Scan::new(NAME, schema).topic(topic).at(bootstrap).option(START, begins(*start));
    if let Some((name, _)) = LOSSES.iter().skip(1).find(|(_, then)| then == on_data_loss) {
        scan = scan.option(DATA_LOSS, *name);
    }
    if let Some(interval) = discovery_interval {
        scan = scan.option(DISCOVERY, interval.as_nanos().to_string());
    }
    if *sampled {
        scan = scan.sampled(said);
    }
    if !kept.is_empty() {
        scan = scan.option(SETTINGS, keep(kept));
    }
    told.into_iter().fold(scan, |scan, (name, value)| scan.option(name, value))
}

/// Opens a scan. All that read the same topic in the same way read by one consumer.
pub(super) fn open(scan: &Scan, columns: &[PlSmallStr]) -> Result<Box<dyn Source>, SourceError> {
    let options = options(scan)?;
    let schema = scan.schema.clone();
    // Frames of other columns and types are decoded otherwise.
    let KafkaOptions { bootstrap, topic, settings, start, on_data_loss, discovery_interval, sampled } = &options;
    let identity =
        format!("{:?}", (bootstrap, topic, settings, start, on_data_loss, discovery_interval, sampled, &schema));
    let all = schema.clone();
    let alone: OpenSource = Arc::new(move |columns: &[PlSmallStr]| {
        let columns = columns.iter().map(ToString::to_string).collect();
        let source = KafkaSource::open(options.clone(), schema.clone(), Some(columns))?;
        Ok(Box::new(source) as Box<dyn Source>)
    });
    sharing().share(&identity, all, alone)(columns)
}

/// What the source is told of a scan.
fn options(scan: &Scan) -> Result<KafkaOptions, SourceError> {
    let wrong = |detail: String, hint: &str| SourceError {
        fact: format!("the scan of {} cannot be opened", scan.title()),
        detail,
        hint: hint.to_owned(),
        retry: false,
    };
    let [topic] = scan.topics.as_slice() else {
        return Err(wrong(format!("it has {} topics", scan.topics.len()), "Read one, and unite the frames."));
    };
    let mut settings = BTreeMap::new();
    let (mut start, mut on_data_loss, mut discovery_interval) = Default::default();
    for (name, value) in &scan.options {
        match name.as_str() {
            START => start = read(value).ok_or_else(|| wrong(format!("it starts at \"{value}\""), WHERE))?,
            DATA_LOSS => {
                let known = LOSSES.iter().find(|(name, _)| name == value).map(|(_, then)| *then);
                on_data_loss = known.ok_or_else(|| wrong(format!("on data loss it does \"{value}\""), THEN))?;
            }
            DISCOVERY => {
                let nanoseconds =
                    value.parse().map_err(|_| wrong(format!("its {DISCOVERY} are \"{value}\""), NUMBER))?;
                discovery_interval = Some(Duration::from_nanos(nanoseconds));
            }
            SETTINGS => settings.extend(kept(value).ok_or_else(|| {
                let detail = format!("its \"{value}\" are not in this process, for they may be secret");
                wrong(detail, "Make the frame here, with read_kafka(…).option(…).")
            })?),
            _ => drop(settings.insert(name.clone(), value.clone())),
        }
    }
    let (bootstrap, sampled) = (scan.address.clone().unwrap_or_default(), scan.sampled.is_some());
    Ok(KafkaOptions { bootstrap, topic: topic.clone(), settings, start, on_data_loss, discovery_interval, sampled })
}

/// Where a query may begin.
const WHERE: &str = "Write earliest, latest, or a time in milliseconds since the epoch.";

/// What may become of a query whose next records are gone, in a scan's words.
const LOSSES: [(&str, OnDataLoss); 3] =
    [("fail", OnDataLoss::Fail), ("earliest", OnDataLoss::Earliest), ("latest", OnDataLoss::Latest)];
const THEN: &str = "Write fail, earliest or latest.";
const NUMBER: &str = "Write a whole number.";

fn begins(start: StartingOffsets) -> String {
    match start {
        StartingOffsets::Earliest => "earliest".to_owned(),
        StartingOffsets::Latest => "latest".to_owned(),
        StartingOffsets::Timestamp(ms) => ms.to_string(),
    }
}

fn read(text: &str) -> Option<StartingOffsets> {
    match text {
        "earliest" => Some(StartingOffsets::Earliest),
        "latest" => Some(StartingOffsets::Latest),
        ms => ms.parse().ok().map(StartingOffsets::Timestamp),
    }
}

type Settings = BTreeMap<String, String>;

/// The settings of this process's scans; a scan has their number in its words.
fn all_settings() -> &'static Mutex<Vec<Settings>> {
    static SETTINGS: OnceLock<Mutex<Vec<Settings>>> = OnceLock::new();
    SETTINGS.get_or_init(Mutex::default)
}

/// Keeps settings for as long as the process lives; gives what they are called. The same ones are called the same.
fn keep(settings: Settings) -> String {
    let mut all = all_settings().lock().unwrap_or_else(PoisonError::into_inner);
    let at = all.iter().position(|known| *known == settings).unwrap_or_else(|| {
        all.push(settings);
        all.len() - 1
    });
    format!("settings {}", at + 1)
}

fn kept(name: &str) -> Option<Settings> {
    let at: usize = name.strip_prefix("settings ")?.parse().ok()?;
    all_settings().lock().unwrap_or_else(PoisonError::into_inner).get(at.checked_sub(1)?).cloned()
}

/// The sources of this process that several queries read together.
fn sharing() -> &'static Sharing {
    static SHARING: OnceLock<Sharing> = OnceLock::new();
    SHARING.get_or_init(Sharing::default)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use polars::prelude::Schema;

    use super::*;

    #[test]
    fn a_scan_has_no_secret_and_is_opened_with_it() {
        let settings = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.password", "hunter2"),
            ("ssl.key.pem", "-----BEGIN"),
            ("a.setting.of.tomorrow", "hidden"),
        ];
        let told = KafkaOptions {
            bootstrap: "127.0.0.1:9092".to_owned(),
            topic: "t".to_owned(),
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            start: StartingOffsets::Timestamp(17),
            on_data_loss: OnDataLoss::Latest,
            discovery_interval: Some(Duration::from_millis(1_500)),
            sampled: true,
        };
        let scan = scan(&told, Arc::new(Schema::default()), ["amount"]).format("json");
        let words = format!("{scan:?} {}", scan.explain());
        assert!(words.contains("SASL_SSL"), "{words}");
        for secret in ["hunter2", "BEGIN", "hidden"] {
            assert!(!words.contains(secret), "{words}");
        }
        assert!(options(&scan).unwrap() == told, "with what is kept it is what was said");
    }

    #[test]
    fn settings_of_another_process_are_asked_for() {
        let scan = Scan::new(NAME, Arc::new(Schema::default())).topic("t").option(SETTINGS, "settings 1000");
        let error = options(&scan).unwrap_err().to_string();
        assert!(error.contains("\"settings 1000\" are not in this process") && error.contains("option("), "{error}");
    }
}
