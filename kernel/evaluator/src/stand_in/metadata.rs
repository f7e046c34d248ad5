//! What the analyzer is told of the cell's crate: the prelude and the crates whose types cells name, and none of the
//! hundreds below them. The full answer costs the analyzer gigabytes and seconds; this one has all it needs to name
//! the type of a variable.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Cell, dependencies, real, say};
use crate::crates::NAMED;
use crate::distribution;
use crate::place::env;
use crate::toolchain::{CARGO, TARGET, WORKSPACE};

/// The crates kept of our own workspace's graph.
const KEPT: &[&str] = &[
    "corriente",
    "plan",
    "engine",
    "display",
    "connectors",
    "broker",
    "link",
    "polars",
    "polars-core",
    "polars-lazy",
    "polars-plan",
    "polars-error",
    "polars-schema",
    "polars-dtype",
    "polars-io",
    "polars-time",
    "polars-utils",
    "chrono",
    "serde",
    "serde_core",
    "serde_json",
    "tokio",
];

/// A crate that every cell has under its own name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Present {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) features: Vec<String>,
}

/// The crates that every cell has, as they were built.
///
/// # Errors
/// What cargo says, when it cannot tell.
pub(crate) fn present() -> Result<Vec<Present>, String> {
    let ours = ours()?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |name: &&str| {
        let package = ours["packages"].as_array()?.iter().find(|package| package["name"] == **name)?;
        let features = ours["features"][package["id"].as_str()?].as_array().into_iter().flatten().map(text).collect();
        Some(Present { name: (*name).to_owned(), version: text(&package["version"]), features })
    };
    Ok(NAMED.iter().filter_map(one).collect())
}

pub(super) fn run(cell: &Cell) -> Result<i32, String> {
    let ours = ours()?;
    let mut packages = kept(&ours["packages"], |package| &package["name"], KEPT);
    let ids: Vec<String> = packages.iter().filter_map(|package| package["id"].as_str().map(str::to_owned)).collect();
    let mut nodes = nodes(&ours, &ids);
    let settings = cell.settings()?;
    let asked = dependencies::of(&settings);
    let mut direct = Vec::new();
    for name in ["corriente"].into_iter().chain(NAMED).filter(|name| !asked.contains_key(*name)) {
        let found = packages.iter().find(|package| package["name"] == name).map(|package| package["id"].clone());
        direct.push(edge(name, &found.ok_or_else(|| format!("the workspace has no {name}"))?));
    }
    if let Some(folder) = dependencies::write_crate(cell, &settings)? {
        let theirs = ask(&folder, false)?;
        let root = theirs["resolve"]["root"].clone();
        packages.extend(
            theirs["packages"].as_array().into_iter().flatten().filter(|package| package["id"] != root).cloned(),
        );
        for node in theirs["resolve"]["nodes"].as_array().into_iter().flatten() {
            if node["id"] == root {
                direct.extend(node["deps"].as_array().into_iter().flatten().cloned());
            } else {
                nodes.push(node.clone());
            }
        }
    }

    let id = format!("path+file://{}#ctx@1.0.0", cell.folder.display());
    packages.push(package(cell, &id));
    let dependencies: Vec<Value> = direct.iter().map(|edge| edge["pkg"].clone()).collect();
    nodes.push(json!({"id": id, "dependencies": dependencies, "deps": direct, "features": []}));
    let answer = json!({
        "packages": packages, "workspace_members": [id], "workspace_default_members": [id],
        "resolve": {"nodes": nodes, "root": id}, "target_directory": cell.folder.join("target"),
        "build_directory": cell.folder.join("target"), "version": 1, "workspace_root": cell.folder, "metadata": null,
    });
    say(&answer.to_string());
    Ok(0)
}

/// What the real cargo says of our own workspace, less what is not kept. It is noted beside the library, for it is the same for
/// every session until the workspace's lock file changes, and to ask takes longer than a cell.
fn ours() -> Result<Value, String> {
    of_library(&std::env::var_os(env::LIBRARY).map(PathBuf::from).unwrap_or_default())
}

