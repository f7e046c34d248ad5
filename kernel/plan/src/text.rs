//! A plan as text that another process can read: JSON with a version, in words of ours, so that neither a new version of Polars nor
//! one of this program changes what a text says. What is read is checked as if it had been said. A person's own function has no
//! text; a plan with one says which step it is.
//!
//! The same words, less what makes no difference to what is asked, are what a query is known by: see [`identity`].

mod dtype;
mod expr;
mod function;
mod identity;
mod join;
mod steps;
mod value;
mod window;

use serde::{Deserialize, Serialize};

use crate::{Plan, PlanError};
use steps::PlanText;

pub use expr::{Named, expression};
pub use identity::{
    aggregate_identity, canonical, columns, identity, read_columns, scan_identity, step_identity, strategy_identity,
    type_identity,
};

/// The version of the texts.
const VERSION: u32 = 1;

/// A text.
#[derive(Serialize, Deserialize)]
struct Versioned {
    version: u32,
    plan: PlanText,
}

impl Plan {
    /// The plan as text, for [`Plan::from_text`].
    ///
    /// # Errors
    /// A step with a person's own function, or an expression that has no text.
    pub fn to_text(&self) -> Result<String, PlanError> {
        let plan = PlanText::of(self)?;
        serde_json::to_string_pretty(&Versioned { version: VERSION, plan }).map_err(|error| unreadable(&error))
    }

    /// The plan that a text says; `named` makes the expressions again that are not Polars' own.
    ///
    /// # Errors
    /// A text that is none, one of another version, or a plan that would not be taken if it were said.
    pub fn from_text(text: &str, named: Named<'_>) -> Result<Plan, PlanError> {
        // The version first: another one may have other words.
        let any: serde_json::Value = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        let found = any["version"].as_u64();
        if found != Some(u64::from(VERSION)) {
            let found = found.map_or_else(|| "no version".to_owned(), |found| format!("version {found}"));
            return Err(PlanError::Refused {
                operation: "from_text",
                detail: format!("the text has {found}, and this program reads version {VERSION}"),
                hint: "Write it anew with the program that made the frame.",
            });
        }
        let versioned: Versioned = serde_json::from_value(any).map_err(|error| unreadable(&error))?;
        versioned.plan.read(named)
    }
}

fn unreadable(error: &serde_json::Error) -> PlanError {
    PlanError::Refused {
        operation: "from_text",
        detail: format!("it is no plan: {error}"),
        hint: "Give it what to_text() gave.",
    }
}

/// Something that has no text, in words.
#[derive(Debug)]
struct NoText(String);

/// Something in a text that stands for nothing.
fn nothing(what: &str) -> PlanError {
    PlanError::Refused {
        operation: "from_text",
        detail: format!("it has {what}, which stands for nothing here"),
        hint: "Write it anew with the program that made the frame.",
    }
}
