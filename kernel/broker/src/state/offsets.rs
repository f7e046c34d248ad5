//! Where logs begin and end, and where a time is in them; and the offsets that groups have committed.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use kafka_protocol::messages::offset_commit_response::{OffsetCommitResponsePartition, OffsetCommitResponseTopic};
use kafka_protocol::messages::offset_fetch_response::{OffsetFetchResponsePartition, OffsetFetchResponseTopic};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, TopicName,
};

use super::State;
use super::fetch::COMMITTED;
use super::group::Group;
use super::metadata::text;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;

impl State {
    pub(super) fn list_offsets(&mut self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in &request.topics {
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for wanted in &topic.partitions {
                let result = ListOffsetsPartitionResponse::default()
                    .with_partition_index(wanted.partition_index)
                    .with_timestamp(-1)
                    .with_offset(-1);
                partitions.push(match self.log(topic.name.as_str(), wanted.partition_index) {
                    None => result.with_error_code(ResponseError::UnknownTopicOrPartition.code()),
                    Some(log) => match wanted.timestamp {
                        LATEST if request.isolation_level == COMMITTED => result.with_offset(log.stable_end()),
                        LATEST => result.with_offset(log.end()),
                        EARLIEST => result.with_offset(log.start()),
                        time => match log.first_since(time) {
                            Some((timestamp, offset)) => result.with_timestamp(timestamp).with_offset(offset),
                            // Nothing so late is there yet.
                            None => result,
                        },
                    },
                });
            }
            topics.push(ListOffsetsTopicResponse::default().with_name(topic.name.clone()).with_partitions(partitions));
        }
        ListOffsetsResponse::default().with_topics(topics)
    }

    pub(super) fn offset_commit(&mut self, now: i64, request: &OffsetCommitRequest) -> OffsetCommitResponse {
        let group = self.groups.entry(request.group_id.to_string()).or_default();
        let refused = group.may_commit(now, request.member_id.as_str(), request.generation_id_or_member_epoch).err();
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|wanted| {
                let result = OffsetCommitResponsePartition::default().with_partition_index(wanted.partition_index);
                if let Some(error) = refused {
                    return result.with_error_code(error.code());
                }
                let metadata = wanted.committed_metadata.as_ref().map(|m| m.to_string()).unwrap_or_default();
                group
                    .offsets
                    .insert((topic.name.to_string(), wanted.partition_index), (wanted.committed_offset, metadata));
                result
            });
            OffsetCommitResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions.collect())
        });
        OffsetCommitResponse::default().with_topics(topics.collect())
    }

    pub(super) fn offset_fetch(&self, request: &OffsetFetchRequest) -> OffsetFetchResponse {
        let nobody = Group::default();
        let group = self.groups.get(request.group_id.as_str()).unwrap_or(&nobody);
        let answer = |topic: &str, partition: i32| {
            let (offset, metadata) =
                group.offsets.get(&(topic.to_owned(), partition)).cloned().unwrap_or((-1, String::new()));
            let unstable = request.require_stable && self.is_unstable(request.group_id.as_str(), topic, partition);
            OffsetFetchResponsePartition::default()
                .with_partition_index(partition)
                .with_error_code(if unstable { ResponseError::UnstableOffsetCommit.code() } else { 0 })
                .with_committed_offset(offset)
                .with_committed_leader_epoch(-1)
                .with_metadata(Some(text(&metadata)))
        };
        let topics = match &request.topics {
            Some(topics) => topics
                .iter()
                .map(|topic| {
                    let partitions = topic.partition_indexes.iter().map(|p| answer(topic.name.as_str(), *p)).collect();
                    OffsetFetchResponseTopic::default().with_name(topic.name.clone()).with_partitions(partitions)
                })
                .collect(),
            // Without a list: all that were committed.
            None => {
                let mut names: Vec<&String> = group.offsets.keys().map(|(topic, _)| topic).collect();
                names.dedup();
                let of = |name: &String| {
                    let partitions = group
                        .offsets
                        .keys()
                        .filter(|(topic, _)| topic == name)
                        .map(|(_, p)| answer(name, *p))
                        .collect();
                    OffsetFetchResponseTopic::default().with_name(TopicName(text(name))).with_partitions(partitions)
                };
                names.into_iter().map(of).collect()
            }
        };
        OffsetFetchResponse::default().with_topics(topics)
    }
}
