//! A golden's rows as logs that are read in its batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::{Offsets, OpenSource, Source, SourceBatch, SourceError};
use polars::prelude::*;

use crate::common;
use crate::file::Row;

/// How the rows are cut into batches.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    AsWritten,
    OneBatch,
    RowByRow,
}

impl Cut {
    /// The rows of each batch.
    pub(crate) fn of(self, batches: &[Vec<Row>]) -> Vec<Vec<Row>> {
        match self {
            Cut::AsWritten => batches.to_vec(),
            Cut::OneBatch => vec![batches.concat()],
            Cut::RowByRow => batches.concat().into_iter().map(|row| vec![row]).collect(),
        }
    }
}

pub(crate) fn schema() -> SchemaRef {
    frame(&[]).schema().clone()
}

fn frame(rows: &[&Row]) -> DataFrame {
    let frame = df![
        "time" => rows.iter().map(|row| row.time).collect::<Vec<_>>(),
        "key" => rows.iter().map(|row| row.key.clone()).collect::<Vec<_>>(),
        "value" => rows.iter().map(|row| row.value).collect::<Vec<_>>(),
    ];
    let time = col("time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.unwrap().lazy().with_columns([time]).collect().unwrap()
}

/// Opens the log of this number.
pub(crate) fn open(rows: &[Row], log: usize) -> OpenSource {
    let mine: Vec<&Row> = rows.iter().filter(|row| row.log == log).collect();
    let of = |partition: i32| frame(&mine.iter().copied().filter(|row| row.partition == partition).collect::<Vec<_>>());
    let last = mine.iter().map(|row| row.partition).max().unwrap_or(0);
    common::log::open((0..=last).map(of).collect(), usize::MAX)
}

/// A source that gives what a cut says, batch by batch.
struct Cutted {
    whole: Box<dyn Source>,
    /// The rows of each log and partition that come with each batch.
    batches: Vec<BTreeMap<(usize, i32), i64>>,
}

/// Has a source be read in these batches.
pub(crate) fn in_batches(open: &OpenSource, batches: &[Vec<Row>]) -> OpenSource {
    let counted = |batch: &Vec<Row>| {
        let mut counts = BTreeMap::new();
        batch.iter().for_each(|row| *counts.entry((row.log, row.partition)).or_default() += 1);
        counts
    };
    let (open, batches) = (Arc::clone(open), batches.iter().map(counted).collect::<Vec<_>>());
    Arc::new(move |columns| Ok(Box::new(Cutted { whole: open(columns)?, batches: batches.clone() }) as Box<dyn Source>))
}

impl Source for Cutted {
    fn schema(&self) -> SchemaRef {
        self.whole.schema()
    }

    fn lanes(&self) -> Vec<SchemaRef> {
        self.whole.lanes()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        self.whole.start()
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        self.whole.latest()
    }

    fn available(&mut self, from: &Offsets, _: usize, _: Duration) -> Result<Offsets, SourceError> {
        // Where two logs are one, the partitions of the second come after those of the first.
        let mut places: Vec<(usize, i32)> = self.batches.iter().flat_map(|batch| batch.keys().copied()).collect();
        places.sort_unstable();
        places.dedup();
        let mut end = self.whole.start()?;
        for batch in &self.batches {
            for (place, at) in places.iter().zip(end.0.values_mut()) {
                *at += batch.get(place).copied().unwrap_or_default();
            }
            if end.is_beyond(from) {
                return Ok(end);
            }
        }
        Ok(end)
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        self.whole.read(from, to)
    }
}
