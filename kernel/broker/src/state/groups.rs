//! What members of groups ask.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    DescribeGroupsRequest, DescribeGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsResponse, ResponseKind, SyncGroupRequest,
    SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::group::{Group, Member, Phase};
use super::metadata::text;
use super::{Answer, State};

impl State {
    pub(super) fn join_group(
        &mut self,
        now: i64,
        request: &mut JoinGroupRequest,
        version: i16,
        client: &str,
        waited: bool,
    ) -> Answer {
        let refuse = |error: ResponseError, member: StrBytes| {
            let response = JoinGroupResponse::default()
                .with_error_code(error.code())
                .with_generation_id(-1)
                .with_member_id(member);
            // A version 7 reply may leave it out, an older one not.
            Answer::Reply(ResponseKind::JoinGroup(response.with_protocol_name(Some(StrBytes::new()))))
        };
        if request.group_id.is_empty() {
            return refuse(ResponseError::InvalidGroupId, request.member_id.clone());
        }
        let newcomer = request.member_id.is_empty();
        if newcomer {
            self.members += 1;
            request.member_id = text(&format!("{client}-{}", uuid::Uuid::new_v4()));
            if version >= 4 {
                return refuse(ResponseError::MemberIdRequired, request.member_id.clone());
            }
        }
        let group = self.groups.entry(request.group_id.to_string()).or_default();
        let id = request.member_id.to_string();
        let protocols: Vec<(String, Bytes)> =
            request.protocols.iter().map(|p| (p.name.to_string(), p.metadata.clone())).collect();
        let known = group.members.contains_key(&id);
        if !known && !group.accepts(request.protocol_type.as_str(), &protocols) {
            return refuse(ResponseError::InconsistentGroupProtocol, request.member_id.clone());
        }
        let joining = known
            && matches!(group.phase, Phase::Joining { .. })
            && group.members.get(&id).is_some_and(|member| member.joined);
        // Asked again while it waits, the member has joined; once the round is over, it is told.
        let told = known
            && group.members.get(&id).is_some_and(|member| member.joined)
            && group.phase == Phase::Assigning
            && waited_before(request);
        if !joining && !told {
            group.begin_round(now);
            group.protocol_type = request.protocol_type.to_string();
            let member = Member {
                client: client.to_owned(),
                protocols,
                joined: true,
                assignment: Bytes::new(),
                session_ms: i64::from(request.session_timeout_ms),
                rebalance_ms: i64::from(request.rebalance_timeout_ms.max(request.session_timeout_ms)),
                seen: now,
            };
            group.members.insert(id.clone(), member);
            mark_waiting(request);
            self.changed = true;
        }
        group.end_joining(if waited { i64::MAX } else { now });
        if matches!(group.phase, Phase::Joining { .. }) {
            let Phase::Joining { until } = group.phase else { return Answer::Nothing };
            return Answer::Wait { until };
        }
        self.changed = true;
        match group.members.get_mut(&id) {
            Some(member) => member.seen = now,
            None => return refuse(ResponseError::UnknownMemberId, request.member_id.clone()),
        }
        Answer::Reply(ResponseKind::JoinGroup(joined(group, &id)))
    }

    pub(super) fn sync_group(&mut self, now: i64, request: &SyncGroupRequest, waited: bool) -> Answer {
        let reply = |response: SyncGroupResponse| Answer::Reply(ResponseKind::SyncGroup(response));
        let refuse = |error: ResponseError| reply(SyncGroupResponse::default().with_error_code(error.code()));
        let Some(group) = self.groups.get_mut(request.group_id.as_str()) else {
            return refuse(ResponseError::UnknownMemberId);
        };
        if let Err(error) = group.hear(now, request.member_id.as_str(), request.generation_id) {
            return refuse(error);
        }
        if group.phase == Phase::Assigning && group.leader == request.member_id.as_str() {
            for given in &request.assignments {
                if let Some(member) = group.members.get_mut(given.member_id.as_str()) {
                    member.assignment = given.assignment.clone();
                }
            }
            group.phase = Phase::Stable;
            self.changed = true;
        }
        match group.phase {
            Phase::Stable => {
                let assignment = group
                    .members
                    .get(request.member_id.as_str())
                    .map(|member| member.assignment.clone())
                    .unwrap_or_default();
                let response = SyncGroupResponse::default().with_assignment(assignment);
                reply(
                    response
                        .with_protocol_type(Some(text(&group.protocol_type)))
                        .with_protocol_name(Some(text(&group.protocol))),
                )
            }
            Phase::Assigning if !waited => Answer::Wait { until: now + 30_000 },
            _ => refuse(ResponseError::RebalanceInProgress),
        }
    }

