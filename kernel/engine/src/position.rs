//! Positions in a log: which partition of which topic, and the offset of the record that is read next. A topic that was deleted and
//! made again has the name of the old one and another id, so that no position of the one is taken for one of the other.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use polars::prelude::PlSmallStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The id that a broker gives a topic when it makes it (KIP-516); written as Kafka writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub [u8; 16]);

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TopicId {
    /// The id of this text; None where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<TopicId> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(TopicId)
    }
}

/// A partition of a topic, as a query reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Which of the query's scans reads it: two of them may read the same topic from different places.
    pub scan: u32,
    /// The topic's name.
    pub topic: PlSmallStr,
    /// The topic's id, where the broker gives one.
    pub topic_id: Option<TopicId>,
    /// The partition's number.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic without an id, of a query's only scan.
    #[must_use]
    pub fn new(topic: &str, partition: i32) -> TopicPartition {
        TopicPartition { scan: 0, topic: topic.into(), topic_id: None, partition }
    }
}

/// A partition of a log that has no topics.
impl From<i32> for TopicPartition {
    fn from(partition: i32) -> TopicPartition {
        TopicPartition::new("", partition)
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.topic, self.partition)
    }
}

/// A position in a partitioned log: for each partition the offset of the next record to read. A connector that reads one topic may
/// know its partitions by their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets<P: Ord = TopicPartition>(pub BTreeMap<P, i64>);

impl<P: Ord> Default for Offsets<P> {
    fn default() -> Offsets<P> {
        Offsets(BTreeMap::new())
    }
}

impl<P: Ord, A: Into<P>> FromIterator<(A, i64)> for Offsets<P> {
    fn from_iter<T: IntoIterator<Item = (A, i64)>>(offsets: T) -> Offsets<P> {
        Offsets(offsets.into_iter().map(|(partition, at)| (partition.into(), at)).collect())
    }
}

impl<P: Ord, A: Into<P>, const N: usize> From<[(A, i64); N]> for Offsets<P> {
    fn from(offsets: [(A, i64); N]) -> Offsets<P> {
        offsets.into_iter().collect()
    }
}

impl<P: Ord + Clone> Offsets<P> {
    /// Records between `self` and `to`, counted as offsets (gaps in the log count too), in the partitions that both have.
    #[must_use]
    pub fn distance_to(&self, to: &Offsets<P>) -> u64 {
        self.0.iter().filter_map(|(partition, at)| Some((to.0.get(partition)? - at).max(0).unsigned_abs())).sum()
    }

    /// Whether any partition is further here than in `from`.
    #[must_use]
    pub fn is_beyond(&self, from: &Offsets<P>) -> bool {
        from.distance_to(self) > 0
    }

    /// The offsets of the partitions that `of` has.
    #[must_use]
    pub fn only(&self, of: &Offsets<P>) -> Offsets<P> {
        self.0.iter().filter(|(partition, _)| of.0.contains_key(partition)).map(|(p, at)| (p.clone(), *at)).collect()
    }

    /// As far as these, but not past `end`; a partition that is not in `end` stays at `from`.
    #[must_use]
    pub fn up_to(&self, from: &Offsets<P>, end: &Offsets<P>) -> Offsets<P> {
        let bounded = |(partition, at): (&P, &i64)| {
            let first = from.0.get(partition).copied();
            let last = end.0.get(partition).copied().or(first).unwrap_or(*at);
            (partition.clone(), (*at).min(last).max(first.unwrap_or(0)))
        };
        self.0.iter().map(bounded).collect()
    }

    /// As far from here as about `max_rows` rows go, shared out so that no partition starves another. `reach` is asked of a
    /// partition, from where, and with how many rows; a partition that it says nothing of stays where it is.
    #[must_use]
    pub fn shared_out(&self, max_rows: usize, mut reach: impl FnMut(&P, i64, usize) -> Option<Reach>) -> Offsets<P> {
        let (mut to, mut left) = (self.clone(), max_rows);
        let mut open: Vec<&P> = self.0.keys().collect();
        while left > 0 && !open.is_empty() {
            let share = (left / open.len()).max(1);
            open.retain(|partition| {
                let Some(at) = to.0.get_mut(*partition) else { return false };
                let Some(reach) = reach(partition, *at, share.min(left)) else { return false };
                let goes_on = reach.more && reach.to > *at;
                *at = reach.to;
                left = left.saturating_sub(reach.rows);
                goes_on && left > 0
            });
        }
        to
    }
}

