//! What the disk of a folder has left, and whether programs may be on it.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::Outcome;

/// With less than this the compiler and the linker cannot write what they make of a cell.
const FULL: u64 = 1 << 20;

/// The bytes that are free for this user where a folder is; `None` where the system does not tell.
#[must_use]
pub fn free_space(folder: &Path) -> Option<u64> {
    let found = ask(folder)?;
    // The types of the fields are another system's other ones.
    #[allow(clippy::unnecessary_cast)]
    Some((found.f_bavail as u64).saturating_mul(found.f_frsize as u64))
}

/// Whether the file system of a folder lets nothing in it be executed.
#[cfg(target_os = "linux")]
pub(crate) fn forbids_programs(folder: &Path) -> bool {
    ask(folder).is_some_and(|found| found.f_flag & libc::ST_NOEXEC != 0)
}

/// Another system does not tell; there a cell that cannot be loaded does.
#[cfg(not(target_os = "linux"))]
pub(crate) fn forbids_programs(_folder: &Path) -> bool {
    false
}

fn ask(folder: &Path) -> Option<libc::statvfs> {
    let name = CString::new(folder.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zero is a value of the structure, which the call fills in or leaves; the name ends with a zero.
    unsafe {
        let mut found: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &raw mut found) == 0).then_some(found)
    }
}

/// How the system's words end when a process has as many files open as it may.
const TOO_MANY_FILES: &str = "(os error 24)";

/// A cell's end, with the reason and the way out where the machine has no room for what is made of a cell; `session` is on the
/// disk where that is.
pub(crate) fn explained(outcome: Outcome, session: &Path) -> Outcome {
    let Outcome::Error { name, value, mut traceback } = outcome else { return outcome };
    if free_space(session).is_some_and(|free| free < FULL) {
        traceback.push(format!(
            "The disk with the temporary folder, {}, is full, and cells are compiled there. Make room and run the cell again, or start Jupyter with TMPDIR set to another folder.",
            std::env::temp_dir().display()
        ));
    }
    if value.ends_with(TOO_MANY_FILES) {
        traceback.push(
            "The kernel has as many files open as it may. Raise the limit with `ulimit -n 4096` where Jupyter is started, and start it and the kernel again."
                .to_owned(),
        );
    }
    Outcome::Error { name, value, traceback }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_that_is_there_has_a_disk_and_one_that_is_not_has_none() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_space(folder.path()).is_some());
        assert_eq!(free_space(&folder.path().join("gone")), None);
    }

    #[test]
    fn only_what_lacks_room_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let failed = |value: &str| Outcome::Error { name: "Error".into(), value: value.into(), traceback: Vec::new() };
        assert_eq!(explained(failed("wrong"), folder.path()), failed("wrong"), "there is room");
        assert_eq!(explained(Outcome::Ok, folder.path()), Outcome::Ok);
        let few = explained(failed("Too many open files (os error 24)"), folder.path());
        assert!(matches!(few, Outcome::Error { traceback, .. } if traceback[0].contains("ulimit -n")));
    }
}
