//! The command `corriente`.
fn main() {}
