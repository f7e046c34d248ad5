//! The parameters of a notebook: values that whoever runs it may give from outside, by name. They are data and never code:
//! what is given is a text, and the type of the default says how it is read.

mod value;

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use link::{Bundle, Giver, Parameter as Given};
use polars::prelude::{Column, DataFrame, NamedFrom as _, Series};
use serde_json::{Map, Value};

use crate::cell::{self, Show, lock};
pub use value::ParameterValue;

/// What the names of environment variables that give parameters begin with.
const ENVIRONMENT: &str = "CORRIENTE_PARAM_";
/// What names have in them whose values are not to be read in a notebook.
const SECRET: [&str; 4] = ["password", "passwd", "secret", "token"];
const BLANK: &str = "…";
/// Characters of a value that an error shows.
const MOST_SHOWN: usize = 100;

static GIVEN: Mutex<BTreeMap<(String, Giver), Given>> = Mutex::new(BTreeMap::new());
/// What was read, and from whom, by name.
static READ: Mutex<BTreeMap<String, (String, &'static str)>> = Mutex::new(BTreeMap::new());

/// A value that does not read as the type that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the parameter \"{name}\" is {text}, which is no {wanted}; {giver} gives it, and its type is that of the default"
)]
pub struct ParameterError {
    /// The parameter.
    pub name: String,
    /// What was given, in quotation marks.
    pub text: String,
    /// What it should be, as `number (f64)`.
    pub wanted: String,
    /// Who gave it.
    pub giver: String,
}

/// A parameter of the notebook, which whoever runs it may give: in the order of precedence, papermill (`-p threshold 70`), a line
/// `:param threshold = 70` in front of a cell's code, the environment (`CORRIENTE_PARAM_THRESHOLD=70`), and the default. The type
/// is the default's: `10` gives an `i64`, `50.0` an `f64`, `"groceries"` a `String`; a `std::time::Duration` reads `90s`
/// or `5m`. In the environment a name is in capitals, with `_` for what is neither a letter nor a digit.
///
/// `:param` lists what was given and what was read, and so does the metadata of the views that are shown afterwards.
///
/// # Errors
/// A value of another type, with the parameter, the value and the type.
///
/// # Example
/// ```no_run
/// use corriente::prelude::*;
/// let threshold = param("threshold", 50.0)?;
/// let large = col("amount").gt(lit(threshold));
/// # Ok::<(), corriente::ParameterError>(())
/// ```
pub fn param<P: ParameterValue>(name: &str, default: P) -> Result<P::Value, ParameterError> {
    let (value, giver) = match given(name) {
        Some(given) => (read::<P>(name, &given)?, given.giver),
        None => (default.or_default(), "the default"),
    };
    let text = if is_secret(name) { BLANK.to_owned() } else { P::write(&value) };
    lock(&READ).insert(name.to_owned(), (text, giver));
    Ok(value)
}

/// Gives a parameter on behalf of a program that runs the notebook; what papermill puts into it calls this. `text` is the value as
/// a person writes it.
pub fn inject(name: &str, text: &str) {
    give(Given { name: name.to_owned(), text: text.to_owned(), json: false, giver: Giver::Injected });
}

/// As [`inject`], for what is no single value: a list, a table or nothing, as JSON.
pub fn inject_json(name: &str, json: &str) {
    give(Given { name: name.to_owned(), text: json.to_owned(), json: true, giver: Giver::Injected });
}

/// All parameters: given, read or both; `:param` shows them.
#[must_use]
pub fn parameters() -> Parameters {
    let given: Vec<Given> = lock(&GIVEN).values().cloned().collect();
    let mut rows: BTreeMap<String, (String, String, &'static str)> = BTreeMap::new();
    for parameter in given {
        let text = if is_secret(&parameter.name) { BLANK.to_owned() } else { parameter.text };
        // Who comes later here is believed.
        rows.insert(parameter.name, (text, giver_name(parameter.giver).to_owned(), "no"));
    }
    for (name, (text, giver)) in lock(&READ).iter() {
        rows.entry(name.clone())
            .and_modify(|row| row.2 = "yes")
            .or_insert_with(|| (text.clone(), (*giver).to_owned(), "yes"));
    }
    Parameters(rows.into_iter().map(|(name, (text, giver, read))| [name, text, giver, read.to_owned()]).collect())
}

/// The parameters as a table: name, value, who gave it, and whether a cell has read it.
pub struct Parameters(Vec<[String; 4]>);

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|[name, value, giver, read]| writeln!(f, "{name} = {value} ({giver}; read: {read})"))
    }
}

impl Show for Parameters {
    fn show(&self) -> Bundle {
        if self.0.is_empty() {
            return cell::plain("no parameter was given or read".to_owned());
        }
        let column = |name: &str, place: usize| {
            let values: Vec<&str> = self.0.iter().map(|row| row[place].as_str()).collect();
            Column::from(Series::new(name.into(), values))
        };
        let columns = vec![column("parameter", 0), column("value", 1), column("given by", 2), column("read", 3)];
        // The columns have one length and names of their own.
        DataFrame::new(self.0.len(), columns).unwrap_or_default().show()
    }
}

/// What was read up to now, for the provenance of what is shown.
pub(crate) fn known() -> Value {
    let read = lock(&READ);
    Value::Object(Map::from_iter(read.iter().map(|(name, (text, _))| (name.clone(), Value::String(text.clone())))))
}

/// The kernel gives a parameter: one of a line `:param`, or one that an earlier process had.
pub(crate) fn take(parameter: Given) {
    lock(&GIVEN).insert((parameter.name.clone(), parameter.giver), parameter);
}

