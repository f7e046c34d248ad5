//! What a copy of a build consists of that needs neither the checkout nor cargo's folders: the binary and its library, the
//! crates that cells are compiled with, the compiler, and the sources that the analyzer reads.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::toolchain::{COPY, INSTALLED, RUSTC, RUSTC_VERSION, SYSROOT, TARGET, Toolchain};
use crate::{crates, stand_in, sysroot};

/// The file with what the analyzer is told of the prelude's crates.
const METADATA: &str = "metadata.json";
/// What stands in it for the folder that it is in.
const HERE: &str = "{here}";
/// The folder with the crates' sources.
const SOURCES: &str = "sources";
/// What a crate's folder has that its library is not made of.
const NO_SOURCES: [&str; 6] = [".git", "benches", "examples", "target", "tests", "node_modules"];
/// A piece of a file that is hashed.
const PIECE: usize = 1 << 20;

/// Why there can be no copy.
#[derive(Debug, thiserror::Error)]
pub enum DistributionError {
    /// A file or folder cannot be read or written.
    #[error("{path}: {detail}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system said.
        detail: std::io::Error,
    },
    /// The compiler does not tell the crates.
    #[error("the compiler does not tell which crates {library} is made of: {detail}")]
    Crates {
        /// The library.
        library: PathBuf,
        /// What the compiler said.
        detail: String,
    },
    /// The compiler came without them.
    #[error(
        "the sources of Rust's standard library are missing, from which the kernel knows the types of variables. Type: rustup component add rust-src"
    )]
    NoStdSources,
    /// Cargo does not tell the sources.
    #[error("cargo does not tell where the crates' sources are: {detail}")]
    Sources {
        /// What cargo said.
        detail: String,
    },
}

/// The files of a copy, by their places in its folder.
pub struct Distribution {
    files: BTreeMap<PathBuf, PathBuf>,
    texts: Vec<(PathBuf, String)>,
}

impl Distribution {
    /// What is to be copied of a build, or of an installation, which is copied as it is.
    ///
    /// # Errors
    /// When a part is missing.
    pub fn of(toolchain: &Toolchain) -> Result<Distribution, DistributionError> {
        let mut all = Distribution { files: BTreeMap::new(), texts: Vec::new() };
        if toolchain.is_installed() {
            all.add_folder(&toolchain.library, Path::new(""), &|path| path.file_name() != Some(OsStr::new(INSTALLED)))?;
            return Ok(all);
        }
        let executable = std::env::current_exe().map_err(at(Path::new("the binary")))?;
        all.add(executable, "corriente".into());
        all.add(toolchain.dylib(), toolchain.dylib().file_name().unwrap_or_default().into());
        all.add_crates(toolchain)?;
        all.add_sources(toolchain)?;
        let std = sysroot::prepare(toolchain).ok_or(DistributionError::NoStdSources)?;
        all.add_folder(&std, Path::new(std.file_name().unwrap_or_default()), &|_| true)?;
        all.add_compiler()?;
        Ok(all)
    }

    /// The bytes on the disk.
    ///
    /// # Errors
    /// When a file is gone.
    pub fn bytes(&self) -> Result<u64, DistributionError> {
        let texts: usize = self.texts.iter().map(|(_, text)| text.len()).sum();
        let sizes = self.files.values().map(|path| Ok(path.metadata().map_err(at(path))?.len()));
        sizes.sum::<Result<u64, _>>().map(|files| files + texts as u64)
    }

