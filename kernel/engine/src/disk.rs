//! The seam to the disk: what checkpoints and sinks of files do to it, in steps that a test can count and lose. Reading is not
//! behind it: what is read was synced, or it does not count.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// What changes a disk.
///
/// Contract: after a loss of power the content of a file is what it was at its last [`DiskFile::sync`] or anything else, and a
/// name that was made, changed or removed is what it is now or what it was before the change, until its folder is synced. So
/// whoever wants a file to be there whole or not at all [replaces](replace_file) it.
pub trait Disk: Send + Sync {
    /// Makes a folder in one that is there. One that is there already stays as it is.
    ///
    /// # Errors
    /// What the operating system says, here and below.
    fn make_folder(&self, path: &Path) -> io::Result<()>;

    /// Opens a file to write to.
    ///
    /// # Errors
    /// As for [`Disk::make_folder`].
    fn open(&self, path: &Path, how: OpenFile) -> io::Result<Box<dyn DiskFile>>;

    /// Gives a file or a folder another name, in the place of a file that has it.
    ///
    /// # Errors
    /// As for [`Disk::make_folder`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file, or a folder with all that is in it; where nothing is, nothing is done.
    ///
    /// # Errors
    /// As for [`Disk::make_folder`].
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Has the names in a folder outlive a loss of power.
    ///
    /// # Errors
    /// As for [`Disk::make_folder`].
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenFile {
    /// As a new one, in the place of what was there.
    New,
    /// At its end; a new one where none is.
    Append,
}

/// A file that is written.
pub trait DiskFile: Write + Send {
    /// Has what was written outlive a loss of power.
    ///
    /// # Errors
    /// What the operating system says.
    fn sync(&mut self) -> io::Result<()>;
}

/// This machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalDisk;

impl Disk for LocalDisk {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        match std::fs::create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            made => made,
        }
    }

    fn open(&self, path: &Path, how: OpenFile) -> io::Result<Box<dyn DiskFile>> {
        let mut options = File::options();
        match how {
            OpenFile::New => options.write(true).create(true).truncate(true),
            OpenFile::Append => options.append(true).create(true),
        };
        Ok(Box::new(options.open(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        // Elsewhere a folder is no file that could be opened, and names are kept in a journal.
        if !cfg!(unix) {
            return Ok(());
        }
        match File::open(path)?.sync_all() {
            // Some network file systems do not know it of folders, and nothing more can be done there.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
            synced => synced,
        }
    }
}

impl DiskFile for File {
    fn sync(&mut self) -> io::Result<()> {
        // Its length is part of the data; when it was changed is nothing that is needed.
        self.sync_data()
    }
}

/// Makes a folder and those that it lies in, and has them outlive a loss of power.
///
/// # Errors
/// What the disk says.
pub fn make_folders(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let above = folder_of(path);
    if path.parent().is_some() && !above.is_dir() {
        make_folders(disk, &above)?;
    }
    disk.make_folder(path)?;
    // Also where it was there before: whoever made it may not have come so far.
    if path.file_name().is_some() { disk.sync_folder(&above) } else { Ok(()) }
}

/// Writes a file so that it is there whole or not at all, whatever happens: under the name `new` first, in the same folder.
///
/// # Errors
/// What the disk or `write` says; then the file is what it was.
pub fn replace_file<E: From<io::Error>>(
    disk: &dyn Disk,
    path: &Path,
    new: &Path,
    write: impl FnOnce(&mut dyn DiskFile) -> Result<(), E>,
) -> Result<(), E> {
    let mut file = disk.open(new, OpenFile::New)?;
    write(file.as_mut())?;
    file.sync()?;
    drop(file);
    disk.rename(new, path)?;
    Ok(disk.sync_folder(&folder_of(path))?)
}

/// The folder that something lies in.
fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folders_are_made_with_those_that_they_lie_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/c");
        make_folders(&LocalDisk, &path).unwrap();
        make_folders(&LocalDisk, &path).unwrap();
        assert!(path.is_dir());
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(make_folders(&LocalDisk, &folder.path().join("file")).is_err());
        assert!(make_folders(&LocalDisk, &folder.path().join("file/a")).is_err());
    }

    #[test]
    fn a_file_that_cannot_be_written_to_its_end_stays_what_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (path, new) = (folder.path().join("file"), folder.path().join("file.new"));
        replace_file(&LocalDisk, &path, &new, |file| file.write_all(b"first")).unwrap();
        let failed = replace_file(&LocalDisk, &path, &new, |file| {
            file.write_all(b"sec")?;
            Err(io::Error::other("no room"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no room");
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        LocalDisk.remove(&path).unwrap();
        LocalDisk.remove(&path).unwrap();
        assert!(!path.exists());
    }
}
