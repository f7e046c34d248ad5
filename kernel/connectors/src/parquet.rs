//! A folder of Parquet files, one a batch: a batch that is written again replaces its own file, so that each row is there
//! once. Readers see whole files only.

use std::fs::File;
use std::path::{Path, PathBuf};

use engine::{Sink, SinkError};
use polars::prelude::{DataFrame, ParquetWriter, PolarsError};

/// Writes batches into a folder, as `part-0000000007.parquet` for batch 7. Batches without rows leave no file.
pub struct ParquetSink {
    folder: PathBuf,
}

impl ParquetSink {
    /// A sink into `folder`, which is made when the first batch comes.
    #[must_use]
    pub fn new(folder: PathBuf) -> ParquetSink {
        ParquetSink { folder }
    }

    fn failed(&self, batch: u64, detail: &dyn std::fmt::Display) -> SinkError {
        SinkError {
            fact: format!("batch {batch} cannot be written to {}", self.folder.display()),
            detail: detail.to_string(),
            hint: "See whether the folder can be written and the disk has room; the query goes on then".to_owned(),
            retry: true,
        }
    }
}

/// The number of a batch's file.
fn number(path: &Path) -> Option<u64> {
    path.extension().filter(|extension| *extension == "parquet")?;
    path.file_stem()?.to_str()?.strip_prefix("part-")?.parse().ok()
}

impl Sink for ParquetSink {
    fn reached(&mut self) -> Result<Option<u64>, SinkError> {
        match std::fs::read_dir(&self.folder) {
            Ok(entries) => Ok(entries.flatten().filter_map(|entry| number(&entry.path())).max()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(SinkError {
                fact: format!("the folder {} cannot be read", self.folder.display()),
                detail: error.to_string(),
                hint: "Name a folder for the query's files alone".to_owned(),
                retry: false,
            }),
        }
    }

    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError> {
        if rows.height() == 0 {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder).map_err(|error| self.failed(batch, &error))?;
        let whole = self.folder.join(format!("part-{batch:010}.parquet"));
        // A name that readers of `*.parquet` pass over.
        let new = self.folder.join(format!(".part-{batch:010}.new"));
        let file = File::create(&new).map_err(|error| self.failed(batch, &error))?;
        ParquetWriter::new(file).finish(&mut rows.clone()).map_err(|error| match error {
            PolarsError::IO { .. } => self.failed(batch, &error),
            other => SinkError { retry: false, ..self.failed(batch, &other) },
        })?;
        std::fs::rename(&new, &whole).map_err(|error| self.failed(batch, &error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use polars::prelude::*;

    use super::*;

    fn rows(folder: &std::path::Path) -> usize {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        files.map(|file| ParquetReader::new(File::open(file).unwrap()).finish().unwrap().height()).sum()
    }

    #[test]
    fn a_batch_that_is_written_again_is_there_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut sink = ParquetSink::new(folder.path().join("out"));
        assert_eq!(sink.reached().unwrap(), None);
        let two = df!["x" => [1, 2]].unwrap();
        for batch in [0, 1, 1, 0] {
            sink.write(batch, &two).unwrap();
        }
        assert_eq!(sink.reached().unwrap(), Some(1));
        sink.write(2, &two.clear()).unwrap();
        assert_eq!(rows(&folder.path().join("out")), 4);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("out"), "a file").unwrap();
        let error = ParquetSink::new(folder.path().join("out")).write(3, &df!["x" => [1]].unwrap()).unwrap_err();
        assert!(error.retry && error.to_string().contains("batch 3"), "{error}");
    }
}
