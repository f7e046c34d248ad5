//! How evcxr keeps items: by name, in no order. What has no name it puts behind the item with a name that stands before it, and
//! keeps both under that name; so a constant of ours in front of an `impl` makes it one that can be replaced.

/// What the names of our constants begin with.
const OURS: &str = "CORRIENTE_";
const BLOCK: &str = "CORRIENTE_BLOCK_";
const MADE: &str = "CORRIENTE_MADE_";

/// The name of the constant in front of an item.
pub(crate) fn block(number: u32) -> String {
    format!("{BLOCK}{number}")
}

/// The name of the constant around the call of a macro.
pub(crate) fn made(number: u32) -> String {
    format!("{MADE}{number}")
}

/// What stands in front of an item, on its line.
pub(crate) fn in_front(key: &str) -> String {
    format!("const {key}: () = (); ")
}

/// What removes the item that was kept under a key.
pub(crate) fn alone(key: &str) -> String {
    format!("const {key}: () = ();\n")
}

/// What stands around the call of a macro that makes items. It is a statement to evcxr, unless it is in a constant; the stand-in
/// `cargo` takes it out of it.
pub(crate) fn around_made(key: &str, ends_itself: bool) -> (String, &'static str) {
    (format!("const {key}: () = {{ "), if ends_itself { " };" } else { "; };" })
}

/// The number in the name of a constant around the call of a macro, by which calls come in the order in which they were made; `None`
/// for another name.
pub(crate) fn made_number(name: &str) -> Option<u32> {
    name.strip_prefix(MADE)?.parse().ok()
}

/// Whether a name is no person's.
pub(crate) fn is_ours(name: &str) -> bool {
    name.starts_with(OURS)
}
