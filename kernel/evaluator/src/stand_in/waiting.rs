//! A compiler that has started before its cell is sent, and waits for the source: what it does until then is a sixth of a
//! small cell's compilation. The stand-in notes how it called the compiler; after a cell the session starts another in the
//! same way, whose source is a pipe; the stand-in takes that one if it would call the compiler just so again.
//!
//! Nothing waits for ever: a compiler that has ended leaves its pipe of messages without a writer, and that is seen.

use std::collections::BTreeMap;
use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::place::env;

/// Between two looks whether the compiler has come to its source. Only a cell that is sent within milliseconds of the last
/// one's end waits at all.
const LOOK: Duration = Duration::from_micros(500);

/// The tool that the compiler is started by, in the session's folder.
pub(crate) const BOUND: &str = "bin/bound";

/// The process that a tool is bound to.
const PARENT: &str = "CORRIENTE_PARENT";

/// How a compiler is called: the words, the compiler first, and the environment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call {
    words: Vec<String>,
    environment: BTreeMap<OsString, OsString>,
}

impl Call {
    /// A call with this process's environment, less what is for cargo and for evcxr.
    pub(super) fn here(words: Vec<String>) -> Call {
        let for_others = |name: &OsString| {
            let name = name.to_string_lossy();
            ["CARGO", "EVCXR", "RUSTC", "RUSTFLAGS"].iter().any(|prefix| name.starts_with(prefix))
        };
        Call { words, environment: std::env::vars_os().filter(|(name, _)| !for_others(name)).collect() }
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear().envs(&self.environment);
        command
    }

    /// Notes the words, for the session.
    pub(super) fn note(&self, folder: &Path) {
        // Without a note the next cell is compiled as ever.
        let _ = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(folder.join("last"), json!(self.words).to_string()));
    }

    /// The call in words that can be compared. The environment may have secrets, and is not written down.
    fn mark(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.environment.hash(&mut hasher);
        json!([self.words, hasher.finish()]).to_string()
    }
}

/// Where the waiting compiler has its pipes.
pub(super) fn folder(session: &Path) -> PathBuf {
    session.join("waiting")
}

/// Gives the source to the compiler that waits; its messages, or `None` when none waits that was called like this.
pub(super) fn compile(folder: &Path, call: &Call, source: &str) -> Option<String> {
    let (offer, taken) = (folder.join("offer"), folder.join("taken"));
    std::fs::rename(&offer, &taken).ok()?;
    (std::fs::read_to_string(&taken).ok()? == call.mark()).then_some(())?;
    let open = |options: &mut OpenOptions, path: PathBuf| options.custom_flags(libc::O_NONBLOCK).open(path);
    let mut messages = open(OpenOptions::new().read(true), folder.join("messages")).ok()?;
    let mut said = Vec::new();
    let mut pipe = loop {
        match open(OpenOptions::new().write(true), folder.join("src/lib.rs")) {
            Ok(pipe) => break pipe,
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) && lives(&mut messages, &mut said) => {
                std::thread::park_timeout(LOOK);
            }
            Err(_) => return None,
        }
    };
    (blocking(&pipe) && blocking(&messages)).then_some(())?;
    pipe.write_all(source.as_bytes()).ok()?;
    drop(pipe);
    messages.read_to_end(&mut said).ok()?;
    String::from_utf8(said).ok()
}

