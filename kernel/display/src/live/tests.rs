//! Live views against a port that is a list. Every wait has a deadline and says what did arrive.
#![allow(clippy::unwrap_used)]

mod holds;
mod outputs;

use std::collections::HashSet;
use std::sync::Condvar;
use std::time::Instant;

use polars::prelude::{DataFrame, df};

use super::*;
use crate::bundle::{HTML_MIME, LIVE_MIME, TEXT_MIME};
use crate::chart::line;

type Sent = (String, Value, Vec<Vec<u8>>);

#[derive(Default)]
struct List {
    sent: Mutex<Vec<Sent>>,
    arrived: Condvar,
}

impl Port for List {
    fn send(&self, comm_id: &str, data: Value, buffers: Vec<Vec<u8>>) {
        self.sent.lock().unwrap().push((comm_id.to_owned(), data, buffers));
        self.arrived.notify_all();
    }
    fn close(&self, comm_id: &str, data: Value) {
        self.send(comm_id, json!({"closed": data}), Vec::new());
    }
    fn update(&self, view: &str, output: Bundle) {
        self.send("", json!({"updated": view, "output": output}), Vec::new());
    }
}

impl List {
    /// Takes messages off the list until one fits.
    fn expect(&self, what: &str, fits: impl Fn(&Value) -> bool) -> (Value, Vec<Vec<u8>>) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut seen = Vec::new();
        let mut sent = self.sent.lock().unwrap();
        loop {
            while !sent.is_empty() {
                let (_, data, buffers) = sent.remove(0);
                if fits(&data) {
                    return (data, buffers);
                }
                seen.push(data.to_string().chars().take(200).collect::<String>());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} came; what came: {seen:#?}");
            sent = self.arrived.wait_timeout(sent, left).unwrap().0;
        }
    }

    fn frame(&self) -> (Value, Vec<Vec<u8>>) {
        self.expect("frame", |data| data["type"] == "frame")
    }

    /// What arrives within `time`.
    fn collect(&self, time: Duration) -> Vec<Value> {
        let deadline = Instant::now() + time;
        let mut sent = self.sent.lock().unwrap();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return sent.drain(..).map(|(_, data, _)| data).collect();
            }
            sent = self.arrived.wait_timeout(sent, left).unwrap().0;
        }
    }
}

/// Of a result that nobody has to make.
fn hold() -> Hold {
    Hold { by: Box::new(()), frame: Weak::new() }
}

fn rows(count: i64) -> DataFrame {
    df!["id" => (0..count).collect::<Vec<_>>(), "name" => (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>()]
        .unwrap()
}

fn setup(frame: DataFrame) -> (Arc<List>, Views, LiveResult, String) {
    let list = Arc::new(List::default());
    let views = Views::new(list.clone());
    let result = LiveResult::fixed(frame);
    let bundle = views.add_table(result.clone(), hold(), Value::Null);
    let id = bundle.data[LIVE_MIME]["view"].as_str().unwrap().to_owned();
    (list, views, result, id)
}

fn say(views: &Views, message: Value) {
    views.message("c", message, Vec::new());
}

fn look(first: usize, rows: usize) -> Value {
    json!({"type": "viewport", "first": first, "rows": rows})
}

fn unpack(buffer: &[u8], rows: usize) -> Vec<Option<String>> {
    let ends: Vec<usize> =
        buffer[..4 * rows].chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap()) as usize).collect();
    let texts = &buffer[5 * rows..];
    (0..rows)
        .map(|row| {
            let start = if row == 0 { 0 } else { ends[row - 1] };
            (buffer[4 * rows + row] == 0).then(|| String::from_utf8(texts[start..ends[row]].to_vec()).unwrap())
        })
        .collect()
}

