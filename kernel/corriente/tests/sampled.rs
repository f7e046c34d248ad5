//! A notebook that is run again in a new process: its topic is sampled anew, and its query goes on with the columns that it had. The
//! test starts itself as a process of its own for each run.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../engine/tests/common/log.rs"]
mod log;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use broker::{Broker, Config};
use corriente::prelude::*;

/// What a process does, and where it finds the rest.
const NOTEBOOK: &str = "CORRIENTE_TEST_NOTEBOOK";
const BROKER: &str = "CORRIENTE_TEST_BROKER";
const FOLDER: &str = "CORRIENTE_TEST_FOLDER";

const TOPIC: &str = "spend";

fn write(broker: &Broker, records: &[&str]) {
    let rows = df!["value" => records].unwrap();
    let schema = rows.schema().clone();
    let records = StreamFrame::from_source("memory records", schema, log::open(vec![rows], usize::MAX));
    let writer = records.write_kafka(broker.bootstrap(), TOPIC).raw("value").trigger(Trigger::AvailableNow);
    writer.start().unwrap().await_termination().unwrap();
}

/// A broker at the address of another one that stops: the topic is there again, and its records are gone.
fn without_records(before: Broker) -> Broker {
    let listen = before.address().to_string();
    before.stop();
    let end = Instant::now() + Duration::from_secs(30);
    let broker = loop {
        match Broker::start(Config { listen: listen.clone(), ..Config::default() }) {
            Ok(broker) => break broker,
            // The one before lets go of the port when its threads end.
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        std::thread::yield_now();
    };
    connectors::create_topic(&broker.bootstrap(), TOPIC, 1).unwrap();
    broker
}

/// What a person runs again and again, but for a word or two.
fn notebook(which: &str, broker: &str, folder: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let reader = read_kafka(broker).topic(TOPIC).on_data_loss(OnDataLoss::Earliest);
    let txns = match which {
        "contradicting" => reader.schema_hints([("v", DataType::Decimal(38, 2))]).json()?,
        _ => reader.json()?,
    };
    let txns = if which == "using" { txns.filter(col("extra").is_not_null()) } else { txns.drop(["x"]) };
    let sums = txns.group_by([col("k")]).agg([col("v").sum()]);
    let query = sums.memory("sums").checkpoint(folder.join("checkpoint")).trigger(Trigger::AvailableNow).start()?;
    query.await_termination()?;
    let rows = query.frame().sort(["k"], SortMultipleOptions::default())?;
    let (keys, sums) = (rows.column("k")?.str()?.clone(), rows.column("v")?.i64()?.clone());
    let sums: Vec<String> = keys.iter().flatten().zip(sums.iter().flatten()).map(|(k, v)| format!("{k}={v}")).collect();
    Ok(format!("{}\n{}", sums.join(" "), query.status()))
}

/// Runs a notebook in a process of its own; gives what it says, and what was printed.
fn run(which: &str, broker: &Broker, folder: &Path) -> (String, String) {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["a_notebook_that_is_run_again_goes_on_with_the_columns_that_it_had", "--exact", "--nocapture"]);
    process
        .env(NOTEBOOK, which)
        .env(BROKER, broker.bootstrap())
        .env(FOLDER, folder)
        .env("XDG_STATE_HOME", folder.join("state"));
    let output = process.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{which}: {printed}");
    (std::fs::read_to_string(folder.join("said")).unwrap(), printed)
}

#[test]
fn a_notebook_that_is_run_again_goes_on_with_the_columns_that_it_had() {
    if let (Ok(which), Ok(broker), Ok(folder)) = (std::env::var(NOTEBOOK), std::env::var(BROKER), std::env::var(FOLDER))
    {
        let folder = Path::new(&folder);
        let said = notebook(&which, &broker, folder).unwrap_or_else(|error| format!("refused: {error}"));
        return std::fs::write(folder.join("said"), said).unwrap();
    }
    let (broker, folder) = (Broker::start(Config::default()).unwrap(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    connectors::create_topic(&broker.bootstrap(), TOPIC, 1).unwrap();
    write(&broker, &[r#"{"k":"a","v":1,"x":"x"}"#, r#"{"k":"b","v":2,"x":"x"}"#]);
    let (said, _) = run("plain", &broker, folder);
    assert!(said.starts_with("a=1 b=2\n") && !said.contains("sample"), "{said}");

    // A field more.
    write(&broker, &[r#"{"k":"a","v":10,"x":"x","extra":"e"}"#]);
    let (said, _) = run("plain", &broker, folder);
    assert!(said.starts_with("a=11 b=2\n"), "{said}");
    assert!(said.contains("of spend, \"extra\" (str) is in the sample and is not read"), "{said}");
    let (said, _) = run("using", &broker, folder);
    assert!(said.starts_with("refused: start: ") && said.contains("filter: there is no column \"extra\""), "{said}");
    let (said, _) = run("contradicting", &broker, folder);
    assert!(said.contains("had other columns") && said.contains("DataType::Int64"), "{said}");

    // Numbers of another type, which are dead letters as they were in the process before.
    write(&broker, &[r#"{"k":"b","v":2.5,"x":"x"}"#]);
    let (said, _) = run("plain", &broker, folder);
    assert!(said.starts_with("a=11 b=2\n") && said.contains("1 dead letters"), "{said}");
    assert!(said.contains("\"v\" is i64, and f64 in the sample"), "{said}");

    // Only records without a field that the query needs.
    let broker = without_records(broker);
    write(&broker, &[r#"{"k":"c"}"#]);
    let (said, printed) = run("plain", &broker, folder);
    assert!(said.starts_with("a=11 b=2 c=0\n"), "{said}");
    assert!(printed.contains("does not have \"v\", \"x\"") && printed.contains("checkpoint"), "{printed}");

    // No records.
    let broker = without_records(broker);
    let (said, printed) = run("plain", &broker, folder);
    assert!(said.starts_with("a=11 b=2 c=0\n"), "{said}");
    assert!(printed.contains("the topic \"spend\" has no record to tell columns from"), "{printed}");
    std::fs::remove_dir_all(folder.join("checkpoint")).unwrap();
    let (said, _) = run("plain", &broker, folder);
    assert!(said.contains("the topic \"spend\" is empty"), "{said}");
}
