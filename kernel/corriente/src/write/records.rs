//! The words for records in Kafka: what a row's key, value, headers, time and partition are.

use connectors::{RecordForm, ValueForm};
use plan::Plan;
use polars::prelude::Expr;

use super::{StreamWriter, WriteError};

/// What a header's value is called while it is checked.
const HEADER: &str = "__corriente_header";

/// What a person said of the records.
#[derive(Default)]
pub(super) struct Said {
    key: Vec<String>,
    json_key: bool,
    value: Vec<String>,
    /// As called: of several there can be one.
    formats: Vec<Format>,
    headers: Vec<(String, Expr)>,
    timestamp: Option<String>,
    partition: Option<String>,
    /// The first method that was called, for a writer that has no records.
    pub(super) first: Option<&'static str>,
}

#[derive(Clone, PartialEq)]
enum Format {
    Json,
    Csv,
    Raw(String),
}

impl Format {
    fn call(&self) -> String {
        match self {
            Format::Json => ".json()".to_owned(),
            Format::Csv => ".csv()".to_owned(),
            Format::Raw(column) => format!(".raw(\"{column}\")"),
        }
    }
}

impl Said {
    /// How rows become records.
    ///
    /// # Errors
    /// Words that do not go together.
    pub(super) fn form(self, plan: &Plan) -> Result<RecordForm, WriteError> {
        let refused = |detail: String, hint| Err(WriteError::Records { detail, hint });
        if let Some((first, other)) =
            self.formats.first().zip(self.formats.iter().find(|other| **other != self.formats[0]))
        {
            return refused(
                format!("{} and {} are both there", first.call(), other.call()),
                "A record has one value: choose one of them",
            );
        }
        let value = match self.formats.into_iter().next() {
            None | Some(Format::Json) => ValueForm::Json(self.value),
            Some(Format::Csv) => ValueForm::Csv(self.value),
            Some(raw @ Format::Raw(_)) if !self.value.is_empty() => {
                return refused(
                    format!("{} and .value(…) are both there", raw.call()),
                    "A raw value is one column: leave .value(…) out",
                );
            }
            Some(Format::Raw(column)) => ValueForm::Raw(column),
        };
        if self.json_key && self.key.is_empty() {
            return refused(".json_key() is there, and no key".to_owned(), "Name the key's columns with .key(\"…\")");
        }
        for (name, expr) in &self.headers {
            // As a column of its own it would have to be of its row too.
            plan.with_columns(&[expr.clone().alias(HEADER)])
                .map_err(|error| WriteError::Header { header: name.clone(), detail: error.to_string() })?;
        }
        let Said { key, json_key, headers, timestamp, partition, .. } = self;
        Ok(RecordForm { key, json_key, value, headers, timestamp, partition })
    }
}

/// What a record in Kafka is made of; [`StreamFrame::write_kafka`](crate::StreamFrame::write_kafka) alone has records.
impl StreamWriter {
    /// A column whose value is the records' key in Kafka, as text; called several times, the key is a JSON object of them
    /// all. A row whose only key column is null has no key.
    ///
    /// A key also says which records are about one thing. When a row leaves the result (its group no longer passes a filter,
    /// its session became part of another, it is no longer among the first), and no other row that may still change has its
    /// key, a record of that key without a value is written, and a compacted topic forgets the key. So let the key be what
    /// makes a row the only one: with windows, their time as well.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// let overdrawn = txns.group_by([col("account_id")]).agg([col("amount").sum()]).filter(col("amount").lt(lit(0)));
    /// overdrawn.write_kafka("127.0.0.1:9092", "overdrawn").key("account_id").checkpoint("checkpoints/overdrawn").start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(self, column: impl Into<String>) -> StreamWriter {
        let column = column.into();
        self.say(".key(…)", move |said| said.key.push(column))
    }

    /// Has the key be a JSON object even when it is of one column, as in `{"account_id":"acc-00001"}`.
    pub fn json_key(self) -> StreamWriter {
        self.say(".json_key()", |said| said.json_key = true)
    }

    /// A column of the records' value; called several times, these columns in this order. Left out, the value is of all
    /// columns, those of the key and the headers too.
    pub fn value(self, column: impl Into<String>) -> StreamWriter {
        let column = column.into();
        self.say(".value(…)", move |said| said.value.push(column))
    }

    /// Has each value be a JSON object, as it is when nothing is said. Decimals keep their digits, times are ISO 8601, and
    /// what is no number is null, so that [`KafkaReader::json`](crate::KafkaReader::json) reads the same rows.
    pub fn json(self) -> StreamWriter {
        self.say(".json()", |said| said.formats.push(Format::Json))
    }

    /// Has each value be a line of CSV (RFC 4180), without a line of names: a null is nothing, and an empty text is `""`.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// txns.write_kafka("127.0.0.1:9092", "lines").csv().value("account_id").value("amount").start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn csv(self) -> StreamWriter {
        self.say(".csv()", |said| said.formats.push(Format::Csv))
    }

    /// Has each value be one column as it is: its bytes, its text, or what it is as text. A null is a record without a
    /// value.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let letters = read_kafka("127.0.0.1:9092").topic("letters").json()?;
    /// letters.write_kafka("127.0.0.1:9092", "bodies").key("id").raw("body").header("from", "sender").start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn raw(self, column: impl Into<String>) -> StreamWriter {
        let column = column.into();
        self.say(".raw(…)", move |said| said.formats.push(Format::Raw(column)))
    }

    /// Gives each record a header: a column by its name, any expression on the row, or a text that is always the same as
    /// `lit("…")`. What is no text is written as text; a null is a header without a value. Called several times, the headers
    /// are in this order.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// txns.write_kafka("127.0.0.1:9092", "copy")
    ///     .header("category", "category")
    ///     .header("large", col("amount").gt(lit(1_000)))
    ///     .header("written-by", lit("corriente"))
    ///     .start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn header(self, name: impl Into<String>, value: impl Into<Expr>) -> StreamWriter {
        let header = (name.into(), value.into());
        self.say(".header(…)", move |said| said.headers.push(header))
    }

    /// The column with the records' time in Kafka. Left out, and where it is null, that is the time of writing. A topic that
    /// keeps records for so long goes by this time.
    pub fn timestamp(self, column: impl Into<String>) -> StreamWriter {
        let column = column.into();
        self.say(".timestamp(…)", move |said| said.timestamp = Some(column))
    }

    /// The column with the number of each record's partition. Left out, and where it is null, the key decides, as
    /// librdkafka's partitioner does; with `.option("partitioner", "murmur2_random")`, as Java's clients do.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// let by_country = txns.with_columns([col("country").eq(lit("ES")).cast(DataType::Int32).alias("partition")]);
    /// by_country.write_kafka("127.0.0.1:9092", "by_country").partition("partition").timestamp("event_time").start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn partition(self, column: impl Into<String>) -> StreamWriter {
        let column = column.into();
        self.say(".partition(…)", move |said| said.partition = Some(column))
    }

    /// A setting of librdkafka, as in `.option("security.protocol", "SASL_SSL")`. Values never appear in an output.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> StreamWriter {
        self.settings.insert(name.into(), value.into());
        self.say(".option(…)", |_| {})
    }

    fn say(mut self, call: &'static str, what: impl FnOnce(&mut Said)) -> StreamWriter {
        self.said.first.get_or_insert(call);
        what(&mut self.said);
        self
    }
}
