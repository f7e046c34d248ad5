//! Compiles a cell: one call of the compiler, its messages passed on in cargo's words.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::source::ours;
use super::waiting::{self, Call};
use super::{Cell, dependencies, linker, say};
use crate::diagnostics::HIDDEN;
use crate::place::env;
use crate::toolchain::{RUSTC, Toolchain};

/// The compiler's code for an `.await` where nothing is `async`.
const AWAIT_OUTSIDE_ASYNC: &str = "E0728";

/// What the compiler is to give.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Emit {
    /// The cell's shared library.
    Library,
    /// Errors only.
    Metadata,
}

pub(super) fn run(session: &Path, cell: &Cell, emit: Emit) -> Result<i32, String> {
    let settings = cell.settings()?;
    let toolchain = Toolchain { library: folder_in(env::LIBRARY) };
    let source = cell.folder.join("src/lib.rs");
    let text =
        std::fs::read_to_string(&source).map_err(|error| format!("the cell's source cannot be read: {error}"))?;
    let patched = ours(&text);
    if patched != text {
        std::fs::write(&source, &patched).map_err(|error| format!("the cell's source cannot be written: {error}"))?;
    }
    let out = cell.folder.join("target");
    std::fs::create_dir_all(&out).map_err(|error| format!("the cell's folder cannot be made: {error}"))?;

    let mut words = vec![RUSTC.to_owned()];
    words.extend(
        ["--crate-name", "ctx", "--edition", "2024", "src/lib.rs", "--crate-type", "cdylib"].map(str::to_owned),
    );
    words.extend(["--error-format", "json", "--json", "diagnostic-rendered-ansi", "-A", "warnings"].map(str::to_owned));
    words.push(if emit == Emit::Library { "--emit=link" } else { "--emit=metadata" }.to_owned());
    let optimise = settings.get("profile").and_then(|p| p.get("dev")).and_then(|d| d.get("opt-level"));
    words.push(format!("-Copt-level={}", optimise.map_or_else(|| "0".to_owned(), level)));
    for option in
        ["prefer-dynamic", "debug-assertions=on", "overflow-checks=on", "debuginfo=line-tables-only", "codegen-units=4"]
    {
        words.push(format!("-C{option}"));
    }
    words.push(format!("--out-dir={}", out.display()));
    words.push(format!("-Ldependency={}", folder_in(env::CRATES).display()));
    words.push(format!("--extern=corriente={}", toolchain.dylib().display()));
    let crates = dependencies::build(cell, &settings)?;
    let alone = crates.is_empty() && emit == Emit::Library;
    words.extend(crates);
    let library = out.join(format!("{}ctx{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    let compile = |words: Vec<String>| compile(session, &cell.folder, &Call::here(words), emit, &patched, &library);
    let done = match linker::arguments(session) {
        Some(direct) if alone => {
            let done = compile([words.clone(), direct].concat())?;
            if done.code != 0 && linker::failed(&done.messages) { compile(words)? } else { done }
        }
        _ => compile(words)?,
    };

    for line in done.messages.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(mut message) => {
                hide_from_evcxr(&mut message);
                say(&json!({"reason": "compiler-message", "target": {"name": "ctx"}, "message": message}).to_string())
            }
            // What is no message is the compiler's own trouble, such as a linker that is missing.
            Err(_) => eprintln!("{line}"),
        }
    }
    if done.code == 0 {
        say(&json!({"reason": "compiler-artifact", "target": {"name": "ctx"}, "filenames": [library]}).to_string());
    }
    Ok(done.code)
}

/// Gives an error that evcxr would mend another code: it would fetch a second tokio, whose runtime does not go together with
/// the one that is there.
fn hide_from_evcxr(message: &mut Value) {
    if message["code"]["code"] == AWAIT_OUTSIDE_ASYNC {
        message["code"]["code"] = Value::String(format!("{AWAIT_OUTSIDE_ASYNC}{HIDDEN}"));
    }
}

/// What the compiler said, and its exit code.
struct Done {
    messages: String,
    code: i32,
}

/// Has the compiler that waits compile the source, or one that is started now.
fn compile(
    session: &Path,
    folder: &Path,
    call: &Call,
    emit: Emit,
    source: &str,
    library: &Path,
) -> Result<Done, String> {
    let waiting = waiting::folder(session);
    if emit == Emit::Library {
        call.note(&waiting);
        // It is the sign of success: the exit code of the one that waits is the session's to see.
        let _ = std::fs::remove_file(library);
        if let Some(messages) = waiting::compile(&waiting, call, source) {
            return Ok(Done { messages, code: if library.exists() { 0 } else { 101 } });
        }
    }
    let failed = |error: std::io::Error| format!("the compiler cannot be started: {error}");
    let output = call.command().current_dir(folder).output().map_err(failed)?;
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Done { messages, code: output.status.code().unwrap_or(101) })
}

fn folder_in(variable: &str) -> PathBuf {
    std::env::var_os(variable).map(PathBuf::from).unwrap_or_default()
}

fn level(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
