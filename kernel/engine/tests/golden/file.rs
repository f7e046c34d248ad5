//! A golden's file: a title, then sections. The title and the rows are a person's; everything else is what came of them.

use std::path::{Path, PathBuf};

/// A row of a file: its log, its partition, its time in milliseconds, its key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The stream: 0 for a, 1 for b.
    pub(crate) log: usize,
    pub(crate) partition: i32,
    pub(crate) time: Option<i64>,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<i64>,
}

/// What a file says.
pub(crate) struct Golden {
    pub(crate) path: PathBuf,
    /// The query's name.
    pub(crate) name: String,
    pub(crate) text: String,
    /// Everything up to the end of the rows.
    head: String,
    pub(crate) batches: Vec<Vec<Row>>,
}

/// How a section begins.
const SECTION: &str = "\n== ";
const ROWS: &str = "\n== rows\n";

impl Golden {
    pub(crate) fn read(path: &Path) -> Golden {
        let text = std::fs::read_to_string(path).unwrap();
        let rows = text.find(ROWS).unwrap_or_else(|| panic!("{} has no rows", path.display())) + ROWS.len();
        let end = text[rows..].find(SECTION).map_or(text.len(), |end| rows + end);
        let batches = text[rows..end].split("---\n").map(|batch| batch.lines().filter_map(row).collect()).collect();
        let name = path.file_stem().unwrap().to_str().unwrap().replace('_', " ");
        Golden { path: path.to_owned(), name, head: text[..end].trim_end().to_owned() + "\n", text, batches }
    }

    /// The file as it would be with these sections.
    pub(crate) fn with(&self, sections: &[(&str, String)]) -> String {
        let mut text = self.head.clone();
        for (title, said) in sections {
            text += &format!("{SECTION}{title}\n{}\n", said.trim_end());
        }
        text
    }
}

/// A line such as `a0 | 00:00:05 | rent | 30`; nothing between two bars is null.
fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [place, time, key, value] = cells[..] else {
        assert!(line.trim().is_empty(), "this is no row: {line:?}");
        return None;
    };
    if place == "from" {
        return None;
    }
    let there = |cell: &str| (!cell.is_empty()).then(|| cell.to_owned());
    let (log, partition) = place.split_at(1);
    Some(Row {
        log: ["a", "b"].iter().position(|name| *name == log).unwrap(),
        partition: partition.parse().unwrap(),
        time: there(time).map(|time| milliseconds(&time)),
        key: there(key).map(|key| if key == "\"\"" { String::new() } else { key }),
        value: there(value).map(|value| value.parse().unwrap()),
    })
}

/// Of `01:02:03` or `01:02:03.500`.
fn milliseconds(text: &str) -> i64 {
    let (clock, thousandths) = text.split_once('.').unwrap_or((text, "0"));
    let seconds = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<i64>().unwrap());
    seconds * 1000 + thousandths.parse::<i64>().unwrap()
}

/// The lines that differ, with two of those around them.
pub(crate) fn difference(said: &str, found: &str) -> String {
    let (said, found): (Vec<&str>, Vec<&str>) = (said.lines().collect(), found.lines().collect());
    let same = said.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let most = said.len().min(found.len()) - same;
    let after = said.iter().rev().zip(found.iter().rev()).take(most).take_while(|(a, b)| a == b).count();
    let marked =
        |sign: &'static str, lines: &[&str]| lines.iter().map(|line| format!("{sign} {line}\n")).collect::<String>();
    let around = said.len() - after;
    marked(" ", &said[same.saturating_sub(2)..same])
        + &marked("-", &said[same..around])
        + &marked("+", &found[same..found.len() - after])
        + &marked(" ", &said[around..(around + 2).min(said.len())])
}
