//! Records on their way to a broker, for all that write: sent as soon as there is room, their answers counted, and the
//! first failure kept. librdkafka calls back on the thread that sends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};

use crate::kafka::client::Context;

/// How often it is looked whether a full queue has room again.
const TICK: Duration = Duration::from_millis(2);

/// A record, ready to send.
#[derive(Default)]
pub(crate) struct Record<'a> {
    pub(crate) key: Option<&'a [u8]>,
    /// Without one it is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Option<OwnedHeaders>,
    pub(crate) timestamp_ms: Option<i64>,
    /// Without one the partitioner decides by the key.
    pub(crate) partition: Option<i32>,
}

/// Sends a record. While the queue is full, `wait` is asked whether to try again.
///
/// # Errors
/// What librdkafka says of the record, or what `wait` says.
pub(crate) fn send<E: From<KafkaError>>(
    producer: &BaseProducer<Deliveries>,
    topic: &str,
    record: Record<'_>,
    mut wait: impl FnMut(KafkaError) -> Result<(), E>,
) -> Result<(), E> {
    let Record { key, value, headers, timestamp_ms, partition } = record;
    let mut record: BaseRecord<'_, [u8], [u8]> =
        BaseRecord { topic, partition, payload: value, key, timestamp: timestamp_ms, headers, delivery_opaque: () };
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((full @ KafkaError::MessageProduction(Code::QueueFull), back)) => {
                producer.poll(TICK);
                wait(full)?;
                record = back;
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}

/// What the broker has said of the records so far.
#[derive(Default)]
pub(crate) struct Answers {
    acknowledged: AtomicU64,
    failed: OnceLock<KafkaError>,
}

impl Answers {
    /// Records that are in the topic.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Why the first record failed that did.
    pub(crate) fn failed(&self) -> Option<&KafkaError> {
        self.failed.get()
    }

    /// Keeps a failure, if it is the first: those after it fail because of it.
    pub(crate) fn fail(&self, error: KafkaError) {
        let _ = self.failed.set(error);
    }
}

/// What librdkafka calls back.
#[derive(Default)]
pub(crate) struct Deliveries {
    pub(crate) context: Context,
    pub(crate) answers: Arc<Answers>,
    /// Told when the first record is in the topic.
    begun: Option<Sender<()>>,
}

impl Deliveries {
    /// Deliveries whose first is told to `begun`.
    pub(crate) fn telling(begun: Sender<()>) -> Deliveries {
        Deliveries { begun: Some(begun), ..Deliveries::default() }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.context.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        match delivered {
            Ok(_) => {
                if self.answers.acknowledged.fetch_add(1, Ordering::Relaxed) == 0
                    && let Some(begun) = &self.begun
                {
                    // Nobody waits any more if the answer comes late.
                    let _ = begun.send(());
                }
            }
            Err((error, _)) => self.answers.fail(error.clone()),
        }
    }
}
