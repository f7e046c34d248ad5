//! The kernels of ours that Jupyter lists: what each points to, and the extension beside it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use evaluator::Toolchain;
use serde_json::Value;

use super::{Found, Problem};
use crate::commands::install::places::Where;
use crate::commands::install::{extension, kernelspec};

/// A line for each kernel, or one that says that there is none.
pub(super) fn kernels(toolchain: Option<&Toolchain>) -> Vec<(String, Found)> {
    let told = told_by_jupyter();
    let own = toolchain.and_then(own_folder);
    let folders = data_folders(&told, own.as_deref());
    let mut found: Vec<(String, Found)> = folders.iter().flat_map(|folder| in_folder(folder)).collect();
    if let Some(own) = own.filter(|own| !told.is_empty() && !told.contains(own)) {
        let fact = format!("the `jupyter` on the PATH does not look into {}", own.display());
        let mend =
            format!("export JUPYTER_PATH={}, where Jupyter is started; or install with --sys-prefix", own.display());
        found.push(("Jupyter".to_owned(), Err(Problem::new(fact, mend))));
    }
    if found.is_empty() {
        let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let fact = format!("Jupyter lists no kernel of Corriente; looked into {}", looked.join(", "));
        found.push(("kernel".to_owned(), Err(Problem::new(fact, install_again("--user")))));
    }
    found
}

fn in_folder(data: &Path) -> Vec<(String, Found)> {
    let kernels = std::fs::read_dir(data.join("kernels")).into_iter().flatten().flatten();
    let ours = kernels.filter_map(|entry| Some((entry.path(), kernelspec::read(&entry.path())?)));
    let mut found: Vec<(String, Found)> = ours
        .map(|(folder, spec)| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (format!("kernel {name}"), target(&folder, &spec.command, &again(data, &name)))
        })
        .collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    if !found.is_empty() {
        let folder = data.join("labextensions").join(extension::NAME);
        found.push(("JupyterLab extension".to_owned(), extension_in(&folder, &again(data, kernelspec::NAME))));
    }
    found
}

/// Whether what a kernelspec points to runs, and is this version.
fn target(folder: &Path, command: &Path, again: &str) -> Found {
    let wrong = |fact: String| Problem::new(fact, again);
    let points = format!("{} points to {}", folder.display(), command.display());
    let about = command.metadata().map_err(|_| wrong(format!("{points}, which is gone")))?;
    if about.permissions().mode() & 0o111 == 0 {
        return Err(wrong(format!("{points}, which is no program")));
    }
    let told = Command::new(command).arg("--version").output();
    let told = told.map_err(|error| wrong(format!("{points}, which does not run: {error}")))?;
    let version = String::from_utf8_lossy(&told.stdout).trim().to_owned();
    let ours = concat!("corriente ", env!("CARGO_PKG_VERSION"));
    if version == ours {
        Ok(points)
    } else {
        Err(wrong(format!("{points}, which is \"{version}\", and this is {ours}")))
    }
}

fn extension_in(folder: &Path, again: &str) -> Found {
    let carried = extension::carried().unwrap_or_default();
    let wrong = |fact: String| Err(Problem::new(fact, format!("{again}, and reload the page")));
    match extension::version(folder) {
        Some(version) if version == carried => Ok(format!("{version}, {}", folder.display())),
        Some(version) => wrong(format!("{} is version {version}, and the kernel's is {carried}", folder.display())),
        None => wrong(format!("{} is missing: tables and charts do not move", folder.display())),
    }
}

/// How a kernel in a data folder is installed again.
fn again(data: &Path, name: &str) -> String {
    let is_user = Where::default().places().is_ok_and(|places| places.data == data);
    let place = if is_user {
        "--user".to_owned()
    } else {
        let prefix = data.ancestors().nth(2).filter(|_| data.ends_with("share/jupyter")).unwrap_or(data);
        format!("--prefix {}", prefix.display())
    };
    let name = if name == kernelspec::NAME { String::new() } else { format!(" --name {name}") };
    install_again(&format!("{place}{name}"))
}

/// How the command that runs is typed to install.
fn install_again(words: &str) -> String {
    let command = std::env::current_exe().map_or_else(|_| "corriente".to_owned(), |path| path.display().to_string());
    format!("Type: {command} install {words}")
}

/// The data folder that an installation belongs to: `share/jupyter` beside its `share/corriente`.
fn own_folder(toolchain: &Toolchain) -> Option<PathBuf> {
    let share = toolchain.folder().ancestors().nth(2).filter(|_| toolchain.is_installed())?;
    Some(share.join("jupyter")).filter(|data| data.exists())
}

/// Where Jupyter looks for kernels, as it says itself, and where it would for this user, for the Python that is active, and
/// for the installation that runs.
fn data_folders(told: &[PathBuf], own: Option<&Path>) -> BTreeSet<PathBuf> {
    let mut folders: BTreeSet<PathBuf> = told.iter().cloned().chain(own.map(Path::to_owned)).collect();
    for place in [Where::default(), Where::active()] {
        folders.extend(place.places().ok().map(|places| places.data));
    }
    // The demo has a Jupyter of its own, in the cache folder where the build is.
    let executable = std::env::current_exe().unwrap_or_default();
    let cache = executable.ancestors().nth(3).unwrap_or(Path::new("/"));
    let demos = std::fs::read_dir(cache).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_demo = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("demo-"));
    folders.extend(demos.filter(is_demo).map(|demo| demo.join("share/jupyter")));
    folders
}

fn told_by_jupyter() -> Vec<PathBuf> {
    let told = Command::new("jupyter").args(["--paths", "--json"]).output();
    let told: Option<Value> = told.ok().and_then(|told| serde_json::from_slice(&told.stdout).ok());
    let data = told.as_ref().and_then(|told| told["data"].as_array()).into_iter().flatten();
    data.filter_map(Value::as_str).map(PathBuf::from).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The lines of a data folder with a kernel that points to a script that says a version.
    fn lines(version: &str) -> (tempfile::TempDir, Vec<(String, Found)>) {
        let data = tempfile::tempdir().unwrap();
        let command = data.path().join("corriente");
        std::fs::write(&command, format!("#!/bin/sh\necho corriente {version}\n")).unwrap();
        std::fs::set_permissions(&command, std::fs::Permissions::from_mode(0o755)).unwrap();
        kernelspec::write(&data.path().join("kernels/one"), &command, "One").unwrap();
        let found = in_folder(data.path());
        (data, found)
    }

    #[test]
    fn a_kernel_that_points_to_this_version_is_right_and_a_missing_extension_is_not() {
        let (data, found) = lines(env!("CARGO_PKG_VERSION"));
        assert!(found[0].0 == "kernel one" && found[0].1.is_ok(), "{found:?}");
        assert!(found[1].1.as_ref().unwrap_err().fact.contains("missing"));
        extension::write(&data.path().join("labextensions").join(extension::NAME), "").unwrap();
        assert!(in_folder(data.path()).iter().all(|(_, found)| found.is_ok()));
        std::fs::remove_file(data.path().join("corriente")).unwrap();
        assert!(in_folder(data.path())[0].1.as_ref().unwrap_err().fact.contains("gone"));
    }

    #[test]
    fn another_version_is_named_with_the_command_that_mends_it() {
        let (_data, found) = lines("0.0.1");
        let wrong = found[0].1.as_ref().unwrap_err();
        assert!(wrong.fact.contains("0.0.1") && wrong.mend.contains(" install"), "{wrong:?}");
    }
}
