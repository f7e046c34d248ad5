//! A session's own folder, with the tools that evcxr and its analyzer are to find instead of cargo and rustup, and the
//! environment that makes them. All of it goes when the session ends.

use std::fs::{File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::EvaluatorError;
use crate::crates;
use crate::evcxr_contract::marks;
use crate::file_system::forbids_programs;
use crate::stand_in::BOUND;
use crate::sysroot;
use crate::toolchain::{RUSTC, Toolchain};

/// The environment variables of a session, set by [`Place::prepare`] and read by the stand-in tools.
pub mod env {
    /// The session's folder.
    pub const SESSION: &str = "CORRIENTE_SESSION";
    /// The folder with the dylib.
    pub const LIBRARY: &str = "CORRIENTE_LIBRARY";
    /// The folder with the crates that the dylib was made of.
    pub const CRATES: &str = "CORRIENTE_CRATES";
    /// The user's own `PATH`, for what the user starts.
    pub const USER_PATH: &str = "CORRIENTE_USER_PATH";
    /// The user's own `CARGO_HOME`.
    pub const USER_CARGO_HOME: &str = "CORRIENTE_USER_CARGO_HOME";
}

/// What the folders' names begin with.
const PREFIX: &str = "corriente-";
/// The file in a folder that its kernel holds locked as long as it lives.
const LOCK: &str = "lock";
/// What the file says: a folder of somebody else's may have a file of that name, too.
const OURS: &str = "the folder of a Corriente kernel, which it removes\n";
/// The bytes that a socket's name may have, with the zero at its end.
const SOCKET_NAME: usize = if cfg!(target_os = "linux") { 108 } else { 104 };
/// The socket that shows the page what a tool does.
pub(crate) const PROGRESS: &str = "progress";

/// A prepared folder.
pub struct Place {
    folder: tempfile::TempDir,
    /// Held, never read.
    _lock: File,
    /// Held too: an upgrade leaves the installation that this session is of.
    _installation: Option<File>,
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
        remove_abandoned(&std::env::temp_dir());
        let folder = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(no_folder)?;
        is_fit(folder.path())?;
        // Under its name only when it is locked, so that no kernel that starts now takes the folder for an abandoned one.
        let unnamed = folder.path().join("lock.new");
        let mut lock = File::create_new(&unnamed).map_err(no_folder)?;
        lock.write_all(OURS.as_bytes()).map_err(no_folder)?;
        lock.lock().and_then(|()| std::fs::rename(&unnamed, folder.path().join(LOCK))).map_err(no_folder)?;
        let place = Place { folder, _lock: lock, _installation: toolchain.hold() };
        let executable = std::env::current_exe().map_err(no_folder)?;
        let user_path = std::env::var("PATH").unwrap_or_default();
        let user_home = user_cargo_home();
        for folder in [place.bin(), place.cells(), place.cargo_home().join("bin"), place.path().join("config")] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(no_folder)?;
        }
        let tools = [place.bin().join("cargo"), place.bin().join("rustup"), place.cargo_home().join("bin/cargo")];
        for tool in tools.into_iter().chain([place.path().join(BOUND)]) {
            symlink(&executable, tool).map_err(no_folder)?;
        }
        // The analyzer asks the compiler for its settings, and finds it as it finds cargo; a machine may have another, or none.
        for folder in [place.bin(), place.cargo_home().join("bin")] {
            symlink(RUSTC.as_str(), folder.join("rustc")).map_err(no_folder)?;
        }
        // The analyzer reads crates' sources where cargo says they are, so only what cargo itself looks up is shared.
        for shared in ["registry", "git", "config.toml", "credentials.toml"] {
            if user_home.join(shared).exists() {
                symlink(user_home.join(shared), place.cargo_home().join(shared)).map_err(no_folder)?;
            }
        }
        let set = |name: &str, value: &Path| {
            // SAFETY: the caller answers for there being no other thread.
            unsafe { std::env::set_var(name, value) };
        };
        set(env::SESSION, place.path());
        set(env::LIBRARY, &toolchain.library);
        set(env::CRATES, &crates::of(toolchain));
        set(env::USER_PATH, Path::new(&user_path));
        set(env::USER_CARGO_HOME, &user_home);
        set("PATH", Path::new(&format!("{}:{user_path}", place.bin().display())));
        set("CARGO_HOME", &place.cargo_home());
        set(marks::FOLDER, &place.cells());
        // A person's evcxr start-up files are not for this kernel. The level is said here, because the analyzer loads everything
        // anew when it changes.
        let (name, text) = marks::SETTINGS_FILE;
        std::fs::write(place.path().join("config").join(name), text).map_err(no_folder)?;
        set(marks::SETTINGS, &place.path().join("config"));
        if let Some(library) = sysroot::prepare(toolchain) {
            // The analyzer's own name for it.
            set("RUST_SRC_PATH", &library);
        }
        Ok(place)
    }

    /// Whether a session can be below a temporary folder.
    ///
    /// # Errors
    /// When nothing can be made there, its name is too long, or nothing in it can be executed.
    pub fn check(temporary: &Path) -> Result<(), EvaluatorError> {
        let probe = tempfile::Builder::new().prefix(PREFIX).tempdir_in(temporary);
        is_fit(probe.map_err(no_folder)?.path())
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path().join("link")
    }

    pub(crate) fn progress(&self) -> PathBuf {
        self.path().join(PROGRESS)
    }

    /// Where cells' libraries are.
    pub(crate) fn libraries(&self) -> PathBuf {
        self.cells().join("target")
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

/// The operating system's reason, with the path where it tells one.
fn no_folder(error: std::io::Error) -> EvaluatorError {
    EvaluatorError::NoFolder { detail: error.to_string() }
}

/// Whether a session can be in a folder: sockets have short names, and cells are programs.
fn is_fit(folder: &Path) -> Result<(), EvaluatorError> {
    let longest = folder.join(PROGRESS);
    if longest.as_os_str().len() >= SOCKET_NAME {
        return Err(EvaluatorError::LongFolder { path: folder.to_owned(), most: SOCKET_NAME - 1 });
    }
    if forbids_programs(folder) { Err(EvaluatorError::NoPrograms { path: folder.to_owned() }) } else { Ok(()) }
}

/// Removes the folders of this user's kernels that were killed: nobody holds their locks.
fn remove_abandoned(temporary: &Path) {
    let Ok(entries) = std::fs::read_dir(temporary) else { return };
    // SAFETY: the call has no preconditions.
    let user = unsafe { libc::geteuid() };
    let ours = entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX));
    for folder in ours.map(|entry| entry.path()) {
        let owned = std::fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir() && found.uid() == user);
        let is_ours = || std::fs::read(folder.join(LOCK)).is_ok_and(|text| text == OURS.as_bytes());
        if owned && is_ours() && File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            // Another kernel may be at it too.
            let _ = std::fs::remove_dir_all(&folder);
        }
    }
}

