//! The way from a frame to a running query: where its rows go, when, and how it comes back after a crash.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use connectors::{KafkaOptions, KafkaSink, KafkaSinkOptions, ParquetSink};
use engine::{
    ForeachBatch, Nowhere, Options, OutputMode, Query, QueryOutput, Sink, SinkError, StartError, Trigger, natural_mode,
};
use polars::prelude::DataFrame;

use crate::StreamFrame;
use crate::streaming::{StreamingQuery, queries};

/// Makes the sink of a query by the query's name.
type MakeSink = Box<dyn FnOnce(&Naming) -> Result<Box<dyn Sink>, SinkError> + Send>;

/// A person's function on batches.
type Function = Box<dyn FnMut(DataFrame, u64) -> Result<(), Box<dyn Error>> + Send>;

/// What a sink may know of its query.
struct Naming {
    /// Another for every query, and the same when a query is started again.
    id: String,
    key: Vec<String>,
    settings: std::collections::BTreeMap<String, String>,
}

impl StreamFrame {
    /// Writes the rows to a Kafka topic, each as JSON, in transactions: every row is there once, whatever crashes.
    ///
    /// ```no_run
    /// # use corriente::prelude::*;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let txns = read_kafka("127.0.0.1:9092").topic("transactions").json()?;
    /// let large = txns.filter(col("amount").gt(lit(1_000)));
    /// let alerts = large.write_kafka("127.0.0.1:9092", "alerts").key("card").checkpoint("checkpoints/alerts").start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn write_kafka(&self, bootstrap: impl Into<String>, topic: impl Into<String>) -> StreamWriter {
        self.to_kafka(bootstrap.into(), topic.into())
    }

    /// Writes the rows to a folder of Parquet files, one a batch.
    pub fn write_parquet(&self, folder: impl AsRef<Path>) -> StreamWriter {
        self.to_parquet(folder.as_ref().to_owned())
    }

    /// Calls a function with each batch of rows and its number, as Spark's `foreachBatch`. After a crash the newest batch may
    /// come again, under the same number.
    pub fn foreach_batch(
        &self,
        function: impl FnMut(DataFrame, u64) -> Result<(), Box<dyn Error>> + Send + 'static,
    ) -> StreamWriter {
        self.to_function(Box::new(function))
    }

    /// Keeps the result in memory, for [`memory_table`](crate::memory_table) to read by its name.
    pub fn memory(&self, name: impl Into<String>) -> StreamWriter {
        self.to_memory(name.into())
    }

    // A cell compiles what is generic: from here on nothing is, so that it need not know what a Kafka client consists of.

    fn to_kafka(&self, bootstrap: String, topic: String) -> StreamWriter {
        let name = topic.clone();
        let make = move |naming: &Naming| {
            let kafka = KafkaOptions { bootstrap, topic, settings: naming.settings.clone(), ..KafkaOptions::default() };
            let options = KafkaSinkOptions { kafka, key: naming.key.clone(), id: naming.id.clone() };
            Ok(Box::new(KafkaSink::new(options)?) as Box<dyn Sink>)
        };
        self.writer(name, Box::new(make))
    }

    fn to_parquet(&self, folder: PathBuf) -> StreamWriter {
        let name = folder.file_name().map_or_else(|| "parquet".to_owned(), |name| name.to_string_lossy().into_owned());
        self.writer(name, Box::new(move |_| Ok(Box::new(ParquetSink::new(folder)))))
    }

    fn to_function(&self, function: Function) -> StreamWriter {
        self.writer("foreach_batch".to_owned(), Box::new(move |_| Ok(Box::new(ForeachBatch::new(function)))))
    }

    fn to_memory(&self, name: String) -> StreamWriter {
        self.writer(name, Box::new(|_| Ok(Box::new(Nowhere))))
    }

    fn writer(&self, name: String, sink: MakeSink) -> StreamWriter {
        StreamWriter {
            frame: self.clone(),
            name,
            sink,
            mode: None,
            trigger: Trigger::default(),
            checkpoint: None,
            use_newest_good_state: false,
            key: Vec::new(),
            settings: std::collections::BTreeMap::new(),
        }
    }
}