/// The same of the library in a folder.
pub(crate) fn of_library(folder: &Path) -> Result<Value, String> {
    if let Some(installed) = distribution::metadata(folder) {
        return installed;
    }
    let (note, key) = (folder.join("cells-metadata.json"), key());
    let noted = std::fs::read(&note).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
    if let Some(noted) = noted.filter(|noted| !key.is_null() && noted["key"] == key) {
        return Ok(noted["metadata"].clone());
    }
    let mut metadata = ask(Path::new(WORKSPACE), true).or_else(|_| ask(Path::new(WORKSPACE), false))?;
    let mut packages = kept(&metadata["packages"], |package| &package["name"], KEPT);
    packages.iter_mut().for_each(keep_library);
    let named: Vec<&Value> =
        packages.iter().filter(|package| NAMED.iter().any(|name| package["name"] == *name)).collect();
    let ids: Vec<String> = named.iter().filter_map(|package| package["id"].as_str().map(str::to_owned)).collect();
    let features = |node: &Value| Some((node["id"].as_str()?.to_owned(), node["features"].clone()));
    let all = metadata["resolve"]["nodes"].as_array().into_iter().flatten().filter_map(features);
    let features = all.filter(|(id, _)| ids.contains(id)).collect::<serde_json::Map<String, Value>>();
    metadata["features"] = Value::Object(features);
    metadata["packages"] = Value::Array(packages);
    let nodes = metadata["resolve"]["nodes"].as_array_mut().into_iter().flatten();
    for node in nodes.filter(|node| node["id"].as_str().is_some_and(|id| id.contains("#tokio@"))) {
        if let Some(features) = node["features"].as_array_mut() {
            features.retain(|feature| OF_TOKIO.iter().any(|kept| feature == kept));
        }
    }
    // Another session may write at the same time: each writes its own file, and one name wins. A folder that cannot be
    // written to costs the time only.
    let own = note.with_extension(std::process::id().to_string());
    if std::fs::write(&own, json!({"key": key, "metadata": metadata}).to_string()).is_ok() {
        let _ = std::fs::rename(&own, &note);
    }
    Ok(metadata)
}

/// What tokio has for the analyzer to read: a cell's waiting, not the network and the files, which take half a second more.
const OF_TOKIO: [&str; 7] = ["default", "io-util", "macros", "rt", "rt-multi-thread", "sync", "time"];

/// What our own metadata depends on: the lock file, the manifests that name it, and what is kept of them.
fn key() -> Value {
    let workspace = Path::new(WORKSPACE);
    let changed = |file: &str| {
        let found = std::fs::metadata(workspace.join(file)).ok()?;
        let since = found.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(json!([since.as_nanos().to_string(), found.len()]))
    };
    match (changed("Cargo.lock"), changed("Cargo.toml"), changed("kernel/corriente/Cargo.toml")) {
        (Some(lock), Some(manifest), Some(prelude)) => {
            json!({"workspace": workspace, "lock": lock, "manifest": manifest, "prelude": prelude, "kept": [KEPT, &OF_TOKIO, &NAMED]})
        }
        _ => Value::Null,
    }
}

/// What the real cargo says of a folder's crate.
fn ask(folder: &Path, offline: bool) -> Result<Value, String> {
    let mut cargo = real(&CARGO);
    cargo
        .current_dir(folder)
        // Of other systems' crates nothing is there, and nothing is to be fetched.
        .args(["metadata", "--format-version", "1", "--filter-platform", TARGET])
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTFLAGS");
    if offline {
        cargo.args(["--offline", "--locked"]);
    }
    let output = cargo.output().map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo's metadata does not read: {error}"))
}

/// Leaves a package its library: its tests, examples and benchmarks are crates of their own, and no cell uses them.
fn keep_library(package: &mut Value) {
    let is_library = |target: &Value| {
        let kinds = target["kind"].as_array().into_iter().flatten().filter_map(Value::as_str);
        kinds.into_iter().any(|kind| kind.ends_with("lib") || kind == "proc-macro")
    };
    if let Some(targets) = package["targets"].as_array_mut() {
        targets.retain(is_library);
    }
}

fn kept(list: &Value, name: impl Fn(&Value) -> &Value, names: &[&str]) -> Vec<Value> {
    let wanted = |item: &&Value| name(item).as_str().is_some_and(|name| names.contains(&name));
    list.as_array().into_iter().flatten().filter(wanted).cloned().collect()
}

/// The graph's nodes for `ids`, with no edge to anything else.
fn nodes(metadata: &Value, ids: &[String]) -> Vec<Value> {
    let known = |id: &Value| id.as_str().is_some_and(|id| ids.iter().any(|known| known == id));
    let mut nodes: Vec<Value> = metadata["resolve"]["nodes"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|node| known(&node["id"]))
        .cloned()
        .collect();
    for node in &mut nodes {
        if let Some(deps) = node["deps"].as_array_mut() {
            deps.retain(|dep| known(&dep["pkg"]));
        }
        if let Some(dependencies) = node["dependencies"].as_array_mut() {
            dependencies.retain(known);
        }
    }
    nodes
}

fn edge(name: &str, id: &Value) -> Value {
    json!({"name": name, "pkg": id, "dep_kinds": [{"kind": null, "target": null}]})
}

fn package(cell: &Cell, id: &str) -> Value {
    json!({
        "name": "ctx", "version": "1.0.0", "id": id, "license": null, "license_file": null, "description": null, "source": null,
        "dependencies": [], "features": {}, "manifest_path": cell.manifest(), "metadata": null, "publish": null, "authors": [],
        "categories": [], "keywords": [], "readme": null, "repository": null, "homepage": null, "documentation": null,
        "edition": "2024", "links": null, "default_run": null, "rust_version": null,
        "targets": [{
            "kind": ["cdylib"], "crate_types": ["cdylib"], "name": "ctx", "src_path": cell.folder.join("src/lib.rs"),
            "edition": "2024", "doc": true, "doctest": false, "test": true,
        }],
    })
}
