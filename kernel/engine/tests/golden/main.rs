//! Golden streams: each file in this folder says in words a query, the rows that come batch by batch, and what the query gives
//! with them in each output mode. What a file says is compared to the letter, also with a crash after each of the six steps of
//! each batch; and the same rows in one batch, and one by one, come to the same end.
//!
//! A new one is a query in [`queries`] and a file with a title and its rows. `CORRIENTE_GOLDEN=write` writes what comes of
//! it into the files: read what has changed before it is committed.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../common/mod.rs"]
mod common;
mod file;
mod log;
mod queries;
mod run;

use std::path::Path;

use engine::OutputMode;

use common::query::STEPS;
use file::{Golden, difference};
use log::Cut;
use run::ran;

const MODES: [(&str, OutputMode); 3] =
    [("append", OutputMode::Append), ("update", OutputMode::Update), ("complete", OutputMode::Complete)];

fn all() -> Vec<Golden> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    paths.sort();
    paths.iter().map(|path| Golden::read(path)).collect()
}

#[test]
fn what_a_query_gives_is_what_its_file_says() {
    let mut differences = String::new();
    for golden in all() {
        let (frame, cut) = (queries::named(&golden.name), Cut::AsWritten);
        let mut sections = vec![("query", frame.0.explain())];
        let mut late = 0;
        for (title, mode) in MODES {
            let ran = ran(&frame, &golden, cut, mode, None);
            late = late.max(ran.as_ref().map_or(0, |ran| ran.late));
            sections.push((title, ran.map_or_else(|refused| refused, |ran| ran.text())));
        }
        if late > 0 {
            sections.push(("rows that were late", late.to_string()));
        }
        let found = golden.with(&sections);
        if std::env::var("CORRIENTE_GOLDEN").is_ok_and(|wish| wish == "write") {
            std::fs::write(&golden.path, &found).unwrap();
        } else if found != golden.text {
            differences += &format!("\n{}\n{}", golden.path.display(), difference(&golden.text, &found));
        }
    }
    assert!(differences.is_empty(), "- is what the file says, + what comes\n{differences}");
}

#[test]
fn every_query_has_a_file() {
    let files: Vec<String> = all().into_iter().map(|golden| golden.name).collect();
    assert!(files.len() >= 10, "{files:?}");
    assert_eq!(files, queries::NAMES);
}

#[test]
fn a_crash_after_any_step_of_any_batch_changes_nothing() {
    for golden in all() {
        let frame = queries::named(&golden.name);
        let goes = |(title, mode)| Some((title, mode, ran(&frame, &golden, Cut::AsWritten, mode, None).ok()?));
        for (number, (title, mode, whole)) in MODES.into_iter().filter_map(goes).enumerate() {
            let batches = whole.batches.len() as u64;
            // Another mode gives other rows of the same batches: there the one in the middle does.
            for batch in if number == 0 { 0..batches } else { batches / 2..batches / 2 + 1 } {
                for step in STEPS {
                    let again = ran(&frame, &golden, Cut::AsWritten, mode, Some((batch, step))).unwrap();
                    assert!(
                        again.text() == whole.text(),
                        "{}, {title}, after a crash after {step:?} of batch {batch}:\n{}",
                        golden.name,
                        difference(&whole.text(), &again.text())
                    );
                }
            }
        }
    }
}

#[test]
fn one_batch_and_many_come_to_the_same_end() {
    for golden in all().into_iter().filter(|golden| !queries::FORGET.contains(&golden.name.as_str())) {
        let frame = queries::named(&golden.name);
        for (title, mode) in MODES {
            let Ok(written) = ran(&frame, &golden, Cut::AsWritten, mode, None) else { continue };
            // What is late hangs on when it comes.
            if written.late > 0 {
                continue;
            }
            for cut in [Cut::OneBatch, Cut::RowByRow] {
                let other = ran(&frame, &golden, cut, mode, None).unwrap();
                let place = format!("{}, {title}, {cut:?}", golden.name);
                assert_eq!(other.late, 0, "{place}");
                assert!(other.end() == written.end(), "{place}:\n{}", difference(&written.end(), &other.end()));
                if mode == OutputMode::Append {
                    let (one, two) = (written.rows(), other.rows());
                    assert!(one == two, "{place}:\n{}", difference(&one, &two));
                }
            }
        }
    }
}