/// A query in the making; [`StreamWriter::start`] makes it run.
#[must_use = "a query runs when it is started, with .start()"]
pub struct StreamWriter {
    frame: StreamFrame,
    name: String,
    sink: MakeSink,
    mode: Option<OutputMode>,
    trigger: Trigger,
    checkpoint: Option<PathBuf>,
    use_newest_good_state: bool,
    key: Vec<String>,
    settings: std::collections::BTreeMap<String, String>,
}

impl StreamWriter {
    /// What the query is called in [`streams`](crate::streams). Otherwise it is called by what it writes to.
    pub fn name(mut self, name: impl Into<String>) -> StreamWriter {
        self.name = name.into();
        self
    }

    /// Which rows are written, as Spark's output modes: only final ones, those that are new or have changed, or all of the
    /// result every time. Left out, rows behind a watermark are written when they are final, and others when they change.
    pub fn output_mode(mut self, mode: OutputMode) -> StreamWriter {
        self.mode = Some(mode);
        self
    }

    /// When a batch is written: as soon as there are rows, at an interval, or until what is there now is done.
    pub fn trigger(mut self, trigger: Trigger) -> StreamWriter {
        self.trigger = trigger;
        self
    }

    /// The folder in which the query notes how far it is. Started again with the same folder, after a crash or a stop, it goes
    /// on from there, and no row is lost or written twice.
    pub fn checkpoint(mut self, folder: impl AsRef<Path>) -> StreamWriter {
        self.checkpoint = Some(folder.as_ref().to_owned());
        self
    }

    /// Where the checkpoint's newest state is damaged, starts from the newest that is whole.
    pub fn use_newest_good_state(mut self) -> StreamWriter {
        self.use_newest_good_state = true;
        self
    }

    /// A column whose value is the records' key in Kafka; called several times, the key is an object of them all.
    pub fn key(mut self, column: impl Into<String>) -> StreamWriter {
        self.key.push(column.into());
        self
    }

    /// A setting of librdkafka, as in `.option("security.protocol", "SASL_SSL")`. Values never appear in an output.
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> StreamWriter {
        self.settings.insert(name.into(), value.into());
        self
    }

    /// Starts the query. It runs until it is stopped, whatever becomes of the variable.
    ///
    /// # Errors
    /// An output mode that the frame cannot give, a key that is no column, or no thread.
    pub fn start(self) -> Result<StreamingQuery, WriteError> {
        let plan = &self.frame.plan;
        if let Some(column) = self.key.iter().find(|key| !plan.schema().contains(key)) {
            let columns = plan.schema().iter_names().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(WriteError::Key { column: column.clone(), columns });
        }
        let naming =
            Naming { id: id_of(&self.name, self.checkpoint.as_deref()), key: self.key, settings: self.settings };
        let output = QueryOutput {
            sink: (self.sink)(&naming)?,
            mode: self.mode.unwrap_or_else(|| natural_mode(plan)),
            checkpoint: self.checkpoint,
            use_newest_good_state: self.use_newest_good_state,
        };
        let options = Options { trigger: self.trigger, ..Options::default() };
        let query = Query::write(&self.name, plan, Arc::clone(&self.frame.open), options, output)?;
        Ok(queries().add(&self.name, query))
    }
}

/// A query that is not started.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A key that the rows do not have.
    #[error("start: the key \"{column}\" is no column of the rows. The columns are {columns}")]
    Key {
        /// The key.
        column: String,
        /// All columns.
        columns: String,
    },
    /// The sink refuses its options.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The engine refuses it.
    #[error(transparent)]
    Start(#[from] StartError),
}

/// A name that only this query has: by its checkpoint, so that it is the same after a restart; otherwise by chance.
fn id_of(name: &str, checkpoint: Option<&Path>) -> String {
    let unique = match checkpoint {
        Some(folder) => {
            let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
            engine::short_hash(&whole.to_string_lossy())
        }
        None => uuid::Uuid::new_v4().simple().to_string(),
    };
    format!("{name}-{unique}")
}
