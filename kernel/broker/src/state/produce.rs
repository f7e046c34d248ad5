//! Appending records.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_request::PartitionProduceData;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};

use super::State;
use super::batch::Batch;

impl State {
    pub(super) fn produce(&mut self, now: i64, request: &mut ProduceRequest) -> ProduceResponse {
        let mut responses = Vec::with_capacity(request.topic_data.len());
        for topic in &mut request.topic_data {
            let name = topic.name.to_string();
            let partitions = topic.partition_data.iter_mut().map(|data| self.append(now, &name, data)).collect();
            responses.push(
                TopicProduceResponse::default().with_name(topic.name.clone()).with_partition_responses(partitions),
            );
        }
        self.shrink();
        ProduceResponse::default().with_responses(responses)
    }

    fn append(&mut self, _now: i64, topic: &str, data: &mut PartitionProduceData) -> PartitionProduceResponse {
        let response = PartitionProduceResponse::default().with_index(data.index).with_log_append_time_ms(-1);
        match self.append_all(topic, data) {
            Ok((base, start)) => response.with_base_offset(base).with_log_start_offset(start),
            Err(error) => response.with_error_code(error.code()).with_base_offset(-1),
        }
    }

    fn append_all(&mut self, topic: &str, data: &mut PartitionProduceData) -> Result<(i64, i64), ResponseError> {
        let batches = Batch::all(data.records.take().unwrap_or_default())?;
        batches.iter().try_for_each(|batch| self.may_append(topic, data.index, batch))?;
        let mut number = self.appended;
        let log = self.log(topic, data.index).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let (mut base, mut came) = (None, 0);
        for batch in batches {
            number += 1;
            let (offset, size) = log.append(batch, number)?;
            base.get_or_insert(offset);
            came += size;
        }
        let start = log.start();
        let base = base.ok_or(ResponseError::InvalidRecord)?;
        self.appended = number;
        self.held += came;
        self.changed = true;
        Ok((base, start))
    }
}
