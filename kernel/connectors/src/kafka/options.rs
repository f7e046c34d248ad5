//! Where to read and how: what a caller may set, what is checked before anything is connected, and the settings that
//! librdkafka gets. Values of settings never leave this file for anybody's eyes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use engine::SourceError;
use rdkafka::ClientConfig;

/// A topic and the way to it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KafkaOptions {
    /// `host:port`, several with commas.
    pub bootstrap: String,
    /// The topic.
    pub topic: String,
    /// Settings of librdkafka, as `security.protocol`. Those with a secret are never shown.
    pub settings: BTreeMap<String, String>,
    /// Where a query without a checkpoint begins.
    pub start: StartingOffsets,
    /// What becomes of a query whose next records are gone.
    pub on_data_loss: OnDataLoss,
    /// How often a query that runs asks for new partitions, and whether the topic is still the same; None for every five seconds.
    pub discovery_interval: Option<Duration>,
    /// Whether the columns were told from a sample: then a source tells of fields that it did not have.
    pub sampled: bool,
}

/// What becomes of a query whose next records are gone: the topic was made again, or they were deleted before they were read. As
/// Spark's `failOnDataLoss`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDataLoss {
    /// It ends with an error that names topic, partition and offsets.
    #[default]
    Fail,
    /// It goes on at the oldest record that there is, and tells what it lost.
    Earliest,
    /// It goes on at the records that come from now on, and tells what it lost.
    Latest,
}

/// Where a query without a checkpoint begins to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartingOffsets {
    /// At the oldest record that the topic still has.
    #[default]
    Earliest,
    /// At the records that come from now on.
    Latest,
    /// At the first record of each partition whose Kafka timestamp is this or later, in milliseconds since the epoch.
    Timestamp(i64),
}

impl fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.settings.iter().map(|(name, value)| (name, if is_secret(name) { "•••" } else { value }));
        f.debug_struct("KafkaOptions")
            .field("bootstrap", &self.bootstrap)
            .field("topic", &self.topic)
            .field("settings", &shown.collect::<BTreeMap<_, _>>())
            .field("start", &self.start)
            .field("on_data_loss", &self.on_data_loss)
            .field("discovery_interval", &self.discovery_interval)
            .finish()
    }
}

impl KafkaOptions {
    /// `text` without the values of secret settings, wherever librdkafka may have put them.
    pub(crate) fn redact(&self, text: &str) -> String {
        let secrets = self.settings.iter().filter(|(name, value)| is_secret(name) && !value.is_empty());
        secrets.fold(text.to_owned(), |text, (_, secret)| text.replace(secret.as_str(), "•••"))
    }
}

/// Whether a setting's value must not be shown.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["password", "secret", "token", "key", "pem", "jaas", "oauthbearer.config", "username"]
        .iter()
        .any(|word| name.contains(word))
}

/// The addresses in a bootstrap string.
///
/// # Errors
/// When one of them is not `host:port`.
pub(super) fn addresses(bootstrap: &str) -> Result<Vec<(String, u16)>, SourceError> {
    let wrong = |detail: String| SourceError {
        fact: format!("\"{bootstrap}\" is no Kafka address"),
        detail,
        hint: "Write host:port, as in \"127.0.0.1:9092\", and several with commas.".to_owned(),
        retry: false,
    };
    let address = |part: &str| {
        let part = part.trim();
        if part.is_empty() {
            return Err(wrong(
                if bootstrap.trim().is_empty() { "it is empty" } else { "there is nothing between two commas" }
                    .to_owned(),
            ));
        }
        if let Some((protocol, _)) = part.split_once("://") {
            return Err(wrong(format!("it begins with a protocol, \"{protocol}://\"")));
        }
        let (host, port) = part.rsplit_once(':').ok_or_else(|| wrong(format!("\"{part}\" has no port")))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ':' | '%');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(wrong(format!("\"{host}\" is no host's name")));
        }
        match port.parse::<u16>() {
            Ok(port) if port > 0 => Ok((host.to_owned(), port)),
            _ => Err(wrong(format!("\"{port}\" is no port; a port is a number from 1 to 65535"))),
        }
    };
    bootstrap.split(',').map(address).collect()
}

/// What a caller may not set, and the way to what was meant.
const OURS: [(&str, &str); 6] = [
    ("bootstrap.servers", "Give the address to read_kafka() itself."),
    ("metadata.broker.list", "Give the address to read_kafka() itself."),
    ("auto.offset.reset", "Say where to begin with .starting_offsets(…)."),
    ("enable.auto.commit", "Leave it out: a query keeps its own offsets."),
    ("enable.auto.offset.store", "Leave it out: a query keeps its own offsets."),
    ("enable.partition.eof", "Leave it out: it is always on."),
];

