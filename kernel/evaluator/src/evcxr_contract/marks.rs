//! What evcxr and a cell process say to each other, a line each, and what evcxr calls the libraries and their functions.

/// The variable by which evcxr tells a cell process what it is.
pub(crate) const IS_RUNTIME: &str = "EVCXR_IS_RUNTIME";
/// The variables that say where evcxr works, and where its settings are.
pub(crate) const FOLDER: &str = "EVCXR_TMPDIR";
pub(crate) const SETTINGS: &str = "EVCXR_CONFIG_DIR";
/// The file with the settings, and those of a session.
pub(crate) const SETTINGS_FILE: (&str, &str) = ("evcxr.toml", "[evcxr]\nopt_level = \"0\"\n");

/// evcxr's one instruction to a cell process: then comes the library's path, and the function in it.
pub(crate) const LOAD_AND_RUN: &str = "LOAD_AND_RUN ";
/// Said by a cell process when a cell has run.
pub(crate) const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";
/// Said before it when a cell has ended without its variables.
pub(crate) const PANICKED: &str = "EVCXR_PANIC_NOTIFICATION";

/// What the files of cells' libraries are called; the cell process knows it, too, in `corriente::cell`.
pub(crate) const LIBRARY: &str = "libcode_";
/// The crate that every cell is compiled as.
pub(crate) const CRATE: &str = "ctx";
/// What the function begins with that runs a cell.
pub(crate) const RUNS: &str = "run_user_code";

/// The variable that names the cell to the code that is compiled for it, set for the compiler by evcxr.
pub(crate) fn build_variable(name: &str, value: u64) -> String {
    format!(":build_env {name}={value}")
}

/// Has evcxr call no linker of its own choice.
pub(crate) const OWN_LINKER: &str = ":linker system";
/// Has evcxr forget everything.
pub(crate) const CLEAR: &str = ":clear";
