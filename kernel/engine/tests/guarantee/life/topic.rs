//! A topic in memory that lives as one on a broker does: partitions appear, one is read later than the others, records are deleted
//! before they are read, and it is made again under its name with another id.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use engine::{
    DeadLetter, Offsets, OpenSource, PartitionRows, Resumed, Source, SourceBatch, SourceError, TopicId, TopicPartition,
};
use polars::prelude::*;

/// What becomes of a reader whose next records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnLoss {
    Fail,
    Earliest,
    Latest,
}

/// A record: when it was, and a number that no other one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) time: i64,
    pub(super) number: i64,
}

/// What a query that looks for more was told, and where the log ended then.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) to: Offsets,
    pub(super) ends: Offsets,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    records: Vec<Record>,
    /// How many of the oldest are deleted.
    low: i64,
}

#[derive(Default)]
struct State {
    /// The topics that had the name, the one that has it now last.
    topics: Vec<BTreeMap<i32, Partition>>,
    withheld: Option<i32>,
    looks: Vec<Look>,
}

#[derive(Default)]
pub(super) struct Topic {
    state: Mutex<State>,
    changed: Condvar,
}

impl Topic {
    /// A topic with one partition.
    pub(super) fn new() -> Arc<Topic> {
        let topic = Topic::default();
        topic.state().topics.push(BTreeMap::from([(0, Partition::default())]));
        Arc::new(topic)
    }

    /// Adds records to a partition, which may be a new one.
    pub(super) fn add(&self, partition: i32, records: &[Record]) {
        self.change(|state| state.now().entry(partition).or_default().records.extend(records));
    }

    pub(super) fn withhold(&self, partition: Option<i32>) {
        self.change(|state| state.withheld = partition);
    }

    /// Deletes all records that a partition has.
    pub(super) fn delete(&self, partition: i32) {
        self.change(|state| {
            if let Some(partition) = state.now().get_mut(&partition) {
                partition.low = partition.records.len() as i64;
            }
        });
    }

    /// Makes it again, with one partition and no records.
    pub(super) fn make_again(&self) {
        self.change(|state| state.topics.push(BTreeMap::from([(0, Partition::default())])));
    }

    pub(super) fn partitions(&self) -> Vec<i32> {
        self.state().now().keys().copied().collect()
    }

    /// Where it ends, and how far it can be read now.
    pub(super) fn ends(&self) -> [Offsets; 2] {
        let mut state = self.state();
        let withheld = state.withheld;
        let ends = state.offsets(|partition| partition.records.len() as i64);
        let given = ends.0.iter().filter(|(at, _)| Some(at.partition) != withheld);
        [ends.clone(), given.map(|(at, end)| (at.clone(), *end)).collect()]
    }

    pub(super) fn looks(&self) -> Vec<Look> {
        self.state().looks.clone()
    }

    pub(super) fn looked(&self) -> usize {
        self.state().looks.len()
    }

    /// The records of a range, whichever topic it is of, also those that are deleted.
    pub(super) fn records(&self, at: &TopicPartition, from: i64, to: i64) -> Vec<Record> {
        let state = self.state();
        let number = at.topic_id.unwrap().0[0] as usize;
        state.topics[number][&at.partition].records[from as usize..to as usize].to_vec()
    }

    pub(super) fn open(self: &Arc<Topic>, on_loss: OnLoss) -> OpenSource {
        let topic = Arc::clone(self);
        Arc::new(move |columns| {
            let reader = Reader { topic: Arc::clone(&topic), columns: columns.to_vec(), on_loss };
            Ok(Box::new(reader) as Box<dyn Source>)
        })
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn now(&mut self) -> &mut BTreeMap<i32, Partition> {
        self.topics.last_mut().unwrap()
    }

    fn id(&self) -> TopicId {
        let mut id = [1; 16];
        id[0] = (self.topics.len() - 1) as u8;
        TopicId(id)
    }

    fn offsets(&mut self, of: impl Fn(&Partition) -> i64) -> Offsets {
        let id = self.id();
        let at = |partition: i32| TopicPartition { topic_id: Some(id), ..TopicPartition::new("lives", partition) };
        self.now().iter().map(|(partition, records)| (at(*partition), of(records))).collect()
    }

    /// What is gone of what lies behind a position.
    fn loss(&mut self, at: &TopicPartition, offset: i64) -> Option<String> {
        let read = format!("lives [{}] was read up to offset {offset}", at.partition);
        if at.topic_id != Some(self.id()) {
            return Some(format!("{read}, and the topic of that name is another one"));
        }
        let low = self.now().get(&at.partition).map_or(0, |partition| partition.low);
        (offset < low).then(|| format!("{read}, and the records up to offset {} were deleted", low - 1))
    }
}

/// The columns of the records.
pub(super) fn schema() -> SchemaRef {
    frame(&[]).schema().clone()
}

fn frame(records: &[Record]) -> DataFrame {
    let times: Vec<i64> = records.iter().map(|record| record.time).collect();
    let rows = df!["time" => times, "number" => records.iter().map(|record| record.number).collect::<Vec<_>>()];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    rows.unwrap().lazy().with_columns([time]).collect().unwrap()
}

struct Reader {
    topic: Arc<Topic>,
    columns: Vec<PlSmallStr>,
    on_loss: OnLoss,
}

impl Reader {
    fn error(&self, lost: String) -> SourceError {
        SourceError {
            fact: "the topic \"lives\" cannot be read on".to_owned(),
            detail: lost,
            hint: "Say what becomes of it".to_owned(),
            retry: self.on_loss != OnLoss::Fail,
        }
    }
}

impl Source for Reader {
    fn schema(&self) -> SchemaRef {
        frame(&[]).select(self.columns.iter().cloned()).unwrap().schema().clone()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok(self.topic.state().offsets(|partition| partition.low))
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok(self.topic.state().offsets(|partition| partition.records.len() as i64))
    }

