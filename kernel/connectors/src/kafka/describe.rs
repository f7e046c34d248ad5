//! What the broker says of a topic: its partitions, and the id by which one that was made again is told from the one before. rdkafka
//! has no call for it, so librdkafka is called directly.
#![allow(unsafe_code)]

use std::ffi::{CString, c_int};
use std::ptr::NonNull;
use std::time::Duration;

use engine::TopicId;
use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::Consumer;

/// A topic as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Description {
    /// None where the broker gives none, as before Kafka 2.8.
    pub(super) id: Option<TopicId>,
    pub(super) partitions: Vec<i32>,
}

/// Asks the broker for a topic, and waits for the answer.
///
/// # Errors
/// A topic that is not there, one that may not be seen, or no answer.
pub(super) fn describe(consumer: &Consumer, topic: &str, wait: Duration) -> Result<Description, Code> {
    let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
    let name = CString::new(topic).map_err(|_| Code::InvalidTopic)?;
    let client = consumer.client().native_ptr();
    let (mut no_text, mut names) = ([0; 0], [name.as_ptr()]);
    // SAFETY: the client lives as long as `consumer`; each object is given back once by its owner below; the names live until the
    // call has returned, which copies them.
    unsafe {
        let queue = Owned::new(native::rd_kafka_queue_new(client), native::rd_kafka_queue_destroy)?;
        let topics = native::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        let topics = Owned::new(topics, native::rd_kafka_TopicCollection_destroy)?;
        let options =
            native::rd_kafka_AdminOptions_new(client, native::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS);
        let options = Owned::new(options, native::rd_kafka_AdminOptions_destroy)?;
        native::rd_kafka_AdminOptions_set_request_timeout(options.get(), wait, no_text.as_mut_ptr(), 0);
        native::rd_kafka_DescribeTopics(client, topics.get(), options.get(), queue.get());
        let event = native::rd_kafka_queue_poll(queue.get(), wait);
        let event = Owned::new(event, native::rd_kafka_event_destroy).map_err(|_| Code::OperationTimedOut)?;
        answered(event.get())
    }
}

/// The one topic of an answer.
///
/// # Safety
/// The event must be an answer to `DescribeTopics`, and live until this returns.
unsafe fn answered(event: *mut native::rd_kafka_event_t) -> Result<Description, Code> {
    // SAFETY: what an event holds lives as long as the event, and lists have the length that is told with them.
    unsafe {
        check(native::rd_kafka_event_error(event))?;
        let result = native::rd_kafka_event_DescribeTopics_result(event);
        let mut count = 0;
        let topics = native::rd_kafka_DescribeTopics_result_topics(result, &mut count);
        if topics.is_null() || count == 0 {
            return Err(Code::UnknownTopicOrPartition);
        }
        let topic = *topics;
        let error = native::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            check(native::rd_kafka_error_code(error))?;
        }
        let partitions = native::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let partitions = if partitions.is_null() { &[][..] } else { std::slice::from_raw_parts(partitions, count) };
        let mut partitions: Vec<i32> =
            partitions.iter().map(|one| native::rd_kafka_TopicPartitionInfo_partition(*one)).collect();
        partitions.sort_unstable();
        let id = native::rd_kafka_TopicDescription_topic_id(topic);
        Ok(Description { id: (!id.is_null()).then(|| topic_id(id)).flatten(), partitions })
    }
}

/// # Safety
/// The pointer must be to an id that lives.
unsafe fn topic_id(id: *const native::rd_kafka_Uuid_t) -> Option<TopicId> {
    // SAFETY: as the caller says.
    let halves =
        unsafe { [native::rd_kafka_Uuid_most_significant_bits(id), native::rd_kafka_Uuid_least_significant_bits(id)] };
    let mut bytes = [0; 16];
    for (place, half) in bytes.chunks_exact_mut(8).zip(halves) {
        place.copy_from_slice(&half.to_be_bytes());
    }
    // An old broker gives none, which reads as zeros.
    (bytes != [0; 16]).then_some(TopicId(bytes))
}

fn check(code: native::rd_kafka_resp_err_t) -> Result<(), Code> {
    match code {
        native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// An object of librdkafka, given back when dropped.
struct Owned<T> {
    object: NonNull<T>,
    give_back: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// `give_back` must be the function that ends such an object.
    fn new(object: *mut T, give_back: unsafe extern "C" fn(*mut T)) -> Result<Owned<T>, Code> {
        let object = NonNull::new(object).ok_or(Code::Fail)?;
        Ok(Owned { object, give_back })
    }

    fn get(&self) -> *mut T {
        self.object.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the object is ours, and is given back once.
        unsafe { (self.give_back)(self.object.as_ptr()) }
    }
}
