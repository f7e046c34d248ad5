//! Outputs that no page holds: when they are brought up to date, and how large they are.

use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Offsets, State, Status, TopicPartition};
use polars::prelude::{Column, NamedFrom as _, Series};

use super::*;
use crate::chart::points;

/// A result that reads a log of `end` records and has none of them yet.
fn reading(end: i64) -> LiveResult {
    let result = LiveResult::new(rows(0).schema().clone(), Status { state: State::Running, ..Status::default() });
    result.set_status(|status| status.log_ends = Some(Offsets::from_iter([(TopicPartition::new("t", 0), end)])));
    reach(&result, 0);
    result
}

/// All records before an offset are read.
fn reach(result: &LiveResult, offset: i64) {
    result.replace(rows(offset));
    result.set_status(|status| {
        status.offsets.insert(TopicPartition::new("t", 0), (0, offset));
        status.rows_read = u64::try_from(offset).unwrap();
    });
}

fn views() -> (Arc<List>, Views) {
    let list = Arc::new(List::default());
    (list.clone(), Views::new(list))
}

fn view_of(bundle: &Bundle) -> String {
    bundle.data[LIVE_MIME]["view"].as_str().unwrap().to_owned()
}

/// The number of rows in each update that came within a time.
fn updates(list: &List, time: Duration) -> Vec<u64> {
    let all = list.collect(time);
    all.iter().map(|data| data["output"]["metadata"]["corriente"]["rows"].as_u64().unwrap()).collect()
}

#[test]
fn a_cell_that_runs_updates_what_has_changed_twice_a_second() {
    let (list, views) = views();
    views.cell_began(1, None);
    let result = reading(5);
    reach(&result, 5);
    let _shown = views.add_table(result.clone(), hold(), Value::Null);
    assert_eq!(updates(&list, Duration::from_millis(700)), [0; 0], "nothing has changed");
    for offset in 6..30 {
        reach(&result, offset);
        thread::yield_now();
    }
    assert_eq!(updates(&list, Duration::from_millis(450)).len(), 1);
    reach(&result, 31);
    reach(&result, 32);
    assert_eq!(updates(&list, Duration::from_millis(700)).last(), Some(&32));
    views.cell_over();
    reach(&result, 33);
    assert_eq!(updates(&list, Duration::from_millis(700)), [0; 0], "no cell runs");
    views.cell_began(2, None);
    assert_eq!(updates(&list, Duration::from_millis(400)), [33], "another cell may update it");
}

#[test]
fn at_its_end_a_cell_waits_for_what_was_in_the_log_but_not_for_long() {
    let (list, views) = views();
    views.cell_began(1, None);
    let result = reading(40);
    reach(&result, 1);
    let _shown = views.add_table(result.clone(), hold(), Value::Null);
    let catches_up = thread::Builder::new().name("test-query".to_owned()).spawn(move || {
        thread::park_timeout(Duration::from_millis(300));
        reach(&result, 40);
    });
    views.cell_ends(|| true);
    catches_up.unwrap().join().unwrap();
    assert_eq!(updates(&list, Duration::ZERO), [40]);
    let (list, views) = self::views();
    views.cell_began(1, None);
    let result = reading(40);
    reach(&result, 1);
    let _shown = views.add_table(result.clone(), hold(), Value::Null);
    let begun = Instant::now();
    views.cell_ends(|| false);
    assert!(begun.elapsed() < Duration::from_millis(500), "nobody wants to wait");
    reach(&result, 2);
    views.cell_ends(|| true);
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(updates(&list, Duration::ZERO), [2]);
}

#[test]
fn what_a_page_has_opened_is_updated_no_more_and_not_waited_for() {
    let (list, views) = views();
    views.cell_began(1, None);
    let result = reading(40);
    reach(&result, 1);
    let id = view_of(&views.add_table(result.clone(), hold(), Value::Null));
    views.open("c", &json!({"version": 1, "view": id}));
    let begun = Instant::now();
    views.cell_ends(|| true);
    assert!(begun.elapsed() < Duration::from_millis(500));
    views.cell_began(2, None);
    reach(&result, 2);
    assert_eq!(list.collect(Duration::from_millis(700)), [Value::Null; 0]);
}

