//! A disk that can lose power. What is written lies in a real folder, to be read as ever; beside it is known what of it was
//! synced, and that alone is certain to be there afterwards.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use engine::{Disk, DiskFile, OpenFile};

/// What becomes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Names and contents are as they were at the last sync.
    All,
    /// Names are as they are now, contents only as far as half of what was not synced.
    Half,
    /// Names are as they are now, contents have their length, and zeros in the place of what was not synced.
    Zeros,
}

pub(crate) const LOSSES: [Loss; 3] = [Loss::All, Loss::Half, Loss::Zeros];

/// What a disk says that it does, and does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Nothing.
    None,
    /// It syncs files.
    Files,
    /// It syncs folders.
    Folders,
}

/// A handle to the disk.
#[derive(Clone)]
pub(crate) struct FailingDisk(Arc<Mutex<State>>);

struct State {
    base: PathBuf,
    nodes: Vec<Node>,
    steps: usize,
    off_at: usize,
    is_off: bool,
    lie: Lie,
}

#[derive(Clone, Debug)]
enum Node {
    File { now: Vec<u8>, synced: Vec<u8> },
    Folder { now: BTreeMap<OsString, usize>, synced: BTreeMap<OsString, usize> },
}

impl Node {
    fn folder() -> Node {
        Node::Folder { now: BTreeMap::new(), synced: BTreeMap::new() }
    }
}

const BASE: usize = 0;

impl FailingDisk {
    /// The disk in an empty folder, which is there for good. It goes off instead of taking its step number `off_at`.
    pub(crate) fn new(base: &Path, off_at: usize, lie: Lie) -> FailingDisk {
        let state = State { base: base.to_owned(), nodes: vec![Node::folder()], steps: 0, off_at, is_off: false, lie };
        FailingDisk(Arc::new(Mutex::new(state)))
    }

    /// Whether there is no power.
    pub(crate) fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Has the power come back after it was lost; it stays now.
    pub(crate) fn lose_power(&self, loss: Loss) {
        let mut state = self.state();
        let entries: Vec<PathBuf> =
            std::fs::read_dir(&state.base).unwrap().map(|entry| entry.unwrap().path()).collect();
        for path in entries {
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.unwrap();
        }
        let base = state.base.clone();
        state.settle(BASE, &base, loss);
        (state.off_at, state.is_off) = (usize::MAX, false);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl State {
    fn step(&mut self) -> io::Result<()> {
        if self.steps == self.off_at || self.is_off {
            self.is_off = true;
            return Err(io::Error::other("there is no power"));
        }
        self.steps += 1;
        Ok(())
    }

    /// Makes a node what is left of it, here and in the real folder.
    fn settle(&mut self, number: usize, path: &Path, loss: Loss) {
        match self.nodes[number].clone() {
            Node::File { now, synced } => {
                let same = now.iter().zip(&synced).take_while(|(a, b)| a == b).count();
                let left = match loss {
                    Loss::All => synced,
                    Loss::Half => now[..same + (now.len() - same) / 2].to_vec(),
                    Loss::Zeros => now[..same].iter().copied().chain(now[same..].iter().map(|_| 0)).collect(),
                };
                std::fs::write(path, &left).unwrap();
                self.nodes[number] = Node::File { now: left.clone(), synced: left };
            }
            Node::Folder { now, synced } => {
                let names = if loss == Loss::All { synced } else { now };
                if number != BASE {
                    std::fs::create_dir(path).unwrap();
                }
                names.iter().for_each(|(name, child)| self.settle(*child, &path.join(name), loss));
                self.nodes[number] = Node::Folder { now: names.clone(), synced: names };
            }
        }
    }

    /// The names in the folder that a path lies in, and the path's own.
    fn place(&mut self, path: &Path) -> (&mut BTreeMap<OsString, usize>, OsString) {
        let name = path.file_name().unwrap().to_owned();
        let folder = self.find(path.parent().unwrap()).unwrap_or_else(|| panic!("{path:?} lies in no folder"));
        match &mut self.nodes[folder] {
            Node::Folder { now, .. } => (now, name),
            Node::File { .. } => panic!("{path:?} lies in a file"),
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let within = path.strip_prefix(&self.base).unwrap_or_else(|_| panic!("{path:?} lies on another disk"));
        within.iter().try_fold(BASE, |node, name| match &self.nodes[node] {
            Node::Folder { now, .. } => now.get(name).copied(),
            Node::File { .. } => None,
        })
    }

    fn add(&mut self, path: &Path, node: Node) -> usize {
        self.nodes.push(node);
        let number = self.nodes.len() - 1;
        let (names, name) = self.place(path);
        names.insert(name, number);
        number
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        let Some(number) = self.find(path) else { return self.step() };
        if let Node::Folder { now, .. } = self.nodes[number].clone() {
            now.keys().try_for_each(|name| self.remove(&path.join(name)))?;
        }
        self.step()?;
        let (names, name) = self.place(path);
        names.remove(&name);
        if path.is_dir() { std::fs::remove_dir(path) } else { std::fs::remove_file(path) }
    }
}

impl Disk for FailingDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        if state.find(path).is_none() {
            std::fs::create_dir(path)?;
            state.add(path, Node::folder());
        }
        Ok(())
    }

    fn open(&self, path: &Path, how: OpenFile) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.step()?;
        let mut options = File::options();
        let file = match how {
            OpenFile::New => options.write(true).create(true).truncate(true),
            OpenFile::Append => options.append(true).create(true),
        };
        let file = file.open(path)?;
        let number = match state.find(path) {
            Some(number) => number,
            None => state.add(path, Node::File { now: Vec::new(), synced: Vec::new() }),
        };
        if let (Node::File { now, .. }, OpenFile::New) = (&mut state.nodes[number], how) {
            now.clear();
        }
        Ok(Box::new(Written { disk: self.clone(), number, file, counts: how == OpenFile::Append }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        std::fs::rename(from, to)?;
        let (names, name) = state.place(from);
        let number = names.remove(&name).unwrap();
        let (names, name) = state.place(to);
        names.insert(name, number);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state().remove(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        let number = state.find(path).unwrap_or_else(|| panic!("there is no {path:?}"));
        if state.lie == Lie::Folders {
            return Ok(());
        }
        if let Node::Folder { now, synced } = &mut state.nodes[number] {
            synced.clone_from(now);
        }
        Ok(())
    }
}

struct Written {
    disk: FailingDisk,
    number: usize,
    file: File,
    /// Whether each write is a step: of a file that is made anew it makes no difference how far it came.
    counts: bool,
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        if self.counts || state.is_off {
            state.step()?;
        }
        self.file.write_all(bytes)?;
        if let Node::File { now, .. } = &mut state.nodes[self.number] {
            now.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for Written {
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.step()?;
        if state.lie == Lie::Files {
            return Ok(());
        }
        if let Node::File { now, synced } = &mut state.nodes[self.number] {
            synced.clone_from(now);
        }
        Ok(())
    }
}
