//! What is changed in the source that evcxr has made of a cell, before the compiler sees it. Lines stay where they are: evcxr
//! finds the person's own by their numbers. Functions of text.

use ra_ap_syntax::ast::{self, HasName as _};

/// What evcxr writes around a cell's statements, and our words for it, which are compiled once.
const AROUND: [(&str, &str); 4] = [
    // Only errors of the person's are looked for where this stands, and a variable of type `&str` is none.
    ("fn evcxr_variable_store<T: 'static>(_: T) {}", "fn evcxr_variable_store<T>(_: T) {}"),
    // A notebook may have a `Result` of its own.
    (") -> Result<(), EvcxrUserCodeError> {\n", ") -> ::std::result::Result<(), EvcxrUserCodeError> {\n"),
    (
        "match std::panic::catch_unwind(\n  std::panic::AssertUnwindSafe(||{",
        "match ::corriente::cell::run::guarded(\n  ::std::boxed::Box::new(||{",
    ),
    ("    println!(\"EVCXR_PANIC_NOTIFICATION\");", "    ::corriente::cell::run::panicked();"),
];
/// What evcxr writes for errors that end a cell through `?`, from here, over this, to the end of the implementation: it would
/// print the error, and its blanket `From` makes the compiler look at every other.
const USER_ERROR: (&str, &str) =
    ("struct EvcxrUserCodeError {}\n", "EvcxrUserCodeError {}\n                }\n            }\n");
const OUR_USER_ERROR: &str = "use ::corriente::cell::run::EvcxrUserCodeError;";
/// The store of variables that evcxr compiles into every cell, half of the time a small cell takes: from here, over this, to
/// the end of its module.
const STORE: (&str, &str) = ("mod evcxr_internal_runtime {\n", "Box::into_raw(Box::new(VariableStore::new()))\n}\n}\n");
/// The same, compiled once.
const OUR_STORE: &str = "mod evcxr_internal_runtime { pub use ::corriente::cell::store::*; }";

/// Where evcxr asks the store whether a variable is still of its type, before and behind the type, and behind the name.
const CHECK: (&str, &str, &str) = ("vars_ok &= evcxr_variable_store.check_variable::<", ">(stringify!(", "));");
/// The functions that evcxr writes around a cell's statements: to run them, and for its analyzer.
const FUNCTIONS: [&str; 3] = ["run_user_code_", "evcxr_variable_store", "evcxr_analysis_wrapper"];

/// The source that is compiled. The variables `lost` are of no use any more.
pub(crate) fn ours(text: &str, lost: &[String]) -> String {
    let text = replaced(text, USER_ERROR, OUR_USER_ERROR);
    let text = replaced(&text, STORE, OUR_STORE);
    let text = AROUND.iter().fold(text, |text, (theirs, ours)| text.replace(theirs, ours));
    if lost.is_empty() { text } else { text.split_inclusive('\n').map(|line| lose(line, lost)).collect() }
}

/// Everything of evcxr's that is put otherwise.
#[cfg(test)]
pub(super) fn theirs() -> Vec<&'static str> {
    let around = AROUND.iter().map(|(theirs, _)| *theirs);
    around.chain([USER_ERROR.0, USER_ERROR.1, STORE.0, STORE.1, CHECK.0, CHECK.1, CHECK.2]).chain(FUNCTIONS).collect()
}

/// The line in which a variable's type is checked, for one that is lost.
fn lose(line: &str, lost: &[String]) -> String {
    let (begins, before, behind) = CHECK;
    let name = line.trim_start().strip_prefix(begins).and_then(|rest| rest.trim_end().strip_suffix(behind));
    match name.and_then(|rest| rest.rsplit_once(before)) {
        Some((_, name)) if lost.iter().any(|lost| lost == name) => {
            format!("vars_ok &= evcxr_variable_store.lose_variable(stringify!({name}));\n")
        }
        _ => line.to_owned(),
    }
}

/// Whether an item is one of evcxr's around the cell, and nothing of a person's.
pub(crate) fn is_around(item: &ast::Item) -> bool {
    match item {
        ast::Item::Fn(function) => {
            let name = function.name().map(|name| name.text().to_string()).unwrap_or_default();
            FUNCTIONS.iter().any(|begins| name.starts_with(begins))
        }
        ast::Item::Module(module) => module.name().is_some_and(|name| name.text() == "evcxr_internal_runtime"),
        _ => false,
    }
}

/// The text with another one from where the first mark begins to where the next second one ends.
fn replaced(text: &str, (first, second): (&str, &str), ours: &str) -> String {
    let Some(begin) = text.find(first) else { return text.to_owned() };
    let Some(length) = text[begin + first.len()..].find(second).map(|at| first.len() + at + second.len()) else {
        return text.to_owned();
    };
    let lines = text[begin..begin + length].matches('\n').count();
    format!("{}{ours}{}{}", &text[..begin], "\n".repeat(lines), &text[begin + length..])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As much of evcxr's as matters here.
    const THEIRS: &str = "one
            struct EvcxrUserCodeError {}
            impl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {
                    EvcxrUserCodeError {}
                }
            }
mod evcxr_internal_runtime {
struct VariableStore;
    Box::into_raw(Box::new(VariableStore::new()))
}
}
match std::panic::catch_unwind(
  std::panic::AssertUnwindSafe(||{
let x = 5;
})) {
  Err(_) => {
    println!(\"EVCXR_PANIC_NOTIFICATION\");
}}
last
";

    #[test]
    fn what_evcxr_compiles_into_every_cell_is_ours() {
        let changed = ours(THEIRS, &[]);
        for ours in
            ["cell::store::*", "use ::corriente::cell::run::EvcxrUserCodeError", "run::guarded", "run::panicked"]
        {
            assert!(changed.contains(ours), "{ours}\n{changed}");
        }
        for theirs in ["struct", "impl", "std::panic", "println"] {
            assert!(!changed.contains(theirs), "{theirs}\n{changed}");
        }
        let open = |text: &str, mark: char| text.matches(mark).count();
        assert_eq!(open(&changed, '{'), open(&changed, '}'));
        assert_eq!(open(&changed, '('), open(&changed, ')'));
    }

    #[test]
    fn the_persons_lines_stay() {
        let line = |text: &str, wanted: &str| text.lines().position(|line| line == wanted);
        for wanted in ["one", "let x = 5;", "last"] {
            assert_eq!(line(&ours(THEIRS, &[]), wanted), line(THEIRS, wanted), "{wanted}");
        }
    }

    #[test]
    fn what_is_not_evcxrs_is_left_alone() {
        let mine = "fn f() {}\nmod evcxr_internal_runtime {\n}\nstruct EvcxrUserCodeError {}\n";
        assert_eq!(ours(mine, &[]), mine);
    }
}