/// Whether the pipe still has a writer; what it has written already is added to `said`.
fn lives(messages: &mut File, said: &mut Vec<u8>) -> bool {
    let mut piece = [0; 4096];
    match messages.read(&mut piece) {
        Ok(length) => {
            said.extend_from_slice(&piece[..length]);
            length > 0
        }
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

fn blocking(file: &File) -> bool {
    use std::os::fd::AsRawFd as _;
    // SAFETY: the descriptor is open, and the call changes only whether it blocks.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, 0) == 0 }
}

/// The session's side: it owns the compiler that waits.
#[derive(Default)]
pub(crate) struct Waiting {
    child: Option<Child>,
}

impl Waiting {
    /// Starts one for the next cell, called as the last cell's was but for the one `variable` of the environment that is
    /// different for every cell. Where that fails, the next cell is compiled as ever.
    pub(crate) fn renew(&mut self, variable: &str, value: u64) {
        self.end();
        let Some(session) = std::env::var_os(env::SESSION).map(PathBuf::from) else { return };
        self.child = start(&folder(&session), &session.join(BOUND), variable, value);
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // One that was taken has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.end();
    }
}

fn start(folder: &Path, bound: &Path, variable: &str, value: u64) -> Option<Child> {
    let words: Vec<String> = serde_json::from_slice(&std::fs::read(folder.join("last")).ok()?).ok()?;
    let mut call = Call::here(words);
    call.environment.insert(variable.into(), value.to_string().into());
    std::fs::create_dir_all(folder.join("src")).ok()?;
    for pipe in [folder.join("messages"), folder.join("src/lib.rs")] {
        make_pipe(&pipe)?;
    }
    // Open for reading too, so that opening it does not wait for a reader.
    let messages = OpenOptions::new().read(true).write(true).open(folder.join("messages")).ok()?;
    let mut command = Command::new(bound);
    command.args(&call.words).env_clear().envs(&call.environment).env(PARENT, std::process::id().to_string());
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(messages);
    let mut child = command.spawn().ok()?;
    let offered = folder.join("offer.new");
    if std::fs::write(&offered, call.mark()).and_then(|()| std::fs::rename(offered, folder.join("offer"))).is_err() {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    Some(child)
}

/// What the tool [`BOUND`] does: it becomes the command in its words, which ends with the thread that started it. It is a
/// program of its own, because a kernel that forks pays with a copy of every page that it writes to afterwards.
pub(super) fn bind(arguments: &[OsString]) -> i32 {
    let bound = die_with_parent();
    // SAFETY: the call has no preconditions.
    let parent = unsafe { libc::getppid() };
    // A kernel that was killed before it was bound to it has left it to another process.
    let lives = std::env::var(PARENT).is_ok_and(|wanted| wanted == parent.to_string());
    if let (true, Some((program, words))) = (bound && lives, arguments.split_first()) {
        // It returns only where it fails, and then the next cell is compiled as ever.
        let _ = Command::new(program).args(words).env_remove(PARENT).exec();
    }
    1
}

/// Whether the system ends this process with the one that started it. Without that no compiler waits, for one that is forgotten
/// would wait for ever.
#[cfg(target_os = "linux")]
fn die_with_parent() -> bool {
    // SAFETY: the call has no preconditions.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn die_with_parent() -> bool {
    false
}

fn make_pipe(path: &Path) -> Option<()> {
    // A new one each time: nothing is left of the last.
    let _ = std::fs::remove_file(path);
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: the path is a string that ends with a zero.
    (unsafe { libc::mkfifo(path.as_ptr(), 0o600) } == 0).then_some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A "compiler" that waits for cell 2, and how the stand-in would call it for that cell.
    fn waiting(script: &str) -> (tempfile::TempDir, Call, Child) {
        let folder = tempfile::tempdir().unwrap();
        let mut call = Call::here(["/bin/sh", "-c", script].map(str::to_owned).to_vec());
        call.note(folder.path());
        let child = start(folder.path(), Path::new("/usr/bin/env"), "CELL", 2).unwrap();
        call.environment.insert("CELL".into(), "2".into());
        (folder, call, child)
    }

    #[test]
    fn the_one_that_waits_is_given_the_source_once() {
        let (folder, call, mut child) = waiting("echo $CELL >&2; cat src/lib.rs >&2");
        assert_eq!(compile(folder.path(), &call, "fn main() {}"), Some("2\nfn main() {}".to_owned()));
        assert!(child.wait().unwrap().success());
        assert_eq!(compile(folder.path(), &call, "fn main() {}"), None);
    }

    #[test]
    fn one_that_was_called_otherwise_is_left() {
        let (folder, call, mut child) = waiting("cat src/lib.rs");
        let other = Call { environment: BTreeMap::new(), ..call };
        assert_eq!(compile(folder.path(), &other, ""), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_that_has_ended_is_not_waited_for() {
        let (folder, call, mut child) = waiting("exit 1");
        child.wait().unwrap();
        assert_eq!(compile(folder.path(), &call, ""), None);
    }
}
