//! What cells are compiled with: the compiler that built Corriente, and the dylib with the crates it was made of. A build
//! uses the compiler where it was found; an installation has a copy of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use crate::EvaluatorError;

/// The compiler's version.
pub(crate) const RUSTC_VERSION: &str = env!("CORRIENTE_RUSTC_VERSION");
/// The system that it compiles for, and runs on.
pub(crate) const TARGET: &str = env!("CORRIENTE_TARGET");
/// The workspace this binary was built from, where the sources of the prelude are.
pub(crate) const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// The file that an installation has beside the binary; kernels that run hold it locked.
pub const INSTALLED: &str = "corriente.json";
/// The installation's folder with the compiler.
pub(crate) const COPY: &str = "toolchain";
/// Where a compiler has the libraries of a target, in its folder.
pub(crate) const LIBRARIES: &str = concat!("lib/rustlib/", env!("CORRIENTE_TARGET"), "/lib");

/// The folder of the compiler and of all that it brings.
pub(crate) static SYSROOT: LazyLock<PathBuf> = LazyLock::new(|| {
    let copy = library_folder().ok().map(|folder| folder.join(COPY)).filter(|copy| copy.join("bin/rustc").exists());
    copy.unwrap_or_else(|| PathBuf::from(env!("CORRIENTE_SYSROOT")))
});
/// The compiler, by path.
pub(crate) static RUSTC: LazyLock<String> = LazyLock::new(|| SYSROOT.join("bin/rustc").display().to_string());
/// The cargo that builds what `:dep` names.
pub(crate) static CARGO: LazyLock<String> = LazyLock::new(|| {
    let beside = SYSROOT.join("bin/cargo");
    if beside.exists() { beside.display().to_string() } else { env!("CORRIENTE_CARGO").to_owned() }
});

/// The folder of the running binary, where the dylib is.
fn library_folder() -> std::io::Result<PathBuf> {
    let executable = std::env::current_exe()?.canonicalize()?;
    Ok(executable.parent().unwrap_or(Path::new("/")).to_owned())
}

/// A compiler and a library that belong together.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// The folder with the dylib; `deps` in it has the crates.
    pub(crate) library: PathBuf,
}

impl Toolchain {
    /// The toolchain beside the running binary.
    ///
    /// # Errors
    /// When the library or the sources are missing, or the compiler is missing or another one.
    pub fn find() -> Result<Toolchain, EvaluatorError> {
        let library = library_folder().map_err(EvaluatorError::machine("find its own binary"))?;
        let toolchain = Toolchain { library };
        if !toolchain.dylib().exists() {
            return Err(EvaluatorError::NoDylib { path: toolchain.dylib() });
        }
        if !toolchain.is_installed() && !Path::new(WORKSPACE).join("Cargo.toml").exists() {
            let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/"));
            return Err(EvaluatorError::NoSources { path: checkout.to_owned() });
        }
        let found = Command::new(&*RUSTC).arg("--version").output();
        let found = found.map_err(|_| EvaluatorError::NoCompiler {
            path: RUSTC.as_str().into(),
            version: RUSTC_VERSION.to_owned(),
        })?;
        let found = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if found == RUSTC_VERSION {
            Ok(toolchain)
        } else {
            Err(EvaluatorError::OtherCompiler { expected: RUSTC_VERSION.to_owned(), found })
        }
    }

    /// The folder of the library.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.library
    }

    /// The compiler and its version.
    #[must_use]
    pub fn compiler(&self) -> (&Path, &str) {
        (Path::new(RUSTC.as_str()), RUSTC_VERSION)
    }

    /// The cargo that builds what `:dep` names.
    #[must_use]
    pub fn cargo(&self) -> &Path {
        Path::new(CARGO.as_str())
    }

    /// The manifests of the crates whose sources the analyzer reads.
    ///
    /// # Errors
    /// When cargo does not tell them.
    pub fn sources(&self) -> Result<Vec<PathBuf>, String> {
        let told = crate::stand_in::metadata_of_library(&self.library)?;
        let manifests = told["packages"].as_array().into_iter().flatten().filter_map(|p| p["manifest_path"].as_str());
        Ok(manifests.map(PathBuf::from).collect())
    }

    /// Whether the sources of the standard library are there, without which no type of it is known.
    #[must_use]
    pub fn has_std_sources(&self) -> bool {
        crate::sysroot::prepare(self).is_some()
    }

    /// Whether the library is part of an installation, which has everything beside it and does not change.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.library.join(INSTALLED).exists()
    }

    /// As long as this is held, an upgrade leaves the installation's files where they are; `None` for a build.
    pub(crate) fn hold(&self) -> Option<File> {
        // Where the file system has no locks, an upgrade finds none either, and leaves the files.
        let marker = File::open(self.library.join(INSTALLED)).ok()?;
        marker.try_lock_shared().ok()?;
        Some(marker)
    }

    /// The one library.
    pub(crate) fn dylib(&self) -> PathBuf {
        self.library.join(format!("{}corriente{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
    }

    /// What the cell process needs to find the library and std: a value for [`LIBRARY_PATH`].
    pub(crate) fn library_path(&self) -> String {
        let mut path = format!("{}:{}", self.library.display(), SYSROOT.join(LIBRARIES).display());
        if let Ok(before) = std::env::var(LIBRARY_PATH) {
            path.push(':');
            path.push_str(&before);
        }
        path
    }
}

/// The variable that names the folders in which the system's loader looks for libraries first.
pub(crate) const LIBRARY_PATH: &str =
    if cfg!(target_vendor = "apple") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