    fn resume(&mut self, reached: &Offsets) -> Result<Resumed, SourceError> {
        let mut state = self.topic.state();
        let (mut lost, low) = (Vec::new(), state.offsets(|partition| partition.low));
        let high = state.offsets(|partition| partition.records.len() as i64);
        let mut from = low.clone();
        for (at, offset) in &reached.0 {
            let here = low.0.keys().find(|one| one.partition == at.partition);
            match (state.loss(at, *offset), here) {
                (Some(loss), _) if self.on_loss == OnLoss::Fail => return Err(self.error(loss)),
                (Some(loss), here) => {
                    lost.push(loss);
                    let ends = if self.on_loss == OnLoss::Latest { &high } else { &low };
                    from.0.extend(here.map(|here| (here.clone(), ends.0[here])));
                }
                (None, _) => drop(from.0.insert(at.clone(), *offset)),
            }
        }
        let lost = (!lost.is_empty()).then(|| lost.join("; "));
        Ok(Resumed { from, end: Some(high), lost })
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, _: Duration) -> Result<Offsets, SourceError> {
        let nothing = |state: &mut State| {
            from.0.iter().all(|(at, from)| {
                let end = state.now().get(&at.partition).map_or(0, |partition| partition.records.len() as i64);
                state.withheld == Some(at.partition) || (at.topic_id == Some(state.id()) && end <= *from)
            })
        };
        // A short wait, so that the query soon sees that the test's clock has gone on.
        let waited = self.topic.changed.wait_timeout_while(self.topic.state(), Duration::from_millis(3), nothing);
        let (mut state, _) = waited.unwrap();
        for (at, offset) in &from.0 {
            if let Some(loss) = state.loss(at, *offset).filter(|_| state.withheld != Some(at.partition)) {
                return Err(self.error(loss));
            }
        }
        let ends = state.offsets(|partition| partition.records.len() as i64);
        let (each, withheld) = ((max_rows / from.0.len().max(1)).max(1) as i64, state.withheld);
        let reach = |(at, from): (&TopicPartition, &i64)| match ends.0.get(at) {
            Some(end) if withheld != Some(at.partition) => (at.clone(), (*end).min(from + each)),
            _ => (at.clone(), *from),
        };
        let to: Offsets = from.0.iter().map(reach).collect();
        state.looks.push(Look { to: to.clone(), ends });
        Ok(to)
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        assert!(to.is_beyond(from), "a batch without rows needs no source");
        let mut batch = SourceBatch::default();
        for (at, end) in &to.0 {
            let start = from.0[at];
            if *end <= start {
                continue;
            }
            let loss = self.topic.state().loss(at, start);
            let mut first = start;
            if let Some(loss) = loss {
                let is_other = at.topic_id != Some(self.topic.state().id());
                if is_other || self.on_loss == OnLoss::Fail {
                    return Err(self.error(loss));
                }
                first = self.topic.state().now()[&at.partition].low.min(*end);
                let (field, excerpt) = (None, String::new());
                let dead = DeadLetter { partition: at.clone(), offset: start, reason: loss, field, excerpt };
                batch.dead_letters.push(dead);
            }
            let records = self.topic.records(at, first, *end);
            let rows = frame(&records).select(self.columns.iter().cloned()).unwrap();
            let rows = DataFrame::new(records.len(), rows.columns().to_vec()).unwrap();
            batch.parts.push(PartitionRows { partition: at.clone(), rows, newest_ms: None });
        }
        Ok(batch)
    }

    fn discovery_interval(&self) -> Duration {
        Duration::from_secs(5)
    }
}