    /// The same for the same build, whoever copies it, and another one for another build.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn fingerprint(&self) -> Result<String, DistributionError> {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        hasher.update(RUSTC_VERSION.as_bytes());
        let mut piece = vec![0; PIECE];
        for (target, source) in self.files.iter().filter(|(target, _)| is_built(target)) {
            hasher.update(target.as_os_str().as_encoded_bytes());
            let mut file = File::open(source).map_err(at(source))?;
            loop {
                let read = file.read(&mut piece).map_err(at(source))?;
                if read == 0 {
                    break;
                }
                hasher.update(&piece[..read]);
            }
        }
        Ok(format!("{:016x}", hasher.digest()))
    }

    /// Copies everything into a folder, for all who can enter it to read.
    ///
    /// # Errors
    /// When the disk is full, or the folder cannot be written to.
    pub fn write(&self, folder: &Path) -> Result<(), DistributionError> {
        for (target, source) in &self.files {
            let target = folder.join(target);
            copy(source, &target).map_err(at(&target))?;
        }
        for (target, text) in &self.texts {
            let target = folder.join(target);
            create(&target, false).and_then(|mut file| file.write_all(text.as_bytes())).map_err(at(&target))?;
        }
        Ok(())
    }

    fn add(&mut self, source: PathBuf, target: PathBuf) {
        self.files.insert(target, source);
    }

    /// Adds the files below a folder that are wanted; a link counts as what it leads to.
    fn add_folder(
        &mut self,
        source: &Path,
        target: &Path,
        wanted: &dyn Fn(&Path) -> bool,
    ) -> Result<(), DistributionError> {
        for entry in std::fs::read_dir(source).map_err(at(source))? {
            let path = entry.map_err(at(source))?.path();
            let target = target.join(path.file_name().unwrap_or_default());
            if !wanted(&path) {
                continue;
            }
            if path.is_dir() {
                self.add_folder(&path, &target, wanted)?;
            } else if path.exists() {
                self.add(path, target);
            }
        }
        Ok(())
    }

    /// The crates that the library is made of, as the compiler tells them: cargo's folder has others' and older ones too.
    fn add_crates(&mut self, toolchain: &Toolchain) -> Result<(), DistributionError> {
        let library = toolchain.dylib();
        let failed = |detail: String| DistributionError::Crates { library: library.clone(), detail };
        // The list is for the compiler's own developers; which compiler this is, is known.
        let told = Command::new(&*RUSTC).env("RUSTC_BOOTSTRAP", "1").arg("-Zls=root").arg(&library).output();
        let told = told.map_err(|error| failed(error.to_string()))?;
        if !told.status.success() {
            return Err(failed(String::from_utf8_lossy(&told.stderr).trim().to_owned()));
        }
        let built = toolchain.library.join("deps");
        for name in crates_told(&String::from_utf8_lossy(&told.stdout)) {
            let files = ["rmeta", "rlib", std::env::consts::DLL_EXTENSION].map(|kind| format!("lib{name}.{kind}"));
            let [metadata, library, plugin] = files.map(|file| (built.join(&file), Path::new("deps").join(file)));
            // The library has the code already; what the compiler knows of a crate is in the smaller file, where there is one.
            let described = [metadata, library].into_iter().find(|(source, _)| source.exists());
            let wanted = described.into_iter().chain(Some(plugin).filter(|(source, _)| source.exists()));
            wanted.for_each(|(source, target)| self.add(source, target));
        }
        // What is made for cells from the crates is in folders beside them.
        let made = crates::of(toolchain);
        for entry in std::fs::read_dir(&made).map_err(at(&made))?.flatten().filter(|entry| entry.path().is_dir()) {
            self.add_folder(&entry.path(), &Path::new("deps").join(entry.file_name()), &|_| true)?;
        }
        Ok(())
    }

    /// The sources of the crates that the analyzer reads, and what it is told of them.
    fn add_sources(&mut self, toolchain: &Toolchain) -> Result<(), DistributionError> {
        let failed = |detail: String| DistributionError::Sources { detail };
        let told = stand_in::metadata_of_library(&toolchain.library).map_err(failed)?;
        let mut text = without_places(told.clone()).to_string();
        for package in told["packages"].as_array().into_iter().flatten() {
            let word = |name: &str| package[name].as_str().unwrap_or_default().to_owned();
            let folder = PathBuf::from(word("manifest_path")).parent().map(Path::to_owned).unwrap_or_default();
            let target = format!("{SOURCES}/{}-{}", word("name"), word("version"));
            let wanted = |path: &Path| {
                let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
                path.parent() != Some(&folder) || !NO_SOURCES.contains(&name)
            };
            self.add_folder(&folder, Path::new(&target), &wanted)?;
            // A folder's name may be the beginning of another's.
            for end in ["/", "#", "\""] {
                text = text.replace(&format!("{}{end}", folder.display()), &format!("{HERE}/{target}{end}"));
            }
        }
        self.texts.push((METADATA.into(), text));
        Ok(())
    }

    /// The compiler, with the libraries and the linker of its own target, and cargo.
    fn add_compiler(&mut self) -> Result<(), DistributionError> {
        let copy = Path::new(COPY);
        for program in ["bin/rustc", "bin/cargo"] {
            self.add(SYSROOT.join(program), copy.join(program));
        }
        // A compiler of the system's shares its folder with everybody's libraries.
        let own = |path: &Path| {
            let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
            ["librustc_driver", "libLLVM", "libstd-"].iter().any(|prefix| name.starts_with(prefix))
        };
        for entry in std::fs::read_dir(SYSROOT.join("lib")).map_err(at(&SYSROOT.join("lib")))?.flatten() {
            if own(&entry.path()) && !entry.path().is_dir() {
                self.add(entry.path(), copy.join("lib").join(entry.file_name()));
            }
        }
        let target = Path::new("lib/rustlib").join(TARGET);
        // The sanitizers' libraries link into no cell.
        let wanted = |path: &Path| path.extension() != Some(OsStr::new("a"));
        self.add_folder(&SYSROOT.join(&target), &copy.join(&target), &wanted)
    }
}

