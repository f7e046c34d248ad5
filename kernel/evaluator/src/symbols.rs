//! The names and lines behind places in cells' libraries: which of a notebook's functions led to a panic. What the library and
//! the runtime did around them is not the reader's concern.

use std::collections::BTreeMap;
use std::path::Path;

use addr2line::Loader;

use crate::evcxr_contract::marks::{CRATE, RUNS};

/// The cells' functions at these places, with their lines in what was compiled; zero where a line is not known, and no
/// name for what is in a cell's own lines.
pub(crate) fn functions(places: &[(String, u64)]) -> Vec<(String, u32)> {
    let mut libraries: BTreeMap<&str, Option<Loader>> = BTreeMap::new();
    let mut found = Vec::new();
    for (path, address) in places {
        // A library that is gone from the disk was an old cell's.
        let library = libraries.entry(path).or_insert_with(|| Loader::new(Path::new(path)).ok());
        if let Some(library) = library {
            found.extend(at(library, *address));
        }
    }
    kept(found)
}

/// The function at an address, and those that it was put into.
fn at(library: &Loader, address: u64) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let Ok(mut frames) = library.find_frames(address) else { return found };
    while let Ok(Some(frame)) = frames.next() {
        let name = frame.function.as_ref().and_then(|name| Some(name.raw_name().ok()?.into_owned()));
        let name = name.or_else(|| library.find_symbol(address).map(str::to_owned)).unwrap_or_default();
        let name = addr2line::demangle_auto(name.into(), None).into_owned();
        found.push((name, frame.location.and_then(|place| place.line).unwrap_or(0)));
    }
    found
}

/// The cell's own of all functions, without the library's generic ones that show its types in their names. What is in
/// the cell's own lines is told once.
fn kept(all: Vec<(String, u32)>) -> Vec<(String, u32)> {
    let name = |symbol: &str| {
        let name = symbol.strip_prefix('<').unwrap_or(symbol);
        let own = name.strip_prefix(CRATE).and_then(|rest| rest.strip_prefix("::"));
        own.or(name.starts_with(RUNS).then_some(name)).map(readable)
    };
    let mut kept: Vec<(String, u32)> =
        all.into_iter().filter_map(|(symbol, line)| Some((name(&symbol)?, line))).collect();
    kept.dedup_by(|next, last| next.0.is_empty() && last.0.is_empty());
    kept
}

/// What a person calls a function; nothing for the cell's own lines.
fn readable(name: &str) -> String {
    let (path, hash) = name.rsplit_once("::").unwrap_or((name, ""));
    let is_hash = hash.len() == 17 && hash.starts_with('h') && hash[1..].bytes().all(|byte| byte.is_ascii_hexdigit());
    let path = if is_hash { path } else { name };
    if path.starts_with(RUNS) { String::new() } else { path.replace("::{{closure}}", " (a closure in it)") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cells_functions_are_kept() {
        let all = [
            ("std::panicking::begin_panic", 1),
            ("ctx::helper::h0123456789abcdef", 12),
            ("core::ops::function::FnOnce::call_once<ctx::helper>", 3),
            ("<ctx::Account as core::fmt::Display>::fmt", 0),
            ("ctx::run_user_code_3::{{closure}}::{{closure}}", 40),
            ("ctx::run_user_code_3::{{closure}}", 39),
            ("std::panicking::try", 9),
            ("run_user_code_3", 30),
        ];
        let expect = [("helper", 12), ("Account as core::fmt::Display>::fmt", 0), ("", 40)];
        let owned =
            |all: &[(&str, u32)]| all.iter().map(|(name, line)| ((*name).to_owned(), *line)).collect::<Vec<_>>();
        assert_eq!(kept(owned(&all)), owned(&expect));
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        assert_eq!(functions(&[("/no/such/libcode_1.so".to_owned(), 7)]), []);
    }
}
