//! What a view holds, and when it lets go of it.

use super::*;

/// Shows a view, and gives it with what tells whether it is held.
fn show(views: &Views, frame: &Arc<()>) -> (String, Weak<()>) {
    let held = Arc::new(());
    let hold = Hold { by: Box::new(Arc::clone(&held)), frame: Arc::downgrade(frame) };
    let bundle = views.add_table(LiveResult::fixed(rows(1)), hold, Value::Null);
    (bundle.data[LIVE_MIME]["view"].as_str().unwrap().to_owned(), Arc::downgrade(&held))
}

/// Whether it is let go soon: a session may be at its end just now.
fn is_let_go(held: &Weak<()>) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while held.strong_count() > 0 && Instant::now() < deadline {
        thread::park_timeout(Duration::from_millis(5));
    }
    held.strong_count() == 0
}

#[test]
fn a_cell_that_runs_again_lets_go_of_what_it_has_shown() {
    let list = Arc::new(List::default());
    let (views, frame) = (Views::new(list.clone()), Arc::new(()));
    views.cell_began(1, Some("a"));
    let (first, first_held) = show(&views, &frame);
    views.cell_began(2, Some("b"));
    let (_, other_held) = show(&views, &frame);
    views.open("c", &json!({"version": 1, "view": first}));
    views.cell_began(2, Some("b"));
    assert!(first_held.strong_count() > 0 && other_held.strong_count() > 0, "a part of the same run is no other run");
    views.cell_began(3, Some("a"));
    assert_eq!(list.expect("close", |data| data["closed"].is_object()).0["closed"]["reason"], "unknown");
    assert!(is_let_go(&first_held));
    assert!(other_held.strong_count() > 0);
}

#[test]
fn where_no_page_says_which_cell_it_is_the_newest_go_on_and_what_can_be_shown_again() {
    let views = Views::new(Arc::new(List::default()));
    let kept_frame = Arc::new(());
    let mut held = Vec::new();
    for run in 1..=5 {
        views.cell_began(run, None);
        held.push(show(&views, &Arc::new(())).1);
    }
    let (_, kept) = show(&views, &kept_frame);
    views.cell_began(6, None);
    let counts: Vec<bool> = held.iter().map(|held| held.strong_count() > 0).collect();
    assert_eq!(counts, [false, false, false, true, true]);
    assert!(kept.strong_count() > 0);
}

#[test]
fn what_a_page_has_opened_waits_for_its_cell() {
    let views = Views::new(Arc::new(List::default()));
    views.cell_began(1, None);
    let (view, held) = show(&views, &Arc::new(()));
    views.open("c", &json!({"version": 1, "view": view}));
    views.closed("c");
    for run in 2..6 {
        views.cell_began(run, None);
        let _shown = show(&views, &Arc::new(()));
    }
    assert!(held.strong_count() > 0);
}
