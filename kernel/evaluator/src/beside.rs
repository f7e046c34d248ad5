//! Folders that are made once for a build, beside the library, by the kernel that first needs one.

use std::path::{Path, PathBuf};

/// The folder `prefix` and `key`; `make` fills it where it is not there yet, and those of the same prefix with other keys
/// are removed: they belong to builds that are gone.
pub(crate) fn made_once(
    beside: &Path,
    prefix: &str,
    key: &str,
    make: impl FnOnce(&Path) -> std::io::Result<()>,
) -> std::io::Result<PathBuf> {
    let folder = beside.join(format!("{prefix}{key}"));
    if folder.exists() {
        return Ok(folder);
    }
    let new = tempfile::Builder::new().prefix(&format!(".{prefix}")).tempdir_in(beside)?;
    make(new.path())?;
    remove_old(beside, prefix);
    match std::fs::rename(new.path(), &folder) {
        Ok(()) => drop(new.keep()),
        // Another kernel that starts now was first.
        Err(_) if folder.exists() => {}
        Err(error) => return Err(error),
    }
    Ok(folder)
}

fn remove_old(beside: &Path, prefix: &str) {
    let Ok(entries) = std::fs::read_dir(beside) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix)) {
        // One that another kernel removes is as well gone.
        let _ = std::fs::remove_dir_all(entry.path());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_made_once_and_replaces_the_one_before() {
        let beside = tempfile::tempdir().unwrap();
        let make = |folder: &Path| std::fs::write(folder.join("file"), "made");
        let first = made_once(beside.path(), "cells-", "1", make).unwrap();
        assert_eq!(std::fs::read_to_string(first.join("file")).unwrap(), "made");
        let never = |_: &Path| Err(std::io::Error::other("made twice"));
        assert_eq!(made_once(beside.path(), "cells-", "1", never).unwrap(), first);
        let second = made_once(beside.path(), "cells-", "2", make).unwrap();
        assert!(second.exists() && !first.exists());
        assert!(made_once(beside.path(), "cells-", "3", never).is_err());
        assert_eq!(std::fs::read_dir(beside.path()).unwrap().count(), 1);
    }
}
