//! What topics there are, and new ones.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread};

use engine::SourceError;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::{ANSWER, Consumer, Context, consumer, heard, partitions, reach};
use super::error::{from_code, from_kafka};
use super::options::{KafkaOptions, admin_config};

/// A topic of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: usize,
}

/// The topics of the options' broker, by name, less Kafka's own.
///
/// # Errors
/// A bad address or option, or a broker that cannot be reached.
pub fn topics(options: &KafkaOptions) -> Result<Vec<Topic>, SourceError> {
    let consumer: Consumer = consumer(options)?;
    let what = format!("the topics at {} cannot be listed", options.bootstrap);
    let metadata =
        consumer.fetch_metadata(None, ANSWER).map_err(|error| from_kafka(options, &what, &error, heard(&consumer)))?;
    let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
    let mut topics: Vec<Topic> =
        topics.map(|topic| Topic { name: topic.name().to_owned(), partitions: topic.partitions().len() }).collect();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(topics)
}

/// Whether the topic is there and can be read.
///
/// # Errors
/// When it is not; the error names the topics that are, and those with a similar name first.
pub fn check_topic(options: &KafkaOptions) -> Result<(), SourceError> {
    partitions(&consumer(options)?, options).map(|_| ())
}

/// Creates a topic; one that is there already, with whatever number of partitions, is left as it is. Says whether it
/// is new.
///
/// # Errors
/// A bad address, a broker that cannot be reached, or one that refuses.
pub fn create_topic(bootstrap: &str, topic: &str, partitions: i32) -> Result<bool, SourceError> {
    let options = KafkaOptions { bootstrap: bootstrap.to_owned(), topic: topic.to_owned(), ..KafkaOptions::default() };
    create(&options, partitions)
}

/// The same with settings.
pub(crate) fn create(options: &KafkaOptions, partitions: i32) -> Result<bool, SourceError> {
    let KafkaOptions { topic, bootstrap, .. } = options;
    reach(options)?;
    let context = Context::default();
    let words = context.words.clone();
    let what = format!("the topic \"{topic}\" cannot be created at {bootstrap}");
    let admin: AdminClient<Context> = admin_config(options)
        .create_with_context(context)
        .map_err(|error| from_kafka(options, &what, &error, &words))?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(-1));
    let wait = AdminOptions::new().operation_timeout(Some(ANSWER)).request_timeout(Some(ANSWER));
    let created =
        wait_for(admin.create_topics([&new], &wait)).map_err(|error| from_kafka(options, &what, &error, &words))?;
    match created.into_iter().next() {
        Some(Err((_, Code::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, code))) => Err(SourceError {
            retry: false,
            detail: format!("the broker says: {code}"),
            ..from_code(options, &what, code, &words)
        }),
        _ => Ok(true),
    }
}

/// A topic that is not there: which are, the similar ones first.
pub(super) fn unknown_topic(options: &KafkaOptions, all: &[String]) -> SourceError {
    /// The names that a message shows.
    const SHOWN: usize = 10;
    let KafkaOptions { topic, bootstrap, .. } = options;
    let likeness = |name: &String| strsim::jaro_winkler(&name.to_lowercase(), &topic.to_lowercase());
    let mut names: Vec<(f64, &String)> = all.iter().map(|name| (likeness(name), name)).collect();
    names.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
    let quoted =
        |names: &[(f64, &String)]| names.iter().map(|(_, name)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let detail = match names.len() {
        0 => "the broker has no topics yet".to_owned(),
        count if count > SHOWN => format!("the broker has {count} topics, among them {}", quoted(&names[..SHOWN])),
        _ => format!("the broker has {}", quoted(&names)),
    };
    let hint = match names.first() {
        Some((likeness, name)) if *likeness > 0.8 => format!("Did you mean \"{name}\"?"),
        _ => "Create it, or see whether this is the right broker.".to_owned(),
    };
    SourceError { fact: format!("there is no topic \"{topic}\" at {bootstrap}"), detail, hint, retry: false }
}

/// Waits on this thread for a future that another thread completes.
fn wait_for<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(all: &[&str], detail: &str, hint: &str) {
        let options = KafkaOptions { bootstrap: "h:1".into(), topic: "transaction".into(), ..KafkaOptions::default() };
        let all: Vec<String> = all.iter().map(|name| (*name).to_owned()).collect();
        let error = unknown_topic(&options, &all);
        assert_eq!((error.detail.as_str(), error.hint.as_str()), (detail, hint));
    }

    #[test]
    fn an_unknown_topic_names_those_that_are_there() {
        check(&[], "the broker has no topics yet", "Create it, or see whether this is the right broker.");
        check(
            &["alerts", "transactions"],
            "the broker has \"transactions\", \"alerts\"",
            "Did you mean \"transactions\"?",
        );
        check(&["orders"], "the broker has \"orders\"", "Create it, or see whether this is the right broker.");
    }
}
