//! Compiles a cell: one call of the compiler, its messages passed on in cargo's words.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::arrange::arrange;
use super::instructions::{Instructions, note};
use super::waiting::{self, Call};
use super::{Cell, dependencies, linker, say};
use crate::crates;
use crate::evcxr_contract::source::ours;
use crate::evcxr_contract::words::HIDDEN;
use crate::place::env;
use crate::toolchain::{RUSTC, Toolchain};
use crate::types::PROBE;

/// The compiler's code for an `.await` where nothing is `async`.
const AWAIT_OUTSIDE_ASYNC: &str = "E0728";

/// What is a warning where both names come from other crates, and takes the prelude's.
const AMBIGUOUS_GLOBS: &str = "ambiguous_glob_imports";

/// With these the compiler writes the names of types in full, from their crates on, on one line.
const WHOLE_NAMES: [&str; 3] =
    ["--diagnostic-width=1000000", "-Ztrim-diagnostic-paths=no", "-Zwrite-long-types-to-disk=no"];
/// The variable that allows the second and the third, which a stable compiler has under lock; nothing of the cell itself is
/// compiled with them.
const UNLOCK: (&str, &str) = ("RUSTC_BOOTSTRAP", "1");

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
    let told = Instructions::read(session);
    let unique = (emit == Emit::Library).then(unique);
    let arranged = arrange(&ours(&text, &told.lost), &told.statics, unique.as_deref());
    let patched = arranged.text.as_str();
    if patched != text {
        std::fs::write(&source, patched).map_err(|error| format!("the cell's source cannot be written: {error}"))?;
    }
    let out = cell.folder.join("target");
    std::fs::create_dir_all(&out).map_err(|error| format!("the cell's folder cannot be made: {error}"))?;

    let mut words = vec![RUSTC.to_owned()];
    words.extend(
        ["--crate-name", "ctx", "--edition", "2024", "src/lib.rs", "--crate-type", "cdylib"].map(str::to_owned),
    );
    words.extend(
        ["--error-format", "json", "--json", "diagnostic-rendered-ansi", "-A", "warnings", "-D", AMBIGUOUS_GLOBS]
            .map(str::to_owned),
    );
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
    if patched.contains(PROBE) {
        words.extend(WHOLE_NAMES.map(str::to_owned));
    }
    let asked = dependencies::of(&settings);
    words.extend(crates::named(&folder_in(env::CRATES)).into_iter().filter_map(|(name, file)| {
        // A crate that was asked for by this name goes before ours.
        (!asked.contains_key(name)).then(|| format!("--extern={name}={}", file.display()))
    }));
    let theirs = dependencies::build(cell, &settings)?;
    // What evcxr keeps of a cell that names a library is in every later one.
    let alone = theirs.is_empty() && emit == Emit::Library && !patched.contains("#[link(");
    words.extend(theirs);
    let library = out.join(format!("{}ctx{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX));
    let compile = |words: Vec<String>| compile(session, &cell.folder, &Call::here(words), emit, patched, &library);
    let with = |more: Vec<String>| [words.as_slice(), more.as_slice()].concat();
    let by_c_compiler = || compile(with(linker::BY_C_COMPILER.map(str::to_owned).to_vec()));
    let done = match alone.then(|| linker::arguments(session)).flatten() {
        Some(direct) => {
            let done = compile(with(direct))?;
            if done.code != 0 && linker::failed(&done.messages) { by_c_compiler()? } else { done }
        }
        None => by_c_compiler()?,
    };

    for line in done.messages.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(mut message) => {
                hide_from_evcxr(&mut message);
                arranged.tell_of_evcxrs_lines(&mut message);
                say(&json!({"reason": "compiler-message", "target": {"name": "ctx"}, "message": message}).to_string())
            }
            // What is no message is the compiler's own trouble, such as a linker that is missing.
            Err(_) => eprintln!("{line}"),
        }
    }
    if done.code == 0 {
        if emit == Emit::Library {
            note(session, &arranged.statics).map_err(|error| format!("the cell's statics cannot be noted: {error}"))?;
        }
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
    let mut command = call.command();
    if source.contains(PROBE) {
        command.env(UNLOCK.0, UNLOCK.1);
    }
    let output = command.current_dir(folder).output().map_err(failed)?;
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Done { messages, code: output.status.code().unwrap_or(101) })
}

/// The beginning of symbols that no other library has.
fn unique() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("corriente_static_{}_{}", std::process::id(), since.as_nanos())
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
