//! A folder with the crates that the library was made of, and nothing else. The compiler lists it for every cell and opens all
//! that could be meant; cargo's own has what older builds left, and every crate a second time as metadata alone.

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::beside::made_once;
use crate::toolchain::Toolchain;

/// The folder; cargo's own where none can be made, and an installation's, which has nothing else.
pub(crate) fn of(toolchain: &Toolchain) -> PathBuf {
    let built = toolchain.library.join("deps");
    if toolchain.is_installed() {
        return built;
    }
    let made = std::fs::metadata(toolchain.dylib()).and_then(|library| {
        let key = format!("{}-{}-{}", library.mtime(), library.mtime_nsec(), library.size());
        made_once(&toolchain.library, "cells-crates-", &key, |folder| link_crates(&built, folder))
    });
    made.unwrap_or(built)
}

fn link_crates(built: &Path, folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(built)? {
        let path = entry?.path();
        if let (Some("rlib" | std::env::consts::DLL_EXTENSION), Some(name)) =
            (path.extension().and_then(|e| e.to_str()), path.file_name())
        {
            symlink(&path, folder.join(name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_can_be_linked_is_there() {
        let (built, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["liba-1.rlib", "liba-1.rmeta", "libb-2.so", "a.d"] {
            std::fs::write(built.path().join(name), "").unwrap();
        }
        link_crates(built.path(), folder.path()).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["liba-1.rlib", "libb-2.so"]);
    }
}
