//! The kernelspec: what Jupyter lists, and which command it starts.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use super::files::{is_foreign, remove_file, replace};

/// The name that a notebook of ours asks for.
pub(crate) const NAME: &str = "corriente";
const SPEC: &str = "kernel.json";
/// The pictures that Jupyter shows, by the names that it looks for.
const LOGOS: [(&str, &[u8]); 3] = [
    ("logo-svg.svg", include_bytes!("../../../install/kernelspec/logo-svg.svg")),
    ("logo-64x64.png", include_bytes!("../../../install/kernelspec/logo-64x64.png")),
    ("logo-32x32.png", include_bytes!("../../../install/kernelspec/logo-32x32.png")),
];

/// What an installed kernelspec says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kernelspec {
    /// The command that Jupyter starts.
    pub(crate) command: PathBuf,
    /// The version that installed it; empty for those that did not say.
    pub(crate) version: String,
}

/// Whether a name can be one of a kernel: it is part of paths and of Jupyter's addresses.
pub(crate) fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    anyhow::ensure!(
        !name.is_empty() && name.chars().all(fits) && !name.starts_with(['.', '-']),
        "\"{name}\" cannot be the name of a kernel: it has letters, digits, `-`, `_` and `.`, and begins with a letter, a digit or `_`"
    );
    Ok(())
}

/// What the kernelspec in a folder says; `None` when there is none, or it is not ours.
pub(crate) fn read(folder: &Path) -> Option<Kernelspec> {
    let spec: Value = serde_json::from_slice(&std::fs::read(folder.join(SPEC)).ok()?).ok()?;
    let word = |at: usize| spec["argv"].get(at).and_then(Value::as_str);
    let command = PathBuf::from(word(0)?);
    let ours = command.file_name().is_some_and(|name| name == "corriente") && word(1) == Some("kernel");
    let version = spec["metadata"]["corriente"]["version"].as_str().unwrap_or_default().to_owned();
    ours.then_some(Kernelspec { command, version })
}

/// Writes the kernelspec, the file that Jupyter reads last.
///
/// # Errors
/// When the folder is another kernel's, or cannot be written.
pub(crate) fn write(folder: &Path, command: &Path, display_name: &str) -> anyhow::Result<()> {
    refuse_foreign(folder)?;
    let command = command.to_str().with_context(|| format!("{} is no path in UTF-8", command.display()))?;
    let spec = json!({
        "argv": [command, "kernel", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "rust",
        "interrupt_mode": "message",
        "metadata": {"debugger": false, "corriente": {"version": env!("CARGO_PKG_VERSION")}},
    });
    for (name, picture) in LOGOS {
        replace(&folder.join(name), picture)?;
    }
    replace(&folder.join(SPEC), format!("{spec:#}\n").as_bytes())
}

/// An error where a kernel of that name is there and is not ours.
pub(crate) fn refuse_foreign(folder: &Path) -> anyhow::Result<()> {
    let pictures: Vec<&str> = LOGOS.iter().map(|(name, _)| *name).collect();
    anyhow::ensure!(
        read(folder).is_some() || !is_foreign(folder, &pictures),
        "{} is the folder of another kernel, and is left as it is; choose another name with --name",
        folder.display()
    );
    Ok(())
}

/// Removes the kernelspec in a folder that is ours; the folder too, unless somebody has put something into it.
pub(crate) fn remove(folder: &Path) -> anyhow::Result<()> {
    for name in [SPEC].into_iter().chain(LOGOS.iter().map(|(name, _)| *name)) {
        remove_file(&folder.join(name))?;
    }
    // What is not empty stays.
    let _ = std::fs::remove_dir(folder);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_kernelspec_is_read_as_it_was_written_and_replaced() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("kernels/one");
        for command in ["/old/corriente", "/new/corriente"] {
            write(&folder, Path::new(command), "Rust (one)").unwrap();
            assert_eq!(read(&folder).unwrap().command, Path::new(command));
        }
        let mut found: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        found.sort();
        assert_eq!(found, ["kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg"]);
    }

    #[test]
    fn another_kernels_folder_is_left_alone() {
        for text in [r#"{"argv": ["python", "-m", "ipykernel"]}"#, "no json", r#"{"argv": []}"#] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(SPEC), text).unwrap();
            assert!(read(folder.path()).is_none());
            let refused = write(folder.path(), Path::new("/corriente"), "Rust").unwrap_err();
            assert!(refused.to_string().contains("--name"), "{refused}");
            assert_eq!(std::fs::read_to_string(folder.path().join(SPEC)).unwrap(), text);
        }
    }

    #[test]
    fn a_kernels_name_is_part_of_a_path() {
        for name in ["corriente", "corriente-dev", "Corriente_0.1"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in ["", "..", "a/b", "a b", "-x", "é"] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
