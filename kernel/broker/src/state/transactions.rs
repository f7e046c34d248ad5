//! Transactions: what a transactional producer has written and committed becomes visible at once, or never. The
//! coordinator and the partitions are one state here, so a transaction ends in one step and is never half done.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};

use super::State;
use super::batch::Batch;

/// What is known of a transactional id.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    producer: i64,
    epoch: i16,
    timeout_ms: i64,
    /// When it is aborted if the producer does not end it; there is none that is open without it.
    until: Option<i64>,
    partitions: BTreeSet<(String, i32)>,
    /// Group, topic and partition to offset and metadata, as they will be.
    offsets: BTreeMap<(String, String, i32), (i64, String)>,
    /// How the last one ended, for a producer that has not heard it.
    committed: Option<bool>,
}

impl Transaction {
    fn begin(&mut self, now: i64) {
        self.until.get_or_insert(now + self.timeout_ms);
    }
}

impl State {
    pub(super) fn init_producer_id(
        &mut self,
        now: i64,
        version: i16,
        request: &InitProducerIdRequest,
    ) -> InitProducerIdResponse {
        let response = InitProducerIdResponse::default();
        let Some(id) = request.transactional_id.as_ref().map(|id| id.to_string()) else {
            self.producers += 1;
            return response.with_producer_id(ProducerId(self.producers)).with_producer_epoch(0);
        };
        if id.is_empty() || request.transaction_timeout_ms <= 0 {
            return response.with_error_code(ResponseError::InvalidRequest.code());
        }
        // A producer that asks for its next epoch says which it has (KIP-360); it may be one that was replaced.
        let asked = (request.producer_id.0, request.producer_epoch);
        if asked.0 >= 0 && self.transactions.get(&id).is_some_and(|known| (known.producer, known.epoch) != asked) {
            let error = if version >= 4 { ResponseError::ProducerFenced } else { ResponseError::InvalidProducerEpoch };
            return response.with_error_code(error.code());
        }
        self.end_transaction(now, &id, false);
        let known = self.transactions.entry(id).or_default();
        known.timeout_ms = i64::from(request.transaction_timeout_ms);
        known.committed = None;
        if known.producer == 0 || known.epoch == i16::MAX {
            self.producers += 1;
            (known.producer, known.epoch) = (self.producers, 0);
        } else {
            known.epoch += 1;
        }
        response.with_producer_id(ProducerId(known.producer)).with_producer_epoch(known.epoch)
    }

    pub(super) fn add_partitions(
        &mut self,
        now: i64,
        request: &AddPartitionsToTxnRequest,
    ) -> AddPartitionsToTxnResponse {
        let topics = &request.v3_and_below_topics;
        let places = topics
            .iter()
            .flat_map(|topic| topic.partitions.iter().map(|partition| (topic.name.to_string(), *partition)))
            .collect::<BTreeSet<_>>();
        let missing: BTreeSet<_> =
            places.iter().filter(|(topic, partition)| self.log(topic, *partition).is_none()).cloned().collect();
        let (id, producer) = (request.v3_and_below_transactional_id.as_str(), request.v3_and_below_producer_id);
        let refused = match self.transaction(id, producer, request.v3_and_below_producer_epoch) {
            Err(error) => Some(error),
            // All or none: those that are there are told that nothing was done for them.
            Ok(_) if !missing.is_empty() => Some(ResponseError::OperationNotAttempted),
            Ok(transaction) => {
                transaction.begin(now);
                transaction.partitions.extend(places);
                None
            }
        };
        let results = topics.iter().map(|topic| {
            let result = |partition: &i32| {
                let absent = missing.contains(&(topic.name.to_string(), *partition));
                let error = if absent { Some(ResponseError::UnknownTopicOrPartition) } else { refused };
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(*partition)
                    .with_partition_error_code(error.map_or(0, |error| error.code()))
            };
            AddPartitionsToTxnTopicResult::default()
                .with_name(topic.name.clone())
                .with_results_by_partition(topic.partitions.iter().map(result).collect())
        });
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(results.collect())
    }

    pub(super) fn add_offsets(&mut self, now: i64, request: &AddOffsetsToTxnRequest) -> AddOffsetsToTxnResponse {
        let found = self.transaction(request.transactional_id.as_str(), request.producer_id, request.producer_epoch);
        let error = found.map(|transaction| transaction.begin(now)).err();
        AddOffsetsToTxnResponse::default().with_error_code(error.map_or(0, |error| error.code()))
    }

    pub(super) fn txn_offset_commit(&mut self, now: i64, request: &TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
        let refused = self.keep_offsets(now, request).err().map_or(0, |error| error.code());
        let topics = request.topics.iter().map(|topic| {
            let result = |index: i32| {
                TxnOffsetCommitResponsePartition::default().with_partition_index(index).with_error_code(refused)
            };
            TxnOffsetCommitResponseTopic::default()
                .with_name(topic.name.clone())
                .with_partitions(topic.partitions.iter().map(|wanted| result(wanted.partition_index)).collect())
        });
        TxnOffsetCommitResponse::default().with_topics(topics.collect())
    }

