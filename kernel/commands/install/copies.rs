//! The copies of builds in an installation: a folder each, named after its build. Kernelspecs point into them; one that none
//! points to and no kernel runs from goes with the next installation.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use evaluator::{Distribution, DistributionError, INSTALLED, Toolchain, free_space};
use serde_json::json;

use super::kernelspec;
use super::places::Places;

/// What an unfinished copy's name begins with.
const UNFINISHED: &str = ".unfinished-";
/// The file that an installation holds locked while it works.
const LOCK: &str = "lock";

/// The folder of copies, which nobody else changes as long as this is held.
pub(crate) struct Copies {
    folder: PathBuf,
    _lock: File,
}

impl Copies {
    /// Makes the folder if it is not there.
    pub(crate) fn open(places: &Places) -> anyhow::Result<Copies> {
        let folder = places.builds.clone();
        let opened = std::fs::create_dir_all(&folder).and_then(|()| {
            let lock = File::options().create(true).truncate(false).write(true).open(folder.join(LOCK))?;
            lock.lock()?;
            Ok(lock)
        });
        let lock = opened.with_context(|| {
            format!(
                "{} cannot be written to. Install for yourself with --user, into the Python environment that is active with --sys-prefix, or as a user who may write there",
                folder.display()
            )
        })?;
        Ok(Copies { folder, _lock: lock })
    }

    /// Makes a copy of the build that runs, unless it is there; gives its command.
    pub(crate) fn add(&self, toolchain: &Toolchain) -> anyhow::Result<PathBuf> {
        let build = Distribution::of(toolchain)?;
        let target = self.folder.join(format!("{}-{}", env!("CARGO_PKG_VERSION"), build.fingerprint()?));
        let command = target.join("corriente");
        if target.join(INSTALLED).exists() {
            return Ok(command);
        }
        let needed = build.bytes()?;
        let short = || format!("{} needs {} there", self.folder.display(), size(needed));
        if let Some(free) = free_space(&self.folder).filter(|free| *free < needed) {
            anyhow::bail!("the disk is too full: {}, and {} are free", short(), size(free));
        }
        let unfinished = tempfile::Builder::new().prefix(UNFINISHED).tempdir_in(&self.folder)?;
        match build.write(unfinished.path()) {
            Err(DistributionError::File { detail, .. }) if detail.kind() == std::io::ErrorKind::StorageFull => {
                anyhow::bail!("the disk is full: {}", short())
            }
            written => written?,
        }
        let about = json!({"version": env!("CARGO_PKG_VERSION"), "compiler": toolchain.compiler().1});
        super::files::replace(&unfinished.path().join(INSTALLED), format!("{about:#}\n").as_bytes())?;
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(unfinished.path(), open)?;
        std::fs::rename(unfinished.path(), &target).with_context(|| format!("{}", target.display()))?;
        // It has another name now, and stays.
        drop(unfinished.keep());
        Ok(command)
    }

    /// Removes what no kernelspec points to; gives the folders that are gone, and those that kernels run from and that stay.
    pub(crate) fn remove_unused(&self, places: &Places) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let used = used(places);
        let (mut removed, mut running) = (Vec::new(), Vec::new());
        for folder in std::fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(UNFINISHED) {
                // Of an installation that was killed: nobody else is at work.
                let _ = std::fs::remove_dir_all(&folder);
            } else if folder.join(INSTALLED).exists() && !used.contains(&folder) {
                let marker = File::options().write(true).open(folder.join(INSTALLED));
                // A kernel that starts now finds no marker to hold, or holds it before it is locked here.
                let free = marker.as_ref().is_ok_and(|marker| marker.try_lock().is_ok());
                // Under another name first: nobody finds half of it.
                let doomed = self.folder.join(format!("{UNFINISHED}{name}"));
                let gone = free && std::fs::rename(&folder, &doomed).is_ok();
                let _ = std::fs::remove_dir_all(&doomed);
                if gone { removed.push(folder) } else { running.push(folder) }
            }
        }
        (removed, running)
    }

    /// Removes the folder when no copy is left in it.
    pub(crate) fn close(self) {
        let rest = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        if rest.filter(|entry| entry.file_name() != LOCK).count() == 0 {
            let _ = std::fs::remove_file(self.folder.join(LOCK));
            let _ = std::fs::remove_dir(&self.folder);
        }
    }
}

/// The folders that kernelspecs point into.
fn used(places: &Places) -> BTreeSet<PathBuf> {
    let kernels = std::fs::read_dir(places.data.join("kernels")).into_iter().flatten().flatten();
    let specs = kernels.filter_map(|entry| kernelspec::read(&entry.path()));
    specs.filter_map(|spec| spec.command.parent().map(Path::to_owned)).collect()
}

/// Bytes as a person reads them.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999_999_999 => format!("{} MB", bytes.div_ceil(1_000_000)),
        _ => format!("{} GB", bytes / 1_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn places(root: &Path) -> Places {
        let (data, builds) = (root.join("jupyter"), root.join("corriente"));
        Places { data, builds, programs: None, python: None, words: "--user".to_owned() }
    }

    fn copy(places: &Places, name: &str) -> PathBuf {
        let folder = places.builds.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(INSTALLED), "{}").unwrap();
        folder
    }

    #[test]
    fn what_is_pointed_to_or_runs_or_is_not_ours_stays() {
        let root = tempfile::tempdir().unwrap();
        let places = places(root.path());
        let (used, runs, unused) = (copy(&places, "1-a"), copy(&places, "1-b"), copy(&places, "1-c"));
        kernelspec::write(&places.kernel("one"), &used.join("corriente"), "One").unwrap();
        let held = File::open(runs.join(INSTALLED)).unwrap();
        held.lock_shared().unwrap();
        let (foreign, killed) = (places.builds.join("notes"), places.builds.join(format!("{UNFINISHED}1")));
        std::fs::create_dir(&foreign).unwrap();
        std::fs::create_dir(&killed).unwrap();
        let copies = Copies::open(&places).unwrap();
        assert_eq!(copies.remove_unused(&places), (vec![unused.clone()], vec![runs.clone()]));
        assert!(used.exists() && runs.exists() && foreign.exists() && !unused.exists() && !killed.exists());
        drop(held);
        assert_eq!(copies.remove_unused(&places).0, vec![runs]);
        copies.close();
        assert!(places.builds.exists(), "one copy is used");
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_told_with_the_ways_out() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("corriente"), "a file").unwrap();
        let refused = format!("{:#}", Copies::open(&places(root.path())).err().unwrap());
        assert!(refused.contains("--user") && refused.contains("--sys-prefix"), "{refused}");
    }

    #[test]
    fn sizes_are_for_persons() {
        assert_eq!([size(1), size(1_200_000_000), size(12_345_678_901)], ["1 MB", "1200 MB", "12 GB"]);
    }
}
