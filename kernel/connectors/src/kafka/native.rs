//! The one file that calls librdkafka directly: many records in one call, which is about 40 % faster than one by one
//! and cannot be had through rdkafka's own consumers. Everything unsafe of this crate is here.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;

use super::client::Consumer;

/// What comes out of a consumer.
pub(super) enum Delivery {
    /// A record.
    Record(Message),
    /// The end of a partition was reached: the next record there will have this offset.
    End { partition: i32, offset: i64 },
    /// A partition cannot be read on.
    Error { partition: i32, code: Code, text: String },
}

/// A consumer's queue, read many at a time.
pub(super) struct Batches {
    queue: NonNull<native::rd_kafka_queue_t>,
    slots: Vec<*mut native::rd_kafka_message_t>,
    // Keeps alive what the queue belongs to; dropped after it.
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka's objects may be used from any thread, and `Batches` is used by one at a time (`&mut self`). The
// slots hold no pointers between two calls.
unsafe impl Send for Batches {}

impl Batches {
    /// The queue of `consumer`, from which nothing else may read; None if it has none, for want of a group.
    pub(super) fn new(consumer: Arc<Consumer>, at_once: usize) -> Option<Batches> {
        let client = consumer.client().native_ptr();
        // SAFETY: the client is alive, and the queue that is returned is a reference of its own, given back in `drop`.
        let queue = NonNull::new(unsafe { native::rd_kafka_queue_get_consumer(client) })?;
        // Its log waits in this queue. rdkafka would take it out as events; read as here, librdkafka hands it to its
        // logger, which without this is one that prints.
        // SAFETY: the client is alive and nothing serves its queue yet, so nothing reads the logger meanwhile.
        unsafe { native::rd_kafka_set_logger(client, Some(listen)) };
        Some(Batches { queue, slots: vec![ptr::null_mut(); at_once], consumer })
    }

    /// Hands what is there to `take`, waiting up to `wait` for `at_most` of it; says how many there were.
    pub(super) fn next(&mut self, at_most: usize, wait: Duration, mut take: impl FnMut(Delivery)) -> usize {
        let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        let slots = &mut self.slots[..];
        let room = at_most.min(slots.len());
        // SAFETY: `slots` has room for `room` pointers; librdkafka fills as many as it returns.
        let count =
            unsafe { native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait, slots.as_mut_ptr(), room) };
        let count = usize::try_from(count).unwrap_or(0).min(room);
        let words = &self.consumer.context().words;
        SAID.with_borrow_mut(|said| said.drain(..).for_each(|said| words.keep(&said)));
        for slot in &mut slots[..count] {
            if let Some(message) = NonNull::new(std::mem::replace(slot, ptr::null_mut())) {
                take(Message(message).delivery());
            }
        }
        count
    }
}

thread_local! {
    /// What librdkafka complained of while this thread served its queue.
    static SAID: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// librdkafka's logger. With `log.queue`, which rdkafka sets, it is called only by the thread that serves the queue.
unsafe extern "C" fn listen(_: *const native::rd_kafka_t, level: c_int, _: *const c_char, text: *const c_char) {
    /// As in syslog.
    const ERROR: c_int = 3;
    if level <= ERROR && !text.is_null() {
        // SAFETY: librdkafka gives a C string that lives as long as the call.
        let text = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
        SAID.with_borrow_mut(|said| said.push(text));
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // SAFETY: the reference that `new` got, given back once.
        unsafe { native::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// A message of librdkafka, given back when dropped. It must not outlive the consumer that it came from.
pub(super) struct Message(NonNull<native::rd_kafka_message_t>);

// SAFETY: a message belongs to who was given it, and librdkafka lets any thread read it and give it back.
unsafe impl Send for Message {}

impl Message {
    fn delivery(self) -> Delivery {
        // SAFETY: the message is ours until it is dropped, and librdkafka does not write to it.
        let message = unsafe { self.0.as_ref() };
        let (partition, offset) = (message.partition, message.offset);
        match message.err {
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Delivery::Record(self),
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => Delivery::End { partition, offset },
            code => {
                // SAFETY: the text, if any, is a C string that lives as long as the message.
                let text = unsafe {
                    let text = native::rd_kafka_message_errstr(self.0.as_ptr());
                    if text.is_null() { String::new() } else { CStr::from_ptr(text).to_string_lossy().into_owned() }
                };
                Delivery::Error { partition, code: code.into(), text }
            }
        }
    }

    #[inline]
    pub(super) fn partition(&self) -> i32 {
        // SAFETY: as in `delivery`.
        unsafe { self.0.as_ref() }.partition
    }

    #[inline]
    pub(super) fn offset(&self) -> i64 {
        // SAFETY: as in `delivery`.
        unsafe { self.0.as_ref() }.offset
    }

    #[inline]
    pub(super) fn value(&self) -> Option<&[u8]> {
        // SAFETY: as in `delivery`.
        let message = unsafe { self.0.as_ref() };
        (!message.payload.is_null()).then(|| {
            // SAFETY: `payload` points to `len` bytes that live as long as the message.
            unsafe { std::slice::from_raw_parts(message.payload.cast::<u8>(), message.len) }
        })
    }

    /// Kafka's timestamp, if the record has one.
    pub(super) fn timestamp_ms(&self) -> Option<i64> {
        // SAFETY: the message is alive; the kind of timestamp is not asked for, which the null pointer says.
        let at = unsafe { native::rd_kafka_message_timestamp(self.0.as_ptr(), ptr::null_mut()) };
        (at >= 0).then_some(at)
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message was ours, and is given back once.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}
