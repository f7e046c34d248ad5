//! Tells the end of a stack from other wrong accesses to memory. In the cell process: a handler that leaves a mark in the
//! session's folder, and then lets the process end as it would have. In the kernel: whether there is one.

use std::path::{Path, PathBuf};

/// Leaves a mark in `session` when a thread of this process is at the end of its stack.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) fn watch(session: &Path) {
    use std::os::unix::ffi::OsStrExt as _;

    let Ok(path) = std::ffi::CString::new(mark(session, std::process::id()).as_os_str().as_bytes()) else { return };
    if MARK.set(path).is_err() {
        return;
    }
    // SAFETY: all zero is a value of the structure; the handler makes only calls that a handler may make, and runs on the stack
    // that std has given every thread for handlers.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handle as extern "C" fn(_, _, _) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        for signal in [libc::SIGSEGV, libc::SIGBUS] {
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) fn watch(_session: &Path) {}

/// Whether a process that has ended was at the end of a stack; the mark goes.
pub(crate) fn overflowed(session: &Path, process: u32) -> bool {
    std::fs::remove_file(mark(session, process)).is_ok()
}

fn mark(session: &Path, process: u32) -> PathBuf {
    session.join(format!("overflow-{process}"))
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
static MARK: std::sync::OnceLock<std::ffi::CString> = std::sync::OnceLock::new();

/// How far from the top of its stack an access may be that overflows it.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
const NEAR: usize = 1 << 20;

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the system gives both; what is called may be called in a handler.
    unsafe {
        let address = (*info).si_addr() as usize;
        let registers = &(*context.cast::<libc::ucontext_t>()).uc_mcontext;
        #[cfg(target_arch = "x86_64")]
        let top = registers.gregs[libc::REG_RSP as usize] as usize;
        #[cfg(target_arch = "aarch64")]
        let top = registers.sp as usize;
        if let (true, Some(mark)) = (address.abs_diff(top) < NEAR, MARK.get()) {
            let file = libc::open(mark.as_ptr(), libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC, 0o600);
            if file >= 0 {
                libc::close(file);
            }
        }
        // The access is made again, and ends the process.
        libc::signal(signal, libc::SIG_DFL);
    }
}
