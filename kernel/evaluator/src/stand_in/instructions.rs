//! What the session and the stand-in `cargo` tell each other of a cell, in two files of the session's folder: before it is
//! compiled, which statics are in libraries and which variables are lost; afterwards, which statics the new library has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// What the stand-in must know of a cell that evcxr does not tell it.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Instructions {
    /// Symbols of statics in libraries that are loaded, by the statics' names.
    pub(crate) statics: BTreeMap<String, String>,
    /// Variables that are of no use any more, because what their types are made of was defined anew.
    pub(crate) lost: Vec<String>,
}

impl Instructions {
    /// Reads them; without the file there is nothing to know.
    pub(super) fn read(session: &Path) -> Instructions {
        let told = read(&session.join("instructions.json"));
        let lost = told["lost"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned));
        let statics = told["statics"].as_object().into_iter().flatten();
        let text = |(key, symbol): (&String, &Value)| Some((key.clone(), symbol.as_str()?.to_owned()));
        Instructions { statics: statics.filter_map(text).collect(), lost: lost.collect() }
    }

    /// Writes them, and takes the answer for the cell before away.
    pub(crate) fn write(&self, session: &Path) -> std::io::Result<()> {
        // There is none before the first cell.
        let _ = std::fs::remove_file(answer(session));
        let told = json!({"statics": self.statics, "lost": self.lost});
        std::fs::write(session.join("instructions.json"), told.to_string())
    }
}

/// The statics of a library, each with its symbol and its type, by their names.
pub(crate) type Statics = BTreeMap<String, (String, String)>;

/// The statics of the library that was compiled last.
pub(crate) fn compiled(session: &Path) -> Statics {
    let told = read(&answer(session));
    let statics = told.as_object().into_iter().flatten();
    let text = |(key, found): (&String, &Value)| {
        Some((key.clone(), (found[0].as_str()?.to_owned(), found[1].as_str()?.to_owned())))
    };
    statics.filter_map(text).collect()
}

/// Notes the statics of a library.
pub(super) fn note(session: &Path, statics: &Statics) -> std::io::Result<()> {
    std::fs::write(answer(session), json!(statics).to_string())
}

fn answer(session: &Path) -> PathBuf {
    session.join("statics.json")
}

fn read(file: &Path) -> Value {
    std::fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_told_is_heard() {
        let session = tempfile::tempdir().unwrap();
        assert_eq!(Instructions::read(session.path()), Instructions::default());
        let statics = BTreeMap::from([("f::A".to_owned(), "symbol".to_owned())]);
        let told = Instructions { statics, lost: vec!["rows".to_owned()] };
        told.write(session.path()).unwrap();
        assert_eq!(Instructions::read(session.path()), told);
        let made = Statics::from([("A".to_owned(), ("s".to_owned(), "u8".to_owned()))]);
        note(session.path(), &made).unwrap();
        assert_eq!(compiled(session.path()), made);
        told.write(session.path()).unwrap();
        assert_eq!(compiled(session.path()), Statics::new());
    }
}
