//! The way from a frame to a running query: where its rows go, when, and how it comes back after a crash.

mod records;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use connectors::{KafkaOptions, KafkaSink, KafkaSinkOptions, ParquetSink, RecordForm};
use engine::{
    CheckpointError, ForeachBatch, MemoryTable, Options, OutputMode, Query, QueryOutput, ResumedPlan, Sink, SinkError,
    StartError, Trigger, natural_mode, resumed_plan,
};
use plan::Plan;
use polars::prelude::{DataFrame, SchemaRef};

use crate::StreamFrame;
use crate::read::{connectors, note_checkpoint};
use crate::streaming::{StreamingQuery, queries};
use records::Said;

/// Makes the sink of a query by the query's name.
type MakeSink = Box<dyn FnOnce(&Naming) -> Result<Box<dyn Sink>, SinkError> + Send>;

/// A person's function on batches.
type Function = Box<dyn FnMut(DataFrame, u64) -> Result<(), Box<dyn Error>> + Send>;

/// What a sink may know of its query.
struct Naming {
    /// Another for every query, and the same when a query is started again.
    id: String,
    /// The columns of its rows.
    schema: SchemaRef,
    form: RecordForm,
    settings: BTreeMap<String, String>,
}

impl StreamFrame {
    /// Writes the rows to a Kafka topic, in transactions: every row is there once, whatever crashes. The records are JSON
    /// objects of all columns unless said otherwise: [`key`](StreamWriter::key), [`value`](StreamWriter::value),
    /// [`csv`](StreamWriter::csv), [`raw`](StreamWriter::raw), [`header`](StreamWriter::header),
    /// [`timestamp`](StreamWriter::timestamp) and [`partition`](StreamWriter::partition) choose what they are made of.
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

    /// Writes the rows to a folder of Parquet files, one a batch. In the output mode update a file has the rows that are new
    /// or have changed since the one before it; of rows that left the result it says nothing.
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

    /// Keeps the result in memory, all of it, for [`memory_table`](crate::memory_table) to read by its name. It may take 4 GiB
    /// unless [`max_result_bytes`](StreamWriter::max_result_bytes) says otherwise; a result that needs more ends the query with
    /// an error.
    pub fn memory(&self, name: impl Into<String>) -> StreamWriter {
        self.to_memory(name.into())
    }

    // A cell compiles what is generic: from here on nothing is, so that it need not know what a Kafka client consists of.

    fn to_kafka(&self, bootstrap: String, topic: String) -> StreamWriter {
        let name = topic.clone();
        let make = move |naming: &Naming| {
            let kafka = KafkaOptions { bootstrap, topic, settings: naming.settings.clone(), ..KafkaOptions::default() };
            let options = KafkaSinkOptions { kafka, form: naming.form.clone(), id: naming.id.clone() };
            let sink = KafkaSink::new(options)?;
            naming.form.check(&naming.schema)?;
            Ok(Box::new(sink) as Box<dyn Sink>)
        };
        StreamWriter { has_records: true, ..self.writer(name, Box::new(make)) }
    }

    fn to_parquet(&self, folder: PathBuf) -> StreamWriter {
        let name = folder.file_name().map_or_else(|| "parquet".to_owned(), |name| name.to_string_lossy().into_owned());
        self.writer(name, Box::new(move |_| Ok(Box::new(ParquetSink::new(folder)))))
    }

    fn to_function(&self, function: Function) -> StreamWriter {
        self.writer("foreach_batch".to_owned(), Box::new(move |_| Ok(Box::new(ForeachBatch::new(function)))))
    }

