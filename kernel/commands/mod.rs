//! The subcommands, a file each.

pub(crate) mod doctor;
pub(crate) mod install;
pub(crate) mod kernel;