    fn keep_offsets(&mut self, now: i64, request: &TxnOffsetCommitRequest) -> Result<(), ResponseError> {
        // A producer without a consumer that is a member says so with a negative generation.
        if request.generation_id >= 0 {
            let group = self.groups.entry(request.group_id.to_string()).or_default();
            group.may_commit(now, request.member_id.as_str(), request.generation_id)?;
        }
        let transaction =
            self.transaction(request.transactional_id.as_str(), request.producer_id, request.producer_epoch)?;
        if transaction.until.is_none() {
            return Err(ResponseError::InvalidTxnState);
        }
        for topic in &request.topics {
            for wanted in &topic.partitions {
                let place = (request.group_id.to_string(), topic.name.to_string(), wanted.partition_index);
                let metadata = wanted.committed_metadata.as_ref().map(|m| m.to_string()).unwrap_or_default();
                transaction.offsets.insert(place, (wanted.committed_offset, metadata));
            }
        }
        Ok(())
    }

    pub(super) fn end_txn(&mut self, now: i64, request: &EndTxnRequest) -> EndTxnResponse {
        let id = request.transactional_id.as_str();
        let error = match self.transaction(id, request.producer_id, request.producer_epoch) {
            Err(error) => Some(error),
            Ok(transaction) if transaction.until.is_some() => {
                self.end_transaction(now, id, request.committed);
                None
            }
            // Asked again, because the answer was lost.
            Ok(transaction) if transaction.committed == Some(request.committed) => None,
            Ok(_) => Some(ResponseError::InvalidTxnState),
        };
        EndTxnResponse::default().with_error_code(error.map_or(0, |error| error.code()))
    }

    /// Aborts the transactions whose time is up; their producers are replaced by nobody, and may not go on.
    pub(super) fn expire_transactions(&mut self, now: i64) {
        let over = |(id, known): (&String, &Transaction)| known.until.filter(|until| *until <= now).map(|_| id.clone());
        for id in self.transactions.iter().filter_map(over).collect::<Vec<_>>() {
            self.end_transaction(now, &id, false);
            if let Some(known) = self.transactions.get_mut(&id) {
                known.epoch = known.epoch.saturating_add(1);
            }
        }
    }

    /// Whether a batch may be written to a partition now.
    pub(super) fn may_append(&self, topic: &str, partition: i32, batch: &Batch) -> Result<(), ResponseError> {
        if batch.control {
            return Err(ResponseError::InvalidRecord);
        }
        let known = self.transactions.values().find(|known| batch.producer >= 0 && known.producer == batch.producer);
        match known {
            None if batch.transactional => Err(ResponseError::InvalidProducerIdMapping),
            None => Ok(()),
            Some(known) if known.epoch != batch.epoch => Err(ResponseError::InvalidProducerEpoch),
            Some(known) if batch.transactional && known.partitions.contains(&(topic.to_owned(), partition)) => Ok(()),
            Some(_) => Err(ResponseError::InvalidTxnState),
        }
    }

    /// Whether an open transaction is about to change what a group has committed.
    pub(super) fn is_unstable(&self, group: &str, topic: &str, partition: i32) -> bool {
        let place = (group.to_owned(), topic.to_owned(), partition);
        self.transactions.values().any(|known| known.offsets.contains_key(&place))
    }

    /// The transaction of a producer that is the newest with its id.
    fn transaction(&mut self, id: &str, producer: ProducerId, epoch: i16) -> Result<&mut Transaction, ResponseError> {
        let known = self.transactions.get_mut(id).filter(|known| known.producer == producer.0);
        let known = known.ok_or(ResponseError::InvalidProducerIdMapping)?;
        if known.epoch == epoch { Ok(known) } else { Err(ResponseError::InvalidProducerEpoch) }
    }

    /// Ends the transaction that is open, if there is one: a marker in each of its partitions, and the groups' offsets.
    fn end_transaction(&mut self, now: i64, id: &str, committed: bool) {
        let Some(known) = self.transactions.get_mut(id).filter(|known| known.until.is_some()) else { return };
        (known.until, known.committed) = (None, Some(committed));
        let (producer, epoch) = (known.producer, known.epoch);
        let marker = Batch::marker(producer, epoch, committed, now);
        let (partitions, offsets) = (std::mem::take(&mut known.partitions), std::mem::take(&mut known.offsets));
        for (topic, partition) in partitions {
            let number = self.appended + 1;
            // A topic that was deleted meanwhile needs no marker.
            let Some(log) = self.log(&topic, partition) else { continue };
            let size = log.end_transaction(marker.clone(), committed, number);
            self.appended = number;
            self.held += size;
        }
        if committed {
            for ((group, topic, partition), offset) in offsets {
                self.groups.entry(group).or_default().offsets.insert((topic, partition), offset);
            }
        }
        self.changed = true;
        self.shrink();
    }
}
