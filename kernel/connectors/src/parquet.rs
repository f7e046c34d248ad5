//! A folder of Parquet files, one a batch: a batch that is written again replaces its own file, so that each row is there
//! once. Readers see whole files only, and a batch that was written outlives a loss of power.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Disk, LocalDisk, Sink, SinkError, make_folders, replace_file};
use polars::prelude::{DataFrame, ParquetReader, ParquetWriter, PolarsError, SerReader as _};

/// Writes batches into a folder, as `part-0000000007.parquet` for batch 7. Batches without rows leave no file.
pub struct ParquetSink {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// Batches whose files are there and cannot be read, rising: they have to come again.
    unreadable: Vec<Unreadable>,
}

struct Unreadable {
    batch: u64,
    detail: String,
}

impl ParquetSink {
    /// A sink into `folder`, which is made when the first batch comes.
    #[must_use]
    pub fn new(folder: PathBuf) -> ParquetSink {
        ParquetSink::on_disk(Arc::new(LocalDisk), folder)
    }

    /// The same on another disk.
    #[must_use]
    pub fn on_disk(disk: Arc<dyn Disk>, folder: PathBuf) -> ParquetSink {
        ParquetSink { disk, folder, unreadable: Vec::new() }
    }

    fn file(&self, batch: u64) -> PathBuf {
        self.folder.join(format!("part-{batch:010}.parquet"))
    }

    /// The numbers of the files that are there, rising; takes away what a crash left of files that were being written.
    fn batches(&self) -> std::io::Result<Vec<u64>> {
        let mut batches = Vec::new();
        for path in std::fs::read_dir(&self.folder)?.flatten().map(|entry| entry.path()) {
            if is_left_over(&path) {
                self.disk.remove(&path)?;
            }
            batches.extend(number(&path));
        }
        batches.sort_unstable();
        Ok(batches)
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

fn is_left_over(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with(".part-") && name.ends_with(".new")
}

/// Reads what is at a file's end, which is written last and says where all the rest is.
fn check(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    ParquetReader::new(file).get_metadata().map(drop).map_err(|error| error.to_string())
}

impl Sink for ParquetSink {
    /// A name alone is not believed: the newest file must be whole.
    fn reached(&mut self) -> Result<Option<u64>, SinkError> {
        self.unreadable.clear();
        let mut batches = match self.batches() {
            Ok(batches) => batches,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(SinkError {
                    fact: format!("the folder {} cannot be read", self.folder.display()),
                    detail: error.to_string(),
                    hint: "Name a folder for the query's files alone".to_owned(),
                    retry: false,
                });
            }
        };
        while let Some(batch) = batches.pop() {
            match check(&self.file(batch)) {
                Ok(()) => return Ok(Some(batch)),
                Err(detail) => self.unreadable.insert(0, Unreadable { batch, detail }),
            }
        }
        Ok(None)
    }

    fn tells_batches(&self) -> bool {
        true
    }

    fn write(&mut self, batch: u64, rows: &DataFrame) -> Result<(), SinkError> {
        self.unreadable.retain(|found| found.batch != batch);
        if let Some(Unreadable { batch: missing, detail }) = self.unreadable.first().filter(|found| found.batch < batch)
        {
            return Err(SinkError {
                fact: format!("the file {} is not whole", self.file(*missing).display()),
                detail: format!("{detail}, and the query does not write batch {missing} again, for it was done"),
                hint: "Put a copy of the file back, or write to another folder with another checkpoint".to_owned(),
                retry: false,
            });
        }
        if rows.height() == 0 {
            return Ok(());
        }
        make_folders(self.disk.as_ref(), &self.folder).map_err(|error| self.failed(batch, &error))?;
        // A name that readers of `*.parquet` pass over.
        let new = self.folder.join(format!(".part-{batch:010}.new"));
        let write = |file: &mut dyn engine::DiskFile| ParquetWriter::new(file).finish(&mut rows.clone()).map(drop);
        replace_file(self.disk.as_ref(), &self.file(batch), &new, write).map_err(|error: PolarsError| match error {
            PolarsError::IO { .. } => self.failed(batch, &error),
            other => SinkError { retry: false, ..self.failed(batch, &other) },
        })
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
    fn a_name_is_not_believed_where_its_file_is_not_whole() {
        let folder = tempfile::tempdir().unwrap();
        let sink = || ParquetSink::new(folder.path().to_owned());
        let two = df!["x" => [1, 2]].unwrap();
        for batch in 0..4 {
            sink().write(batch, &two).unwrap();
        }
        let file = |batch: u64| sink().file(batch);
        let whole = std::fs::read(file(3)).unwrap();
        for damaged in [&b""[..], &whole[..whole.len() / 2], &whole[..whole.len() - 1], &vec![0; whole.len()]] {
            std::fs::write(file(2), damaged).unwrap();
            std::fs::write(file(3), damaged).unwrap();
            std::fs::write(folder.path().join(".part-0000000004.new"), damaged).unwrap();
            let mut again = sink();
            assert_eq!(again.reached().unwrap(), Some(1));
            again.write(2, &two).unwrap();
            again.write(3, &two).unwrap();
            assert_eq!((again.reached().unwrap(), rows(folder.path())), (Some(3), 8));
            // What the query does not write again is told, not passed over.
            std::fs::write(file(3), damaged).unwrap();
            let mut other = sink();
            assert_eq!(other.reached().unwrap(), Some(2));
            let error = other.write(4, &two).unwrap_err();
            assert!(!error.retry && error.to_string().contains("part-0000000003.parquet is not whole"), "{error}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("out"), "a file").unwrap();
        let error = ParquetSink::new(folder.path().join("out")).write(3, &df!["x" => [1]].unwrap()).unwrap_err();
        assert!(error.retry && error.to_string().contains("batch 3"), "{error}");
    }
}
