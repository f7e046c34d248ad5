//! How a cell is linked: by the linker that ships with the compiler, called directly. The C compiler, which links
//! otherwise, costs a small cell more than the linking itself.
//!
//! The C compiler knows where the system's libraries are. A cell needs only those that this process has loaded already,
//! so their paths are taken from it. Where one of them is not found, and for cells that may name any other library, the C
//! compiler links.

use std::path::{Path, PathBuf};

use crate::toolchain::{LIBRARIES, SYSROOT};

/// The compiler's arguments where the C compiler links. What a cell defines it uses itself, whatever else has the same symbol; on
/// macOS that is so without a word.
#[cfg(target_os = "linux")]
pub(super) const BY_C_COMPILER: [&str; 1] = ["-Clink-arg=-Wl,-Bsymbolic"];
#[cfg(not(target_os = "linux"))]
pub(super) const BY_C_COMPILER: [&str; 0] = [];

/// The linker's name.
const LINKER: &str = "rust-lld";
/// The system's libraries that the compiler names for every cell: as it names them, and as the system does.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LOADED: [(&str, &str); 3] = [("c", "libc.so.6"), ("gcc_s", "libgcc_s.so.1"), ("m", "libm.so.6")];
/// Those that it names as well, and that have been parts of the C library since 2021. It is named last, and has them.
const PARTS: [&str; 4] = ["dl", "pthread", "rt", "util"];
/// Where the first release of the C library that has these parts begins.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const WHOLE: (u32, u32) = (2, 34);

/// The compiler's arguments for a cell without crates of its own; `None` where the C compiler is to link it. `session` is the
/// folder of the session, which keeps what is written.
pub(super) fn arguments(session: &Path) -> Option<Vec<String>> {
    direct(session, &SYSROOT.join(LIBRARIES))
}

/// Whether the compiler says that the linker failed: a cell may name a library of the system with `#[link]`, and only the C
/// compiler finds that.
pub(super) fn failed(messages: &str) -> bool {
    messages.lines().any(|line| line.contains("linking with `") && line.contains(LINKER))
}

/// `libraries` is the compiler's folder with its own.
fn direct(session: &Path, libraries: &Path) -> Option<Vec<String>> {
    let linker = libraries.parent()?.join("bin").join(LINKER);
    let folder = session.join("linked");
    if !linker.exists() || !(folder.exists() || write_names(&folder, &loaded()?).is_ok()) {
        return None;
    }
    Some(vec![
        format!("-Clinker={}", linker.display()),
        "-Clinker-flavor=ld.lld".to_owned(),
        "-Clink-arg=-Bsymbolic".to_owned(),
        format!("-Lnative={}", folder.display()),
    ])
}

/// Writes what the linker looks for under each name: where the library is.
fn write_names(folder: &Path, found: &[(&str, PathBuf)]) -> std::io::Result<()> {
    let new = tempfile::Builder::new().prefix(".linked-").tempdir_in(folder.parent().unwrap_or(Path::new("/")))?;
    let write = |name: &str, text: String| std::fs::write(new.path().join(format!("lib{name}.so")), text);
    for (name, path) in found {
        write(name, format!("INPUT(\"{}\")\n", path.display()))?;
    }
    for name in PARTS {
        write(name, "/* A part of the C library. */\n".to_owned())?;
    }
    // The two tools of one session may meet here: one name wins.
    std::fs::rename(new.path(), folder).or_else(|error| if folder.exists() { Ok(()) } else { Err(error) })
}

/// Where this process's libraries are; `None` where one is missing, or where the C library is in parts.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn loaded() -> Option<Vec<(&'static str, PathBuf)>> {
    use std::ffi::{CStr, OsStr, c_int, c_void};
    use std::os::unix::ffi::OsStrExt as _;

    unsafe extern "C" fn note(info: *mut libc::dl_phdr_info, _: libc::size_t, paths: *mut c_void) -> c_int {
        // SAFETY: the system gives a valid record, and `paths` is what is handed over below.
        let (info, paths) = unsafe { (&*info, &mut *paths.cast::<Vec<PathBuf>>()) };
        if !info.dlpi_name.is_null() {
            // SAFETY: a name that is there ends with a zero.
            let name = unsafe { CStr::from_ptr(info.dlpi_name) };
            paths.push(PathBuf::from(OsStr::from_bytes(name.to_bytes())));
        }
        0
    }

    // SAFETY: the string is the C library's own, and ends with a zero.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) }.to_str().ok()?;
    let (major, minor) = version.split_once('.')?;
    let minor: String = minor.chars().take_while(char::is_ascii_digit).collect();
    if (major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?) < WHOLE {
        return None;
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    // SAFETY: the function and what it is handed live as long as the call.
    unsafe { libc::dl_iterate_phdr(Some(note), (&raw mut paths).cast()) };
    let path = |file: &str| paths.iter().find(|path| path.file_name().is_some_and(|name| name == file)).cloned();
    // A name in the script may hold no quotation mark, and there is no way to write one.
    let fits = |path: &PathBuf| path.is_absolute() && !path.as_os_str().as_bytes().contains(&b'"');
    LOADED.iter().map(|(name, file)| Some((*name, path(file).filter(fits)?))).collect()
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn loaded() -> Option<Vec<(&'static str, PathBuf)>> {
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A compiler's folders, with or without a linker.
    fn compiler(has_linker: bool) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let libraries = folder.path().join("lib");
        for name in ["lib", "bin"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        if has_linker {
            std::fs::write(folder.path().join("bin/rust-lld"), "").unwrap();
        }
        (folder, libraries)
    }

    #[test]
    fn without_the_linker_the_c_compiler_links() {
        let (folder, libraries) = compiler(false);
        assert_eq!(direct(folder.path(), &libraries), None);
        assert!(!folder.path().join("linked").exists());
    }

    #[test]
    fn a_library_that_is_not_found_is_no_error_of_the_cell() {
        assert!(failed("{\"message\":\"linking with `/toolchain/bin/rust-lld` failed: exit status: 1\"}"));
        assert!(!failed("{\"message\":\"linking with `cc` failed: exit status: 1\"}"));
        assert!(!failed("{\"message\":\"mismatched types\"}"));
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn every_library_that_the_compiler_names_is_found() {
        let (folder, libraries) = compiler(true);
        let first = direct(folder.path(), &libraries);
        assert_eq!(first.as_ref().map(Vec::len), Some(4));
        for (name, file) in LOADED {
            let text = std::fs::read_to_string(folder.path().join(format!("linked/lib{name}.so"))).unwrap();
            let path = text.strip_prefix("INPUT(\"").and_then(|rest| rest.strip_suffix("\")\n")).unwrap();
            assert!(path.ends_with(file) && Path::new(path).exists(), "{text}");
        }
        assert!(PARTS.iter().all(|name| folder.path().join(format!("linked/lib{name}.so")).exists()));
        assert_eq!(direct(folder.path(), &libraries), first);
    }
}