    fn to_memory(&self, name: String) -> StreamWriter {
        self.writer(name, Box::new(|_| Ok(Box::new(MemoryTable))))
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
            max_result_bytes: None,
            has_records: false,
            said: Said::default(),
            settings: BTreeMap::new(),
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
    max_result_bytes: Option<usize>,
    has_records: bool,
    said: Said,
    settings: BTreeMap<String, String>,
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
    /// on from there, and no row is lost or written twice. Columns that a sample of a topic told are those that it had then, whatever
    /// a sample says now; `status()` tells the difference. A frame that was changed meanwhile is refused with the difference,
    /// unless only steps after the last one that keeps a state are others, the result has the same columns, and not all of it
    /// is wanted: then what was kept is what the changed frame would have kept, and `status()` tells the difference.
    pub fn checkpoint(mut self, folder: impl AsRef<Path>) -> StreamWriter {
        self.checkpoint = Some(folder.as_ref().to_owned());
        self
    }

    /// Where the checkpoint's newest state is damaged, starts from the newest that is whole.
    pub fn use_newest_good_state(mut self) -> StreamWriter {
        self.use_newest_good_state = true;
        self
    }

    /// The memory that a whole result may take, in bytes, where all of it is written every time or kept in memory. Left out, it
    /// is 4 GiB. A query whose result needs more ends with an error: no row is left out.
    pub fn max_result_bytes(mut self, bytes: usize) -> StreamWriter {
        self.max_result_bytes = Some(bytes);
        self
    }

    /// Starts the query. It runs until it is stopped, whatever becomes of the variable.
    ///
    /// # Errors
    /// An output mode that the frame cannot give, records that cannot be made of its rows, or no thread.
    pub fn start(self) -> Result<StreamingQuery, WriteError> {
        if let Some(call) = self.said.first.filter(|_| !self.has_records) {
            let detail = format!("{call} is for records in Kafka, and this query writes none");
            return Err(WriteError::Records { detail, hint: "Leave it out, or write with .write_kafka(…)" });
        }
        let checkpoint = self.checkpoint.clone();
        let ResumedPlan { plan, difference } = match &checkpoint {
            Some(folder) => resumed_plan(&self.frame.plan, folder)?,
            None => ResumedPlan { plan: self.frame.plan.clone(), difference: None },
        };
        let name = self.name.clone();
        let query = self.query(&plan).map_err(|error| match &difference {
            None => error,
            Some(difference) => WriteError::Columns { error: Box::new(error), difference: difference.clone() },
        })?;
        query.result().set_status(|status| status.columns = difference);
        if let Some(folder) = checkpoint {
            note_checkpoint(&plan, &folder);
        }
        Ok(queries().add(&name, query))
    }

    fn query(self, plan: &Plan) -> Result<Query, WriteError> {
        let naming = Naming {
            id: id_of(&self.name, self.checkpoint.as_deref()),
            schema: plan.schema().clone(),
            form: self.said.form(plan)?,
            settings: self.settings,
        };
        let output = QueryOutput {
            sink: (self.sink)(&naming)?,
            mode: self.mode.unwrap_or_else(|| natural_mode(plan)),
            checkpoint: self.checkpoint,
            use_newest_good_state: self.use_newest_good_state,
        };
        let usual = Options::default();
        let max_result_bytes = self.max_result_bytes.unwrap_or(usual.max_result_bytes);
        let options = Options { trigger: self.trigger, max_result_bytes, ..usual };
        Ok(Query::write(&self.name, plan, connectors().open(plan), options, output)?)
    }
}

/// A query that is not started.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Words for records that do not go together.
    #[error("start: {detail}. {hint}")]
    Records {
        /// What does not go.
        detail: String,
        /// The way to do it.
        hint: &'static str,
    },
    /// A header that is not made of its row alone.
    #[error("start: the header \"{header}\" cannot be made: {detail}")]
    Header {
        /// The header.
        header: String,
        /// Why not.
        detail: String,
    },
    /// What goes with the columns of a sample does not go with those of the checkpoint.
    #[error(
        "{error}. The query goes on with the columns that its checkpoint has, and a sample of the topic says others now: {difference}"
    )]
    Columns {
        /// What does not go.
        error: Box<WriteError>,
        /// What the sample says otherwise.
        difference: String,
    },
    /// The checkpoint and the query do not go together.
    #[error("start: {0}")]
    Checkpoint(#[from] CheckpointError),
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
