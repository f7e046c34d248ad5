//! Topics made, grown, cut and deleted; and their settings.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::delete_records_response::{DeleteRecordsPartitionResult, DeleteRecordsTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest, DescribeConfigsResponse,
};

use super::State;
use super::log::Log;
use super::metadata::text;

/// Partitions a topic may have here.
const MAX_PARTITIONS: i32 = 1000;

impl State {
    pub(super) fn create_topics(&mut self, request: &CreateTopicsRequest) -> CreateTopicsResponse {
        let results = request.topics.iter().map(|topic| {
            let result = CreatableTopicResult::default().with_name(topic.name.clone());
            match self.create_topic(topic, request.validate_only) {
                Ok(partitions) => {
                    let id = self.topics.get(topic.name.as_str()).map(|topic| topic.id).unwrap_or_default();
                    result.with_num_partitions(partitions).with_replication_factor(1).with_topic_id(id)
                }
                Err((error, message)) => result.with_error_code(error.code()).with_error_message(Some(text(&message))),
            }
        });
        CreateTopicsResponse::default().with_topics(results.collect())
    }

    fn create_topic(&mut self, topic: &CreatableTopic, only_check: bool) -> Result<i32, (ResponseError, String)> {
        let name = topic.name.to_string();
        if !is_topic_name(&name) {
            return Err((ResponseError::InvalidTopicException, format!("\"{name}\" is no name for a topic")));
        }
        if self.topics.contains_key(&name) {
            return Err((ResponseError::TopicAlreadyExists, format!("topic \"{name}\" is there already")));
        }
        let assigned = i32::try_from(topic.assignments.len()).unwrap_or(i32::MAX);
        let partitions = match topic.num_partitions {
            -1 if assigned > 0 => assigned,
            -1 => self.partitions,
            partitions => partitions,
        };
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err((
                ResponseError::InvalidPartitions,
                format!("{partitions} partitions; 1 to {MAX_PARTITIONS} are possible"),
            ));
        }
        if topic.replication_factor > 1 {
            return Err((ResponseError::InvalidReplicationFactor, "this broker is the only one".to_owned()));
        }
        if !only_check {
            self.make_topic(&name, partitions);
            self.changed = true;
        }
        Ok(partitions)
    }

    pub(super) fn delete_topics(&mut self, request: &DeleteTopicsRequest) -> DeleteTopicsResponse {
        let results = request.topic_names.iter().map(|name| {
            let result = DeletableTopicResult::default().with_name(Some(name.clone()));
            match self.topics.remove(name.as_str()) {
                Some(topic) => {
                    self.held -= topic.partitions.iter().map(Log::size).sum::<usize>();
                    self.changed = true;
                    result
                }
                None => result.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
            }
        });
        DeleteTopicsResponse::default().with_responses(results.collect())
    }

    pub(super) fn create_partitions(&mut self, request: &CreatePartitionsRequest) -> CreatePartitionsResponse {
        let results = request.topics.iter().map(|wanted| {
            let result = CreatePartitionsTopicResult::default().with_name(wanted.name.clone());
            let Some(topic) = self.topics.get_mut(wanted.name.as_str()) else {
                return result.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            };
            let count = usize::try_from(wanted.count.min(MAX_PARTITIONS)).unwrap_or(0);
            if count <= topic.partitions.len() {
                return result.with_error_code(ResponseError::InvalidPartitions.code());
            }
            if !request.validate_only {
                topic.partitions.resize_with(count, Log::default);
            }
            result
        });
        CreatePartitionsResponse::default().with_results(results.collect())
    }

    pub(super) fn delete_records(&mut self, request: &DeleteRecordsRequest) -> DeleteRecordsResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in &topic.partitions {
                let result = DeleteRecordsPartitionResult::default()
                    .with_partition_index(wanted.partition_index)
                    .with_low_watermark(-1);
                partitions.push(match self.cut(topic.name.as_str(), wanted.partition_index, wanted.offset) {
                    Ok(start) => result.with_low_watermark(start),
                    Err(error) => result.with_error_code(error.code()),
                });
            }
            topics.push(DeleteRecordsTopicResult::default().with_name(topic.name.clone()).with_partitions(partitions));
        }
        DeleteRecordsResponse::default().with_topics(topics)
    }

    fn cut(&mut self, topic: &str, partition: i32, offset: i64) -> Result<i64, ResponseError> {
        let log = self.log(topic, partition).ok_or(ResponseError::UnknownTopicOrPartition)?;
        let offset = if offset == -1 { log.end() } else { offset };
        if offset < 0 || offset > log.end() {
            return Err(ResponseError::OffsetOutOfRange);
        }
        let gone = log.drop_before(offset);
        let start = log.start();
        self.held -= gone;
        Ok(start)
    }

    pub(super) fn describe_configs(&self, request: &DescribeConfigsRequest) -> DescribeConfigsResponse {
        let results = request.resources.iter().map(|resource| {
            let result = DescribeConfigsResult::default()
                .with_resource_type(resource.resource_type)
                .with_resource_name(resource.resource_name.clone());
            let is_topic = resource.resource_type == 2;
            if is_topic && !self.topics.contains_key(resource.resource_name.as_str()) {
                return result.with_error_code(ResponseError::UnknownTopicOrPartition.code());
            }
            let held = self.memory.to_string();
            let all = [("cleanup.policy", "delete"), ("retention.bytes", held.as_str()), ("retention.ms", "-1")];
            let keys = resource.configuration_keys.as_ref();
            let wanted =
                all.iter().filter(|(name, _)| keys.is_none_or(|keys| keys.iter().any(|key| key.as_str() == *name)));
            let config = |(name, value): &(&str, &str)| {
                DescribeConfigsResourceResult::default()
                    .with_name(text(name))
                    .with_value(Some(text(value)))
                    .with_read_only(true)
                    .with_config_source(5)
            };
            result.with_configs(wanted.map(config).collect())
        });
        DescribeConfigsResponse::default().with_results(results.collect())
    }
}

/// Kafka's rule for names.
pub(super) fn is_topic_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.chars().all(allowed)
}
