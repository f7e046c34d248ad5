//! The types of variables that the analyzer does not know, as those that a macro has made, or of a crate that it has not read: the
//! compiler is asked, in an error that names them. Functions of what it says.

use std::collections::BTreeMap;

use evcxr::CompilationError;

/// The function that asks; the source that has it is compiled for its errors alone.
pub(crate) const PROBE: &str = "corriente::cell::name_of_type(";
/// What the error begins with.
const NAMES: &str = "CORRIENTE_TYPE ";

/// What is put behind a cell to ask for variables' types, a line each.
pub(crate) fn questions(variables: &[String]) -> String {
    variables.iter().map(|name| format!("\n{PROBE}&{name});")).collect()
}

/// The types in the errors, of the variables that were asked for from line `first` on; of those without a name, what the
/// compiler says instead.
pub(crate) fn answers(errors: &[CompilationError], variables: &[String], first: usize) -> BTreeMap<String, String> {
    let one = |error: &CompilationError| {
        let message = error.message();
        let type_name = message.strip_prefix(NAMES)?;
        let line = error.primary_spanned_message()?.span?.start_line;
        Some((variables.get(line.checked_sub(first)?)?.clone(), type_name.to_owned()))
    };
    errors.iter().filter_map(one).collect()
}

/// Whether a person could write the type.
pub(crate) fn has_name(type_name: &str) -> bool {
    let is_open = type_name.contains(['{', '}'])
        || type_name.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "_" || word == "impl");
    !is_open && !type_name.contains("'_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_nobody_can_write_has_no_name() {
        for name in
            ["Vec<u8>", "tokio::task::JoinHandle<()>", "Box<dyn Fn(&str) -> u8 + 'static>", "impl_type::Implied"]
        {
            assert!(has_name(name), "{name}");
        }
        for name in ["{closure@src/lib.rs:1:2}", "impl Iterator<Item = u8>", "Vec<_>", "Iter<'_, u8>", "{integer}"] {
            assert!(!has_name(name), "{name}");
        }
    }
}
