//! A sink that writes each batch of a query to a topic once: its rows and its number in one transaction. Knows of a
//! batch only its number, its rows, and those that left; used by the query's thread.

mod connection;
mod deliver;
mod form;
mod record;
mod value;

use engine::{Sink, SinkError};
use polars::prelude::{DataFrame, PlSmallStr};

use super::options::{KafkaOptions, addresses, check_sink_settings};
use connection::{Batch, Connection, Failure, sink_error};

pub(crate) use deliver::{Answers, Deliveries, Record, send};
pub use form::{RecordForm, ValueForm};
pub(crate) use value::Fields;

/// Where rows go, and under which name.
#[derive(Clone, Debug, Default)]
pub struct KafkaSinkOptions {
    /// The topic, which is made if it is not there, and the way to it. Where to start does not matter.
    pub kafka: KafkaOptions,
    /// How a row becomes a record.
    pub form: RecordForm,
    /// The query's own name, the same after a restart: `corriente-<id>` is the transactional id, and the group that holds
    /// the newest batch's number.
    pub id: String,
}

impl KafkaSinkOptions {
    /// What Kafka knows the query by.
    fn name(&self) -> String {
        format!("corriente-{}", self.id)
    }
}

/// Writes rows as records to a topic, every batch exactly once for who reads what is committed. Where the records have a
/// key, a row that leaves the result leaves a record of its key without a value, by which a compacted topic forgets it.
///
/// A batch is a Kafka transaction, in which an offset of the query's group is committed along with the rows. Its metadata
/// is the batch's number, and [`reached`](Sink::reached) reads it. Kafka forgets a group's offsets when nothing was
/// written for long (`offsets.retention.minutes`, a week), and the sink then does not know what it has.
///
/// Of all sinks with an id the newest writes; the others are told so, and do not take it back.
pub struct KafkaSink {
    options: KafkaSinkOptions,
    connection: Option<Connection>,
    replaced: bool,
}

impl KafkaSink {
    /// A sink that is not connected yet: that is done by the first call.
    ///
    /// # Errors
    /// A bad address, a setting that is not the caller's, or no id.
    pub fn new(options: KafkaSinkOptions) -> Result<KafkaSink, SinkError> {
        addresses(&options.kafka.bootstrap).map_err(sink_error)?;
        check_sink_settings(&options.kafka).map_err(sink_error)?;
        if options.id.is_empty() {
            return Err(SinkError {
                fact: format!("the topic \"{}\" cannot be written once", options.kafka.topic),
                detail: "the query has no id".to_owned(),
                hint: "Give the query a name that it keeps.".to_owned(),
                retry: false,
            });
        }
        Ok(KafkaSink { options, connection: None, replaced: false })
    }

    fn connection(&mut self) -> Result<&mut Connection, SinkError> {
        if self.replaced {
            return Err(self.replaced());
        }
        match &mut self.connection {
            Some(connection) => Ok(connection),
            none => Ok(none.insert(Connection::open(&self.options)?)),
        }
    }

    fn replaced(&self) -> SinkError {
        let KafkaSinkOptions { id, kafka, .. } = &self.options;
        SinkError {
            fact: format!("another query with the id \"{id}\" has taken over"),
            detail: format!(
                "of all that write to the topic \"{}\" with this id, Kafka lets only the newest",
                kafka.topic
            ),
            hint: "Stop one of the two, or give this one another id.".to_owned(),
            retry: false,
        }
    }
}

impl Sink for KafkaSink {
    fn reached(&mut self) -> Result<Option<u64>, SinkError> {
        Ok(self.connection()?.mark)
    }

    /// Where Kafka has forgotten it, it does not.
    fn tells_batches(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.mark.is_some())
    }

    fn keys(&self) -> Vec<PlSmallStr> {
        self.options.form.identity()
    }

    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError> {
        self.write_changes(batch, rows, &DataFrame::empty())
    }

    fn write_changes(&mut self, number: u64, rows: &DataFrame, gone: &DataFrame) -> Result<(), SinkError> {
        self.options.form.check(rows.schema())?;
        let options = self.options.clone();
        let connection = self.connection()?;
        // Written before, by a commit whose answer was lost or by an earlier run.
        if connection.mark >= Some(number) {
            return Ok(());
        }
        let failure = match connection.write(&options, &Batch::new(&options.form, number, rows, gone)?) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        // The next one aborts or completes what this one left, and reads how it ended.
        self.connection = None;
        match failure {
            Failure::Other(error) => Err(error),
            Failure::Replaced => {
                self.replaced = true;
                Err(self.replaced())
            }
        }
    }
}
