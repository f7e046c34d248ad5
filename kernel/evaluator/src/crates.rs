//! A folder with the crates that the library was made of, and nothing else. The compiler lists it for every cell and opens all
//! that could be meant; cargo's own has what older builds left, and every crate a second time as metadata alone.

use std::io::{Error, Write as _};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::beside::made_once;
use crate::toolchain::{RUSTC, Toolchain};

/// The crates that every cell has under their own names, so that a person writes their paths, and derives expand, as in any
/// crate that depends on them.
pub(crate) const NAMED: [&str; 5] = ["chrono", "polars", "serde", "serde_json", "tokio"];
/// The folder with what names them.
const NAMES: &str = "named";

/// The folder; cargo's own where none can be made, and an installation's, which has nothing else.
pub(crate) fn of(toolchain: &Toolchain) -> PathBuf {
    let built = toolchain.library.join("deps");
    if toolchain.is_installed() {
        return built;
    }
    let made = std::fs::metadata(toolchain.dylib()).and_then(|library| {
        let key = format!("{}-{}-{}", library.mtime(), library.mtime_nsec(), library.size());
        made_once(&toolchain.library, "cells-crates-", &key, |folder| {
            link_crates(&built, folder)?;
            name_crates(toolchain, folder)
        })
    });
    made.unwrap_or(built)
}

/// The named crates in a folder, each with its file.
pub(crate) fn named(folder: &Path) -> Vec<(&'static str, PathBuf)> {
    let file = |name: &'static str| (name, folder.join(NAMES).join(format!("lib{name}.rlib")));
    NAMED.map(file).into_iter().filter(|(_, file)| file.exists()).collect()
}

/// Names each of the crates in the library by one that has nothing but what is public there: which of cargo's files it was made
/// of, cargo does not tell.
fn name_crates(toolchain: &Toolchain, folder: &Path) -> std::io::Result<()> {
    let named = folder.join(NAMES);
    std::fs::create_dir(&named)?;
    let start = |name: &str| {
        let mut compiler = Command::new(&*RUSTC);
        compiler.args(["--crate-name", name, "--edition", "2024", "--crate-type", "rlib", "-Cmetadata=named", "-"]);
        compiler.arg(format!("--extern=corriente={}", toolchain.dylib().display()));
        compiler.arg(format!("-Ldependency={}", folder.display())).arg("--out-dir").arg(&named);
        let mut child = compiler.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        if let Some(mut source) = child.stdin.take() {
            writeln!(source, "#![allow(warnings)]\npub use corriente::{name}::*;")?;
        }
        Ok(child)
    };
    let started = NAMED.map(start).into_iter().collect::<std::io::Result<Vec<_>>>()?;
    for compiler in started {
        let done = compiler.wait_with_output()?;
        if !done.status.success() {
            return Err(Error::other(String::from_utf8_lossy(&done.stderr).into_owned()));
        }
    }
    Ok(())
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
