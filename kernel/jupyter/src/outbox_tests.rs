//! What is gathered, in which order it leaves, and what happens when nobody takes it.
#![allow(clippy::unwrap_used)]

use std::thread;

use serde_json::json;

use super::*;

fn text(parent: &str, stream: Stream, text: &str) -> Output {
    Output::Text { parent: of(parent), stream, text: text.to_owned() }
}

fn of(parent: &str) -> Parent {
    Some(Arc::new(Header { msg_id: parent.to_owned(), ..Header::default() }))
}

fn status(parent: &str, state: &str) -> Output {
    Output::message(of(parent), "status", &json!(state), Vec::new())
}

/// `parent stream text`, or `parent type content`, of all that leaves.
fn taken(outbox: &Outbox) -> Vec<String> {
    outbox.close();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut taken = Vec::new();
    while let Some(output) = runtime.block_on(outbox.next()) {
        let parent = output.parent().map_or_else(String::new, |parent| parent.msg_id.clone());
        taken.push(match output {
            Output::Text { stream, text, .. } => format!("{parent} {} {text}", stream.name()),
            Output::Message { msg_type, content, .. } => {
                format!("{parent} {msg_type} {}", String::from_utf8_lossy(&content))
            }
            Output::Welcome { .. } => "welcome".to_owned(),
        });
    }
    taken
}

fn check(outputs: Vec<Output>, expect: &[&str]) {
    let outbox = Outbox::default();
    outputs.into_iter().for_each(|output| outbox.put_when_room(output));
    assert_eq!(taken(&outbox), expect);
}

#[test]
fn pieces_of_a_text_become_one() {
    check(vec![text("1", Stream::Stdout, "a"), text("1", Stream::Stdout, "b")], &["1 stdout ab"]);
}

#[test]
fn the_two_streams_are_gathered_side_by_side() {
    let printed = [(Stream::Stdout, "a"), (Stream::Stderr, "b"), (Stream::Stdout, "c"), (Stream::Stderr, "d")];
    check(printed.map(|(stream, piece)| text("1", stream, piece)).into(), &["1 stdout ac", "1 stderr bd"]);
}

#[test]
fn the_texts_of_two_cells_stay_apart() {
    check(vec![text("1", Stream::Stdout, "a"), text("2", Stream::Stdout, "b")], &["1 stdout a", "2 stdout b"]);
}

#[test]
fn a_message_ends_the_text_before_it() {
    let outputs = vec![text("1", Stream::Stdout, "a"), status("1", "idle"), text("1", Stream::Stdout, "b")];
    check(outputs, &["1 stdout a", "1 status \"idle\"", "1 stdout b"]);
}

#[test]
fn a_long_text_is_cut() {
    let long = "x".repeat(ENOUGH);
    let outputs = vec![text("1", Stream::Stdout, &long), text("1", Stream::Stdout, "y")];
    check(outputs, &[&format!("1 stdout {long}"), "1 stdout y"]);
}

#[tokio::test]
async fn text_waits_for_more_only_so_long() {
    let outbox = Outbox::default();
    let begin = Instant::now();
    outbox.put(text("1", Stream::Stdout, "a"));
    assert!(matches!(outbox.next().await, Some(Output::Text { .. })));
    assert!(begin.elapsed() >= GATHER, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_text_that_grows_slowly_leaves_in_time() {
    let outbox = Arc::new(Outbox::default());
    let printing = Arc::clone(&outbox);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    // A piece every few milliseconds must not put off the first for ever.
    let printer = thread::spawn(move || {
        while stopped.recv_timeout(GATHER / 4).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout) {
            printing.put(text("1", Stream::Stdout, "a"));
        }
    });
    let first = tokio::time::timeout(Duration::from_secs(5), outbox.next()).await;
    drop(stop);
    printer.join().unwrap();
    let Ok(Some(Output::Text { text, .. })) = first else { panic!("{first:?}") };
    assert!(text.len() < 20, "{text}");
}

#[test]
fn one_who_prints_waits_for_room_and_not_for_ever() {
    let outbox = Outbox::default();
    outbox.put_when_room(text("1", Stream::Stdout, &"x".repeat(ROOM)));
    let begin = Instant::now();
    outbox.put_when_room(text("1", Stream::Stdout, "lost"));
    assert!(begin.elapsed() >= PATIENCE);
    // As soon as nobody is known to take anything, nobody waits.
    let begin = Instant::now();
    (0..1000).for_each(|_| outbox.put_when_room(text("1", Stream::Stdout, "lost")));
    assert!(begin.elapsed() < PATIENCE);
    outbox.put(status("1", "idle"));
    let taken = taken(&outbox);
    assert_eq!(taken.len(), 3, "{taken:?}");
    assert!(taken[1].contains("1001 outputs of 4004 bytes in all were dropped"), "{}", taken[1]);
    assert_eq!(taken[2], "1 status \"idle\"");
}

#[test]
fn room_that_comes_is_noticed() {
    let outbox = Arc::new(Outbox::default());
    outbox.put_when_room(text("1", Stream::Stdout, &"x".repeat(ROOM)));
    let taking = Arc::clone(&outbox);
    let taker = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(taking.next())
    });
    outbox.put_when_room(text("1", Stream::Stdout, "kept"));
    assert!(taker.join().unwrap().is_some());
    assert_eq!(taken(&outbox), ["1 stdout kept"]);
}

#[test]
fn a_closed_outbox_takes_nothing() {
    let outbox = Outbox::default();
    outbox.close();
    outbox.put(status("1", "idle"));
    assert!(taken(&outbox).is_empty());
}
