//! The JupyterLab extension, which draws what is live: plain files that the command carries.

use std::path::Path;

use serde_json::{Value, json};

use super::files::{is_foreign, remove_file, replace};

/// Its folder's name, and its own.
pub(crate) const NAME: &str = "corriente-live";
/// By which JupyterLab says who brought it, and how it goes.
const INSTALLER: &str = "install.json";
const MANIFEST: &str = "package.json";

/// The extension's files, by their place in its folder.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/labextension.rs"));

/// The version of the extension in a folder; `None` when there is none, or it is not ours.
pub(crate) fn version(folder: &Path) -> Option<String> {
    version_in(&std::fs::read_to_string(folder.join(MANIFEST)).ok()?)
}

/// The version of the one that the command carries.
pub(crate) fn carried() -> Option<String> {
    FILES.iter().find(|(name, _)| *name == MANIFEST).and_then(|(_, text)| version_in(text))
}

fn version_in(manifest: &str) -> Option<String> {
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    (manifest["name"] == NAME).then(|| manifest["version"].as_str().map(str::to_owned))?
}

/// Writes the extension, the file that JupyterLab reads first last, and removes what an older one had more.
///
/// # Errors
/// When the folder is somebody else's, or cannot be written.
pub(crate) fn write(folder: &Path, uninstall: &str) -> anyhow::Result<()> {
    refuse_foreign(folder)?;
    let installer =
        json!({"packageManager": "corriente", "packageName": "corriente", "uninstallInstructions": uninstall});
    for (name, text) in FILES.iter().filter(|(name, _)| *name != MANIFEST) {
        replace(&folder.join(name), text.as_bytes())?;
    }
    replace(&folder.join(INSTALLER), format!("{installer:#}\n").as_bytes())?;
    for (_, text) in FILES.iter().filter(|(name, _)| *name == MANIFEST) {
        replace(&folder.join(MANIFEST), text.as_bytes())?;
    }
    let old = std::fs::read_dir(folder.join("static")).into_iter().flatten().flatten().map(|entry| entry.path());
    for path in
        old.filter(|path| path.strip_prefix(folder).is_ok_and(|name| !names().any(|ours| Path::new(ours) == name)))
    {
        // A file more than there should be does no harm.
        let _ = std::fs::remove_file(path);
    }
    Ok(())
}

/// An error where an extension of that name is there and is not ours.
pub(crate) fn refuse_foreign(folder: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        version(folder).is_some() || !is_foreign(folder, &["static", INSTALLER]),
        "{} is another extension's folder, and is left as it is; move it away to install this one",
        folder.display()
    );
    Ok(())
}

/// Removes the extension in a folder that is ours, but for what somebody has put there.
pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    remove_file(&folder.join(MANIFEST))?;
    for name in names() {
        remove_file(&folder.join(name))?;
    }
    for empty in [folder.join("static"), folder.to_owned()] {
        // What is not empty stays.
        let _ = std::fs::remove_dir(empty);
    }
    Ok(())
}

fn names() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(name, _)| *name).chain([INSTALLER])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_written_whole_and_without_what_is_old() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("labextensions").join(NAME);
        write(&folder, "corriente uninstall").unwrap();
        let old = folder.join("static/old.js");
        std::fs::write(&old, "").unwrap();
        write(&folder, "corriente uninstall").unwrap();
        assert!(!old.exists() && names().all(|name| folder.join(name).exists()));
        assert!(version(&folder).is_some() && version(&folder) == carried());
    }

    #[test]
    fn anothers_folder_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(MANIFEST), r#"{"name": "other", "version": "1"}"#).unwrap();
        assert!(write(folder.path(), "").is_err() && version(folder.path()).is_none());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
