//! Why a frame cannot be made, told to the notebook's reader: the fact, the detail, the hint.

/// A frame that cannot be made as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A column that the frame does not have.
    #[error("{operation}: there is no column \"{column}\" here. {}The columns are {columns}.", suggestion(near))]
    UnknownColumn {
        /// The method that was called.
        operation: &'static str,
        /// The name that was asked for.
        column: String,
        /// Names that look like it.
        near: Vec<String>,
        /// All names.
        columns: String,
    },
    /// An expression that looks beyond its own row, where a stream has only the row.
    #[error("{operation}: `{expression}` needs more than one row, and a stream never ends. {hint}")]
    NotRowWise {
        /// The method that was called.
        operation: &'static str,
        /// The expression as Polars prints it.
        expression: String,
        /// The way to do it.
        hint: &'static str,
    },
    /// A column of another type than the operation takes.
    #[error("{operation}: column \"{column}\" is {found}, and {expected} is needed. {hint}")]
    WrongType {
        /// The method that was called.
        operation: &'static str,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// What would do.
        expected: &'static str,
        /// The way to do it.
        hint: String,
    },
    /// A duration that cannot be read.
    #[error(
        "{operation}: \"{text}\" is not a duration: {detail}. Write a number and a unit, as in \"10s\", \"500ms\", \"5m\", \"1h\" or \"1d\"."
    )]
    BadDuration {
        /// The method that was called.
        operation: &'static str,
        /// What was written.
        text: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Two operations that do not go together.
    #[error("{operation}: {detail}. {hint}")]
    Refused {
        /// The method that was called.
        operation: &'static str,
        /// What stands in the way.
        detail: String,
        /// The way to do it.
        hint: &'static str,
    },
    /// Polars refuses the expression.
    #[error("{operation}: {detail}")]
    Polars {
        /// The method that was called.
        operation: &'static str,
        /// What Polars says.
        detail: String,
    },
}

fn suggestion(near: &[String]) -> String {
    match near {
        // A text in the place of an expression names a column, and may have been meant as itself.
        [] => "For a text rather than a column write lit(\"…\"). ".to_owned(),
        [one] => format!("Did you mean \"{one}\"? "),
        several => format!("Did you mean one of \"{}\"? ", several.join("\", \"")),
    }
}
