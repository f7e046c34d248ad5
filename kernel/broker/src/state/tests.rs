//! The state by itself: what a client would see, without a socket.
#![allow(clippy::unwrap_used)]

use bytes::{Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, FetchResponse, MetadataRequest, MetadataResponse,
    ProduceRequest, RequestKind, ResponseKind, TopicName,
};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};

use super::metadata::text;
use super::{Answer, Request, State};
use crate::Config;

fn state(memory: usize) -> State {
    let mut state = State::new(&Config { memory, ..Config::default() }, 9092);
    create(&mut state);
    state
}

fn create(state: &mut State) {
    let topic =
        CreatableTopic::default().with_name(TopicName(text("t"))).with_num_partitions(2).with_replication_factor(1);
    ask(state, 0, RequestKind::CreateTopics(CreateTopicsRequest::default().with_topics(vec![topic])));
}

/// What is told of a topic that is named by its id, or by its name where there is none.
fn described(state: &mut State, id: Option<uuid::Uuid>) -> MetadataResponse {
    let topic = MetadataRequestTopic::default();
    let topic = match id {
        Some(id) => topic.with_name(None).with_topic_id(id),
        None => topic.with_name(Some(TopicName(text("t")))),
    };
    let Answer::Reply(ResponseKind::Metadata(response)) =
        ask(state, 0, RequestKind::Metadata(MetadataRequest::default().with_topics(Some(vec![topic]))))
    else {
        panic!("no reply");
    };
    response
}

fn ask(state: &mut State, now: i64, body: RequestKind) -> Answer {
    state.handle(now, &mut Request { body, version: 7, host: "h".into(), client: "c".into() }, false)
}

fn batch(records: usize, producer: i64, sequence: i32, timestamp: i64) -> Bytes {
    let record = |n: usize| Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: producer,
        producer_epoch: 0,
        timestamp_type: TimestampType::Creation,
        offset: n as i64,
        sequence: sequence + n as i32,
        timestamp: timestamp + n as i64,
        key: None,
        value: Some(Bytes::from_static(b"value")),
        headers: Default::default(),
    };
    let records: Vec<Record> = (0..records).map(record).collect();
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(
        &mut bytes,
        &records,
        &RecordEncodeOptions { version: 2, compression: Compression::None },
    )
    .unwrap();
    bytes.freeze()
}

/// Produces into partition 0; gives the error and the offset.
fn produce(state: &mut State, records: Bytes) -> (i16, i64) {
    let data = PartitionProduceData::default().with_index(0).with_records(Some(records));
    let topic = TopicProduceData::default().with_name(TopicName(text("t"))).with_partition_data(vec![data]);
    let Answer::Reply(ResponseKind::Produce(r)) =
        ask(state, 0, RequestKind::Produce(ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic])))
    else {
        panic!("no reply");
    };
    let partition = &r.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

fn fetch(state: &mut State, offset: i64, min_bytes: i32) -> Answer {
    let partition =
        FetchPartition::default().with_partition(0).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(TopicName(text("t"))).with_partitions(vec![partition]);
    let request = FetchRequest::default()
        .with_max_wait_ms(100)
        .with_min_bytes(min_bytes)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic]);
    ask(state, 0, RequestKind::Fetch(request))
}

fn fetched(answer: Answer) -> FetchResponse {
    let Answer::Reply(ResponseKind::Fetch(response)) = answer else { panic!("{answer:?}") };
    response
}

#[test]
fn offsets_rise_and_what_was_appended_is_read() {
    let mut state = state(1 << 20);
    assert_eq!(produce(&mut state, batch(3, -1, -1, 0)), (0, 0));
    assert_eq!(produce(&mut state, batch(2, -1, -1, 0)), (0, 3));
    let response = fetched(fetch(&mut state, 1, 1));
    let data = &response.responses[0].partitions[0];
    assert_eq!(data.high_watermark, 5);
    assert_eq!(data.records.as_ref().unwrap().len(), batch(3, -1, -1, 0).len() + batch(2, -1, -1, 0).len());
}

#[test]
fn a_fetch_that_finds_nothing_waits() {
    let mut state = state(1 << 20);
    assert!(matches!(fetch(&mut state, 0, 1), Answer::Wait { until: 100 }));
    assert!(matches!(fetch(&mut state, 7, 1), Answer::Reply(_)), "an offset out of range is told at once");
}

#[test]
fn a_repeated_batch_is_there_once_and_a_gap_is_refused() {
    let mut state = state(1 << 20);
    assert_eq!(produce(&mut state, batch(3, 9, 0, 0)), (0, 0));
    assert_eq!(produce(&mut state, batch(3, 9, 0, 0)), (0, 0));
    assert_eq!(produce(&mut state, batch(1, 9, 3, 0)), (0, 3));
    assert_eq!(produce(&mut state, batch(1, 9, 7, 0)).0, ResponseError::OutOfOrderSequenceNumber.code());
}

#[test]
fn damaged_records_are_refused_and_harm_nothing() {
    let mut state = state(1 << 20);
    let mut damaged = batch(3, -1, -1, 0).to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(produce(&mut state, damaged.into()).0, ResponseError::CorruptMessage.code());
    assert_eq!(produce(&mut state, Bytes::from_static(b"garbage")).0, ResponseError::CorruptMessage.code());
    assert_ne!(produce(&mut state, Bytes::new()).0, 0);
    assert_eq!(produce(&mut state, batch(1, -1, -1, 0)), (0, 0));
}

#[test]
fn memory_is_bounded_and_the_oldest_records_go_first() {
    let one = batch(10, -1, -1, 0).len();
    let mut state = state(one * 3);
    for _ in 0..10 {
        produce(&mut state, batch(10, -1, -1, 0));
    }
    assert!(state.held <= one * 3);
    let response = fetched(fetch(&mut state, 0, 1));
    assert_eq!(response.responses[0].partitions[0].error_code, ResponseError::OffsetOutOfRange.code());
    assert_eq!(response.responses[0].partitions[0].log_start_offset, 70);
    fetched(fetch(&mut state, 70, 1));
}

#[test]
fn a_time_is_found_to_the_record() {
    let mut state = state(1 << 20);
    produce(&mut state, batch(10, -1, -1, 1_000));
    produce(&mut state, batch(10, -1, -1, 2_000));
    assert_eq!(state.log("t", 0).unwrap().first_since(1_004), Some((1_004, 4)));
    assert_eq!(state.log("t", 0).unwrap().first_since(1_500), Some((2_000, 10)));
    assert_eq!(state.log("t", 0).unwrap().first_since(9_000), None);
}

#[test]
fn a_topic_that_is_made_again_has_another_id() {
    let mut state = state(1 << 20);
    let first = described(&mut state, None).topics[0].topic_id;
    assert!(!first.is_nil());
    assert_eq!(described(&mut state, Some(first)).topics[0].name, Some(TopicName(text("t"))));
    let names = vec![TopicName(text("t"))];
    ask(&mut state, 0, RequestKind::DeleteTopics(DeleteTopicsRequest::default().with_topic_names(names)));
    create(&mut state);
    let second = described(&mut state, None).topics[0].topic_id;
    assert_ne!(first, second);
    let unknown = described(&mut state, Some(first));
    assert_eq!(unknown.topics[0].error_code, ResponseError::UnknownTopicId.code());
}