    pub(super) fn heartbeat(&mut self, now: i64, request: &HeartbeatRequest) -> HeartbeatResponse {
        let group = self.groups.entry(request.group_id.to_string()).or_default();
        let heard = group.hear(now, request.member_id.as_str(), request.generation_id);
        let error = match heard {
            Err(error) => error.code(),
            Ok(()) if matches!(group.phase, Phase::Joining { .. }) => ResponseError::RebalanceInProgress.code(),
            Ok(()) => 0,
        };
        HeartbeatResponse::default().with_error_code(error)
    }

    pub(super) fn leave_group(&mut self, now: i64, request: &LeaveGroupRequest, version: i16) -> LeaveGroupResponse {
        let leaving: Vec<StrBytes> = if version >= 3 {
            request.members.iter().map(|m| m.member_id.clone()).collect()
        } else {
            vec![request.member_id.clone()]
        };
        let mut members = Vec::with_capacity(leaving.len());
        let mut first_error = 0;
        for id in leaving {
            let removed = self.groups.get_mut(request.group_id.as_str()).and_then(|group| {
                let removed = group.members.remove(id.as_str());
                if removed.is_some() {
                    group.after_loss(now);
                }
                removed
            });
            let error = if removed.is_some() { 0 } else { ResponseError::UnknownMemberId.code() };
            first_error = if first_error == 0 { error } else { first_error };
            members.push(MemberResponse::default().with_member_id(id).with_error_code(error));
        }
        self.changed = true;
        let response = LeaveGroupResponse::default();
        if version >= 3 { response.with_members(members) } else { response.with_error_code(first_error) }
    }

    pub(super) fn list_groups(&self) -> ListGroupsResponse {
        let listed = |(id, group): (&String, &Group)| {
            ListedGroup::default()
                .with_group_id(GroupId(text(id)))
                .with_protocol_type(text(&group.protocol_type))
                .with_group_state(text(group.phase_name()))
        };
        ListGroupsResponse::default().with_groups(self.groups.iter().map(listed).collect())
    }

    pub(super) fn describe_groups(&self, request: &DescribeGroupsRequest) -> DescribeGroupsResponse {
        let described = request.groups.iter().map(|id| {
            let described = DescribedGroup::default().with_group_id(id.clone());
            let Some(group) = self.groups.get(id.as_str()) else { return described.with_group_state(text("Dead")) };
            let members = group.members.iter().map(|(member_id, member)| {
                DescribedGroupMember::default()
                    .with_member_id(text(member_id))
                    .with_client_id(text(&member.client))
                    .with_member_assignment(member.assignment.clone())
            });
            described
                .with_group_state(text(group.phase_name()))
                .with_protocol_type(text(&group.protocol_type))
                .with_protocol_data(text(&group.protocol))
                .with_members(members.collect())
        });
        DescribeGroupsResponse::default().with_groups(described.collect())
    }
}

fn joined(group: &Group, id: &str) -> JoinGroupResponse {
    let is_leader = group.leader == id;
    let said = |member: &Member| {
        member
            .protocols
            .iter()
            .find(|(name, _)| *name == group.protocol)
            .map(|(_, said)| said.clone())
            .unwrap_or_default()
    };
    let members = group
        .members
        .iter()
        .map(|(id, member)| JoinGroupResponseMember::default().with_member_id(text(id)).with_metadata(said(member)));
    JoinGroupResponse::default()
        .with_generation_id(group.generation)
        .with_protocol_type(Some(text(&group.protocol_type)))
        .with_protocol_name(Some(text(&group.protocol)))
        .with_leader(text(&group.leader))
        .with_member_id(text(id))
        .with_members(if is_leader { members.collect() } else { Vec::new() })
}

/// A request that was asked before has this in its reason, which nobody else reads.
const WAITING: &str = "\u{0}waiting";

fn mark_waiting(request: &mut JoinGroupRequest) {
    request.reason = Some(StrBytes::from_static_str(WAITING));
}

fn waited_before(request: &JoinGroupRequest) -> bool {
    request.reason.as_ref().is_some_and(|reason| reason.as_str() == WAITING)
}
