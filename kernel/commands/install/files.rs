//! Files that others read while they are replaced.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// What a file's name begins with until it is whole.
const TEMPORARY: &str = ".corriente-";

/// Writes a file whole under its name, whatever was there: who reads it has the old one or the new one.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)?;
        file.write_all(bytes)?;
        // A shared prefix is for all to read.
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
        file.persist(path).map_err(|failed| failed.error)?;
        Ok(())
    });
    written.with_context(|| format!("{} cannot be written", path.display()))
}

/// Whether a folder is somebody else's: it has more than what an installation of ours leaves that did not come to its end.
pub(crate) fn is_foreign(folder: &Path, left: &[&str]) -> bool {
    let ours = |name: &str| left.contains(&name) || name.starts_with(TEMPORARY);
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.flatten().any(|entry| !entry.file_name().to_str().is_some_and(ours)),
        // What is there and cannot be looked into is not ours either.
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Removes a file; one that is not there is as good.
pub(crate) fn remove_file(path: &Path) -> anyhow::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", path.display()))
        }
        _ => Ok(()),
    }
}
