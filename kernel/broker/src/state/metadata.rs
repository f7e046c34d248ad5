//! Who is there: the node, the topics, the coordinator.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId, FindCoordinatorRequest, FindCoordinatorResponse, MetadataRequest, MetadataResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;

use super::{NODE, State};

impl State {
    pub(super) fn metadata(&mut self, request: &MetadataRequest, version: i16, host: &str) -> MetadataResponse {
        let mut unknown = Vec::new();
        let mut names: Vec<String> = match &request.topics {
            // Before version 1 an empty list stands for all.
            Some(topics) if !(version == 0 && topics.is_empty()) => {
                let mut names = Vec::with_capacity(topics.len());
                for topic in topics {
                    // From version 10 on a topic may be named by its id alone.
                    match topic.name.as_ref().map(|name| name.to_string()).or_else(|| self.name_of(topic.topic_id)) {
                        Some(name) => names.push(name),
                        None => unknown.push(unknown_id(topic.topic_id)),
                    }
                }
                names
            }
            _ => self.topics.keys().cloned().collect(),
        };
        names.dedup();
        let may_create =
            self.auto_create && request.topics.is_some() && (version < 4 || request.allow_auto_topic_creation);
        for name in &names {
            if may_create && !self.topics.contains_key(name) && super::admin::is_topic_name(name) {
                self.make_topic(name, self.partitions);
            }
        }
        let broker =
            MetadataResponseBroker::default().with_node_id(BrokerId(NODE)).with_host(text(host)).with_port(self.port);
        MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_cluster_id(Some(StrBytes::from_static_str("corriente")))
            .with_controller_id(BrokerId(NODE))
            .with_topics(names.iter().map(|name| self.describe(name)).chain(unknown).collect())
    }

    pub(super) fn find_coordinator(
        &self,
        request: &FindCoordinatorRequest,
        version: i16,
        host: &str,
    ) -> FindCoordinatorResponse {
        let response = FindCoordinatorResponse::default();
        // Groups and transactions have one; others (shares) are not served.
        if version >= 1 && !matches!(request.key_type, 0 | 1) {
            let message = text("this broker coordinates groups and transactions only");
            return response.with_error_code(ResponseError::InvalidRequest.code()).with_error_message(Some(message));
        }
        response.with_node_id(BrokerId(NODE)).with_host(text(host)).with_port(self.port)
    }

    fn name_of(&self, id: uuid::Uuid) -> Option<String> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, _)| name.clone())
    }

    fn describe(&self, name: &str) -> MetadataResponseTopic {
        let described = MetadataResponseTopic::default().with_name(Some(TopicName(text(name))));
        let Some(topic) = self.topics.get(name) else {
            return described.with_error_code(ResponseError::UnknownTopicOrPartition.code());
        };
        let partition = |index: usize| {
            MetadataResponsePartition::default()
                .with_partition_index(i32::try_from(index).unwrap_or(i32::MAX))
                .with_leader_id(BrokerId(NODE))
                .with_leader_epoch(0)
                .with_replica_nodes(vec![BrokerId(NODE)])
                .with_isr_nodes(vec![BrokerId(NODE)])
        };
        described.with_topic_id(topic.id).with_partitions((0..topic.partitions.len()).map(partition).collect())
    }
}

fn unknown_id(id: uuid::Uuid) -> MetadataResponseTopic {
    MetadataResponseTopic::default().with_topic_id(id).with_error_code(ResponseError::UnknownTopicId.code())
}

pub(super) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}
