//! Which requests are served, in which versions.

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiKey, ApiVersionsResponse, ResponseKind};

/// Kept below the versions that name topics by id instead of by name; metadata may be asked for by either.
const SERVED: &[(ApiKey, i16, i16)] = &[
    (ApiKey::Produce, 3, 9),
    (ApiKey::Fetch, 4, 12),
    (ApiKey::ListOffsets, 1, 6),
    (ApiKey::Metadata, 0, 12),
    (ApiKey::OffsetCommit, 2, 8),
    (ApiKey::OffsetFetch, 1, 7),
    (ApiKey::FindCoordinator, 0, 3),
    (ApiKey::JoinGroup, 2, 7),
    (ApiKey::Heartbeat, 0, 4),
    (ApiKey::LeaveGroup, 0, 4),
    (ApiKey::SyncGroup, 0, 5),
    (ApiKey::DescribeGroups, 0, 5),
    (ApiKey::ListGroups, 0, 4),
    (ApiKey::ApiVersions, 0, 3),
    (ApiKey::CreateTopics, 2, 6),
    (ApiKey::DeleteTopics, 1, 5),
    (ApiKey::DeleteRecords, 0, 2),
    (ApiKey::InitProducerId, 0, 4),
    // In these versions a replaced producer is told by its epoch alone.
    (ApiKey::AddPartitionsToTxn, 0, 1),
    (ApiKey::AddOffsetsToTxn, 0, 1),
    (ApiKey::EndTxn, 0, 1),
    (ApiKey::TxnOffsetCommit, 0, 3),
    (ApiKey::DescribeConfigs, 1, 4),
    (ApiKey::CreatePartitions, 0, 3),
];

/// The versions in which a request is served.
pub(crate) fn supported(api: ApiKey) -> Option<RangeInclusive<i16>> {
    SERVED.iter().find(|(served, _, _)| *served == api).map(|(api, min, max)| {
        let known = api.valid_versions();
        known.min.max(*min)..=known.max.min(*max)
    })
}

/// The reply that lists them.
pub(crate) fn all() -> ResponseKind {
    ResponseKind::ApiVersions(list())
}

/// The reply to a version of the question itself that is not served; a client then asks in one that is.
pub(crate) fn unsupported() -> ResponseKind {
    ResponseKind::ApiVersions(list().with_error_code(ResponseError::UnsupportedVersion.code()))
}

fn list() -> ApiVersionsResponse {
    let one = |(api, _, _): &(ApiKey, i16, i16)| {
        let range = supported(*api).unwrap_or(0..=0);
        ApiVersion::default().with_api_key(*api as i16).with_min_version(*range.start()).with_max_version(*range.end())
    };
    ApiVersionsResponse::default().with_api_keys(SERVED.iter().map(one).collect())
}
