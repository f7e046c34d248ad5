//! What is written to standard output and standard error, by whatever means and by child processes too. Both are named pipes,
//! whose bytes a thread `output` takes to the link as they come. A display takes them there itself before it goes, so
//! that outputs stay in the order in which the cell made them; nothing of ours stands between the user's bytes.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};

use link::{Channel, ToKernel};

use super::{client, failure};

/// As much as a pipe holds on Linux.
const CHUNK: usize = 64 << 10;

static PIPES: OnceLock<[Mutex<Pipe>; 2]> = OnceLock::new();
/// Where evcxr reads its own lines: what was standard output before.
static EVCXR: OnceLock<File> = OnceLock::new();

/// Puts pipes in the place of standard output and standard error.
pub(super) fn redirect(socket: &Path) -> std::io::Result<()> {
    let evcxr = duplicate(1)?;
    let made = [Pipe::make(socket, Channel::Stdout)?, Pipe::make(socket, Channel::Stderr)?];
    for (pipe, descriptor) in made.iter().zip([1, 2]) {
        // SAFETY: both descriptors are open; from here on what is written goes into the pipe.
        if unsafe { libc::dup2(pipe.writing.as_raw_fd(), descriptor) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    let readers = [made[0].reading.as_raw_fd(), made[1].reading.as_raw_fd()];
    let _ = EVCXR.set(evcxr);
    let pipes = PIPES.get_or_init(|| made.map(Mutex::new));
    std::thread::Builder::new().name("output".into()).spawn(move || watch(pipes, readers))?;
    Ok(())
}

/// Tells evcxr something, in a line of its own protocol.
pub(super) fn tell_evcxr(line: &str) {
    if let Some(mut evcxr) = EVCXR.get() {
        // When evcxr is gone the process is about to be.
        let _ = evcxr.write_all(format!("{line}\n").as_bytes());
    }
}

/// Passes on all that this thread has written so far, and what others and child processes have.
pub(super) fn drain() {
    flush();
    pass_on(false);
}

/// Passes on what is in the pipes when a cell has ended, half a character too, and says that it is done.
pub(super) fn barrier(number: u64) {
    pass_on(true);
    client::send(ToKernel::BarrierReached { number }.into());
}

/// std keeps a line of standard output until it is whole.
pub(super) fn flush() {
    // Another thread may hold the lock of standard output for as long as it likes.
    if failure::is_cells_thread() {
        // The pipe has a reader for as long as the process lives.
        let _ = std::io::stdout().flush();
    }
}

fn pass_on(ends: bool) {
    for pipe in PIPES.get().into_iter().flatten() {
        let mut pipe = pipe.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.pass_on();
        if ends {
            let rest = pipe.held.len();
            pipe.send(rest);
        }
    }
}

/// Takes what comes for as long as the process lives.
fn watch(pipes: &[Mutex<Pipe>; 2], readers: [i32; 2]) {
    loop {
        let mut ready = readers.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        // SAFETY: `ready` has the two entries that the call is told of.
        let polled = unsafe { libc::poll(ready.as_mut_ptr(), 2, -1) };
        if polled < 0 && std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            return;
        }
        for (pipe, _) in pipes.iter().zip(ready).filter(|(_, one)| one.revents != 0) {
            pipe.lock().unwrap_or_else(PoisonError::into_inner).pass_on();
        }
    }
}

/// One of the two.
struct Pipe {
    channel: Channel,
    /// Does not wait.
    reading: File,
    /// Never written to: it keeps the pipe open when a cell closes its own descriptor.
    writing: File,
    /// The beginning of a character that is not whole yet.
    held: Vec<u8>,
}

impl Pipe {
    fn make(socket: &Path, channel: Channel) -> std::io::Result<Pipe> {
        let path = link::pipe(socket, std::process::id(), channel);
        let name = CString::new(path.as_os_str().as_bytes())?;
        // SAFETY: the path is a string that ends with a zero.
        if unsafe { libc::mkfifo(name.as_ptr(), 0o600) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
        // The reader first: a writer waits for one.
        let reading = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path)?;
        let writing = OpenOptions::new().write(true).open(&path)?;
        Ok(Pipe { channel, reading, writing, held: Vec::new() })
    }

    /// Sends what is in the pipe now, and no more, however fast a writer is.
    fn pass_on(&mut self) {
        let mut left = self.waiting();
        while left > 0 {
            let from = self.held.len();
            self.held.resize(from + left.min(CHUNK), 0);
            let read = self.reading.read(&mut self.held[from..]).unwrap_or(0);
            self.held.truncate(from + read);
            if read == 0 {
                return;
            }
            left -= read;
            self.send(whole(&self.held));
        }
    }

    /// How many bytes wait to be read.
    fn waiting(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the call writes one number to where it is told.
        let asked = unsafe { libc::ioctl(self.reading.as_raw_fd(), libc::FIONREAD, &raw mut bytes) };
        if asked == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
    }

    /// Sends the first `size` bytes; what is no UTF-8 in them is marked as such.
    fn send(&mut self, size: usize) {
        if size > 0 {
            let text = String::from_utf8_lossy(&self.held[..size]).into_owned();
            self.held.drain(..size);
            client::send(ToKernel::Stream { channel: self.channel, text, cell: None }.into());
        }
    }
}

/// The bytes without a character at the end of which more is to come.
fn whole(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let begins = bytes[from..].iter().rposition(|byte| *byte >= 0xC0).map(|at| from + at);
    begins
        .filter(|at| std::str::from_utf8(&bytes[*at..]).is_err_and(|error| error.error_len().is_none()))
        .unwrap_or(bytes.len())
}

/// A copy that child processes do not get.
fn duplicate(descriptor: i32) -> std::io::Result<File> {
    // SAFETY: the descriptor is open, and the copy belongs to nobody else.
    unsafe {
        let copy = libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3);
        if copy < 0 { Err(std::io::Error::last_os_error()) } else { Ok(File::from_raw_fd(copy)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_half_a_character_is_held_back() {
        for (bytes, expect) in [
            (&b""[..], 0),
            (b"plain", 5),
            ("né".as_bytes(), 3),
            (b"n\xc3", 1),
            (b"n\xe2\x82", 1),
            (b"\xf0\x9f\x98", 0),
            (b"\xff", 1),
            (b"\xff\xff\n", 3),
            (b"\xe2a", 2),
            (b"\x82\x82\x82\x82", 4),
        ] {
            assert_eq!(whole(bytes), expect, "{bytes:?}");
        }
    }
}
