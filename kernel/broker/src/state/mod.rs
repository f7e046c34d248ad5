//! The broker's state and what requests do to it. A function of the state, the time and a request: no sockets, no clock,
//! no threads.

mod admin;
mod batch;
mod fetch;
mod group;
mod groups;
mod log;
mod metadata;
mod offsets;
mod produce;
mod transactions;
pub(crate) mod versions;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use kafka_protocol::messages::{RequestKind, ResponseKind};

use crate::Config;
use group::Group;
use log::Log;
use transactions::Transaction;

/// The one node.
const NODE: i32 = 1;

/// A request as the state sees it.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) body: RequestKind,
    pub(crate) version: i16,
    /// The host that the client has reached, where it is to come again.
    pub(crate) host: String,
    /// What the client calls itself.
    pub(crate) client: String,
}

/// What becomes of a request.
#[derive(Debug)]
// An answer lives for a moment; a box would cost more than it saves.
#[allow(clippy::large_enum_variant)]
pub(crate) enum Answer {
    Reply(ResponseKind),
    /// It wants no reply.
    Nothing,
    /// It is to be asked again when the state has changed, and at this time at the latest.
    Wait {
        until: i64,
    },
}

/// A topic's partitions.
pub(crate) struct Topic {
    pub(crate) id: uuid::Uuid,
    pub(crate) partitions: Vec<Log>,
}

/// Everything the broker knows.
pub(crate) struct State {
    topics: BTreeMap<String, Topic>,
    groups: BTreeMap<String, Group>,
    /// By transactional id.
    transactions: BTreeMap<String, Transaction>,
    memory: usize,
    held: usize,
    /// Counts appends, so that the oldest batch of all partitions can be told.
    appended: u64,
    producers: i64,
    members: u64,
    partitions: i32,
    auto_create: bool,
    port: i32,
    changed: bool,
}

impl State {
    pub(crate) fn new(config: &Config, port: u16) -> State {
        State {
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            transactions: BTreeMap::new(),
            memory: config.memory,
            held: 0,
            appended: 0,
            producers: 0,
            members: 0,
            partitions: config.partitions,
            auto_create: config.auto_create,
            port: i32::from(port),
            changed: false,
        }
    }

    /// Answers a request. `waited` says that it has waited as long as it may.
    pub(crate) fn handle(&mut self, now: i64, request: &mut Request, waited: bool) -> Answer {
        let (version, host, client) = (request.version, request.host.clone(), request.client.clone());
        let reply = match &mut request.body {
            RequestKind::ApiVersions(_) => versions::all(),
            RequestKind::Metadata(r) => ResponseKind::Metadata(self.metadata(r, version, &host)),
            RequestKind::FindCoordinator(r) => ResponseKind::FindCoordinator(self.find_coordinator(r, version, &host)),
            RequestKind::Produce(r) => {
                let response = self.produce(now, r);
                if r.acks == 0 {
                    return Answer::Nothing;
                }
                ResponseKind::Produce(response)
            }
            RequestKind::Fetch(r) => return self.fetch(now, r, waited),
            RequestKind::ListOffsets(r) => ResponseKind::ListOffsets(self.list_offsets(r)),
            RequestKind::InitProducerId(r) => ResponseKind::InitProducerId(self.init_producer_id(now, version, r)),
            RequestKind::AddPartitionsToTxn(r) => ResponseKind::AddPartitionsToTxn(self.add_partitions(now, r)),
            RequestKind::AddOffsetsToTxn(r) => ResponseKind::AddOffsetsToTxn(self.add_offsets(now, r)),
            RequestKind::TxnOffsetCommit(r) => ResponseKind::TxnOffsetCommit(self.txn_offset_commit(now, r)),
            RequestKind::EndTxn(r) => ResponseKind::EndTxn(self.end_txn(now, r)),
            RequestKind::CreateTopics(r) => ResponseKind::CreateTopics(self.create_topics(r)),
            RequestKind::DeleteTopics(r) => ResponseKind::DeleteTopics(self.delete_topics(r)),
            RequestKind::CreatePartitions(r) => ResponseKind::CreatePartitions(self.create_partitions(r)),
            RequestKind::DeleteRecords(r) => ResponseKind::DeleteRecords(self.delete_records(r)),
            RequestKind::DescribeConfigs(r) => ResponseKind::DescribeConfigs(self.describe_configs(r)),
            RequestKind::JoinGroup(r) => return self.join_group(now, r, version, &client, waited),
            RequestKind::SyncGroup(r) => return self.sync_group(now, r, waited),
            RequestKind::Heartbeat(r) => ResponseKind::Heartbeat(self.heartbeat(now, r)),
            RequestKind::LeaveGroup(r) => ResponseKind::LeaveGroup(self.leave_group(now, r, version)),
            RequestKind::OffsetCommit(r) => ResponseKind::OffsetCommit(self.offset_commit(now, r)),
            RequestKind::OffsetFetch(r) => ResponseKind::OffsetFetch(self.offset_fetch(r)),
            RequestKind::ListGroups(_) => ResponseKind::ListGroups(self.list_groups()),
            RequestKind::DescribeGroups(r) => ResponseKind::DescribeGroups(self.describe_groups(r)),
            // The server lets nothing else through.
            _ => return Answer::Nothing,
        };
        Answer::Reply(reply)
    }

    /// Does what only time brings about.
    pub(crate) fn tick(&mut self, now: i64) {
        for group in self.groups.values_mut() {
            self.changed |= group.expire(now);
        }
        self.expire_transactions(now);
    }

    /// Whether anything has changed that a waiting request may wait for.
    pub(crate) fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn log(&mut self, topic: &str, partition: i32) -> Option<&mut Log> {
        self.topics.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    fn make_topic(&mut self, name: &str, partitions: i32) {
        let partitions = (0..partitions).map(|_| Log::default()).collect();
        self.topics.insert(name.to_owned(), Topic { id: uuid::Uuid::new_v4(), partitions });
    }

    /// Lets the oldest batches go until what is held is within the bound.
    fn shrink(&mut self) {
        while self.held > self.memory {
            let logs = self.topics.values_mut().flat_map(|topic| topic.partitions.iter_mut());
            let Some(oldest) = logs.filter(|log| log.oldest().is_some()).min_by_key(|log| log.oldest()) else { return };
            self.held -= oldest.drop_oldest();
        }
    }
}
