//! What a step is called, and what is said of it: the parts of a line in words, and of a box in a picture.

use std::fmt::Write as _;

use polars::prelude::{AnyValue, Expr};
use polars_plan::plans::LiteralValue;

use crate::aggregate::Aggregate;
use crate::node::{Order, Step};

/// A step in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What it is, as in `AGGREGATE`.
    pub title: String,
    /// What is said of it, part by part.
    pub details: Vec<String>,
}

impl Words {
    /// Of a step that is called `title`.
    pub fn new(title: impl Into<String>, details: impl IntoIterator<Item = String>) -> Words {
        Words { title: title.into(), details: details.into_iter().collect() }
    }

    /// All of it in one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.title, self.details.join(" "))
    }
}

impl Step {
    /// The step in words.
    #[must_use]
    pub fn words(&self) -> Words {
        match self {
            Step::Filter(predicate) => Words::new("FILTER", [exact([predicate], &format!("{predicate:?}"))]),
            Step::Select(exprs) => Words::new("SELECT", [exact(exprs, &format!("{exprs:?}"))]),
            Step::WithColumns(exprs) => Words::new("WITH_COLUMNS", [exact(exprs, &format!("{exprs:?}"))]),
            Step::Watermark(watermark) => {
                Words::new("WATERMARK", [format!("\"{}\" {} late", watermark.column, watermark.delay)])
            }
            Step::ProcessingTime(column) => Words::new("PROCESSING TIME", [format!("AS \"{column}\"")]),
            Step::LateRows(of) => {
                let of = of.words();
                Words { title: format!("LATE ROWS OF {}", of.title), details: of.details }
            }
            Step::Explode(columns) => Words::new("EXPLODE", [format!("{columns:?}")]),
            Step::Unnest(columns) => Words::new("UNNEST", [format!("{columns:?}")]),
            Step::MapBatches(closure) => closure.words(),
            Step::Join(lookup) => lookup.words(),
            Step::Unique(columns) => Words::new("UNIQUE", [format!("{columns:?}, THE FIRST TO COME")]),
            Step::Sort(order) => order.words(),
            Step::WithState(keys, function) => {
                Words::new("WITH_STATE", [format!("{function:?}"), format!("BY {keys:?}")])
            }
            Step::Limit(n) => Words::new("LIMIT", [n.to_string()]),
            Step::Aggregate(aggregate) => aggregate.words(),
        }
    }
}

impl Order {
    fn words(&self) -> Words {
        let each =
            |said: &[bool]| (0..self.by.len()).map(|n| said.get(n).or(said.first()) == Some(&true)).collect::<Vec<_>>();
        let (descending, last) = (each(&self.options.descending), each(&self.options.nulls_last));
        let direction = format!("DESCENDING {descending:?}, NULLS LAST {last:?}");
        match self.k {
            Some(k) => Words::new("FIRST", [format!("{k} ROWS BY {:?},", self.by), direction]),
            None => Words::new("SORT", [format!("BY {:?},", self.by), direction]),
        }
    }
}

impl Aggregate {
    /// The aggregation in words.
    #[must_use]
    pub fn words(&self) -> Words {
        let of = exact(&self.written, &format!("{:?}", self.written));
        let by = format!("BY {}", exact(&self.keys, &format!("{:?}", self.keys)));
        let over = self.over.as_ref().map(|over| format!("OVER {} OF \"{}\"", over.window.text(), over.time));
        Words::new("AGGREGATE", [of, by].into_iter().chain(over))
    }
}

/// How many of a literal's values the words show.
const MOST_VALUES: usize = 12;

/// Expressions in words. Of a literal with many values Polars prints none or a few, and two plans that differ in them would look alike.
fn exact<'a>(exprs: impl IntoIterator<Item = &'a Expr>, printed: &str) -> String {
    let mut text = printed.to_owned();
    for part in exprs.into_iter().flatten() {
        let Expr::Literal(literal) = part else { continue };
        let values = match literal {
            LiteralValue::Series(series) => (**series).clone(),
            LiteralValue::Scalar(scalar) => match scalar.value() {
                AnyValue::List(series) => series.clone(),
                _ => continue,
            },
            _ => continue,
        };
        let all: Vec<String> = values.iter().map(|value| value_in_words(&value)).collect();
        let shown = all.iter().take(MOST_VALUES).cloned().collect::<Vec<_>>().join(", ");
        let more = match all.len() {
            0..=MOST_VALUES => String::new(),
            // FNV-1a: a hash that is the same in every version.
            count => {
                let hash = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
                let whole = all.join("\u{1f}").bytes().fold(0xcbf2_9ce4_8422_2325, hash);
                format!(", … {count} in all, {whole:016x}")
            }
        };
        let _ = write!(text, " WITH [{shown}{more}]");
    }
    text
}

/// A value in words. Polars cuts a float's digits off, and two that differ would look alike.
fn value_in_words(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Float64(value) => format!("{value:?}"),
        AnyValue::Float32(value) => format!("{value:?}"),
        value => value.to_string(),
    }
}
