//! What a person asks while writing: what could stand here, what is this. Answered by the analyzer in evcxr when the session
//! is free, and by what is known of earlier cells when it is not. Part of the session's thread.

use std::panic::{AssertUnwindSafe, catch_unwind};

use evcxr::CommandContext;
use link::Bundle;
use serde_json::Value;

use crate::commands;
use crate::complete::{Completion, Match, end_of_word};
use crate::evcxr_contract::{keys, words::NO_DOCUMENTATION};
use crate::session::Session;

impl Session {
    /// Has completion know what the cell brought, for when the analyzer cannot be asked.
    pub(crate) fn learn(&self, code: &str) {
        let mut known = self.process.known();
        known.learn(code);
        let items = self.context.defined_item_names().filter(|name| !keys::is_ours(name));
        known.names.extend(items.map(|name| (name.to_owned(), "function")));
        known.types.clear();
        for (name, type_name) in self.context.variables_and_types() {
            known.names.insert(name.to_owned(), "instance");
            known.types.insert(name.to_owned(), type_name.to_owned());
        }
    }

    pub(crate) fn complete(&mut self, code: &str, position: usize) -> Completion {
        if let Some(found) = command(code, position) {
            return found;
        }
        // evcxr would run what commands the cell has.
        let code = commands::split(code).code;
        let code = code.as_str();
        let byte: usize = code.chars().take(position).map(char::len_utf8).sum();
        // A cell that was sent meanwhile does not wait for the analyzer.
        let found = if self.process.turns.is_occupied() {
            None
        } else {
            self.analyze(|context| context.completions(code, byte))
        };
        let Some(found) = found else { return self.process.known().complete(code, position) };
        let characters = |at: usize| code.get(..at).map_or(position, |before| before.chars().count());
        let (start, end) = (characters(found.start_offset), characters(found.end_offset));
        let matches = found
            .completions
            .into_iter()
            .filter(|found| !keys::is_ours(&found.code))
            .map(|found| Match { text: without_arguments(found.code), kind: found.kind.to_owned(), label: found.label })
            .collect();
        Completion { matches, start, end }
    }

    pub(crate) fn inspect(&mut self, code: &str, position: usize) -> Option<Bundle> {
        let end = end_of_word(code, position)?;
        let known = self.process.known().inspect(code, position);
        let without = commands::split(code).code;
        let (plain, html) = self.analyze(|context| context.hover_at(&without, end)).unwrap_or_default();
        if plain.is_empty() || plain == NO_DOCUMENTATION {
            return known;
        }
        // evcxr does not pass on the documentation of what cells define.
        let own = self.process.known().documentation(code, position).filter(|own| !plain.contains(own.as_str()));
        let own = own.map_or_else(String::new, |own| format!("\n\n{own}"));
        // HTML is Markdown, too; the analyzer's own Markdown does not come through.
        let markdown = format!("{html}{own}");
        let data = [("text/plain", format!("{plain}{own}")), ("text/html", html), ("text/markdown", markdown)];
        let data = data.into_iter().filter(|(mime, _)| own.is_empty() || *mime != "text/html");
        let data = data.map(|(mime, text)| (mime.to_owned(), Value::String(text))).collect();
        Some(Bundle { data, metadata: serde_json::Map::new() })
    }

    /// Asks the analyzer; text that is not finished may be too much for it, which is no news.
    pub(crate) fn analyze<T, E>(&mut self, ask: impl FnOnce(&mut CommandContext) -> Result<T, E>) -> Option<T> {
        let context = &mut self.context;
        catch_unwind(AssertUnwindSafe(|| ask(context))).ok()?.ok()
    }
}

/// The commands that begin like the one that ends at the cursor.
fn command(code: &str, position: usize) -> Option<Completion> {
    let before: String = code.chars().take(position).collect();
    let split = commands::split(&before);
    let name = split.commands.last().filter(|call| call.place.end == before.len())?.name.as_str();
    let one = |(name, what): (&str, &str)| Match {
        text: name.to_owned(),
        kind: "command".to_owned(),
        label: what.to_owned(),
    };
    let matches: Vec<Match> = commands::beginning_with(name).map(one).collect();
    (!matches.is_empty()).then(|| Completion { matches, start: position - name.chars().count(), end: position })
}

/// The name of what is completed, without the arguments that the analyzer proposes for it.
fn without_arguments(text: String) -> String {
    text.split_once('(').map(|(name, _)| name.to_owned()).unwrap_or(text)
}