/// The kernel forgets everything.
pub(crate) fn forget() {
    lock(&GIVEN).clear();
    lock(&READ).clear();
}

fn give(parameter: Given) {
    take(parameter.clone());
    cell::keep_parameter(parameter);
}

/// A value that somebody gave.
struct Found {
    text: String,
    json: bool,
    giver: &'static str,
}

fn given(name: &str) -> Option<Found> {
    let all = lock(&GIVEN);
    let parameter = [Giver::Injected, Giver::Command].into_iter().find_map(|giver| all.get(&(name.to_owned(), giver)));
    if let Some(Given { text, json, giver, .. }) = parameter {
        return Some(Found { text: text.clone(), json: *json, giver: giver_name(*giver) });
    }
    let text = std::env::var_os(variable(name))?;
    Some(Found { text: text.to_string_lossy().into_owned(), json: false, giver: "the environment" })
}

fn read<P: ParameterValue>(name: &str, given: &Found) -> Result<P::Value, ParameterError> {
    let value = if given.json {
        serde_json::from_str(&given.text).ok().and_then(|json| P::read_json(&json))
    } else {
        P::read(&given.text)
    };
    value.ok_or_else(|| {
        let wanted = format!("{} ({})", P::WANTED, type_name::<P::Value>().replace("alloc::string::", ""));
        let text = if is_secret(name) { BLANK.to_owned() } else { quoted(&given.text) };
        ParameterError { name: name.to_owned(), text, wanted, giver: given.giver.to_owned() }
    })
}

fn giver_name(giver: Giver) -> &'static str {
    match giver {
        Giver::Command => ":param",
        Giver::Injected => "papermill",
    }
}

/// The environment variable that gives a parameter.
fn variable(name: &str) -> String {
    let letter = |c: char| if c.is_alphanumeric() { c.to_uppercase().collect() } else { "_".to_owned() };
    format!("{ENVIRONMENT}{}", name.chars().map(letter).collect::<String>())
}

/// Whether a name says that its value is secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET.iter().any(|word| name.contains(word)) || name.ends_with("key")
}

fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(MOST_SHOWN).collect();
    format!("{shown:?}{}", if shown.len() < text.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    fn check<P: ParameterValue>(text: &str, default: P, expect: Result<P::Value, &str>)
    where
        P::Value: PartialEq + fmt::Debug,
    {
        let name = format!("checked {text}{}", type_name::<P>());
        inject(&name, text);
        match (param(&name, default), expect) {
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (got, expect) => assert_eq!(got.ok(), expect.ok(), "{text}"),
        }
    }

    #[test]
    fn the_default_says_the_type() {
        check("70", 50.0, Ok(70.0));
        check("1e+22", 50.0, Ok(1e22));
        check("-inf", 50.0, Ok(f64::NEG_INFINITY));
        check("70", 50, Ok(70_i64));
        check("-9223372036854775808", 50, Ok(i64::MIN));
        check("9223372036854775808", 50, Err("\"9223372036854775808\", which is no whole number (i64)"));
        check("70.5", 50, Err("which is no whole number (i64)"));
        check("high", 50.0, Err("is \"high\", which is no number (f64); papermill gives it"));
        check("true", false, Ok(true));
        check("1", false, Err("which is no true or false (bool)"));
        check("70", "none", Ok("70".to_owned()));
        check("90s", Duration::from_secs(1), Ok(Duration::from_secs(90)));
        check("90", Duration::from_secs(1), Err("time with a unit"));
        check("[1, 2]", vec![0], Ok(vec![1, 2]));
        check("[\"a\", 2]", vec![String::new()], Ok(vec!["a".to_owned(), "2".to_owned()]));
        check("1", vec![0], Err("which is no list"));
        check("5", None::<i64>, Ok(Some(5)));
    }

    #[test]
    fn nothing_is_no_value_but_of_an_option() {
        inject_json("nothing", "null");
        assert_eq!(param("nothing", Some(3)).unwrap(), None);
        let error = param("nothing", 3).unwrap_err().to_string();
        assert!(error.contains("the parameter \"nothing\" is \"null\", which is no whole number (i64)"), "{error}");
        inject_json("nan in a list", "[1, \"NaN\"]");
        assert!(param("nan in a list", vec![0.0]).unwrap()[1].is_nan());
    }

    #[test]
    fn papermill_is_believed_before_a_line_and_a_line_before_the_default() {
        assert_eq!(param("order", 1).unwrap(), 1);
        take(Given { name: "order".to_owned(), text: "2".to_owned(), json: false, giver: Giver::Command });
        assert_eq!(param("order", 1).unwrap(), 2);
        inject("order", "3");
        take(Given { name: "order".to_owned(), text: "4".to_owned(), json: false, giver: Giver::Command });
        assert_eq!(param("order", 1).unwrap(), 3);
        assert_eq!(known()["order"], "3");
        assert!(format!("{:?}", parameters()).contains("order = 3 (papermill; read: yes)"));
    }

    #[test]
    fn names_become_variables_of_the_environment() {
        assert_eq!(variable("threshold"), "CORRIENTE_PARAM_THRESHOLD");
        assert_eq!(variable("max-rows 2"), "CORRIENTE_PARAM_MAX_ROWS_2");
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        inject("db_password", "hunter2");
        let error = param("db_password", 1).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("db_password"), "{error}");
        assert_eq!(param("db_password", "").unwrap(), "hunter2");
        assert!(!format!("{:?} {}", parameters(), known()).contains("hunter2"));
    }
}
