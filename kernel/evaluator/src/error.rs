//! Why there is no session, told to the notebook's reader.

use std::path::PathBuf;

/// A session that cannot be.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EvaluatorError {
    /// The library that cells link to is not there.
    #[error("the library that cells link to is not there: {path}. Build it with ./install/demo")]
    NoDylib {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The sources that the analyzer reads are gone.
    #[error(
        "Corriente was built from {path}, which is gone or was moved. Build it with ./install/demo where it is now"
    )]
    NoSources {
        /// Where they were.
        path: PathBuf,
    },
    /// The compiler is gone.
    #[error(
        "the compiler that built Corriente is gone: {path}. Install {version} with rustup, or build Corriente anew with ./install/demo"
    )]
    NoCompiler {
        /// Where it was.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// The compiler is another one.
    #[error(
        "Corriente was built by {expected}, and the compiler is now {found}; cells would not link. Build it anew with ./install/demo"
    )]
    OtherCompiler {
        /// The version that built Corriente.
        expected: String,
        /// The version that is there.
        found: String,
    },
    /// No folder can be made for the session.
    #[error(
        "no folder can be made for the session: {detail}. Make room there, or set TMPDIR to another folder, and start the kernel again"
    )]
    NoFolder {
        /// Where, and what the operating system said.
        detail: String,
    },
    /// A socket in the folder would have too long a name.
    #[error(
        "the temporary folder has too long a name: {path}. Sockets are in it, and their names end at {most} bytes. Set TMPDIR to a folder with a shorter name and start the kernel again"
    )]
    LongFolder {
        /// The session's folder.
        path: PathBuf,
        /// The bytes that a name may have.
        most: usize,
    },
    /// Nothing in the folder can be executed.
    #[error(
        "the temporary folder lets no program run: {path} is on a file system that is mounted with `noexec`, and cells are programs. Set TMPDIR to another folder and start the kernel again"
    )]
    NoPrograms {
        /// The session's folder.
        path: PathBuf,
    },
    /// The machine refuses something.
    #[error("the session cannot {what}: {detail}")]
    Machine {
        /// What was tried.
        what: &'static str,
        /// What the operating system said.
        detail: String,
    },
    /// evcxr does not start.
    #[error("the session does not start: {detail}")]
    Evcxr {
        /// What evcxr said.
        detail: String,
    },
}

impl EvaluatorError {
    pub(crate) fn machine(what: &'static str) -> impl Fn(std::io::Error) -> EvaluatorError {
        move |error| EvaluatorError::Machine { what, detail: error.to_string() }
    }
}
