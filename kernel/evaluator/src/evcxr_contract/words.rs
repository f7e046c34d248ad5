//! What evcxr says, and what is meant by it. A person reads none of these sentences: they speak of a program that the person
//! does not know. Functions of text.

use evcxr::CompilationError;

use crate::hints::quoted;

/// What the stand-in `cargo` puts behind the code of an error that evcxr is not to know.
pub(crate) const HIDDEN: &str = " ";
/// What it says where the analyzer knows nothing.
pub(crate) const NO_DOCUMENTATION: &str = "No documentation found";
/// The phase in which it runs what it compiled.
pub(crate) const EXECUTION: &str = "Execution";
/// What it says of a variable that borrows from another.
const REFERENCE: &str = "contains a reference with a non-static lifetime";
/// What it calls the end of a cell.
const END: &str = "<end of input>";

/// What evcxr's message means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The variable is a closure.
    Closure { variable: String },
    /// The variable's type has no name under which it could be kept.
    Nameless { variable: String, type_name: String },
    /// The analyzer does not know the variable's type.
    UnknownType { variable: String },
    /// Something is wrong in front of a `let`.
    MissingSemicolon,
    /// The compiler failed, and said nothing that could be read.
    NoCompiler { said: String },
    /// Something else.
    Other { said: String },
}

/// What a message means.
pub(crate) fn meaning(text: &str) -> Meaning {
    let quoted = |number: usize| text.split('`').nth(number).unwrap_or_default().to_owned();
    if text.starts_with("The variable `") && text.contains("is a closure, which cannot be persisted") {
        Meaning::Closure { variable: quoted(1) }
    } else if text.starts_with("The variable `") && text.contains("which cannot be persisted") {
        Meaning::Nameless { variable: quoted(1), type_name: quoted(3) }
    } else if text.starts_with("Couldn't automatically determine type of variable `")
        || text.starts_with("Failed to determine type of variable `")
    {
        Meaning::UnknownType { variable: quoted(1) }
    } else if text.contains("you're missing a semicolon") {
        Meaning::MissingSemicolon
    } else if let Some((_, said)) = text.split_once("no parsable errors were found. STDERR:\n") {
        Meaning::NoCompiler { said: said.split("\nSTDOUT:").next().unwrap_or(said).trim().to_owned() }
    } else {
        Meaning::Other { said: text.trim().to_owned() }
    }
}

/// The variable that an error says to borrow from another.
pub(crate) fn borrowing(error: &CompilationError) -> Option<String> {
    let message = error.message();
    message.contains(REFERENCE).then(|| quoted(&message).map(str::to_owned))?
}

/// The compiler's sentence without the words that evcxr puts into it.
pub(crate) fn plain(message: &str) -> String {
    message.replace(END, "the end of the cell")
}

/// The status with which a process has ended, from what is said of its end.
pub(crate) fn status(said: &str) -> &str {
    said.rsplit_once("status: ").map_or(said, |(_, status)| status).trim().trim_end_matches('.')
}

/// Why a command has failed, in words of ours.
pub(crate) fn of_command(said: &str) -> String {
    let said = said.trim().trim_start_matches("error: ");
    match said {
        "No last error to explain" => "there was no compile error that could be explained".to_owned(),
        "Sorry, last error has no explanation" => {
            "the compiler knows no more of the last error than it has said".to_owned()
        }
        // A tip names one of its commands.
        other => other.split("\nTip: ").next().unwrap_or(other).trim().to_owned(),
    }
}
