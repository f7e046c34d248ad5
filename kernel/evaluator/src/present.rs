//! The crates that every cell has, where a `:dep` asks for one of them: one that fits is there already, and another version would
//! have types that no frame of the notebook knows. Functions of text.

use semver::{Version, VersionReq};
use toml::Value;

use crate::stand_in::Present;

/// What a `:dep` comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It is there: nothing is fetched.
    There {
        /// In words.
        note: String,
    },
    /// What is there does not fit.
    Conflict {
        /// What does not.
        fact: String,
        /// What to do.
        hint: String,
    },
    /// It is another crate, or one of the person's own: cargo builds it.
    Other,
}

/// What the arguments of a `:dep` come to, where these crates are present.
pub(crate) fn asked(arguments: &str, present: &[Present]) -> Asked {
    let (name, wanted) = match arguments.split_once('=') {
        None => (arguments.trim().to_owned(), Value::String("*".to_owned())),
        // What is no TOML cargo has its own words for.
        Some(_) => match arguments.parse::<toml::Table>().ok().and_then(|table| table.into_iter().next()) {
            Some(one) => one,
            None => return Asked::Other,
        },
    };
    let Some(crate_here) = present.iter().find(|present| present.name == name) else { return Asked::Other };
    if ["path", "git", "package", "registry"].iter().any(|key| wanted.get(key).is_some()) {
        return Asked::Other;
    }
    let version = wanted.as_str().or_else(|| wanted.get("version").and_then(Value::as_str)).unwrap_or("*");
    let features: Vec<&str> =
        wanted.get("features").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    fits(crate_here, version, &features)
}

fn fits(present: &Present, version: &str, features: &[&str]) -> Asked {
    let Present { name, version: here, .. } = present;
    let list = |names: &[&str]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
    let own = |with: &str| {
        format!(
            "one of your own, with types of its own: `:dep my_{name} = {{ package = \"{name}\", version = \"{version}\"{with} }}`"
        )
    };
    let matches = VersionReq::parse(version).ok().zip(Version::parse(here).ok());
    if matches.is_none_or(|(wanted, here)| !wanted.matches(&here)) {
        return Asked::Conflict { fact: format!("cells have {name} {here}, and {version} is another"), hint: own("") };
    }
    let missing: Vec<&str> =
        features.iter().copied().filter(|feature| !present.features.iter().any(|has| has == feature)).collect();
    if missing.is_empty() {
        return Asked::There { note: format!("note: {name} {here} is there in every cell; nothing is fetched\n") };
    }
    Asked::Conflict {
        fact: format!("the {name} {here} of cells is built without {}", list(&missing)),
        hint: own(&format!(", features = [{}]", list(features))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &str, expect: &str) {
        let crate_of = |name: &str, version: &str, features: &[&str]| Present {
            name: name.to_owned(),
            version: version.to_owned(),
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
        };
        let present = [crate_of("serde", "1.0.229", &["derive", "std"]), crate_of("polars", "0.55.2", &["lazy"])];
        let told = match asked(arguments, &present) {
            Asked::There { note } => note,
            Asked::Conflict { fact, hint } => format!("{fact}; {hint}"),
            Asked::Other => "other".to_owned(),
        };
        assert!(told.contains(expect), "{arguments}: {told}");
    }

    #[test]
    fn what_is_there_is_not_fetched() {
        for fits in [
            "serde",
            "serde = \"1\"",
            "serde = { version = \"1.0\", features = [\"derive\"] }",
            "polars = \"0.55\"",
            "polars = \"*\"",
        ] {
            check(fits, "nothing is fetched");
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        check("polars = \"0.40\"", "cells have polars 0.55.2, and 0.40 is another");
        check("polars = \"0.40\"", ":dep my_polars = { package = \"polars\", version = \"0.40\" }");
        check("polars = { version = \"0.55\", features = [\"lazy\", \"ipc\"] }", "built without \"ipc\"");
        check("polars = { version = \"0.55\", features = [\"lazy\", \"ipc\"] }", "features = [\"lazy\", \"ipc\"] }`");
        check("serde = \"nonsense\"", "cells have serde 1.0.229");
    }

    #[test]
    fn a_crate_of_ones_own_is_built() {
        for other in [
            "rand",
            "rand = \"0.9\"",
            "serde = { path = \"/x\" }",
            "my_serde = { package = \"serde\", version = \"1\" }",
            "= =",
        ] {
            check(other, "other");
        }
    }
}
