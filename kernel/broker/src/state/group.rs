//! One consumer group: its members, its round, and what it has committed. The rounds are those of Kafka's classic
//! protocol: all join, the leader assigns, all are told.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;

/// A group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    pub(crate) members: BTreeMap<String, Member>,
    pub(crate) phase: Phase,
    /// Topic and partition to offset and metadata.
    pub(crate) offsets: BTreeMap<(String, i32), (i64, String)>,
}

/// Where a group is in its round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Empty,
    /// Members join, until all have or this time.
    Joining {
        until: i64,
    },
    /// The leader assigns.
    Assigning,
    Stable,
}

/// A member.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) client: String,
    /// Ways to assign that it knows, with what it says to the leader.
    pub(crate) protocols: Vec<(String, Bytes)>,
    pub(crate) joined: bool,
    pub(crate) assignment: Bytes,
    pub(crate) session_ms: i64,
    pub(crate) rebalance_ms: i64,
    pub(crate) seen: i64,
}

impl Group {
    /// A new round begins; those who are in the group are to join it.
    pub(crate) fn begin_round(&mut self, now: i64) {
        if matches!(self.phase, Phase::Joining { .. }) {
            return;
        }
        self.members.values_mut().for_each(|member| member.joined = false);
        let wait = self.members.values().map(|member| member.rebalance_ms).max().unwrap_or(0);
        self.phase = Phase::Joining { until: now + wait };
    }

    /// Ends the joining when all have joined or the time is up; says whether it has ended.
    pub(crate) fn end_joining(&mut self, now: i64) -> bool {
        let Phase::Joining { until } = self.phase else { return false };
        if !self.members.values().all(|member| member.joined) && now < until {
            return false;
        }
        self.members.retain(|_, member| member.joined);
        if self.members.is_empty() {
            self.phase = Phase::Empty;
            return true;
        }
        self.generation += 1;
        if !self.members.contains_key(&self.leader) {
            self.leader = self.members.keys().next().cloned().unwrap_or_default();
        }
        self.protocol = self.common_protocol().unwrap_or_default();
        self.members.values_mut().for_each(|member| member.assignment = Bytes::new());
        self.phase = Phase::Assigning;
        true
    }

    /// The first way to assign, by the leader's taste, that every member knows.
    fn common_protocol(&self) -> Option<String> {
        let knows = |member: &Member, name: &str| member.protocols.iter().any(|(known, _)| known == name);
        let leader = self.members.get(&self.leader)?;
        leader
            .protocols
            .iter()
            .map(|(name, _)| name)
            .find(|name| self.members.values().all(|member| knows(member, name)))
            .cloned()
    }

    /// Whether a newcomer knows a way to assign that the others know.
    pub(crate) fn accepts(&self, protocol_type: &str, protocols: &[(String, Bytes)]) -> bool {
        let common =
            |name: &String| self.members.values().all(|member| member.protocols.iter().any(|(known, _)| known == name));
        self.members.is_empty()
            || (self.protocol_type == protocol_type && protocols.iter().any(|(name, _)| common(name)))
    }

    /// Removes members that were silent for too long; says whether anything changed.
    pub(crate) fn expire(&mut self, now: i64) -> bool {
        let before = self.members.len();
        let waits = |member: &Member, phase: Phase| matches!(phase, Phase::Joining { .. }) && member.joined;
        let phase = self.phase;
        self.members.retain(|_, member| waits(member, phase) || now - member.seen <= member.session_ms);
        let lost = self.members.len() != before;
        if lost {
            self.after_loss(now);
        }
        let over = matches!(self.phase, Phase::Joining { until } if now >= until);
        lost || over
    }

    /// A member is gone.
    pub(crate) fn after_loss(&mut self, now: i64) {
        if self.members.is_empty() {
            self.phase = Phase::Empty;
        } else {
            self.begin_round(now);
        }
    }

    /// Hears from a member of the current generation.
    pub(crate) fn hear(&mut self, now: i64, member: &str, generation: i32) -> Result<(), ResponseError> {
        let known = self.members.get_mut(member).ok_or(ResponseError::UnknownMemberId)?;
        known.seen = now;
        if generation != self.generation {
            return Err(ResponseError::IllegalGeneration);
        }
        Ok(())
    }

    /// Whether a commit counts: from a member of this generation, or from outside when the group has no members.
    pub(crate) fn may_commit(&mut self, now: i64, member: &str, generation: i32) -> Result<(), ResponseError> {
        if generation < 0 && member.is_empty() {
            return if self.members.is_empty() { Ok(()) } else { Err(ResponseError::UnknownMemberId) };
        }
        self.hear(now, member, generation)
    }

    /// The phase by Kafka's name.
    pub(crate) fn phase_name(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::Joining { .. } => "PreparingRebalance",
            Phase::Assigning => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }
}
