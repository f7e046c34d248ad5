//! What the reader of a topic should know of its records, beside the dead letters: fields that the sample did not have, and whole
//! numbers that turned out to be none. Written by the fetching thread, read by the engine's.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::format::Malformed;

/// What was noticed of a topic whose columns were told from a sample.
#[derive(Default)]
pub(super) struct Notices(Mutex<BTreeMap<(Kind, String), Seen>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// A field that no column is for.
    NewField,
    /// A number with a fraction in a column of whole numbers.
    Fraction,
}

/// How often, and where first.
struct Seen {
    count: u64,
    first: (i32, i64),
    /// Up to where it is counted, by partition: a record that is read again is not counted again.
    counted: BTreeMap<i32, i64>,
    /// The most decimals there were.
    decimals: usize,
}

/// A field has so many names at the most, or they say nothing any more.
const MOST_FIELDS: usize = 100;

impl Notices {
    /// A record had a field that the sample did not have.
    pub(super) fn new_field(&self, field: &str, partition: i32, offset: i64) {
        self.note(Kind::NewField, field, (partition, offset), 0);
    }

    /// A record could not be decoded.
    pub(super) fn malformed(&self, error: &Malformed, partition: i32, offset: i64) {
        if let Malformed::WrongType { field, decimals: Some(decimals), .. } = error {
            self.note(Kind::Fraction, field, (partition, offset), *decimals);
        }
    }

    fn note(&self, kind: Kind, field: &str, (partition, offset): (i32, i64), decimals: usize) {
        let mut all = self.all();
        let full = all.len() >= MOST_FIELDS;
        let seen = match all.get_mut(&(kind, field.to_owned())) {
            Some(seen) => seen,
            None if full => return,
            None => {
                let seen = Seen { count: 0, first: (partition, offset), counted: BTreeMap::new(), decimals: 0 };
                all.entry((kind, field.to_owned())).or_insert(seen)
            }
        };
        let counted = seen.counted.entry(partition).or_insert(-1);
        if offset > *counted {
            *counted = offset;
            seen.count += 1;
            seen.decimals = seen.decimals.max(decimals);
        }
    }

    /// A sentence each.
    pub(super) fn told(&self) -> Vec<String> {
        self.all().iter().map(|((kind, field), seen)| seen.told(*kind, field)).collect()
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<(Kind, String), Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn told(&self, kind: Kind, field: &str) -> String {
        let (partition, offset) = self.first;
        let records = if self.count == 1 { "1 record has".to_owned() } else { format!("{} records have", self.count) };
        let place = format!("first in partition {partition} at offset {offset}");
        match kind {
            Kind::NewField => format!(
                "{records} a field \"{field}\" that the sample did not have, {place}: it is not read. Make the frame again, or name its type with .schema_hints([(\"{field}\", DataType::String)])"
            ),
            Kind::Fraction => format!(
                "{records} a fraction in \"{field}\", where whole numbers are expected, {place}: they are dead letters. Make the frame with .schema_hints([(\"{field}\", DataType::Decimal(38, {}))]), or with DataType::Float64",
                self.decimals
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_read_again_is_counted_once() {
        let notices = Notices::default();
        for offset in [4, 7, 4, 7, 9] {
            notices.new_field("note", 1, offset);
        }
        notices.new_field("note", 0, 2);
        let told = notices.told();
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("4 records have a field \"note\"") && told[0].contains("partition 1 at offset 4"));
    }

    #[test]
    fn a_fraction_is_told_with_the_type_that_takes_it() {
        let notices = Notices::default();
        let fraction = |decimals| {
            let (field, expected, found) = ("amount".into(), "a whole number".into(), "the number 2.5".into());
            Malformed::WrongType { field, expected, found, decimals }
        };
        notices.malformed(&fraction(Some(1)), 0, 3);
        notices.malformed(&fraction(Some(2)), 0, 5);
        notices.malformed(&fraction(None), 0, 7);
        notices.malformed(&Malformed::Empty, 0, 6);
        let told = notices.told();
        assert!(told[0].starts_with("2 records have a fraction in \"amount\""), "{told:?}");
        assert!(told[0].contains("(\"amount\", DataType::Decimal(38, 2))"), "{told:?}");
    }
}
