//! The stand-ins for `cargo` and `rustup` that evcxr and its analyzer find: this same binary under those names. A cell is
//! compiled by the recorded compiler directly against the dylib, which takes a tenth of what cargo would; anything else
//! goes to the real tool.

mod arrange;
mod build;
mod dependencies;
mod instructions;
mod linker;
mod metadata;
mod waiting;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use instructions::{Instructions, compiled};
pub(crate) use metadata::of_library as metadata_of_library;
pub(crate) use metadata::{Present, present};
pub(crate) use waiting::{BOUND, Waiting};

use crate::place::env;
use crate::stop::Tool;
use crate::toolchain::{CARGO, RUSTC};

/// Answers as the tool under whose name the binary was called; gives the exit code, or `None` when it was called by its
/// own name.
#[must_use]
pub fn answer_as_tool() -> Option<i32> {
    let mut arguments = std::env::args_os();
    let called = PathBuf::from(arguments.next()?);
    let arguments: Vec<OsString> = arguments.collect();
    let session = PathBuf::from(std::env::var_os(env::SESSION)?);
    match called.file_name()?.to_str()? {
        "rustup" => Some(rustup(&arguments)),
        "cargo" => Some(cargo(&session, &arguments)),
        "bound" => Some(waiting::bind(&arguments)),
        _ => None,
    }
}

fn rustup(arguments: &[OsString]) -> i32 {
    let words: Vec<&str> = arguments.iter().filter_map(|a| a.to_str()).collect();
    match words.as_slice() {
        ["which", "cargo"] => {
            // The name it was called by leads to the stand-in beside it.
            let beside =
                std::env::args_os().next().map(PathBuf::from).and_then(|p| p.parent().map(|f| f.join("cargo")));
            let session = std::env::var_os(env::SESSION).map(|s| Path::new(&s).join("bin/cargo"));
            say(&beside.filter(|p| p.is_absolute()).or(session).unwrap_or_default().display().to_string());
            0
        }
        ["which", "rustc"] => {
            say(&RUSTC);
            0
        }
        _ => pass_on("rustup", arguments),
    }
}

fn cargo(session: &Path, arguments: &[OsString]) -> i32 {
    let cell = Cell { folder: session.join("cells") };
    let word = arguments.iter().find(|a| !a.to_string_lossy().starts_with('-')).and_then(|a| a.to_str()).unwrap_or("");
    let manifest = manifest_of(arguments);
    // What tries a dependency may have to fetch it; what describes the cell to the analyzer is short, and must be whole.
    let tries = word == "metadata" && cell.is_manifest(&manifest) && !cell.is_described_by(&manifest);
    let _tool = if matches!(word, "build" | "check") || tries {
        match Tool::start(session) {
            Some(tool) => Some(tool),
            None => return 101,
        }
    } else {
        None
    };
    let done = match word {
        "build" => build::run(session, &cell, build::Emit::Library),
        "check" => build::run(session, &cell, build::Emit::Metadata),
        "metadata" if cell.is_described_by(&manifest) => metadata::run(&cell),
        _ => return pass_on(&CARGO, arguments),
    };
    done.unwrap_or_else(|message| {
        complain(&message);
        101
    })
}

/// The crate that a cell is compiled as.
struct Cell {
    folder: PathBuf,
}

impl Cell {
    fn manifest(&self) -> PathBuf {
        self.folder.join("Cargo.toml")
    }

    /// What evcxr wrote into the manifest.
    fn settings(&self) -> Result<toml::Table, String> {
        let text = std::fs::read_to_string(self.manifest())
            .map_err(|error| format!("the cell's manifest cannot be read: {error}"))?;
        text.parse().map_err(|error| format!("the cell's manifest does not read: {error}"))
    }

    /// Whether a manifest is in the cell's place.
    fn is_manifest(&self, manifest: &Path) -> bool {
        manifest.canonicalize().ok() == self.manifest().canonicalize().ok()
    }

    /// Whether a manifest is the cell's, and not the one by which evcxr tries a dependency.
    fn is_described_by(&self, manifest: &Path) -> bool {
        self.is_manifest(manifest)
            && self.settings().is_ok_and(|settings| {
                settings.get("package").and_then(|p| p.get("name")).and_then(|n| n.as_str()) == Some("ctx")
            })
    }
}

fn manifest_of(arguments: &[OsString]) -> PathBuf {
    let mut words = arguments.iter();
    while let Some(word) = words.next() {
        if word == "--manifest-path" {
            return words.next().map(PathBuf::from).unwrap_or_default();
        }
        if let Some(path) = word.to_str().and_then(|w| w.strip_prefix("--manifest-path=")) {
            return PathBuf::from(path);
        }
    }
    std::env::current_dir().unwrap_or_default().join("Cargo.toml")
}

/// The real tool, in the user's own environment.
fn real(tool: &str) -> Command {
    let mut command = Command::new(tool);
    // A machine may have another compiler, or none.
    command.env("RUSTC", RUSTC.as_str());
    for (name, from) in [("PATH", env::USER_PATH), ("CARGO_HOME", env::USER_CARGO_HOME)] {
        if let Some(value) = std::env::var_os(from) {
            command.env(name, value);
        }
    }
    command
}

fn pass_on(tool: &str, arguments: &[OsString]) -> i32 {
    match real(tool).args(arguments).status() {
        Ok(status) => status.code().unwrap_or(101),
        Err(error) => {
            complain(&format!("{tool} cannot be started: {error}"));
            101
        }
    }
}

/// Standard output is how a tool answers.
#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}

fn complain(line: &str) {
    eprintln!("error: {line}");
}