#[test]
fn an_output_carries_three_types_and_where_it_comes_from() {
    let views = Views::new(Arc::new(List::default()));
    let bundle = views.add_table(LiveResult::fixed(rows(50)), hold(), json!({"threshold": "70"}));
    let live = &bundle.data[LIVE_MIME];
    assert_eq!((&live["version"], &live["kind"]), (&json!(1), &json!("table")));
    assert_eq!(live["snapshot"]["table"]["rows"].as_array().unwrap().len(), 20);
    assert_eq!(live["snapshot"]["table"]["rows"][0], json!(["49", "n49"]), "newest first");
    assert_eq!(live["snapshot"]["table"]["total"], 50);
    assert!(bundle.data[HTML_MIME].as_str().unwrap().contains(">n49<"));
    assert!(bundle.data[TEXT_MIME].as_str().unwrap().contains("n49"));
    assert_eq!(bundle.metadata["corriente"]["rows"], 50);
    assert_eq!(bundle.metadata["corriente"]["parameters"], json!({"threshold": "70"}));
}

#[test]
fn an_attached_page_gets_the_rows_it_asks_for() {
    let (list, views, _result, id) = setup(rows(1_000));
    views.open("c", &json!({"version": 1, "view": id}));
    say(&views, look(10, 3));
    say(&views, json!({"type": "credit", "until": 5}));
    let (frame, buffers) = list.frame();
    assert_eq!(frame["frame"], 1);
    assert_eq!(frame["table"]["total"], 1_000);
    assert_eq!(unpack(&buffers[1], 3), [Some("n989".into()), Some("n988".into()), Some("n987".into())]);
    say(
        &views,
        json!({"type": "viewport", "first": 0, "rows": 2, "sort": {"column": "id", "descending": false}, "filter": "N99"}),
    );
    let (frame, buffers) = list.frame();
    assert_eq!(frame["table"]["total"], 11);
    assert_eq!(unpack(&buffers[0], 2), [Some("99".into()), Some("990".into())]);
}

#[test]
fn nothing_is_sent_without_credit_and_no_more_than_it_allows() {
    let (list, views, result, id) = setup(rows(5));
    views.open("c", &json!({"version": 1, "view": id}));
    say(&views, look(0, 5));
    for count in 6..10 {
        result.replace(rows(count));
    }
    assert_eq!(list.collect(Duration::from_millis(200)).len(), 0);
    say(&views, json!({"type": "credit", "until": 2}));
    let (frame, _) = list.frame();
    assert_eq!(frame["table"]["total"], 9, "the newest state, not the ones between");
    for count in 10..20 {
        result.replace(rows(count));
        std::thread::yield_now();
    }
    let frames = list.collect(Duration::from_millis(400));
    assert_eq!(frames.iter().filter(|data| data["type"] == "frame").count(), 1, "{frames:#?}");
}

#[test]
fn at_most_thirty_frames_a_second_however_fast_the_result_changes() {
    let (list, views, result, id) = setup(rows(5));
    views.open("c", &json!({"version": 1, "view": id}));
    say(&views, look(0, 5));
    say(&views, json!({"type": "credit", "until": 290}));
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (writer_stop, writer_result) = (stop.clone(), result);
    let writer = thread::Builder::new()
        .name("test-writer".to_owned())
        .spawn(move || {
            let frame = rows(50);
            while !writer_stop.load(std::sync::atomic::Ordering::Relaxed) {
                writer_result.replace(frame.clone());
            }
        })
        .unwrap();
    list.frame();
    let frames = list.collect(Duration::from_secs(1)).len();
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert!((15..=31).contains(&frames), "{frames} frames in a second");
}

#[test]
fn credit_that_is_not_renewed_is_void() {
    let (list, views, result, id) = setup(rows(5));
    views.open("c", &json!({"version": 1, "view": id}));
    say(&views, look(0, 5));
    say(&views, json!({"type": "credit", "until": 290}));
    list.frame();
    let quiet = list.collect(Duration::from_millis(3_200));
    assert!(quiet.is_empty(), "{quiet:#?}");
    result.replace(rows(6));
    assert!(list.collect(Duration::from_millis(300)).is_empty());
    say(&views, json!({"type": "credit", "until": 290}));
    assert_eq!(list.frame().0["table"]["total"], 6);
}

