//! The cells' own part of the stack at a panic: where in which cell's library. The kernel finds the names and the lines for
//! it, because what a process knows of its libraries' symbols it learns once, and cells come later.

use std::ffi::{CStr, c_void};

/// What the files of cells' libraries are called.
const CELL: &str = "libcode_";

/// The places in cells that led here, innermost first: a library's path, and the address in it.
pub(super) fn of_cells() -> Vec<(String, u64)> {
    let mut places = Vec::new();
    backtrace::trace(|frame| {
        places.extend(place(frame.ip()));
        true
    });
    places
}

fn place(address: *mut c_void) -> Option<(String, u64)> {
    // SAFETY: all zero is a value of the structure, which the call fills in or leaves.
    let mut found: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: the address is only looked up, and `found` is ours.
    if unsafe { libc::dladdr(address, &raw mut found) } == 0 || found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader keeps the name for as long as the library is loaded, and cells' libraries stay.
    let path = unsafe { CStr::from_ptr(found.dli_fname) }.to_str().ok()?;
    // A return address is that of what comes after the call.
    let within = (address as usize).checked_sub(found.dli_fbase as usize)?.saturating_sub(1);
    path.rsplit('/').next()?.starts_with(CELL).then(|| (path.to_owned(), within as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_no_cell_runs_there_are_no_places() {
        assert_eq!(of_cells(), []);
        assert_eq!(place(of_cells as *mut c_void), None);
    }
}