/// How far some rows of a partition go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The offset behind them.
    pub to: i64,
    /// How many they are.
    pub rows: usize,
    /// Whether others lie behind them.
    pub more: bool,
}

/// What is written of the partitions of one topic, each with a value.
#[derive(Serialize, Deserialize)]
struct OffsetsText<V> {
    #[serde(default, skip_serializing_if = "is_first")]
    scan: u32,
    topic: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    partitions: BTreeMap<i32, V>,
}

fn is_first(scan: &u32) -> bool {
    *scan == 0
}

/// Writes a value for each partition as a list with an entry for each topic; for `#[serde(with = "…")]`.
pub(crate) mod by_topic {
    use super::*;

    pub(crate) fn serialize<V: Serialize + Clone, S: Serializer>(
        values: &BTreeMap<TopicPartition, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut topics: Vec<OffsetsText<V>> = Vec::new();
        for (at, value) in values {
            let id = at.topic_id.map(|id| id.to_string());
            match topics
                .last_mut()
                .filter(|last| (last.scan, last.topic.as_str(), &last.id) == (at.scan, &at.topic, &id))
            {
                Some(last) => drop(last.partitions.insert(at.partition, value.clone())),
                None => {
                    let partitions = [(at.partition, value.clone())].into();
                    topics.push(OffsetsText { scan: at.scan, topic: at.topic.to_string(), id, partitions });
                }
            }
        }
        topics.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, V: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<TopicPartition, V>, D::Error> {
        let topics: Vec<OffsetsText<V>> = Vec::deserialize(deserializer)?;
        let mut values = BTreeMap::new();
        for OffsetsText { scan, topic, id, partitions } in topics {
            let topic_id = match id {
                Some(text) => Some(
                    TopicId::parse(&text)
                        .ok_or_else(|| serde::de::Error::custom(format!("\"{text}\" is no id of a topic")))?,
                ),
                None => None,
            };
            let at = |partition| TopicPartition { scan, topic: topic.as_str().into(), topic_id, partition };
            values.extend(partitions.into_iter().map(|(partition, value)| (at(partition), value)));
        }
        Ok(values)
    }
}

impl Serialize for Offsets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        by_topic::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Offsets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Offsets, D::Error> {
        by_topic::deserialize(deserializer).map(Offsets)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn offsets_are_written_by_topic_and_read_again() {
        let id = TopicId(*b"0123456789abcdef");
        let at =
            |scan, topic: &str, topic_id, partition| TopicPartition { scan, topic: topic.into(), topic_id, partition };
        let offsets: Offsets = Offsets::from_iter([
            (at(0, "a", Some(id), 0), 5),
            (at(0, "a", Some(id), 11), 7),
            (at(0, "a", None, 0), 1),
            (at(1, "a", Some(id), 0), 3),
        ]);
        let text = serde_json::to_string(&offsets).unwrap();
        assert_eq!(
            text,
            r#"[{"topic":"a","partitions":{"0":1}},{"topic":"a","id":"MDEyMzQ1Njc4OWFiY2RlZg","partitions":{"0":5,"11":7}},{"scan":1,"topic":"a","id":"MDEyMzQ1Njc4OWFiY2RlZg","partitions":{"0":3}}]"#
        );
        assert_eq!(serde_json::from_str::<Offsets>(&text).unwrap(), offsets);
        let wrong = serde_json::from_str::<Offsets>(r#"[{"topic":"a","id":"?","partitions":{}}]"#);
        assert!(wrong.unwrap_err().to_string().contains("\"?\" is no id of a topic"));
    }

    #[test]
    fn a_partition_that_only_one_of_two_positions_has_is_no_distance() {
        let at = |partition| TopicPartition::new("t", partition);
        let from: Offsets = Offsets::from_iter([(at(0), 2)]);
        let to: Offsets = Offsets::from_iter([(at(0), 5), (at(1), 100)]);
        assert_eq!((from.distance_to(&to), to.distance_to(&from)), (3, 0));
        assert_eq!(to.only(&from), Offsets::from_iter([(at(0), 5)]));
    }
}
