//! What is changed in the source that evcxr has made of a cell, before the compiler sees it. Lines stay where they are: evcxr
//! finds the person's own by their numbers. Functions of text.

/// What evcxr writes where an error ends a cell through `?`: the error is printed, and gone. It goes over the link
/// instead, with its causes; and it may be what `main` may return, no longer everything that can be printed.
const OURS: [(&str, &str); 2] = [
    ("impl<T: std::fmt::Display> From<T> for", "impl<T: Into<Box<dyn std::error::Error>>> From<T> for"),
    ("eprintln!(\"{}\", error);", "::corriente::cell::early_return(error);"),
];
/// The store of variables that evcxr compiles into every cell, half of the time a small cell takes: from here, over this, to
/// the end of its module.
const STORE: (&str, &str) = ("mod evcxr_internal_runtime {\n", "Box::into_raw(Box::new(VariableStore::new()))\n}\n}\n");
/// The same, compiled once.
const OUR_STORE: &str = "mod evcxr_internal_runtime { pub use ::corriente::cell::store::*;";

/// The source that is compiled.
pub(super) fn ours(text: &str) -> String {
    let text = OURS.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours));
    let Some(begin) = text.find(STORE.0) else { return text };
    let Some(length) = text[begin..].find(STORE.1).map(|at| at + STORE.1.len()) else { return text };
    let lines = text[begin..begin + length].matches('\n').count();
    format!("{}{OUR_STORE}{}}}\n{}", &text[..begin], "\n".repeat(lines - 1), &text[begin + length..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_is_ours_and_the_lines_stay() {
        let theirs = format!("one\n{}struct VariableStore;\nfn create() {{\n    {}last\n", STORE.0, STORE.1);
        let changed = ours(&theirs);
        assert_eq!(changed.lines().count(), theirs.lines().count());
        assert!(changed.contains("corriente::cell::store") && !changed.contains("struct VariableStore"));
        assert_eq!((changed.lines().next(), changed.lines().last()), (Some("one"), Some("last")));
        assert!(changed.lines().any(|line| line == "}"));
    }

    #[test]
    fn what_is_not_evcxrs_is_left_alone() {
        assert_eq!(
            ours("fn f() {}\nmod evcxr_internal_runtime {\n}\n"),
            "fn f() {}\nmod evcxr_internal_runtime {\n}\n"
        );
    }

    #[test]
    fn an_early_return_is_reported() {
        assert_eq!(ours("eprintln!(\"{}\", error);"), "::corriente::cell::early_return(error);");
    }
}
