//! A name that a person's `use x::*` brings, and the prelude too: the person's is meant. The compiler takes neither, and says
//! where it could come from. Functions of its errors.

use evcxr::CompilationError;
use serde_json::Value;

use crate::hints::quoted;

/// The compiler's codes for a name that comes from two places: of this crate, and of others.
const AMBIGUOUS: [&str; 2] = ["E0659", "ambiguous_glob_imports"];
const PRELUDE: &str = "corriente::prelude";

/// The `use` that says which names are meant, for each that an error calls ambiguous.
pub(crate) fn settled(errors: &[CompilationError]) -> Vec<String> {
    let mut uses: Vec<String> = errors
        .iter()
        .filter(|error| error.code().is_some_and(|code| AMBIGUOUS.contains(&code)))
        .filter_map(|error| one(&error.json))
        .collect();
    uses.sort();
    uses.dedup();
    uses
}

fn one(error: &Value) -> Option<String> {
    let name = quoted(error["message"].as_str()?)?;
    let globs: Vec<&str> = error["children"].as_array()?.iter().flat_map(globs).collect();
    // Two globs of the person's are for the person to tell apart.
    let (preludes, others): (Vec<&str>, Vec<&str>) = globs.into_iter().partition(|path| *path == PRELUDE);
    let [path] = others.as_slice() else { return None };
    (!preludes.is_empty()).then(|| format!("use {path}::{name};"))
}

/// The paths of the globs that a note points at.
fn globs(note: &Value) -> Vec<&str> {
    let lines =
        note["spans"].as_array().into_iter().flatten().flat_map(|span| span["text"].as_array().into_iter().flatten());
    lines
        .filter_map(|line| {
            let text = line["text"].as_str()?.trim();
            let (_, path) = text.split_once("use ")?;
            path.trim_end().strip_suffix(';')?.trim_end().strip_suffix("::*")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(first: &str, second: &str, expect: Option<&str>) {
        let note = |text: &str| json!({"message": "`col` could refer to", "spans": [{"text": [{"text": text}]}]});
        let error = json!({"message": "`col` is ambiguous", "children": [note(first), note(second)]});
        assert_eq!(one(&error).as_deref(), expect, "{first} {second}");
    }

    #[test]
    fn the_persons_glob_is_meant() {
        check("use corriente::prelude::*;", "use geometry::*;", Some("use geometry::col;"));
        check("pub use std::fmt::*;", "use corriente::prelude::*;", Some("use std::fmt::col;"));
        check("use a::*;", "use b::*;", None);
        check("use corriente::prelude::*;", "fn col() {}", None);
    }
}
