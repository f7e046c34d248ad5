//! The file of the history, on a thread of its own: a disk that does not answer, or a lock that somebody holds, must not
//! keep the kernel from its messages.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use crate::history::{Entry, KEPT, last};

/// How long the kernel's start waits for the cells of before.
const BEGINNING: Duration = Duration::from_secs(1);
/// How long its end waits for the last cells to be written.
const FAREWELL: Duration = Duration::from_millis(500);
/// A file that is larger is cut down to the cells that are remembered.
const LARGE: u64 = 8 << 20;

/// A session's number, and the cells of those before it.
pub(crate) type Beginning = (u64, Vec<Entry>);

/// The thread's ends of the file.
#[derive(Debug)]
pub(crate) struct HistoryFile {
    path: PathBuf,
    /// Cells to be written, by their lines; `None` once the kernel ends.
    cells: Option<Sender<(u64, String)>>,
    begun: Receiver<std::io::Result<Beginning>>,
    /// Disconnected when the thread has ended.
    ended: Receiver<()>,
}

impl HistoryFile {
    /// Starts the thread, which reads the file first.
    pub(crate) fn open(path: &Path) -> std::io::Result<HistoryFile> {
        let (cells, written) = channel();
        let (begin, begun) = channel();
        let (lives, ended) = channel();
        let own = path.to_owned();
        let work = move || {
            let _lives: Sender<()> = lives;
            let (session, before) = match begin_session(&own) {
                Ok(begun) => begun,
                Err(error) => return drop(begin.send(Err(error))),
            };
            // Who asked may have ended.
            let _ = begin.send(Ok((session, before)));
            // What cannot be written is written with a later cell.
            let (mut unwritten, mut told) = (Vec::new(), false);
            for (line, code) in written {
                unwritten.push(Entry { session, line, code: Some(code) });
                match append_all(&own, &mut unwritten) {
                    Ok(()) => told = false,
                    Err(error) if !std::mem::replace(&mut told, true) => {
                        eprintln!("the history in {} cannot be written: {error}; it is tried again", own.display());
                    }
                    Err(_) => {}
                }
            }
        };
        std::thread::Builder::new().name("history".into()).spawn(work)?;
        Ok(HistoryFile { path: path.to_owned(), cells: Some(cells), begun, ended })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file had, if it answers soon.
    pub(crate) fn wait(&self) -> Option<std::io::Result<Beginning>> {
        match self.begun.recv_timeout(BEGINNING) {
            Ok(begun) => Some(begun),
            Err(RecvTimeoutError::Timeout) => {
                eprintln!(
                    "the history in {} does not answer, or another program has it locked; it is used as soon as it can be",
                    self.path.display()
                );
                None
            }
            Err(RecvTimeoutError::Disconnected) => Some(Err(std::io::Error::other("its thread has ended"))),
        }
    }

    /// What the file had, once it has answered after all.
    pub(crate) fn late(&self) -> Option<std::io::Result<Beginning>> {
        self.begun.try_recv().ok()
    }

    /// Has a cell written; whether there still is a thread that does.
    pub(crate) fn write(&self, line: u64, code: &str) -> bool {
        self.cells.as_ref().is_some_and(|cells| cells.send((line, code.to_owned())).is_ok())
    }
}

impl Drop for HistoryFile {
    fn drop(&mut self) {
        self.cells = None;
        // One that does not end by then ends with the process.
        let _ = self.ended.recv_timeout(FAREWELL);
    }
}

/// Claims the next session's number and gives the cells of those before.
fn begin_session(path: &Path) -> std::io::Result<Beginning> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut file = open(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    // A line that is none, as after a crash, costs only itself.
    let read = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let all: Vec<Entry> = read.collect();
    let session = all.iter().map(|entry| entry.session).max().unwrap_or(0) + 1;
    let cells = last(all.into_iter().filter(|entry| entry.code.is_some()).collect(), KEPT);
    if text.len() as u64 > LARGE {
        // In place and under the lock, so that another kernel's next line goes into the same file.
        file.set_len(0)?;
        cells.iter().try_for_each(|entry| append(&mut file, entry))?;
    }
    append(&mut file, &Entry { session, line: 0, code: None })?;
    Ok((session, cells))
}

/// Opens and locks the file; the lock goes with it.
fn open(path: &Path) -> std::io::Result<File> {
    let file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("it is no regular file"));
    }
    file.lock()?;
    Ok(file)
}

/// Takes from the entries those that are written.
fn append_all(path: &Path, entries: &mut Vec<Entry>) -> std::io::Result<()> {
    let mut file = open(path)?;
    while let Some(entry) = entries.first() {
        append(&mut file, entry)?;
        entries.remove(0);
    }
    Ok(())
}

fn append(file: &mut File, entry: &Entry) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    // Behind a line that a crash cut off a new one begins.
    let end = file.seek(SeekFrom::End(0))?;
    let mut before = [b'\n'];
    if end > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut before)?;
    }
    if before != [b'\n'] {
        line.insert(0, b'\n');
    }
    file.write_all(&line)
}
