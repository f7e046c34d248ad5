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
    let ranges: Map<String, Value> =
        status.offsets.iter().map(|(partition, (from, to))| (partition.to_string(), json!([from, to]))).collect();
    let mut offsets = Map::new();
    if let Some(topic) = &status.topic {
        offsets.insert(topic.clone(), Value::Object(ranges));
    }
    json!({
        "query": status.name,
        "fingerprint": status.fingerprint,
        "offsets": offsets,
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
    use super::*;

    #[test]
    fn the_metadata_names_offsets_by_topic_and_partition() {
        let status = Status {
            topic: Some("transactions".to_owned()),
            offsets: [(0, (5, 9)), (3, (0, 2))].into(),
            watermark_ms: Some(1_700_000_000_000),
            ..Status::default()
        };
        let bundle = Bundle::of(String::new(), String::new()).with_provenance(&status, 0);
        let kept = &bundle.metadata["corriente"];
        assert_eq!(kept["offsets"]["transactions"]["3"], json!([0, 2]));
        assert_eq!(kept["watermark"], "2023-11-14T22:13:20.000Z");
        assert_eq!(kept["time"], "1970-01-01T00:00:00.000Z");
    }
}
