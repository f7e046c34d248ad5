//! What cells are compiled with: the recorded compiler, and the dylib with the crates it was made of.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::EvaluatorError;

/// The compiler that built this binary, by path.
pub(crate) const RUSTC: &str = env!("CORRIENTE_RUSTC");
/// Its version.
pub(crate) const RUSTC_VERSION: &str = env!("CORRIENTE_RUSTC_VERSION");
/// Where its shared std is.
pub(crate) const RUSTC_LIBRARIES: &str = env!("CORRIENTE_RUSTC_LIBRARIES");
/// The cargo that built this binary.
pub(crate) const CARGO: &str = env!("CORRIENTE_CARGO");
/// The workspace this binary was built from, where the sources of the prelude are.
pub(crate) const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

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
        let executable = std::env::current_exe().map_err(EvaluatorError::machine("find its own binary"))?;
        let library = executable.parent().unwrap_or(Path::new("/")).to_owned();
        let toolchain = Toolchain { library };
        if !toolchain.dylib().exists() {
            return Err(EvaluatorError::NoDylib { path: toolchain.dylib() });
        }
        if !Path::new(WORKSPACE).join("Cargo.toml").exists() {
            let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new("/"));
            return Err(EvaluatorError::NoSources { path: checkout.to_owned() });
        }
        let found = Command::new(RUSTC).arg("--version").output();
        let found =
            found.map_err(|_| EvaluatorError::NoCompiler { path: RUSTC.into(), version: RUSTC_VERSION.to_owned() })?;
        let found = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if found == RUSTC_VERSION {
            Ok(toolchain)
        } else {
            Err(EvaluatorError::OtherCompiler { expected: RUSTC_VERSION.to_owned(), found })
        }
    }

    /// The one library.
    pub(crate) fn dylib(&self) -> PathBuf {
        self.library.join(format!("{}corriente{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX))
    }

    /// What the cell process needs to find the library and std: a value for `LD_LIBRARY_PATH`.
    pub(crate) fn library_path(&self) -> String {
        let mut path = format!("{}:{RUSTC_LIBRARIES}", self.library.display());
        if let Ok(before) = std::env::var("LD_LIBRARY_PATH") {
            path.push(':');
            path.push_str(&before);
        }
        path
    }
}