#[test]
fn what_an_earlier_run_of_a_cell_has_shown_is_gone() {
    let (list, views) = views();
    let result = reading(1);
    reach(&result, 1);
    for (run, cell) in [(1, Some("a")), (2, Some("b")), (3, Some("a"))] {
        views.cell_began(run, cell);
        views.cell_began(run, cell);
        let _shown = views.add_table(result.clone(), hold(), Value::Null);
        views.cell_over();
    }
    reach(&result, 2);
    views.cell_began(4, None);
    assert_eq!(updates(&list, Duration::from_millis(900)), [2, 2]);
}

#[test]
fn a_failure_is_told_in_every_form() {
    let (list, views) = views();
    views.cell_began(1, None);
    let result = reading(1);
    reach(&result, 1);
    let _shown = views.add_table(result.clone(), hold(), Value::Null);
    result.set_status(|status| status.state = State::Failed("<the topic> is gone".to_owned()));
    let (data, _) = list.expect("update", |data| data["updated"].is_string());
    let data = &data["output"]["data"];
    assert!(data[TEXT_MIME].as_str().unwrap().starts_with("<the topic> is gone\n"));
    assert!(data[HTML_MIME].as_str().unwrap().contains("&lt;the topic&gt; is gone"));
    assert_eq!(data[LIVE_MIME]["snapshot"]["status"]["state"], "failed");
}

#[test]
fn first_rows_are_waited_for_once_a_cell() {
    let (_list, views) = views();
    views.cell_began(1, None);
    let begun = Instant::now();
    for _ in 0..5 {
        let _shown = views.add_table(reading(40), hold(), Value::Null);
    }
    assert!((1_400..3_000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
}

#[test]
fn an_output_has_a_bound_and_says_what_it_leaves_out() {
    const MOST: usize = 200_000;
    let wide = |columns: usize, text: &str, name: &str| {
        let column = |n: usize| Column::from(Series::new(format!("{name}{n}").as_str().into(), vec![text; 30]));
        DataFrame::new(30, (0..columns).map(column).collect()).unwrap()
    };
    let (_list, views) = views();
    for (columns, text, name, said) in [
        (2_000, "1", "c", "of 2,000 columns"),
        (60, &"é".repeat(5_000), "c", "kept here: the newest"),
        (200, "1", &"n".repeat(10_000), "of 200 columns"),
        (1, &"\u{1}".repeat(5_000), "c", "as of"),
    ] {
        let bundle = views.add_table(LiveResult::fixed(wide(columns, text, name)), hold(), Value::Null);
        assert!(bundle.bytes() <= MOST, "{columns} columns take {} bytes", bundle.bytes());
        let html = bundle.data[HTML_MIME].as_str().unwrap();
        assert!(html.contains(said), "{columns} columns: {}", &html[html.len() - 300..]);
        assert_eq!(bundle.data[LIVE_MIME]["snapshot"]["table"]["total"], 30);
    }
    let noise: Vec<f64> = (0..60_000).map(|n| f64::from((n * 7_919) % 10_007)).collect();
    let frame = df!["x" => (0..60_000i64).collect::<Vec<_>>(), "y" => noise].unwrap();
    for chart in [line("x", "y"), points("x", "y")] {
        let bundle = views.add_chart(LiveResult::fixed(frame.clone()), chart, hold(), Value::Null).unwrap();
        assert!(bundle.bytes() <= MOST, "a chart takes {} bytes", bundle.bytes());
        assert!(bundle.data[LIVE_MIME]["snapshot"]["picture"]["light"].is_string());
    }
}

#[test]
fn what_is_kept_and_where_it_comes_from_are_of_one_moment() {
    let (_list, views) = views();
    views.cell_began(1, None);
    let result = reading(1);
    reach(&result, 1);
    let (stop, ended) = (Arc::new(AtomicBool::new(false)), result.clone());
    let goes_on = stop.clone();
    let write = move || {
        for offset in 2.. {
            if goes_on.load(Ordering::Relaxed) {
                return;
            }
            let changes = engine::Changes { ids: vec![offset], rows: rows(1), deletes: Vec::new() };
            ended.apply(&changes, |status| status.rows_read = offset).unwrap();
        }
    };
    let writer = thread::Builder::new().name("test-writer".to_owned()).spawn(write).unwrap();
    for _ in 0..200 {
        let facts = views.add_table(result.clone(), hold(), Value::Null).metadata["corriente"].clone();
        let (rows, read) = (facts["rows"].as_u64().unwrap(), facts["rows_read"].as_u64().unwrap());
        assert_eq!(rows, read, "a row for each record");
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}
