//! All that is known of the texts and habits of evcxr and its analyzer, which no type of theirs says: an upgrade of evcxr that
//! changes one of them fails the tests here, which hold each against the real crate, and not a person's cell.
//!
//! - [`keys`]: how it keeps items.
//! - [`source`]: what it writes around a cell.
//! - [`words`]: what it says of errors, ends and commands.
//! - [`marks`]: what it and a cell process say to each other.

pub(crate) mod keys;
pub(crate) mod marks;
pub(crate) mod source;
pub(crate) mod words;

#[cfg(test)]
mod tests;
