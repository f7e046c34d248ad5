//! A session's own folder, with the tools that evcxr and its analyzer are to find instead of cargo and rustup, and the
//! environment that makes them. All of it goes when the session ends.

use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::EvaluatorError;
use crate::toolchain::Toolchain;

/// The environment variables of a session, set by [`Place::prepare`] and read by the stand-in tools.
pub mod env {
    /// The session's folder.
    pub const SESSION: &str = "CORRIENTE_SESSION";
    /// The folder with the dylib.
    pub const LIBRARY: &str = "CORRIENTE_LIBRARY";
    /// The user's own `PATH`, for what the user starts.
    pub const USER_PATH: &str = "CORRIENTE_USER_PATH";
    /// The user's own `CARGO_HOME`.
    pub const USER_CARGO_HOME: &str = "CORRIENTE_USER_CARGO_HOME";
}

/// A prepared folder.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// Makes the folder and sets the environment of this process to use it.
    ///
    /// # Safety
    /// The environment is changed: no other thread may run yet.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub unsafe fn prepare(toolchain: &Toolchain) -> Result<Place, EvaluatorError> {
        let failed = EvaluatorError::machine("make its folder");
        let folder = tempfile::Builder::new().prefix("corriente-").tempdir().map_err(&failed)?;
        let place = Place { folder };
        let executable = std::env::current_exe().map_err(&failed)?;
        let user_path = std::env::var("PATH").unwrap_or_default();
        let user_home = user_cargo_home();
        for folder in [place.bin(), place.cells(), place.cargo_home().join("bin"), place.path().join("config")] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(&failed)?;
        }
        for tool in [place.bin().join("cargo"), place.bin().join("rustup"), place.cargo_home().join("bin/cargo")] {
            symlink(&executable, tool).map_err(&failed)?;
        }
        // The analyzer reads crates' sources where cargo says they are, so only what cargo itself looks up is shared.
        for shared in ["registry", "git", "config.toml", "credentials.toml"] {
            if user_home.join(shared).exists() {
                symlink(user_home.join(shared), place.cargo_home().join(shared)).map_err(&failed)?;
            }
        }
        let set = |name: &str, value: &Path| {
            // SAFETY: the caller answers for there being no other thread.
            unsafe { std::env::set_var(name, value) };
        };
        set(env::SESSION, place.path());
        set(env::LIBRARY, &toolchain.library);
        set(env::USER_PATH, Path::new(&user_path));
        set(env::USER_CARGO_HOME, &user_home);
        set("PATH", Path::new(&format!("{}:{user_path}", place.bin().display())));
        set("CARGO_HOME", &place.cargo_home());
        set("EVCXR_TMPDIR", &place.cells());
        // A person's evcxr start-up files are not for this kernel.
        set("EVCXR_CONFIG_DIR", &place.path().join("config"));
        Ok(place)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("link")
    }

    pub(crate) fn cells(&self) -> PathBuf {
        self.path().join("cells")
    }

    fn bin(&self) -> PathBuf {
        self.path().join("bin")
    }

    fn cargo_home(&self) -> PathBuf {
        self.path().join("cargo")
    }
}

fn user_cargo_home() -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from).unwrap_or_else(|| PathBuf::from("/"));
    std::env::var_os("CARGO_HOME").map_or_else(|| home().join(".cargo"), PathBuf::from)
}