fn user_cargo_home() -> PathBuf {
    let home = || std::env::var_os("HOME").map(PathBuf::from).unwrap_or_else(|| PathBuf::from("/"));
    std::env::var_os("CARGO_HOME").map_or_else(|| home().join(".cargo"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_what_nobody_holds_is_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = |name: &str| {
            let folder = temporary.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            folder
        };
        let lock = |folder: &Path| {
            std::fs::write(folder.join(LOCK), OURS).unwrap();
            File::open(folder.join(LOCK)).unwrap()
        };
        let (killed, living, foreign, beginning) =
            (folder("corriente-killed"), folder("corriente-living"), folder("other"), folder("corriente-beginning"));
        let notes = folder("corriente-notes");
        std::fs::write(notes.join(LOCK), "").unwrap();
        drop((lock(&killed), lock(&foreign)));
        let held = lock(&living);
        held.lock().unwrap();
        remove_abandoned(temporary.path());
        assert!(!killed.exists());
        assert!(living.exists() && foreign.exists() && beginning.exists() && notes.exists());
    }

    #[test]
    fn a_folder_whose_name_is_too_long_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        assert!(is_fit(temporary.path()).is_ok());
        let error = is_fit(&temporary.path().join("x".repeat(100))).unwrap_err().to_string();
        assert!(error.contains("TMPDIR") && error.contains("xxx"), "{error}");
    }
}
