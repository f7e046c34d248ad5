//! `corriente install` and `corriente uninstall`: the kernel for the Jupyter that a person has, in one folder that needs
//! neither the checkout nor the cache.

pub(crate) mod copies;
pub(crate) mod extension;
mod files;
pub(crate) mod kernelspec;
mod papermill;
pub(crate) mod places;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use evaluator::Toolchain;

use copies::Copies;
use places::{Places, Where};

/// How to install.
#[derive(Debug, clap::Args)]
pub(crate) struct Install {
    #[command(flatten)]
    place: Where,
    /// The kernel's name; another name stands beside it
    #[arg(long, value_name = "N", default_value = kernelspec::NAME)]
    name: String,
    /// What Jupyter's pages call it
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Use the build where it is instead of a copy of it, to work on Corriente itself
    #[arg(long)]
    in_place: bool,
}

/// What to uninstall.
#[derive(Debug, clap::Args)]
pub(crate) struct Uninstall {
    #[command(flatten)]
    place: Where,
    /// The kernel's name
    #[arg(long, value_name = "N", default_value = kernelspec::NAME)]
    name: String,
}

#[allow(clippy::print_stdout)]
pub(crate) fn install(wanted: &Install) -> anyhow::Result<()> {
    kernelspec::check_name(&wanted.name)?;
    let places = wanted.place.places()?;
    let (kernel, extension) = (places.kernel(&wanted.name), places.extension());
    // Before a gigabyte is copied, not after it.
    kernelspec::refuse_foreign(&kernel)?;
    extension::refuse_foreign(&extension)?;
    let toolchain = Toolchain::find()?;
    let (command, copies) = if wanted.in_place {
        (std::env::current_exe().context("the command cannot find its own binary")?.canonicalize()?, None)
    } else {
        let copies = Copies::open(&places)?;
        (copies.add(&toolchain)?, Some(copies))
    };
    extension::write(&extension, &format!("Type: corriente uninstall {}", places.words))?;
    let usual =
        if wanted.name == kernelspec::NAME { "Rust (Corriente)".to_owned() } else { format!("Rust ({})", wanted.name) };
    kernelspec::write(&kernel, &command, wanted.display_name.as_ref().unwrap_or(&usual))?;
    println!("installed the kernel {} in {}", wanted.name, kernel.display());
    println!("installed the JupyterLab extension in {}", extension.display());
    write_translator(&places);
    if let Some(copies) = copies {
        println!("installed what they run in {}", command.parent().unwrap_or(Path::new("/")).display());
        link_program(&places, &wanted.name, &command);
        tell_removed(&copies.remove_unused(&places));
    }
    if !places.has_jupyter() {
        println!("There is no Jupyter there yet. It comes with:  python -m pip install jupyterlab");
    }
    println!("Reload JupyterLab's page, and choose \"{}\".", wanted.display_name.as_ref().unwrap_or(&usual));
    Ok(())
}

#[allow(clippy::print_stdout)]
pub(crate) fn uninstall(wanted: &Uninstall) -> anyhow::Result<()> {
    kernelspec::check_name(&wanted.name)?;
    let places = wanted.place.places()?;
    let kernel = places.kernel(&wanted.name);
    let found = kernelspec::read(&kernel);
    if found.is_none() {
        kernelspec::refuse_foreign(&kernel)?;
        println!("there is no kernel {} in {}", wanted.name, kernel.display());
    }
    if let Some(spec) = found {
        unlink_program(&places, &wanted.name, &spec.command);
        kernelspec::remove(&kernel)?;
        println!("removed the kernel {} from {}", wanted.name, kernel.display());
    }
    if others(&places).is_empty() {
        let extension = places.extension();
        if extension::version(&extension).is_some() {
            extension::remove(&extension)?;
            println!("removed the JupyterLab extension from {}", extension.display());
        }
        if let Some(packages) = places.packages().filter(|packages| papermill::remove(packages).is_ok_and(|ours| ours))
        {
            println!("removed papermill's translator from {}", packages.display());
        }
    }
    if places.builds.exists() {
        let copies = Copies::open(&places)?;
        tell_removed(&copies.remove_unused(&places));
        copies.close();
    }
    Ok(())
}

