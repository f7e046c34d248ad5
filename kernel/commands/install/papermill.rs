//! papermill's translator, which writes the parameters of a notebook: a Python package of a few files, put where the Python of the
//! installation finds it, with the record by which pip removes it too.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::files::{remove_file, replace};

/// The package's files, by their places in a folder of packages.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/papermill.rs"));
/// The package's name, with which its folders' names begin.
const NAME: &str = "corriente_papermill";
/// Has Python print where its packages are: its own, or the user's.
const OWN: &str = "import sysconfig; print(sysconfig.get_path('purelib'))";
const OF_USER: &str = "import site; print(site.getusersitepackages() if site.ENABLE_USER_SITE else '')";

/// Where the packages of a Python are; `None` where it does not tell, or has no folder of the user's.
pub(crate) fn packages(python: &Path, of_user: bool) -> Option<PathBuf> {
    let answer = Command::new(python).args(["-c", if of_user { OF_USER } else { OWN }]).output().ok()?;
    let told = String::from_utf8(answer.stdout).ok()?;
    Some(PathBuf::from(told.trim())).filter(|folder| folder.is_absolute())
}

/// Writes the package; whether it is there now, which it is not where somebody else's has its name.
///
/// # Errors
/// When the folder cannot be written to.
pub(crate) fn write(packages: &Path) -> anyhow::Result<bool> {
    if packages.join(NAME).exists() && !is_ours(packages) {
        return Ok(false);
    }
    remove(packages)?;
    for (name, text) in FILES {
        replace(&packages.join(name), text.as_bytes())?;
    }
    let record: String =
        FILES.iter().map(|(name, _)| *name).chain([record().as_str()]).map(|name| format!("{name},,\n")).collect();
    replace(&packages.join(self::record()), record.as_bytes())?;
    Ok(true)
}

/// Removes the package where it is ours; whether it was.
///
/// # Errors
/// When a file cannot be removed.
pub(crate) fn remove(packages: &Path) -> anyhow::Result<bool> {
    if !is_ours(packages) {
        return Ok(false);
    }
    let folder = packages.join(NAME);
    for compiled in std::fs::read_dir(folder.join("__pycache__")).into_iter().flatten().flatten() {
        remove_file(&compiled.path())?;
    }
    let described: Vec<PathBuf> = descriptions(packages).collect();
    for folder in described.iter().chain([&folder]) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_file()) {
            remove_file(&entry.path())?;
        }
        for empty in [folder.join("__pycache__"), folder.clone()] {
            // What is not empty stays.
            let _ = std::fs::remove_dir(empty);
        }
    }
    Ok(true)
}

/// Whether the package there was put there by this command.
fn is_ours(packages: &Path) -> bool {
    descriptions(packages).any(|folder| {
        std::fs::read_to_string(folder.join("INSTALLER")).is_ok_and(|installer| installer.trim() == "corriente")
    })
}

fn descriptions(packages: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(packages).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_prefix(NAME).is_some_and(|rest| rest.starts_with('-') && rest.ends_with(".dist-info"))
    })
}

/// The place of the record.
fn record() -> String {
    let describes = |name: &&str| name.ends_with("/METADATA");
    let metadata = FILES.iter().map(|(name, _)| *name).find(describes).unwrap_or_default();
    metadata.replace("/METADATA", "/RECORD")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_written_with_its_record_and_goes_without_a_trace() {
        let packages = tempfile::tempdir().unwrap();
        let old = packages.path().join(format!("{NAME}-0.dist-info"));
        std::fs::create_dir(&old).unwrap();
        std::fs::write(old.join("INSTALLER"), "corriente\n").unwrap();
        assert!(write(packages.path()).unwrap() && !old.exists(), "an older one is replaced");
        let record = std::fs::read_to_string(packages.path().join(record())).unwrap();
        assert!(
            record.lines().count() == FILES.len() + 1
                && record.lines().all(|line| { packages.path().join(line.trim_end_matches(",,")).exists() }),
            "{record}"
        );
        let compiled = packages.path().join(NAME).join("__pycache__");
        std::fs::create_dir(&compiled).unwrap();
        std::fs::write(compiled.join("translator.cpython-311.pyc"), "").unwrap();
        assert!(remove(packages.path()).unwrap());
        assert_eq!(std::fs::read_dir(packages.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_package_of_somebody_elses_stays() {
        let packages = tempfile::tempdir().unwrap();
        let theirs = packages.path().join(NAME);
        std::fs::create_dir(&theirs).unwrap();
        assert!(!write(packages.path()).unwrap() && !remove(packages.path()).unwrap());
        assert_eq!(std::fs::read_dir(theirs).unwrap().count(), 0);
    }
}
