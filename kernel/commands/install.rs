//! `corriente install`: the kernelspec and the JupyterLab extension, as plain files in Jupyter's data folder.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::json;

/// The extension's files, by their place in its folder.
const EXTENSION: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/labextension.rs"));

#[allow(clippy::print_stdout)]
pub(crate) fn run(prefix: Option<PathBuf>) -> anyhow::Result<()> {
    let data = match prefix {
        Some(prefix) => std::path::absolute(prefix)?.join("share/jupyter"),
        None => user_data()?,
    };
    let kernel = data.join("kernels/corriente");
    let executable = std::env::current_exe().context("the command cannot find its own binary")?;
    let spec = json!({
        "argv": [executable, "kernel", "-f", "{connection_file}"],
        "display_name": "Rust (Corriente)",
        "language": "rust",
        "interrupt_mode": "message",
        "metadata": {"debugger": false},
    });
    write(&kernel.join("kernel.json"), &format!("{spec:#}\n"))?;
    let extension = data.join("labextensions/corriente-live");
    for (name, text) in EXTENSION {
        write(&extension.join(name), text)?;
    }
    println!("installed the kernel in {}", kernel.display());
    println!("installed the JupyterLab extension in {}", extension.display());
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("{} cannot be written", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(failed)?;
    }
    std::fs::write(path, text).with_context(failed)
}

/// Jupyter's data folder of this user, where Jupyter itself looks for it.
fn user_data() -> anyhow::Result<PathBuf> {
    if let Some(folder) = std::env::var_os("JUPYTER_DATA_DIR") {
        return Ok(folder.into());
    }
    let home = PathBuf::from(std::env::var_os("HOME").context("there is no HOME; name a place with --prefix")?);
    if cfg!(target_os = "macos") {
        return Ok(home.join("Library/Jupyter"));
    }
    let share = std::env::var_os("XDG_DATA_HOME").map_or_else(|| home.join(".local/share"), PathBuf::from);
    Ok(share.join("jupyter"))
}
