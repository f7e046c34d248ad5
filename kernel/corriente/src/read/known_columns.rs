//! The columns of a sample, beside those that a checkpoint of this machine has of the topic: a notebook that is run again has the
//! columns that its query goes on with, even where the records that told them are gone. Which checkpoint reads a topic is noted in
//! the user's state folder when a query starts; without such a folder nothing is.

use std::path::{Path, PathBuf};

use connectors::KafkaOptions;
use engine::{LocalDisk, SourceError, columns_in_checkpoint, make_folders, replace_file, short_hash};
use plan::{Plan, Scan};
use polars::prelude::{PlSmallStr, Schema};
use serde::{Deserialize, Serialize};

use super::kafka::NAME;

/// The version of the notes.
const VERSION: u32 = 1;

/// Which checkpoint reads a topic.
#[derive(Serialize, Deserialize)]
struct TopicNote {
    version: u32,
    address: String,
    topic: String,
    checkpoint: PathBuf,
}

/// The columns of a topic by a sample of its records.
///
/// # Errors
/// As for [`connectors::sample_schema`].
pub(super) fn sampled(options: &KafkaOptions) -> Result<Schema, SourceError> {
    let KafkaOptions { bootstrap, topic, .. } = options;
    let known = note(bootstrap, topic).and_then(|TopicNote { checkpoint, .. }| {
        let schema = columns_in_checkpoint(&checkpoint, NAME, std::slice::from_ref(topic))?;
        Some((checkpoint, schema))
    });
    let Some((checkpoint, known)) = known else {
        return Ok(connectors::sample_schema(options)?.schema.as_ref().clone());
    };
    let (sample, missing) = connectors::sample_schema_beside(options, &known)?;
    if !missing.is_empty() {
        eprintln!("{}", in_words(topic, &missing, missing.len() == sample.schema.len(), &checkpoint));
    }
    Ok(sample.schema.as_ref().clone())
}

/// Notes that a checkpoint has the columns of what a plan samples.
pub(crate) fn note_checkpoint(plan: &Plan, checkpoint: &Path) {
    let sampled = plan.scans().into_iter().filter(|scan| scan.connector == NAME && scan.sampled.is_some());
    // It is a convenience: a query runs without it.
    sampled.for_each(|scan| drop(write(scan, checkpoint)));
}

fn write(scan: &Scan, checkpoint: &Path) -> std::io::Result<()> {
    let (Some(address), [topic]) = (&scan.address, scan.topics.as_slice()) else { return Ok(()) };
    let Some(path) = path(address, topic) else { return Ok(()) };
    let checkpoint = std::path::absolute(checkpoint)?;
    let note = TopicNote { version: VERSION, address: address.clone(), topic: topic.clone(), checkpoint };
    let text = serde_json::to_vec(&note)?;
    path.parent().map_or(Ok(()), |folder| make_folders(&LocalDisk, folder))?;
    let new = path.with_extension(format!("{}.new", std::process::id()));
    replace_file(&LocalDisk, &path, &new, |file| file.write_all(&text))
}

fn note(address: &str, topic: &str) -> Option<TopicNote> {
    let note: TopicNote = serde_json::from_slice(&std::fs::read(path(address, topic)?).ok()?).ok()?;
    // Two topics may have one hash.
    (note.version == VERSION && note.address == address && note.topic == topic).then_some(note)
}

/// Where it is noted which checkpoint reads a topic.
fn path(address: &str, topic: &str) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("corriente/topics").join(short_hash(&format!("{address}\n{topic}"))).with_extension("json"))
}

fn in_words(topic: &str, missing: &[PlSmallStr], are_all: bool, checkpoint: &Path) -> String {
    match are_all {
        true => format!(
            "the topic \"{topic}\" has no record to tell columns from: they are those that the checkpoint {checkpoint:?} has"
        ),
        false => {
            let names: Vec<String> = missing.iter().map(|name| format!("\"{name}\"")).collect();
            let (are, them) = if missing.len() == 1 { ("it is", "it") } else { ("they are", "them") };
            let names = names.join(", ");
            format!(
                "a sample of topic \"{topic}\" does not have {names}: {are} as the checkpoint {checkpoint:?} has {them}"
            )
        }
    }
}
