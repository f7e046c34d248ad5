//! Lists the files of the JupyterLab extension and of papermill's translator, so that the command carries them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    list("kernel/display/labextension", "labextension.rs");
    list("install/papermill", "papermill.rs");
}

/// Writes the list of a folder's files, with their texts.
fn list(folder: &str, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut list = String::from("&[\n");
    for file in files(&folder) {
        let name = file.strip_prefix(&folder).unwrap_or(&file).to_string_lossy().into_owned();
        let _ = writeln!(list, "({name:?}, include_str!({:?})),", file.display().to_string());
    }
    list.push(']');
    let out = std::env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    if let Err(error) = std::fs::write(out.join(name), list) {
        println!("cargo:warning=the files of {} cannot be listed: {error}", folder.display());
    }
}

/// The files of a folder; what Python has compiled of them is of no use elsewhere.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_name() != "__pycache__");
    let mut found: Vec<PathBuf> =
        entries.flat_map(|e| if e.path().is_dir() { files(&e.path()) } else { vec![e.path()] }).collect();
    found.sort();
    found
}