#[test]
fn a_page_that_looks_at_a_quiet_stream_hears_that_it_is_alive() {
    let (list, views, _result, id) = setup(rows(5));
    views.open("c", &json!({"version": 1, "view": id}));
    say(&views, look(0, 5));
    say(&views, json!({"type": "credit", "until": 9}));
    list.frame();
    assert!(list.collect(Duration::from_millis(2_100)).is_empty());
    say(&views, json!({"type": "credit", "until": 9}));
    list.expect("status", |data| data["type"] == "status");
}

#[test]
fn a_message_that_makes_no_sense_is_refused_and_loses_nothing() {
    let (list, views, _result, id) = setup(rows(9));
    views.open("c", &json!({"version": 1, "view": id}));
    say(&views, look(0, 4));
    say(&views, json!({"type": "credit", "until": 9}));
    list.frame();
    for bad in [
        json!("?"),
        json!({"type": "viewport", "first": "a"}),
        json!({"type": "viewport", "width": 300, "height": 300}),
        json!({"type": "viewport", "first": 0, "rows": 4, "sort": {"column": "nope", "descending": false}}),
    ] {
        say(&views, bad);
        list.expect("refusal", |data| data["type"] == "refused");
    }
    say(&views, look(4, 4));
    assert_eq!(list.frame().0["table"]["first"], 4);
}

#[test]
fn a_view_that_is_not_there_closes_the_comm_with_a_reason() {
    let (list, views, _result, _id) = setup(rows(1));
    views.open("c", &json!({"version": 1, "view": "gone"}));
    assert_eq!(list.expect("close", |_| true).0["closed"]["reason"], "unknown");
    views.open("c", &json!({"version": 99, "view": "gone"}));
    assert_eq!(list.expect("close", |_| true).0["closed"]["reason"], "failed");
    views.open("c", &json!([]));
    assert_eq!(list.expect("close", |_| true).0["closed"]["reason"], "failed");
    views.message("stranger", json!({}), Vec::new());
    assert_eq!(list.expect("close", |_| true).0["closed"]["reason"], "quiet");
}

#[test]
fn a_reloaded_page_attaches_again_by_the_views_id() {
    let (list, views, result, id) = setup(rows(3));
    views.open("c", &json!({"version": 1, "view": id}));
    say(&views, look(0, 3));
    say(&views, json!({"type": "credit", "until": 9}));
    list.frame();
    views.closed("c");
    result.replace(rows(4));
    views.open("d", &json!({"version": 1, "view": id}));
    views.message("d", look(0, 3), Vec::new());
    views.message("d", json!({"type": "credit", "until": 9}), Vec::new());
    let (frame, _) = list.frame();
    assert_eq!((&frame["frame"], &frame["table"]["total"]), (&json!(1), &json!(4)));
}

#[test]
fn a_quiet_page_is_let_go_and_may_come_back() {
    let list = Arc::new(List::default());
    let views = Views::with_patience(list.clone(), Duration::from_millis(100));
    let bundle = views.add_table(LiveResult::fixed(rows(3)), hold(), Value::Null);
    let opening = json!({"version": 1, "view": bundle.data[LIVE_MIME]["view"]});
    views.open("c", &opening);
    assert_eq!(list.expect("close", |_| true).0["closed"]["reason"], "quiet");
    views.open("c", &opening);
    say(&views, look(0, 3));
    say(&views, json!({"type": "credit", "until": 9}));
    list.frame();
}

#[test]
fn a_paused_table_stands_still_and_can_be_scrolled() {
    let (list, views, result, id) = setup(rows(100));
    views.open("c", &json!({"version": 1, "view": id}));
    say(&views, json!({"type": "viewport", "first": 0, "rows": 2, "paused": true}));
    say(&views, json!({"type": "credit", "until": 9}));
    list.frame();
    result.replace(rows(200));
    let others = list.collect(Duration::from_millis(150));
    assert!(others.iter().all(|data| data["type"] != "frame"), "{others:#?}");
    say(&views, json!({"type": "viewport", "first": 1, "rows": 2, "paused": true}));
    let (_, buffers) = list.frame();
    assert_eq!(unpack(&buffers[0], 2), [Some("98".into()), Some("97".into())]);
    say(&views, look(0, 2));
    assert_eq!(list.frame().0["table"]["total"], 200);
}

