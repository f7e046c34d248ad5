//! What cells need of the machine.

use std::path::Path;
use std::process::Command;

use evaluator::{EvaluatorError, Place, Toolchain, free_space};

use super::{Found, Problem};
use crate::commands::install::copies::size;

/// What a session and the libraries of its cells need.
const DISK: u64 = 500_000_000;
/// What a kernel and its cell process need, with small frames.
const MEMORY: u64 = 1_000_000_000;

pub(super) fn compiler(toolchain: &Result<Toolchain, EvaluatorError>) -> Found {
    match toolchain {
        Ok(toolchain) => {
            let (path, version) = toolchain.compiler();
            Ok(format!("{version}, {}; it and the library belong together", path.display()))
        }
        Err(error) => Err(Problem::new(
            error,
            "In the checkout, type: ./install/build, and then the command it prints, with `install` behind it",
        )),
    }
}

/// The folder of a session: cells are programs in it, and sockets with short names.
pub(super) fn temporary_folder() -> Found {
    let folder = std::env::temp_dir();
    let mend = "mkdir -p ~/.corriente-tmp && export TMPDIR=~/.corriente-tmp, where Jupyter is started";
    Place::check(&folder).map_err(|error| Problem::new(error, mend))?;
    match free_space(&folder) {
        Some(free) if free < DISK => {
            let fact = format!("{} has {} free, and a session needs {}", folder.display(), size(free), size(DISK));
            Err(Problem::new(fact, mend))
        }
        _ => Ok(format!("{} is fit for programs and sockets", folder.display())),
    }
}

pub(super) fn memory() -> Found {
    match available_memory() {
        Some(free) if free < MEMORY => Err(Problem::new(
            format!("{} are available, and a kernel needs {}", size(free), size(MEMORY)),
            "End other programs or kernels, or give the machine (in WSL: `memory=` in .wslconfig) more",
        )),
        Some(free) => Ok(format!("{} are available", size(free))),
        None => Ok("this system does not tell".to_owned()),
    }
}

/// What the analyzer reads of the prelude's crates.
pub(super) fn sources(toolchain: &Toolchain) -> Found {
    let mend = "In the checkout, type: cargo fetch --locked";
    let manifests = toolchain.sources().map_err(|error| Problem::new(error, mend))?;
    if !toolchain.has_std_sources() {
        let fact = "those of Rust's standard library are missing; most variables would need a type in words";
        return Err(Problem::new(fact, "rustup component add rust-src, or the package rust-src of the system"));
    }
    let absent: Vec<String> =
        manifests.iter().filter(|path| !path.exists()).map(|path| path.display().to_string()).collect();
    if absent.is_empty() {
        return Ok(format!("those of {} crates, which completion reads, are there", manifests.len()));
    }
    Err(Problem::new(format!("{} are gone; completion and types need them", absent.join(", ")), mend))
}

/// What builds the crates that a notebook asks for.
pub(super) fn dependencies(toolchain: &Toolchain) -> Found {
    let cargo = toolchain.cargo();
    let version = answer(cargo, "--version").ok_or_else(|| {
        Problem::new(format!("{} does not run", cargo.display()), "Install Rust with rustup, and build Corriente anew")
    })?;
    answer(Path::new("cc"), "--version").ok_or_else(|| {
        let mend = match () {
            () if cfg!(target_os = "macos") => "xcode-select --install",
            () if Path::new("/usr/bin/dnf").exists() => "sudo dnf install -y gcc",
            () => "sudo apt-get update && sudo apt-get install -y gcc",
        };
        Problem::new("there is no C compiler `cc`, by which crates are linked", mend)
    })?;
    Ok(format!("{version} builds the crates that a notebook names, and cc links them"))
}

/// The first line of what a program says.
fn answer(program: &Path, word: &str) -> Option<String> {
    let answer = Command::new(program).arg(word).output().ok().filter(|answer| answer.status.success())?;
    String::from_utf8_lossy(&answer.stdout).lines().next().map(str::to_owned)
}

#[cfg(target_os = "linux")]
fn available_memory() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = told.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(not(target_os = "linux"))]
fn available_memory() -> Option<u64> {
    None
}
