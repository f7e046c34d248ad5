//! Tells the end of a stack from other wrong accesses to memory. In the cell process: a handler that notes in the session's folder
//! where the thread was, and then lets the process end as it would have. In the kernel: what was noted.

use std::path::{Path, PathBuf};

use crate::evcxr_contract::marks::LIBRARY;

/// Bytes of a page, of which some are noted from the top of the stack.
const PAGE: usize = 4096;
/// What stands in front of the pages: where the thread was, how many pages there are, whether it was the first thread, and
/// its name.
const HEADER: usize = 8 * 3 + NAME;
const NAME: usize = 16;
/// Functions of cells that are looked for on a stack.
const FRAMES: usize = 16;

/// A full stack.
#[derive(Debug, PartialEq)]
pub(crate) struct Overflow {
    /// The thread's name; none for the one that runs cells.
    name: Option<String>,
    /// The places in cells that led there, innermost first: a library's path, and the address in it.
    pub(crate) frames: Vec<(String, u64)>,
}

impl Overflow {
    /// The thread in words.
    pub(crate) fn thread(&self) -> String {
        match &self.name {
            None => "the cell".to_owned(),
            Some(name) => format!("the thread \"{name}\""),
        }
    }
}

/// What a process that has ended has noted of a full stack; the note goes.
pub(crate) fn overflowed(session: &Path, process: u32) -> Option<Overflow> {
    let file = note(session, process);
    let noted = std::fs::read(&file).ok()?;
    let _ = std::fs::remove_file(file);
    Some(read(&noted))
}

fn note(session: &Path, process: u32) -> PathBuf {
    session.join(format!("overflow-{process}"))
}

/// Reads a note; of one that is not whole as much as there is.
fn read(noted: &[u8]) -> Overflow {
    let (header, rest) = noted.split_at(HEADER.min(noted.len()));
    let word = |at: usize| {
        header.get(at * 8..at * 8 + 8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes)
    };
    let pages = usize::try_from(word(1)).unwrap_or(0).saturating_mul(PAGE).min(rest.len());
    let (stack, maps) = rest.split_at(pages);
    let name: Vec<u8> = header.iter().skip(24).copied().take_while(|byte| *byte != 0).collect();
    let name = String::from_utf8_lossy(&name).into_owned();
    let maps = Maps::read(&String::from_utf8_lossy(maps));
    let addresses = std::iter::once(word(0)).chain(
        stack.chunks_exact(8).filter_map(|bytes| Some(u64::from_ne_bytes(bytes.try_into().ok()?).saturating_sub(1))),
    );
    let mut frames: Vec<(String, u64)> = addresses.filter_map(|address| maps.place(address)).collect();
    frames.dedup();
    frames.truncate(FRAMES);
    Overflow { name: (word(2) == 0).then_some(name), frames }
}

/// The parts of a process's memory that hold code of cells: where each begins and ends, and of which library it is.
struct Maps(Vec<(u64, u64, String)>, Vec<(String, u64)>);

impl Maps {
    fn read(text: &str) -> Maps {
        let (mut code, mut begins): (Vec<_>, Vec<(String, u64)>) = (Vec::new(), Vec::new());
        for line in text.lines().filter(|line| line.contains(LIBRARY)) {
            let mut words = line.split_whitespace();
            let (Some(range), Some(rights), Some(path)) = (words.next(), words.next(), words.nth(3)) else { continue };
            let ends =
                range.split_once('-').map(|(from, to)| (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16)));
            let Some((Ok(from), Ok(to))) = ends else { continue };
            if begins.iter().all(|(known, _)| known != path) {
                begins.push((path.to_owned(), from));
            }
            if rights.contains('x') {
                code.push((from, to, path.to_owned()));
            }
        }
        Maps(code, begins)
    }

    fn place(&self, address: u64) -> Option<(String, u64)> {
        let (_, _, path) = self.0.iter().find(|(from, to, _)| (*from..*to).contains(&address))?;
        let (_, begins) = self.1.iter().find(|(known, _)| known == path)?;
        Some((path.clone(), address - begins))
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) use watched::watch;

