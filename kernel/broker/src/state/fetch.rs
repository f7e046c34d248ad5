//! Reading records. A request that finds too little waits until there is more, or its time is up.

use bytes::BytesMut;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_request::FetchPartition;
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{BrokerId, FetchRequest, FetchResponse, ProducerId, ResponseKind};

use super::{Answer, State};

/// The isolation level of a reader that wants only what is committed.
pub(super) const COMMITTED: i8 = 1;

impl State {
    pub(super) fn fetch(&mut self, now: i64, request: &FetchRequest, waited: bool) -> Answer {
        let mut left = usize::try_from(request.max_bytes).unwrap_or(usize::MAX);
        let (mut found, mut at_once) = (0, false);
        let mut responses = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let name = topic.topic.to_string();
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in &topic.partitions {
                let data = self.read(&name, wanted, left, request.isolation_level == COMMITTED);
                let size = data.records.as_ref().map_or(0, bytes::Bytes::len);
                left = left.saturating_sub(size);
                found += size;
                at_once |= data.error_code != 0;
                partitions.push(data);
            }
            responses
                .push(FetchableTopicResponse::default().with_topic(topic.topic.clone()).with_partitions(partitions));
        }
        let enough = found >= usize::try_from(request.min_bytes).unwrap_or(0);
        if enough || at_once || waited || request.max_wait_ms <= 0 {
            return Answer::Reply(ResponseKind::Fetch(FetchResponse::default().with_responses(responses)));
        }
        Answer::Wait { until: now + i64::from(request.max_wait_ms) }
    }

    fn read(&mut self, topic: &str, wanted: &FetchPartition, left: usize, committed: bool) -> PartitionData {
        let data = PartitionData::default()
            .with_partition_index(wanted.partition)
            .with_preferred_read_replica(BrokerId(-1))
            .with_records(Some(bytes::Bytes::new()));
        let Some(log) = self.log(topic, wanted.partition) else {
            return data.with_error_code(ResponseError::UnknownTopicOrPartition.code()).with_high_watermark(-1);
        };
        let data = data
            .with_high_watermark(log.end())
            .with_last_stable_offset(log.stable_end())
            .with_log_start_offset(log.start());
        if wanted.fetch_offset < log.start() || wanted.fetch_offset > log.end() {
            return data.with_error_code(ResponseError::OffsetOutOfRange.code());
        }
        if left == 0 {
            return data;
        }
        let max = usize::try_from(wanted.partition_max_bytes).unwrap_or(0).min(left);
        let end = if committed { log.stable_end() } else { log.end() };
        let batches = log.read(wanted.fetch_offset, end, max);
        let mut bytes = BytesMut::with_capacity(batches.iter().map(bytes::Bytes::len).sum());
        batches.iter().for_each(|batch| bytes.extend_from_slice(batch));
        let data = data.with_records(Some(bytes.freeze()));
        if !committed {
            return data;
        }
        // More than these batches may need: a client looks only for those whose records it meets.
        let told = log.aborted(wanted.fetch_offset, end).into_iter().map(|aborted| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(aborted.producer))
                .with_first_offset(aborted.first)
        });
        data.with_aborted_transactions(Some(told.collect()))
    }
}
