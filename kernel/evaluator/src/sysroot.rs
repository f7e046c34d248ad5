//! The sources of the standard library as the analyzer sees them: signatures and documentation. The bodies of functions and the
//! processors' own instructions are most of their text, no notebook's types come from them, and to read them costs every
//! session seconds.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::beside::made_once;
use crate::signatures::without_bodies;
use crate::toolchain::{RUSTC_VERSION, SYSROOT, Toolchain};

/// Where the instructions are, and the vectors that are made of them; the files that `core` and `std` take in are left empty.
const INSTRUCTIONS: [&str; 2] = ["portable-simd", "stdarch"];
const TAKEN_IN: [&str; 3] = [
    "portable-simd/crates/core_simd/src/mod.rs",
    "portable-simd/crates/std_float/src/lib.rs",
    "stdarch/crates/core_arch/src/mod.rs",
];
/// What is read for every session.
const READ: [&str; 3] = ["core", "alloc", "std"];
/// What the folder's name begins with, beside the library.
const PREFIX: &str = "cells-std-";
/// Counts the ways in which the sources are made lean.
const FORM: u32 = 1;

/// The place of the sources; `None` where the compiler has none, or none can be made.
pub(crate) fn prepare(toolchain: &Toolchain) -> Option<PathBuf> {
    let library = SYSROOT.join("lib/rustlib/src/rust/library");
    let whole = TAKEN_IN.iter().all(|file| library.join(file).exists());
    let version: String = RUSTC_VERSION.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
    let key = format!("{FORM}-{version}");
    let make = |folder: &Path| lean(&library, folder);
    // An installation was given the sources as they are made here, and not the whole.
    let there = || Some(toolchain.library.join(format!("{PREFIX}{key}"))).filter(|folder| folder.exists());
    if whole { made_once(&toolchain.library, PREFIX, &key, make).ok() } else { there() }
}

fn lean(library: &Path, folder: &Path) -> std::io::Result<()> {
    for empty in TAKEN_IN.map(|file| folder.join(file)) {
        std::fs::create_dir_all(empty.parent().unwrap_or(folder))?;
        std::fs::write(empty, "")?;
    }
    for entry in std::fs::read_dir(library)? {
        let name = entry?.file_name();
        if READ.iter().any(|read| name == *read) {
            copy(&library.join(&name), &folder.join(&name))?;
        } else if !INSTRUCTIONS.iter().any(|left_out| name == *left_out) {
            symlink(library.join(&name), folder.join(&name))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy(&from, &to)?;
        } else if from.extension().is_some_and(|extension| extension == "rs") {
            std::fs::write(to, without_bodies(&std::fs::read_to_string(&from)?))?;
        } else {
            symlink(from, to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn everything_is_there_but_bodies_and_instructions() {
        let (library, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let write = |file: &str, text: &str| {
            let path = library.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("core/src/lib.rs", "fn f() { g() }");
        for file in ["Cargo.toml", "core/README.md", "stdarch/crates/core_arch/src/x86/mod.rs"].iter().chain(&TAKEN_IN)
        {
            write(file, file);
        }
        lean(library.path(), folder.path()).unwrap();
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).ok();
        assert_eq!(read("core/src/lib.rs").as_deref(), Some("fn f() {}"));
        assert!(["Cargo.toml", "core/README.md"].iter().all(|file| read(file).as_deref() == Some(*file)));
        assert!(TAKEN_IN.iter().all(|file| read(file).as_deref() == Some("")));
        assert_eq!(read("stdarch/crates/core_arch/src/x86/mod.rs"), None);
    }
}
