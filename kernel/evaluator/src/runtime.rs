//! The cell process: takes evcxr's instructions, loads each cell's library and runs it, on the process's first thread. It
//! stands in the place of evcxr's own loop, which reads them from the cells' standard input under a lock that a cell then
//! waits for without end. The descriptors that it speaks on are its own: no cell and no child process has them, and
//! standard input is empty.

use std::ffi::{CStr, CString, c_void};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Error, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};

use crate::evcxr_contract::marks::{COMPLETE, IS_RUNTIME, LOAD_AND_RUN, PANICKED};
use crate::statics;

/// A cell: takes the variables and gives them back.
type Run = extern "C" fn(*mut c_void) -> *mut c_void;

/// In a cell process, runs cells until the kernel is gone; elsewhere it returns.
pub(crate) fn serve_if_cell_process() {
    if std::env::var_os(IS_RUNTIME).is_none() {
        return;
    }
    let code = match serve() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("the cell process ends: {error}");
            99
        }
    };
    std::process::exit(code);
}

fn serve() -> std::io::Result<()> {
    lead_group();
    let (instructions, mut answers) = (BufReader::new(duplicate(0)?), duplicate(1)?);
    let nothing = File::open("/dev/null")?;
    // SAFETY: both descriptors are open.
    if unsafe { libc::dup2(nothing.as_raw_fd(), 0) } < 0 {
        return Err(Error::last_os_error());
    }
    if let Some(session) = std::env::var_os(crate::place::env::SESSION) {
        crate::stack::watch(session.as_ref());
    }
    let (mut variables, mut loaded) = (std::ptr::null_mut(), false);
    for instruction in instructions.lines() {
        let instruction = instruction?;
        let told = instruction.strip_prefix(LOAD_AND_RUN).and_then(|told| told.rsplit_once(' '));
        let Some((library, function)) = told else {
            return Err(Error::other(format!("it does not know the instruction {instruction:?}")));
        };
        match load(library, function) {
            Ok(run) => variables = run(variables),
            // With variables there is something to keep.
            Err(detail) if loaded => {
                eprintln!("the cell's library cannot be loaded: {detail}");
                writeln!(answers, "{PANICKED}")?;
            }
            Err(detail) => return Err(Error::other(format!("a cell's library cannot be loaded: {detail}"))),
        }
        loaded = true;
        writeln!(answers, "{COMPLETE}")?;
    }
    Ok(())
}

/// Child processes are in the group of the one that starts them, so all can be ended together.
fn lead_group() {
    // SAFETY: the call has no preconditions; a process that leads a group already has what is wanted.
    unsafe { libc::setpgid(0, 0) };
}

/// Finds a function in a library, which stays: what it has put into statics and variables does, too.
fn load(library: &str, function: &str) -> Result<Run, String> {
    let name = |text: &str| CString::new(text).map_err(|error| error.to_string());
    let (library, function) = (name(library)?, name(function)?);
    // SAFETY: the path ends with a zero; what a library does when it is loaded is the cell's.
    let handle = unsafe { libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL) };
    if handle.is_null() {
        return Err(why());
    }
    let shared = name(statics::MARK)?;
    // SAFETY: the handle is that of a library, and both names end with a zero.
    unsafe {
        if !libc::dlsym(handle, shared.as_ptr()).is_null() {
            // What it has is for the libraries that come later.
            libc::dlopen(library.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_GLOBAL);
        }
    }
    // SAFETY: the handle is that of a library, and the name ends with a zero.
    let found = unsafe { libc::dlsym(handle, function.as_ptr()) };
    if found.is_null() {
        return Err(why());
    }
    // SAFETY: evcxr writes the function with this signature.
    Ok(unsafe { std::mem::transmute::<*mut c_void, Run>(found) })
}

/// What the loader says of its last failure.
fn why() -> String {
    // SAFETY: the text, if there is one, stays until the loader is called again.
    let said = unsafe { libc::dlerror() };
    if said.is_null() {
        return "the loader does not say why".to_owned();
    }
    // SAFETY: it ends with a zero.
    unsafe { CStr::from_ptr(said) }.to_string_lossy().into_owned()
}

/// A copy that child processes do not get.
fn duplicate(descriptor: i32) -> std::io::Result<File> {
    // SAFETY: the descriptor is open, and the copy belongs to nobody else.
    unsafe {
        let copy = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3);
        if copy < 0 { Err(Error::last_os_error()) } else { Ok(File::from_raw_fd(copy)) }
    }
}
