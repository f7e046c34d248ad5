//! A cell's output: one thing in several MIME types, and the metadata that says what it shows. Plain data.

use engine::Status;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::numbers::utc;

/// A live view, or its last state: what the labextension draws.
pub const LIVE_MIME: &str = "application/vnd.corriente.live+json";
/// What everything without the labextension shows; inline styles only.
pub const HTML_MIME: &str = "text/html";
/// What a terminal shows.
pub const TEXT_MIME: &str = "text/plain";

/// One output in several MIME types.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// MIME type to content.
    pub data: Map<String, Value>,
    /// The output's metadata; ours is under `corriente`.
    pub metadata: Map<String, Value>,
}

impl Bundle {
    /// A bundle of `text/plain` and `text/html`.
    #[must_use]
    pub fn of(text: String, html: String) -> Bundle {
        let mut data = Map::new();
        data.insert(TEXT_MIME.to_owned(), Value::String(text));
        data.insert(HTML_MIME.to_owned(), Value::String(html));
        Bundle { data, metadata: Map::new() }
    }

    /// How large it is, in bytes of JSON.
    pub(crate) fn bytes(&self) -> usize {
        serde_json::to_string(self).map_or(0, |text| text.len())
    }

    /// Adds what the labextension draws.
    pub(crate) fn with_live(mut self, live: Value) -> Bundle {
        self.data.insert(LIVE_MIME.to_owned(), live);
        self
    }

    /// Adds where the rows come from, so that who opens a shared notebook can see what it shows and a replay can
    /// check it.
    pub(crate) fn with_provenance(mut self, status: &Status, taken_ms: i64) -> Bundle {
        self.metadata.insert("corriente".to_owned(), provenance(status, taken_ms));
        self
    }
}

fn provenance(status: &Status, taken_ms: i64) -> Value {
    let (mut offsets, mut ids) = (Map::new(), Map::new());
    for (at, (from, to)) in &status.offsets {
        // A query may read a topic twice, from two places.
        let name = if at.scan == 0 { at.topic.to_string() } else { format!("{}#{}", at.topic, at.scan) };
        let ranges = offsets.entry(name).or_insert_with(|| json!({}));
        ranges[at.partition.to_string()] = json!([from, to]);
        if let Some(id) = at.topic_id {
            ids.insert(at.topic.to_string(), json!(id.to_string()));
        }
    }
    json!({
        "query": status.name,
        "fingerprint": status.fingerprint,
        "offsets": offsets,
        "topic_ids": ids,
        "watermark": status.watermark_ms.map(utc),
        "rows": status.rows,
        "rows_read": status.rows_read,
        "late_rows": status.late_rows,
        "dead_letters": status.dead_letters,
        "time": utc(taken_ms),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use engine::{TopicId, TopicPartition};

    use super::*;

    #[test]
    fn the_metadata_names_offsets_by_topic_and_partition() {
        let at = |partition| TopicPartition {
            topic_id: Some(TopicId([0; 16])),
            ..TopicPartition::new("transactions", partition)
        };
        let again = TopicPartition { scan: 1, ..at(3) };
        let status = Status {
            offsets: [(at(0), (5, 9)), (at(3), (0, 2)), (again, (1, 2))].into(),
            watermark_ms: Some(1_700_000_000_000),
            ..Status::default()
        };
        let bundle = Bundle::of(String::new(), String::new()).with_provenance(&status, 0);
        let kept = &bundle.metadata["corriente"];
        assert_eq!(kept["offsets"]["transactions"]["3"], json!([0, 2]));
        assert_eq!(kept["offsets"]["transactions#1"]["3"], json!([1, 2]));
        assert_eq!(kept["topic_ids"]["transactions"], "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(kept["watermark"], "2023-11-14T22:13:20.000Z");
        assert_eq!(kept["time"], "1970-01-01T00:00:00.000Z");
    }
}