/// Writes papermill's translator, or says why it is not written: the kernel runs without it.
#[allow(clippy::print_stdout)]
fn write_translator(places: &Places) {
    let Some(packages) = places.packages() else {
        return println!("left out papermill's translator: there is no Python whose packages belong to this place");
    };
    match papermill::write(&packages) {
        Ok(true) => println!("installed papermill's translator in {}", packages.display()),
        Ok(false) => {
            println!("left out papermill's translator: {} has another package of its name", packages.display())
        }
        Err(error) => println!("left out papermill's translator: {error:#}"),
    }
}

/// The kernels of ours that are in the same place.
fn others(places: &Places) -> Vec<PathBuf> {
    let kernels = std::fs::read_dir(places.data.join("kernels")).into_iter().flatten().flatten();
    kernels.map(|entry| entry.path()).filter(|folder| kernelspec::read(folder).is_some()).collect()
}

#[allow(clippy::print_stdout)]
fn tell_removed((removed, running): &(Vec<PathBuf>, Vec<PathBuf>)) {
    for folder in removed {
        println!("removed {}", folder.display());
    }
    for folder in running {
        println!("left {}, from which a kernel runs; it goes with the next install or uninstall", folder.display());
    }
}

/// Links the command under the kernel's name where programs are. What somebody else has there stays.
#[allow(clippy::print_stdout)]
fn link_program(places: &Places, name: &str, command: &Path) {
    let Some(folder) = &places.programs else { return };
    let link = folder.join(name);
    if link.symlink_metadata().is_ok() && !is_ours(places, &link) {
        return println!("left {}, which is another program; the command is {}", link.display(), command.display());
    }
    let linked = std::fs::create_dir_all(folder).and_then(|()| {
        let new = folder.join(format!(".{name}-{}", std::process::id()));
        symlink(command, &new)?;
        std::fs::rename(&new, &link)
    });
    match linked {
        Ok(()) => println!("installed the command in {}", link.display()),
        Err(error) => println!("{} cannot be made ({error}); the command is {}", link.display(), command.display()),
    }
}

#[allow(clippy::print_stdout)]
fn unlink_program(places: &Places, name: &str, command: &Path) {
    let Some(link) = places.programs.as_ref().map(|folder| folder.join(name)) else { return };
    if std::fs::read_link(&link).is_ok_and(|target| target == command) && std::fs::remove_file(&link).is_ok() {
        println!("removed the command {}", link.display());
    }
}

/// Whether a program is a link to one of our copies.
fn is_ours(places: &Places, link: &Path) -> bool {
    std::fs::read_link(link).is_ok_and(|target| target.starts_with(&places.builds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_program_of_somebody_elses_is_left() {
        let root = tempfile::tempdir().unwrap();
        let programs = root.path().join("bin");
        let places = Places {
            data: root.path().join("jupyter"),
            builds: root.path().join("corriente"),
            programs: Some(programs.clone()),
            python: None,
            words: String::new(),
        };
        let (old, new) = (places.builds.join("1/corriente"), places.builds.join("2/corriente"));
        for command in [&old, &new] {
            link_program(&places, "one", command);
            assert_eq!(&std::fs::read_link(programs.join("one")).unwrap(), command);
        }
        unlink_program(&places, "one", &old);
        assert!(programs.join("one").symlink_metadata().is_ok(), "it leads to another build");
        unlink_program(&places, "one", &new);
        assert!(programs.join("one").symlink_metadata().is_err());
        std::fs::write(programs.join("one"), "theirs").unwrap();
        link_program(&places, "one", &new);
        assert_eq!(std::fs::read_to_string(programs.join("one")).unwrap(), "theirs");
    }
}