#[test]
fn rows_that_come_on_top_do_not_move_what_is_being_read() {
    let (list, views, result, id) = setup(rows(100));
    views.open("c", &json!({"version": 1, "view": id}));
    result.replace(rows(130));
    say(&views, json!({"type": "viewport", "first": 40, "rows": 1, "anchor": 100}));
    say(&views, json!({"type": "credit", "until": 9}));
    let (frame, buffers) = list.frame();
    assert_eq!((&frame["table"]["first"], &frame["table"]["height"]), (&json!(70), &json!(130)));
    assert_eq!(unpack(&buffers[0], 1), [Some("59".into())]);
}

#[test]
fn a_chart_frame_has_the_picture_and_the_points_behind_it() {
    let list = Arc::new(List::default());
    let views = Views::new(list.clone());
    let frame = df!["x" => [1i64, 2, 1, 2], "k" => ["a", "a", "b", "b"], "y" => [1.0, 2.0, 3.0, 4.0]].unwrap();
    let bundle = views.add_chart(LiveResult::fixed(frame), line("x", "y").by("k"), hold(), Value::Null).unwrap();
    let saved = &bundle.data[LIVE_MIME]["snapshot"]["picture"];
    assert!(
        saved["light"].as_str().unwrap().starts_with("iVBOR") && saved["dark"].as_str().unwrap().starts_with("iVBOR")
    );
    assert!(bundle.data[HTML_MIME].as_str().unwrap().contains("src=\"data:image/png;base64,iVBOR"));
    views.open("c", &json!({"version": 1, "view": bundle.data[LIVE_MIME]["view"]}));
    say(&views, json!({"type": "viewport", "width": 500, "height": 250}));
    say(&views, json!({"type": "credit", "until": 9}));
    let (frame, buffers) = list.frame();
    assert!(buffers[0].starts_with(b"<svg width=\"500\" height=\"250\""));
    assert_eq!(frame["chart"]["series"][1], json!({"name": "b", "colour": 1, "points": 2}));
    let floats: Vec<f64> = buffers[2].chunks(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!(floats, [1.0, 3.0, 2.0, 4.0]);
}

#[test]
fn a_chart_of_a_column_that_is_not_there_is_an_error() {
    let views = Views::new(Arc::new(List::default()));
    let error = views.add_chart(LiveResult::fixed(rows(1)), line("id", "nmae"), hold(), Value::Null).unwrap_err();
    assert!(error.to_string().contains("Did you mean \"name\"?"), "{error}");
}

#[test]
fn a_snapshot_is_a_whole_output() {
    let (list, views, result, id) = setup(rows(3));
    views.open("c", &json!({"version": 1, "view": id}));
    result.replace(rows(7));
    say(&views, json!({"type": "snapshot"}));
    let (data, _) = list.expect("snapshot", |data| data["type"] == "snapshot");
    assert_eq!(data["bundle"]["data"][LIVE_MIME]["view"], id.as_str());
    assert_eq!(data["bundle"]["data"][LIVE_MIME]["snapshot"]["table"]["total"], 7);
    assert_eq!(data["bundle"]["metadata"]["corriente"]["rows"], 7);
}

#[test]
fn views_have_ids_no_one_guesses_and_the_oldest_is_forgotten() {
    let (list, views, _result, first) = setup(rows(1));
    let ids: HashSet<String> = (0..MAX_VIEWS)
        .map(|_| {
            views.add_table(LiveResult::fixed(rows(1)), hold(), Value::Null).data[LIVE_MIME]["view"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(ids.len(), MAX_VIEWS);
    views.open("c", &json!({"version": 1, "view": first}));
    assert_eq!(list.expect("close", |_| true).0["closed"]["reason"], "unknown");
}