/// What cargo tells of a workspace, less where it is and where it is built.
fn without_places(mut told: Value) -> Value {
    if let Some(told) = told.as_object_mut() {
        told.retain(|name, _| {
            !name.starts_with("workspace_") && !["target_directory", "build_directory"].contains(&name.as_str())
        });
    }
    told
}

/// What an installation's analyzer is told of the prelude's crates; `None` for a build.
pub(crate) fn metadata(folder: &Path) -> Option<Result<Value, String>> {
    folder.join(INSTALLED).exists().then(|| {
        let path = folder.join(METADATA);
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = text.replace(HERE, &folder.display().to_string());
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    })
}

/// The names and hashes of the crates in the compiler's list, as in the files' names.
fn crates_told(list: &str) -> Vec<String> {
    let lines = list.lines().skip_while(|line| !line.starts_with("=External Dependencies="));
    let numbered = lines.filter_map(|line| {
        let mut words = line.split(' ');
        words.next()?.parse::<u32>().ok()?;
        words.next().map(str::to_owned)
    });
    numbered.collect()
}

/// Whether a file is the binary or its library.
fn is_built(target: &Path) -> bool {
    let stem = target.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    target != Path::new(INSTALLED) && ["corriente", "libcorriente"].contains(&stem) && target.components().count() == 1
}

fn copy(source: &Path, target: &Path) -> std::io::Result<()> {
    let mut from = File::open(source)?;
    let executable = from.metadata()?.permissions().mode() & 0o100 != 0;
    std::io::copy(&mut from, &mut create(target, executable)?)?;
    Ok(())
}

fn create(target: &Path, executable: bool) -> std::io::Result<File> {
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mode = if executable { 0o777 } else { 0o666 };
    OpenOptions::new().write(true).create_new(true).mode(mode).open(target)
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> DistributionError {
    move |detail| DistributionError::File { path: path.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LIST: &str = "Crate info:
name corriente
1 no-crate
=External Dependencies=
1 std-d1237ef7159db0a2 hash 34dc host_hash None kind Unconditional public linkage Some(RequireDynamic)
2 polars_core-0123 hash 4102 host_hash None kind Unconditional public linkage Some(RequireStatic)

";

    #[test]
    fn the_compilers_list_names_crates_as_their_files_do() {
        assert_eq!(crates_told(LIST), ["std-d1237ef7159db0a2", "polars_core-0123"]);
    }

    #[test]
    fn a_copy_has_files_instead_of_links_and_its_own_fingerprint() {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::create_dir(source.path().join("deps")).unwrap();
        for (file, text) in [(INSTALLED, "{}"), ("corriente", "binary"), ("deps/liba-1.rmeta", "a")] {
            std::fs::write(source.path().join(file), text).unwrap();
        }
        std::os::unix::fs::symlink("liba-1.rmeta", source.path().join("deps/libb-2.rmeta")).unwrap();
        let toolchain = Toolchain { library: source.path().to_owned() };
        let first = Distribution::of(&toolchain).unwrap();
        let fingerprint = first.fingerprint().unwrap();
        assert_eq!(first.bytes().unwrap(), 8);
        first.write(target.path()).unwrap();
        let copied = target.path().join("deps/libb-2.rmeta");
        assert!(!copied.is_symlink() && std::fs::read_to_string(copied).unwrap() == "a");
        assert!(!target.path().join(INSTALLED).exists());
        std::fs::write(source.path().join("corriente"), "other").unwrap();
        assert_ne!(first.fingerprint().unwrap(), fingerprint);
    }

    #[test]
    fn an_installations_metadata_has_paths_in_its_own_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(metadata(folder.path()).is_none());
        std::fs::write(folder.path().join(INSTALLED), "{}").unwrap();
        std::fs::write(folder.path().join(METADATA), r#"{"a":"{here}/sources/a-1/src/lib.rs"}"#).unwrap();
        let told = metadata(folder.path()).unwrap().unwrap();
        assert_eq!(told["a"], format!("{}/sources/a-1/src/lib.rs", folder.path().display()));
    }
}