/// The settings of a consumer that reads where it is told and commits nothing.
///
/// # Errors
/// When the caller set something that is not the caller's to set.
pub(super) fn consumer_config(options: &KafkaOptions) -> Result<ClientConfig, SourceError> {
    if let Some((name, hint)) = OURS.iter().find(|(name, _)| options.settings.contains_key(*name)) {
        return Err(SourceError {
            fact: format!("the option \"{name}\" cannot be set"),
            detail: "Corriente sets it itself".to_owned(),
            hint: (*hint).to_owned(),
            retry: false,
        });
    }
    let mut config = ClientConfig::new();
    config
        .set("client.id", "corriente")
        // librdkafka gives a consumer queue only to a consumer with a group; nothing is ever committed to it.
        .set("group.id", "corriente")
        .set("auto.offset.reset", "error")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        // Untuned, two consumers took 720 MB. What is decoded is bounded by us; this bounds what is not yet.
        .set("queued.max.messages.kbytes", "16384")
        .set("queued.min.messages", "200000")
        .set("fetch.message.max.bytes", "1048576")
        // A full queue is looked at again after this; the default of a second would let it run dry.
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.wait.max.ms", "250")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("topic.metadata.propagation.max.ms", "3000")
        .set("socket.nagle.disable", "true");
    Ok(with_settings(config, options))
}

/// The settings of a producer whose records arrive once and in order.
pub(crate) fn producer_config(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("client.id", "corriente")
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "2")
        .set("batch.num.messages", "10000")
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "65536")
        .set("allow.auto.create.topics", "false")
        .set("socket.nagle.disable", "true");
    with_settings(config, options)
}

/// What a caller may not set for a sink: all of it belongs to how a batch is written once.
const SINKS: [&str; 9] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "transactional.id",
    "transaction.timeout.ms",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "enable.idempotence",
    "group.id",
    "isolation.level",
];

/// Whether a sink may be given these settings.
///
/// # Errors
/// The setting that it may not.
pub(super) fn check_sink_settings(options: &KafkaOptions) -> Result<(), SourceError> {
    match SINKS.iter().find(|name| options.settings.contains_key(**name)) {
        None => Ok(()),
        Some(name) => Err(SourceError {
            fact: format!("the option \"{name}\" cannot be set"),
            detail: "Corriente sets it itself, so that every batch is written once".to_owned(),
            hint: "Leave it out.".to_owned(),
            retry: false,
        }),
    }
}

/// The settings of a producer whose records count once their transaction is committed.
pub(super) fn transactional_config(options: &KafkaOptions, id: &str, timeout: Duration) -> ClientConfig {
    let timeout = timeout.as_millis().to_string();
    let mut config = producer_config(options);
    config
        .set("transactional.id", id)
        .set("transaction.timeout.ms", &timeout)
        // librdkafka refuses a message that may wait for longer than its transaction.
        .set("message.timeout.ms", &timeout);
    config
}

/// The settings of a consumer that only asks what its group has committed, and does not join it.
pub(super) fn group_config(options: &KafkaOptions, group: &str) -> ClientConfig {
    let mut config = admin_config(options);
    // With this isolation the broker does not answer while a transaction is about to change the offsets (KIP-447).
    config.set("group.id", group).set("enable.auto.commit", "false").set("isolation.level", "read_committed");
    config
}

/// The settings of a client that asks and creates, and neither reads nor writes.
pub(super) fn admin_config(options: &KafkaOptions) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("client.id", "corriente");
    with_settings(config, options)
}

fn with_settings(mut config: ClientConfig, options: &KafkaOptions) -> ClientConfig {
    for (name, value) in &options.settings {
        config.set(name, value);
    }
    config.set("bootstrap.servers", &options.bootstrap);
    config
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bootstrap_string_is_checked_before_anything_is_connected() {
        let detail = |bootstrap: &str| addresses(bootstrap).unwrap_err().detail;
        assert_eq!(detail(""), "it is empty");
        assert_eq!(detail("a:1,,b:2"), "there is nothing between two commas");
        assert_eq!(detail("localhost"), "\"localhost\" has no port");
        assert_eq!(detail("localhost:kafka"), "\"kafka\" is no port; a port is a number from 1 to 65535");
        assert_eq!(detail("localhost:70000"), "\"70000\" is no port; a port is a number from 1 to 65535");
        assert_eq!(detail("kafka://h:9092"), "it begins with a protocol, \"kafka://\"");
        assert_eq!(detail("my host:9092"), "\"my host\" is no host's name");
        assert_eq!(addresses("a.b:1, [::1]:2").unwrap(), [("a.b".to_owned(), 1), ("::1".to_owned(), 2)]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let settings = [("sasl.password", "hunter2"), ("sasl.mechanism", "PLAIN"), ("ssl.key.pem", "-----BEGIN")];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        let options = KafkaOptions { settings, ..KafkaOptions::default() };
        let shown = format!("{options:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("BEGIN") && shown.contains("PLAIN"), "{shown}");
        assert_eq!(options.redact("no such user hunter2"), "no such user •••");
    }

    #[test]
    fn what_is_ours_cannot_be_set() {
        let settings = [("auto.offset.reset".to_owned(), "latest".to_owned())].into_iter().collect();
        let error = consumer_config(&KafkaOptions { settings, ..KafkaOptions::default() }).unwrap_err();
        assert!(error.hint.contains("starting_offsets"), "{error}");
    }
}
