//! The subcommands, a file each.

pub(crate) mod broker;
pub(crate) mod doctor;
pub(crate) mod install;
pub(crate) mod kernel;
pub(crate) mod produce;
