//! What user code prints. Standard output is taken to the link through a pipe and a thread, so that it is shown as it
//! comes and no thread that prints waits for a cell; evcxr's own lines go on to where evcxr reads them.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use link::{Channel, ToKernel};

use super::client;

/// What evcxr's lines begin with.
const EVCXR: &str = "EVCXR_";
/// What a barrier writes, to be found again behind everything that was printed before it.
const MARK: &str = "\u{0}CORRIENTE-BARRIER ";

/// Puts a pipe in the place of standard output.
pub(super) fn redirect() -> std::io::Result<()> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that `pipe` writes.
    if unsafe { libc::pipe(ends.as_mut_ptr()) } != 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: both descriptors were just made and belong to nobody else.
    let (reading, writing) = unsafe { (File::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
    // SAFETY: descriptor 1 is open, and the copy belongs to nobody else.
    let evcxr = unsafe {
        let copy = libc::dup(1);
        if copy < 0 {
            return Err(std::io::Error::last_os_error());
        }
        File::from_raw_fd(copy)
    };
    std::thread::Builder::new()
        .name("stdout".into())
        .spawn(move || Splitter { evcxr, held: Vec::new() }.run(reading))?;
    // SAFETY: both descriptors are open; from here on what is printed goes into the pipe.
    if unsafe { libc::dup2(writing.as_raw_fd(), 1) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

/// Writes the barrier behind everything printed so far; the thread `stdout` answers when it comes by, the kernel when it
/// sees it on standard error.
pub(super) fn barrier(number: u64) {
    let mut out = std::io::stdout().lock();
    // A pipe that is gone has nobody behind it who waits.
    let _ = out.write_all(format!("{MARK}{number}\n").as_bytes()).and_then(|()| out.flush());
    drop(out);
    eprintln!("{MARK}{number}");
}

/// Parts what is printed into evcxr's lines, barriers and the user's text.
struct Splitter {
    evcxr: File,
    /// Bytes that may be the beginning of something.
    held: Vec<u8>,
}

impl Splitter {
    fn run(mut self, mut reading: File) {
        let mut chunk = vec![0; 64 << 10];
        while let Ok(size) = reading.read(&mut chunk) {
            if size == 0 {
                return;
            }
            self.held.extend_from_slice(&chunk[..size]);
            self.part();
        }
    }

    fn part(&mut self) {
        loop {
            let Some((at, is_mark)) = next_special(&self.held) else {
                let free = self.held.len() - possible_beginning(&self.held);
                return self.print(free);
            };
            self.print(at);
            let Some(end) = self.held.iter().position(|b| *b == b'\n') else { return };
            let line: Vec<u8> = self.held.drain(..=end).collect();
            if is_mark {
                let text = String::from_utf8_lossy(&line);
                if let Ok(number) = text[MARK.len()..].trim().parse() {
                    client::send(ToKernel::BarrierReached { number }.into());
                }
            } else {
                // When evcxr is gone the process is about to be.
                let _ = self.evcxr.write_all(&line);
            }
        }
    }

    /// Sends the first `size` bytes as text, but for a character that is not whole yet.
    fn print(&mut self, size: usize) {
        let whole = match std::str::from_utf8(&self.held[..size]) {
            Err(error) if error.error_len().is_none() && size == self.held.len() => error.valid_up_to(),
            _ => size,
        };
        if whole == 0 {
            return;
        }
        let text: Vec<u8> = self.held.drain(..whole).collect();
        let text = String::from_utf8_lossy(&text).into_owned();
        client::send(ToKernel::Stream { channel: Channel::Stdout, text, cell: None }.into());
    }
}

/// Where evcxr's next line or the next barrier begins, and whether it is a barrier.
fn next_special(bytes: &[u8]) -> Option<(usize, bool)> {
    let find = |what: &str| bytes.windows(what.len()).position(|w| w == what.as_bytes());
    let (mark, evcxr) = (find(MARK), find(EVCXR));
    match (mark, evcxr) {
        (Some(m), Some(e)) if m < e => Some((m, true)),
        (_, Some(e)) => Some((e, false)),
        (Some(m), None) => Some((m, true)),
        (None, None) => None,
    }
}

/// How many bytes at the end may be the beginning of a special line.
fn possible_beginning(bytes: &[u8]) -> usize {
    let longest = MARK.len().max(EVCXR.len()) - 1;
    (1..=longest.min(bytes.len()))
        .rev()
        .find(|n| {
            let end = &bytes[bytes.len() - n..];
            MARK.as_bytes().starts_with(end) || EVCXR.as_bytes().starts_with(end)
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_lines_are_found_in_the_middle_of_text() {
        assert_eq!(next_special(b"abcEVCXR_EXECUTION_COMPLETE\n"), Some((3, false)));
        assert_eq!(next_special(format!("ab{MARK}7\nEVCXR_X\n").as_bytes()), Some((2, true)));
        assert_eq!(next_special(b"abc"), None);
    }

    #[test]
    fn only_what_may_become_special_is_held_back() {
        assert_eq!(possible_beginning(b"hello EVC"), 3);
        assert_eq!(possible_beginning(b"hello \0CORR"), 5);
        assert_eq!(possible_beginning(b"hello"), 0);
    }
}
