//! Compiles a cell: one call of the compiler, its messages passed on in cargo's words.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::source::ours;
use super::{Cell, dependencies, say};
use crate::place::env;
use crate::toolchain::{RUSTC, Toolchain};

/// What the compiler is to give.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Emit {
    /// The cell's shared library.
    Library,
    /// Errors only.
    Metadata,
}

pub(super) fn run(cell: &Cell, emit: Emit) -> Result<i32, String> {
    let settings = cell.settings()?;
    let toolchain = Toolchain { library: std::env::var_os(env::LIBRARY).map(PathBuf::from).unwrap_or_default() };
    let source = cell.folder.join("src/lib.rs");
    let text =
        std::fs::read_to_string(&source).map_err(|error| format!("the cell's source cannot be read: {error}"))?;
    let patched = ours(&text);
    if patched != text {
        std::fs::write(&source, patched).map_err(|error| format!("the cell's source cannot be written: {error}"))?;
    }
    let out = cell.folder.join("target");
    std::fs::create_dir_all(&out).map_err(|error| format!("the cell's folder cannot be made: {error}"))?;

    let mut rustc = Command::new(RUSTC);
    rustc.current_dir(&cell.folder).args([
        "--crate-name",
        "ctx",
        "--edition",
        "2024",
        "src/lib.rs",
        "--crate-type",
        "cdylib",
    ]);
    rustc.args(["--error-format", "json", "--json", "diagnostic-rendered-ansi", "-A", "warnings"]);
    rustc.arg(if emit == Emit::Library { "--emit=link" } else { "--emit=metadata" });
    let optimise = settings.get("profile").and_then(|p| p.get("dev")).and_then(|d| d.get("opt-level"));
    rustc.arg(format!("-Copt-level={}", optimise.map_or_else(|| "0".to_owned(), level)));
    for option in
        ["prefer-dynamic", "debug-assertions=on", "overflow-checks=on", "debuginfo=line-tables-only", "codegen-units=4"]
    {
        rustc.arg("-C").arg(option);
    }
    rustc.arg("--out-dir").arg(&out);
    rustc.arg("-L").arg(format!("dependency={}", toolchain.library.join("deps").display()));
    rustc.arg("--extern").arg(format!("corriente={}", toolchain.dylib().display()));
    rustc.args(dependencies::build(cell, &settings)?);
    let output = rustc.output().map_err(|error| format!("the compiler cannot be started: {error}"))?;

    for line in String::from_utf8_lossy(&output.stderr).lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(message) => {
                say(&json!({"reason": "compiler-message", "target": {"name": "ctx"}, "message": message}).to_string())
            }
            // What is no message is the compiler's own trouble, such as a linker that is missing.
            Err(_) => eprintln!("{line}"),
        }
    }
    if output.status.success() {
        let library = out.join(format!("{}ctx{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
        say(&json!({"reason": "compiler-artifact", "target": {"name": "ctx"}, "filenames": [library]}).to_string());
    }
    Ok(output.status.code().unwrap_or(101))
}

fn level(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
