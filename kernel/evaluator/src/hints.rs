//! What is added to the compiler's words where a person of this field is likely to have meant something else: frames and
//! expressions, variables that are gone, a program where a cell was wanted. Functions of an error's facts.

use crate::variables::Gone;

/// Methods of Polars' frames that a stream does not have, and a batch has.
const OF_A_BATCH: [&str; 22] = [
    "cast",
    "drop",
    "explode",
    "fill_null",
    "group_by",
    "head",
    "join",
    "left_join",
    "limit",
    "rename",
    "reverse",
    "row",
    "slice",
    "sort",
    "sort_by_exprs",
    "sum",
    "tail",
    "top_k",
    "unique",
    "unnest",
    "vstack",
    "with_row_index",
];

/// An error as the compiler gives it.
pub(crate) struct Facts<'a> {
    /// As in `E0425`.
    pub(crate) code: &'a str,
    /// Its first line.
    pub(crate) message: &'a str,
    /// What it says at places in the text.
    pub(crate) labels: &'a [String],
}

/// What to add to an error.
pub(crate) fn of(error: &Facts<'_>, gone: &Gone) -> Vec<String> {
    match error.code {
        "E0425" => quoted(error.message).and_then(|name| gone.explain(name)).unwrap_or_default(),
        "E0599" => method(error.message).map(str::to_owned).into_iter().collect(),
        "E0308" => mismatch(error).map(str::to_owned).into_iter().collect(),
        "E0432" | "E0433" => error.labels.iter().find_map(|label| not_linked(label)).into_iter().collect(),
        "E0369" if is_about("Expr", error) => vec![ON_COLUMNS.to_owned()],
        "E0728" => {
            vec![
                "in a cell `.await` stands at the top, or in an `async` block or function of your own; out of a macro or a closure it is taken with a `let` in front".to_owned(),
            ]
        }
        _ => Vec::new(),
    }
}

const ON_COLUMNS: &str = "on columns a comparison is a method: .eq(…), .neq(…), .gt(…), .lt(…), .and(…); a value is written lit(50) or lit(\"text\")";
const A_RESULT: &str =
    "this may fail, and gives a Result: put `?` behind it, and the cell ends with the error if it does";

/// How to have a crate that is not there.
fn not_linked(label: &str) -> Option<String> {
    let name = label.split_once("unlinked crate `")?.1.split('`').next()?;
    Some(format!("a crate is added by a line in front of the code: `:dep {name}`"))
}

fn method(message: &str) -> Option<&'static str> {
    // The last name is the type's; it may have a path before it and parameters behind.
    let of = message.split('`').nth_back(1)?.split('<').next()?.rsplit("::").next()?;
    match of {
        "StreamFrame" if OF_A_BATCH.contains(&quoted(message)?) => Some(
            "a stream has it not (yet); what has arrived so far has: `.collect()?` gives a DataFrame of it, `.collect()?.lazy()` a LazyFrame",
        ),
        "StreamGroupBy" => Some(
            "the groups are waiting to be told what to aggregate: `.agg([len().alias(\"n\")])` makes a frame of them",
        ),
        "KafkaReader" => Some("a reader becomes a frame when its format is named: `.topic(\"…\").json()?`"),
        "Result" => Some(A_RESULT),
        _ => None,
    }
}

fn mismatch(error: &Facts<'_>) -> Option<&'static str> {
    let expects = |what: &str| error.labels.iter().any(|label| label.contains(&format!("expected `{what}`")));
    if expects("Expr") {
        return Some(ON_COLUMNS);
    }
    if expects("Window") {
        return Some("a window is made of a duration: tumbling(\"10s\")");
    }
    if error.labels.iter().any(|label| label.contains("found `Result<")) {
        return Some(A_RESULT);
    }
    let number = error.labels.iter().any(|label| label.contains("expected `&str`, found integer"));
    number.then_some("a duration is a text, with its unit: \"30s\", \"500ms\", \"5m\"")
}

fn is_about(name: &str, error: &Facts<'_>) -> bool {
    error.message.contains(&format!("`{name}`"))
}

/// The first name in backquotes.
pub(crate) fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, message: &str, label: &str, expect: &str) {
        let labels = [label.to_owned()];
        let found = of(&Facts { code, message, labels: &labels }, &Gone::default()).join("\n");
        assert!(if expect.is_empty() { found.is_empty() } else { found.contains(expect) }, "{message}: {found}");
    }

    #[test]
    fn mistakes_with_frames_are_explained() {
        check(
            "E0599",
            "no method named `sort` found for struct `corriente::StreamFrame` in the current scope",
            "",
            ".collect()?",
        );
        check("E0599", "`KafkaReader` is not an iterator", "", ".json()?");
        check(
            "E0599",
            "no method named `filter` found for enum `Result<T, engine::source::SourceError>` in the",
            "",
            "`?`",
        );
        check("E0599", "no method named `collect` found for struct `StreamGroupBy`", "", ".agg(");
        check("E0599", "no method named `filter` found for struct `KafkaReader`", "", ".json()?");
        check("E0599", "no method named `filter` found for enum `Result`", "", "`?`");
        check("E0308", "mismatched types", "expected `Expr`, found `bool`", ".eq(");
        check("E0308", "mismatched types", "expected `Window`, found `&str`", "tumbling(");
        check("E0308", "mismatched types", "expected `&str`, found integer", "\"30s\"");
        check("E0308", "mismatched types", "expected `DataFrame`, found `Result<DataFrame, CollectError>`", "`?`");
        check(
            "E0433",
            "cannot find module or crate `rand`",
            "use of unresolved module or unlinked crate `rand`",
            ":dep rand",
        );
        check("E0433", "cannot find `process` in `tokio`", "could not find `process` in `tokio`", "");
        check("E0369", "binary operation `>` cannot be applied to type `Expr`", "", ".gt(");
    }

    #[test]
    fn other_errors_are_left_alone() {
        check("E0599", "no method named `sort` found for struct `Account`", "", "");
        check("E0599", "no method named `foo` found for struct `StreamFrame`", "", "");
        check("E0308", "mismatched types", "expected `i32`, found `&str`", "");
        check("E0425", "cannot find value `x` in this scope", "", "");
    }
}
