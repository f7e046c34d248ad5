//! librdkafka's errors in words for the notebook's reader: the fact, the detail, the hint, and whether to try again.

use engine::SourceError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::client::LastWords;
use super::options::KafkaOptions;

/// What went wrong while something was done, as in `the topic "t" cannot be read`.
pub(crate) fn from_kafka(options: &KafkaOptions, what: &str, error: &KafkaError, words: &LastWords) -> SourceError {
    match error {
        KafkaError::ClientConfig(_, description, key, _) => SourceError {
            fact: format!("the option \"{key}\" is refused by the Kafka client"),
            detail: options.redact(description),
            hint: "The options are those of librdkafka, which lists them in its CONFIGURATION.md.".to_owned(),
            retry: false,
        },
        KafkaError::ClientCreation(description) => SourceError {
            fact: format!("{what}, for the Kafka client does not start"),
            detail: options.redact(description),
            hint: "See whether the options fit together; they are those of librdkafka.".to_owned(),
            retry: false,
        },
        other => match other.rdkafka_error_code() {
            Some(code) => from_code(options, what, code, words),
            None => SourceError {
                fact: what.to_owned(),
                detail: options.redact(&other.to_string()),
                hint: String::new(),
                retry: true,
            },
        },
    }
}

/// The same for a bare code.
pub(super) fn from_code(options: &KafkaOptions, what: &str, code: Code, words: &LastWords) -> SourceError {
    let KafkaOptions { bootstrap, topic, .. } = options;
    let last = words.last().map(|words| options.redact(&words));
    let refused = last.as_deref().is_some_and(|words| words.contains("SASL") || words.contains("SSL"));
    let (detail, hint, retry) = match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => (
            format!("the broker at {bootstrap} has no topic \"{topic}\" any more"),
            "It was deleted, or made again with fewer partitions: make the frame again.".to_owned(),
            false,
        ),
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed => (
            format!("the broker at {bootstrap} does not allow it ({code})"),
            "Ask for the right to read the topic, or give other credentials with .option(…).".to_owned(),
            false,
        ),
        Code::SaslAuthenticationFailed | Code::Authentication => {
            (last.unwrap_or_else(|| code.to_string()), CREDENTIALS.to_owned(), false)
        }
        _ if refused => (last.unwrap_or_default(), CREDENTIALS.to_owned(), false),
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::OperationTimedOut
        | Code::RequestTimedOut
        | Code::TimedOutQueue
        | Code::Resolve => (
            last.unwrap_or_else(|| format!("the broker at {bootstrap} does not answer")),
            format!("See whether the Kafka broker at {bootstrap} is well."),
            true,
        ),
        other => (
            last.map_or_else(|| other.to_string(), |last| format!("{other}; {last}")),
            format!("See whether the Kafka broker at {bootstrap} is well."),
            true,
        ),
    };
    SourceError { fact: what.to_owned(), detail, hint, retry }
}

const CREDENTIALS: &str = "See whether .option(\"security.protocol\", …), .option(\"sasl.mechanism\", …) and the credentials are those that the broker wants.";
