//! The crates that a user asks for with `:dep`: built by the real cargo, in a crate of their own without the prelude, and
//! given to the compiler as `--extern`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use super::{Cell, real};
use crate::place::PROGRESS;
use crate::progress;
use crate::toolchain::CARGO;

/// The dependencies in a cell's manifest.
pub(super) fn of(settings: &toml::Table) -> toml::Table {
    settings.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default()
}

/// Writes the crate that has only the user's dependencies; `None` when there are none.
pub(super) fn write_crate(cell: &Cell, settings: &toml::Table) -> Result<Option<PathBuf>, String> {
    let dependencies = of(settings);
    if dependencies.is_empty() {
        return Ok(None);
    }
    let folder = cell.folder.with_file_name("dependencies");
    let failed = |error: std::io::Error| format!("the folder for dependencies cannot be made: {error}");
    std::fs::create_dir_all(folder.join("src")).map_err(failed)?;
    let lines: String = dependencies.iter().map(|(name, value)| format!("{name} = {value}\n")).collect();
    let manifest = format!(
        "[package]\nname = \"cell-dependencies\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n{lines}"
    );
    let path = folder.join("Cargo.toml");
    if std::fs::read_to_string(&path).ok().as_deref() != Some(manifest.as_str()) {
        std::fs::write(&path, manifest).map_err(failed)?;
    }
    let library = folder.join("src/lib.rs");
    if !library.exists() {
        std::fs::write(library, "").map_err(failed)?;
    }
    Ok(Some(folder))
}

/// Builds the user's dependencies; gives the compiler's arguments for them. What was built for the same dependencies is
/// used again, but for crates in folders, which may have changed.
pub(super) fn build(cell: &Cell, settings: &toml::Table) -> Result<Vec<String>, String> {
    let Some(folder) = write_crate(cell, settings)? else { return Ok(Vec::new()) };
    let built = Built::read(&folder);
    let dependencies = of(settings);
    let in_folders = dependencies.values().any(|value| value.get("path").is_some());
    let same = built.as_ref().is_some_and(|built| built.dependencies == dependencies.to_string());
    if let Some(built) = built.filter(|_| same && !in_folders) {
        return Ok(built.arguments);
    }
    let mut cargo = real(&CARGO);
    cargo.current_dir(&folder).env_remove("RUSTFLAGS").env_remove("RUSTC_WRAPPER");
    cargo.env("CARGO_TARGET_DIR", folder.join("target")).env_remove("CARGO_BUILD_BUILD_DIR");
    // A crate that is only looked at again is no news.
    let socket = cell.folder.with_file_name(PROGRESS);
    let page = if same { None } else { progress::to_page(&socket) };
    cargo.stderr(page.unwrap_or_else(Stdio::inherit));
    let output = cargo.args(["build", "--message-format=json"]).output();
    let output = output.map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        return Err("the crates that :dep names cannot be built; what cargo said is above".to_owned());
    }
    let arguments = arguments(&folder, &dependencies, &String::from_utf8_lossy(&output.stdout));
    Built { dependencies: dependencies.to_string(), arguments: arguments.clone() }.write(&folder)?;
    Ok(arguments)
}

/// The compiler's arguments, from what cargo says of the crates that it built.
fn arguments(folder: &Path, dependencies: &toml::Table, messages: &str) -> Vec<String> {
    let wanted: BTreeSet<String> = dependencies.keys().map(|name| name.replace('-', "_")).collect();
    let mut arguments = vec!["-L".to_owned(), format!("dependency={}", folder.join("target/debug/deps").display())];
    for message in messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let name = message["target"]["name"].as_str().unwrap_or("").replace('-', "_");
        if message["reason"] != "compiler-artifact" || !wanted.contains(&name) {
            continue;
        }
        let mut files = message["filenames"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let linkable = |path: &&str| path.ends_with(".rlib") || path.ends_with(std::env::consts::DLL_SUFFIX);
        if let Some(path) = files.rfind(linkable) {
            arguments.extend(["--extern".to_owned(), format!("{name}={path}")]);
        }
    }
    arguments
}

/// What was built last, beside it in a file.
struct Built {
    dependencies: String,
    arguments: Vec<String>,
}

impl Built {
    fn file(folder: &Path) -> PathBuf {
        folder.join("built.json")
    }

    fn read(folder: &Path) -> Option<Built> {
        let told: Value = serde_json::from_slice(&std::fs::read(Built::file(folder)).ok()?).ok()?;
        let arguments = told["arguments"].as_array()?.iter().filter_map(|a| a.as_str().map(str::to_owned)).collect();
        Some(Built { dependencies: told["dependencies"].as_str()?.to_owned(), arguments })
    }

    fn write(&self, folder: &Path) -> Result<(), String> {
        let told = json!({"dependencies": self.dependencies, "arguments": self.arguments});
        std::fs::write(Built::file(folder), told.to_string())
            .map_err(|error| format!("what was built cannot be noted: {error}"))
    }
}
