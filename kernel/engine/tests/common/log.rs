//! A log in memory, which is read as a query asks for it.

use std::sync::Arc;
use std::time::Duration;

use engine::{Offsets, OpenSource, PartitionRows, Source, SourceBatch, SourceError, TopicPartition};
use polars::prelude::*;

/// Opens a log that has these rows in its partitions, and gives no more than so many of each at a time.
pub(crate) fn open(partitions: Vec<DataFrame>, at_a_time: usize) -> OpenSource {
    let partitions: Arc<[DataFrame]> = partitions.into();
    Arc::new(move |columns| {
        let partitions = Arc::clone(&partitions);
        Ok(Box::new(Log { partitions, columns: columns.to_vec(), at_a_time }) as Box<dyn Source>)
    })
}

struct Log {
    partitions: Arc<[DataFrame]>,
    columns: Vec<PlSmallStr>,
    at_a_time: usize,
}

impl Log {
    fn of(&self, partition: &TopicPartition) -> &DataFrame {
        &self.partitions[partition.partition as usize]
    }

    /// The columns that are wanted, which may be none.
    fn wanted(&self, rows: &DataFrame) -> DataFrame {
        let columns = self.columns.iter().map(|name| rows.column(name).unwrap().clone());
        DataFrame::new(rows.height(), columns.collect()).unwrap()
    }
}

impl Source for Log {
    fn schema(&self) -> SchemaRef {
        self.wanted(&self.partitions[0]).schema().clone()
    }

    fn start(&mut self) -> Result<Offsets, SourceError> {
        Ok((0..).zip(self.partitions.iter().map(|_| 0)).collect())
    }

    fn latest(&mut self) -> Result<Offsets, SourceError> {
        Ok((0..).zip(self.partitions.iter().map(|rows| rows.height() as i64)).collect())
    }

    fn available(&mut self, from: &Offsets, max_rows: usize, _: Duration) -> Result<Offsets, SourceError> {
        let each = (max_rows / self.partitions.len()).max(1).min(self.at_a_time) as i64;
        let to = |(partition, at): (&TopicPartition, &i64)| {
            (partition.clone(), (at + each).min(self.of(partition).height() as i64))
        };
        Ok(from.0.iter().map(to).collect())
    }

    fn read(&mut self, from: &Offsets, to: &Offsets) -> Result<SourceBatch, SourceError> {
        let mut batch = SourceBatch::default();
        for (partition, end) in &to.0 {
            let start = from.0[partition];
            if *end > start {
                let rows = self.wanted(&self.of(partition).slice(start, (end - start) as usize));
                batch.parts.push(PartitionRows { partition: partition.clone(), rows, newest_ms: None });
            }
        }
        Ok(batch)
    }
}
