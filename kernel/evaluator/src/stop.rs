//! How a compiler is stopped. The tools that evcxr starts lead a process group each, and are noted in the session's folder; a
//! mark there refuses those that come later. So what is compiled for a cell ends with everything below it, cargo's build
//! scripts too, and what compiled just before does not run.

use std::fs::File;
use std::path::{Path, PathBuf};

/// The kernel's side.
pub(crate) struct Stop {
    mark: PathBuf,
    tools: PathBuf,
}

impl Stop {
    /// In a session's folder.
    pub(crate) fn at(session: &Path) -> std::io::Result<Stop> {
        let tools = tools(session);
        std::fs::create_dir_all(&tools)?;
        Ok(Stop { mark: link::stopped(session), tools })
    }

    /// Ends the tools that run, and lets no other start.
    pub(crate) fn set(&self) {
        // The mark first: a tool notes itself before it looks for it.
        let _ = File::create(&self.mark);
        self.each(|tool| {
            // SAFETY: the call has no preconditions; a group that is gone is what was wanted.
            unsafe { libc::kill(-tool, libc::SIGKILL) };
        });
    }

    /// Lets tools start again. None runs now.
    pub(crate) fn clear(&self) {
        let _ = std::fs::remove_file(&self.mark);
        self.each(|_| {});
    }

    /// Takes each note away.
    fn each(&self, take: impl Fn(libc::pid_t)) {
        for note in std::fs::read_dir(&self.tools).into_iter().flatten().flatten() {
            let number = note.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(tool) = number.filter(|tool| *tool > 1) {
                take(tool);
            }
            let _ = std::fs::remove_file(note.path());
        }
    }
}

/// A tool's side: its note, for as long as it runs.
pub(crate) struct Tool {
    note: PathBuf,
}

impl Tool {
    /// Makes this process one that can be stopped; `None` when it is not to run any more.
    pub(crate) fn start(session: &Path) -> Option<Tool> {
        // SAFETY: the call has no preconditions; a process that leads a group already has what is wanted.
        unsafe { libc::setpgid(0, 0) };
        Tool::enter(session)
    }

    pub(crate) fn enter(session: &Path) -> Option<Tool> {
        let tool = Tool { note: tools(session).join(std::process::id().to_string()) };
        // One that cannot be noted cannot be stopped, and runs to its end.
        let _ = File::create(&tool.note);
        (!link::stopped(session).exists()).then_some(tool)
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.note);
    }
}

fn tools(session: &Path) -> PathBuf {
    session.join("tools")
}