#[cfg(not(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(crate) fn watch(_session: &Path) {}

#[cfg(all(target_os = "linux", target_env = "gnu", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod watched {
    use std::ffi::{CString, c_char, c_int, c_void};
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;
    use std::sync::OnceLock;

    use super::{NAME, PAGE, note};

    /// Where a full stack is noted.
    static NOTE: OnceLock<CString> = OnceLock::new();
    /// libc's own function that starts threads.
    static REAL: OnceLock<usize> = OnceLock::new();

    /// How far from the top of its stack an access may be that overflows it.
    const NEAR: usize = 1 << 20;
    /// The stack on which the handler runs.
    const HANDLER: usize = 64 << 10;
    /// Pages that are noted, and that are tried: the first are beyond the end.
    const PAGES: usize = 16;
    const TRIED: usize = 64;

    type Start = extern "C" fn(*mut c_void) -> *mut c_void;
    type Create = unsafe extern "C" fn(*mut libc::pthread_t, *const libc::pthread_attr_t, Start, *mut c_void) -> c_int;

    /// Notes in `session` where a thread of this process was when its stack was full.
    pub(crate) fn watch(session: &Path) {
        let Ok(path) = CString::new(note(session, std::process::id()).as_os_str().as_bytes()) else { return };
        // Without this the linker would take libc's.
        std::hint::black_box(pthread_create as *const c_void);
        if NOTE.set(path).is_err() {
            return;
        }
        // SAFETY: all zero is a value of the structure; the handler makes only calls that a handler may make, and runs on a stack
        // of its own in every thread.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as extern "C" fn(_, _, _) as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            for signal in [libc::SIGSEGV, libc::SIGBUS] {
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            }
        }
    }

    /// What a thread was to do.
    struct Work {
        start: Start,
        with: *mut c_void,
    }

    /// Starts a thread, as libc does. std gives the threads that this program starts a stack for handlers; those that cells start are
    /// started by another std, the cells', which knows of no handler.
    ///
    /// # Safety
    /// As libc's.
    #[unsafe(no_mangle)]
    pub(crate) unsafe extern "C" fn pthread_create(
        thread: *mut libc::pthread_t,
        attributes: *const libc::pthread_attr_t,
        start: Start,
        with: *mut c_void,
    ) -> c_int {
        let find = || {
            // SAFETY: the name ends with a zero.
            unsafe { libc::dlsym(libc::RTLD_NEXT, c"pthread_create".as_ptr()) as usize }
        };
        let real = *REAL.get_or_init(find);
        if real == 0 {
            return libc::EAGAIN;
        }
        // SAFETY: libc's function has this signature.
        let real = unsafe { std::mem::transmute::<usize, Create>(real) };
        if NOTE.get().is_none() {
            // SAFETY: the caller answers for what it gives.
            return unsafe { real(thread, attributes, start, with) };
        }
        let work = Box::into_raw(Box::new(Work { start, with }));
        // SAFETY: as above; `work` is the new thread's.
        let started = unsafe { real(thread, attributes, run, work.cast()) };
        if started != 0 {
            // SAFETY: there is no thread that has it.
            drop(unsafe { Box::from_raw(work) });
        }
        started
    }

    /// Runs a thread with a stack for handlers.
    extern "C" fn run(work: *mut c_void) -> *mut c_void {
        // SAFETY: it is the work that was made for this thread.
        let Work { start, with } = *unsafe { Box::from_raw(work.cast::<Work>()) };
        // SAFETY: the memory is new, and nobody's but the handler's until it is given back.
        unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let memory = libc::mmap(std::ptr::null_mut(), HANDLER, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            if memory == libc::MAP_FAILED {
                return start(with);
            }
            let stack = libc::stack_t { ss_sp: memory, ss_flags: 0, ss_size: HANDLER };
            libc::sigaltstack(&raw const stack, std::ptr::null_mut());
            let given = start(with);
            let none = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: HANDLER };
            libc::sigaltstack(&raw const none, std::ptr::null_mut());
            libc::munmap(memory, HANDLER);
            given
        }
    }

    extern "C" fn handle(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        // SAFETY: the system gives both; what is called may be called in a handler.
        unsafe {
            let address = (*info).si_addr() as usize;
            let registers = &(*context.cast::<libc::ucontext_t>()).uc_mcontext;
            #[cfg(target_arch = "x86_64")]
            let (top, at) =
                (registers.gregs[libc::REG_RSP as usize] as usize, registers.gregs[libc::REG_RIP as usize] as u64);
            #[cfg(target_arch = "aarch64")]
            let (top, at) = (registers.sp as usize, registers.pc);
            if let (true, Some(note)) = (address.abs_diff(top) < NEAR, NOTE.get()) {
                let file = libc::open(note.as_ptr(), libc::O_CREAT | libc::O_WRONLY | libc::O_CLOEXEC, 0o600);
                if file >= 0 {
                    write(file, at, top.max(address));
                    libc::close(file);
                }
            }
            // The access is made again, and ends the process.
            libc::signal(signal, libc::SIG_DFL);
        }
    }

    /// Writes where the thread is, the top of its stack, and what is where in the process.
    unsafe fn write(file: c_int, at: u64, top: usize) {
        // SAFETY: the descriptor is open; what cannot be read of the stack is refused by the system.
        unsafe {
            let is_first = u64::from(libc::gettid() == libc::getpid());
            let mut name = [0_u8; NAME];
            libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr());
            let put = |bytes: &[u8]| libc::write(file, bytes.as_ptr().cast(), bytes.len());
            for part in [at, 0, is_first] {
                put(&part.to_ne_bytes());
            }
            put(&name);
            let (mut page, mut written) = (top & !(PAGE - 1), 0_u64);
            for _ in 0..TRIED {
                if libc::write(file, page as *const c_void, PAGE) == PAGE as isize {
                    written += 1;
                }
                if written == PAGES as u64 {
                    break;
                }
                page += PAGE;
            }
            let count = written.to_ne_bytes();
            libc::pwrite(file, count.as_ptr().cast(), count.len(), 8);
            let maps: *const c_char = c"/proc/self/maps".as_ptr();
            let maps = libc::open(maps, libc::O_RDONLY | libc::O_CLOEXEC);
            let mut piece = [0_u8; PAGE];
            loop {
                let read = libc::read(maps, piece.as_mut_ptr().cast(), piece.len());
                if read <= 0 {
                    break;
                }
                put(&piece[..read as usize]);
            }
            libc::close(maps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "7f00-7f10 r--p 0 00:00 1 /s/target/libcode_3.so\n7f10-7f90 r-xp 10 00:00 1 /s/target/libcode_3.so\n\
        8000-9000 r-xp 0 00:00 2 /usr/lib/libc.so.6\n";

    fn noted(at: u64, is_first: u64, name: &[u8; NAME], words: &[u64]) -> Vec<u8> {
        let mut stack: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        stack.resize(PAGE, 0);
        let header = [at, 1, is_first].into_iter().flat_map(u64::to_ne_bytes);
        header.chain(name.iter().copied()).chain(stack).chain(MAPS.bytes()).collect()
    }

    #[test]
    fn the_places_in_cells_are_found_on_the_stack() {
        let library = "/s/target/libcode_3.so".to_owned();
        let place = |address: u64| (library.clone(), address);
        let found = read(&noted(0x7f20, 1, b"corriente\0\0\0\0\0\0\0", &[0x8100, 0x7f41, 5]));
        assert_eq!(found, Overflow { name: None, frames: vec![place(0x20), place(0x40)] });
        assert_eq!(found.thread(), "the cell");
        let found = read(&noted(0x8100, 0, b"worker\0\0\0\0\0\0\0\0\0\0", &[0x7f05, 0x7f51]));
        assert_eq!(found.frames, [place(0x50)]);
        assert_eq!(found.thread(), "the thread \"worker\"");
    }

    #[test]
    fn a_note_that_is_not_whole_is_one_all_the_same() {
        for length in [0, 3, HEADER, HEADER + 10] {
            let whole = noted(0x7f20, 1, &[0; NAME], &[]);
            assert!(read(&whole[..length]).frames.is_empty());
        }
    }
}
