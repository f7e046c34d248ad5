//! Records that are gone before they were read: what is told of them, and where a query goes on that was told to.

use engine::SourceError;

use super::options::{KafkaOptions, OnDataLoss};

/// Why the records behind a position are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Retention, or a person, deleted those from `at` up to `low`.
    Deleted { at: i64, low: i64 },
    /// The topic is another one of that name, or its log was cut: it was read up to `at`, and ends at `high`.
    MadeAgain { at: i64, high: i64 },
    /// The partition is no more.
    Gone { at: i64 },
}

impl Loss {
    /// Whether a position lies where records are, or will be, in a log that has those of `[low, high)`.
    pub(super) fn of(at: i64, low: i64, high: i64) -> Option<Loss> {
        match at {
            _ if at > high => Some(Loss::MadeAgain { at, high }),
            _ if at < low => Some(Loss::Deleted { at, low }),
            _ => None,
        }
    }

    /// What became of the records, in words.
    pub(super) fn in_words(self) -> String {
        match self {
            Loss::Deleted { at, low } => {
                format!("the {} records from here to offset {} were deleted before they were read", low - at, low - 1)
            }
            Loss::MadeAgain { high, .. } => format!("the topic of that name ends at offset {high} now"),
            Loss::Gone { .. } => "the partition is no more".to_owned(),
        }
    }

    /// The same with its place, as in `transactions [3] was read up to offset 7, and …`.
    pub(super) fn with_place(self, options: &KafkaOptions, partition: i32) -> String {
        let (Loss::Deleted { at, .. } | Loss::MadeAgain { at, .. } | Loss::Gone { at }) = self;
        format!("{} [{partition}] was read up to offset {at}, and {}", options.topic, self.in_words())
    }

    /// The error that ends a query, unless it is told to go on: then the source is opened anew, which finds the place.
    pub(super) fn error(self, options: &KafkaOptions, partition: i32) -> SourceError {
        let topic = &options.topic;
        let fact = match self {
            Loss::Deleted { .. } => format!("records of topic \"{topic}\" are gone before they were read"),
            Loss::MadeAgain { .. } | Loss::Gone { .. } => {
                format!("the topic \"{topic}\" is not the one that was read before")
            }
        };
        let hint = match self {
            Loss::Deleted { .. } => {
                "Let the topic keep its records for longer. To go on with what it has now, say .on_data_loss(OnDataLoss::Earliest) or Latest"
            }
            Loss::MadeAgain { .. } | Loss::Gone { .. } => {
                "It was deleted and made again: make the frame again to read it from its start, with another checkpoint; or say .on_data_loss(OnDataLoss::Earliest) or Latest, and the query goes on in the new one"
            }
        };
        let retry = options.on_data_loss != OnDataLoss::Fail;
        SourceError { fact, detail: self.with_place(options, partition), hint: hint.to_owned(), retry }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_names_topic_partition_and_offsets() {
        let options = KafkaOptions { topic: "t".to_owned(), ..KafkaOptions::default() };
        assert_eq!(Loss::of(5, 5, 9), None);
        assert_eq!(Loss::of(9, 5, 9), None);
        let deleted = Loss::of(2, 5, 9).map(|loss| loss.error(&options, 3).to_string()).unwrap_or_default();
        assert!(
            deleted.contains("t [3] was read up to offset 2, and the 3 records from here to offset 4"),
            "{deleted}"
        );
        let again = Loss::of(10, 0, 9).map(|loss| loss.error(&options, 0).to_string()).unwrap_or_default();
        assert!(again.contains("read up to offset 10") && again.contains("ends at offset 9"), "{again}");
    }
}
