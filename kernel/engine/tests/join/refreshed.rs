//! A look-up in a frame that is read anew.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{Clock, ManualClock, Mode, Options, PartitionRows, Pipeline, Query};
use plan::{Plan, Refreshed, asof, refreshed, within};
use polars::prelude::*;

use crate::common::frames::{join_stream, union};
use crate::log::{Row, bare, stream, table};

/// What the frame is, and how often it was read.
#[derive(Clone)]
struct Desk(Arc<(Mutex<PolarsResult<DataFrame>>, AtomicUsize)>);

impl Desk {
    fn new(names: [&str; 2]) -> Desk {
        Desk(Arc::new((Mutex::new(Ok(keys(names))), AtomicUsize::new(0))))
    }

    fn refreshed(&self, every: &str) -> Refreshed {
        let desk = self.clone();
        refreshed(every, move || {
            desk.0.1.fetch_add(1, Ordering::Relaxed);
            desk.0.0.lock().unwrap().clone()
        })
    }

    fn put(&self, frame: PolarsResult<DataFrame>) {
        *self.0.0.lock().unwrap() = frame;
    }

    fn reads(&self) -> usize {
        self.0.1.load(Ordering::Relaxed)
    }
}

fn keys(names: [&str; 2]) -> DataFrame {
    df!["id" => ["key 0", "key 1"], "name" => names].unwrap()
}

fn joined(desk: &Desk) -> Plan {
    bare(&[], false).0.join(desk.refreshed("10m"), &[col("key")], &[col("id")], &JoinType::Left).unwrap()
}

/// A query's pipeline, and a clock to set.
struct Running(Pipeline, Arc<ManualClock>);

impl Running {
    fn new(plan: &Plan) -> Running {
        let clock = Arc::new(ManualClock::default());
        let seen: Arc<dyn Clock> = clock.clone();
        Running(
            Pipeline::new(plan, std::slice::from_ref(table(&[], false).schema()), Mode::Stream, &seen).unwrap(),
            clock,
        )
    }

    /// The names that a row of each key gets, and why they may be old.
    fn batch(&mut self) -> (Vec<String>, Option<String>) {
        let row = |n: i64| Row { partition: 0, time: Some(n), key: Some(n as u8), rank: None, number: n };
        // Two partitions are one batch.
        let parts = [0, 1].map(|partition| PartitionRows {
            partition: partition.into(),
            rows: table(&[row(i64::from(partition))], false),
            newest_ms: None,
        });
        let output = self.0.execute(parts.into()).unwrap();
        let names = output.changes.rows.column("name").unwrap().str().unwrap().clone();
        (names.iter().map(|name| name.unwrap().to_owned()).collect(), output.stale)
    }
}

#[test]
fn a_frame_is_read_anew_when_it_is_due_and_not_before() {
    let desk = Desk::new(["ann", "bob"]);
    let mut running = Running::new(&joined(&desk));
    assert_eq!(desk.reads(), 1);
    desk.put(Ok(keys(["anna", "bob"])));
    assert_eq!(running.batch().0, ["anna", "bob"], "the first batch of a query reads it");
    desk.put(Ok(keys(["annie", "rob"])));
    running.1.advance(Duration::from_secs(599));
    assert_eq!(running.batch().0, ["anna", "bob"]);
    assert_eq!(desk.reads(), 2);
    running.1.advance(Duration::from_secs(1));
    assert_eq!(running.batch().0, ["annie", "rob"]);
    assert_eq!(desk.reads(), 3);
}

#[test]
fn a_frame_that_cannot_be_read_leaves_the_one_before_and_is_told_until_it_can() {
    let desk = Desk::new(["ann", "bob"]);
    let mut running = Running::new(&joined(&desk));
    assert_eq!(running.batch(), (vec!["ann".to_owned(), "bob".to_owned()], None));
    desk.put(Err(polars_err!(ComputeError: "the disk is away")));
    running.1.advance(Duration::from_secs(600));
    let (names, stale) = running.batch();
    assert_eq!(names, ["ann", "bob"]);
    let stale = stale.unwrap();
    assert!(stale.contains("the disk is away") && stale.contains("tried again in 600s"), "{stale}");
    assert!(running.batch().1.is_some(), "it is told as long as the frame is old");
    desk.put(Ok(keys(["anna", "bob"])));
    running.1.advance(Duration::from_secs(600));
    assert_eq!(running.batch(), (vec!["anna".to_owned(), "bob".to_owned()], None));
}

#[test]
fn other_columns_are_refused_by_name() {
    let desk = Desk::new(["ann", "bob"]);
    let mut running = Running::new(&joined(&desk));
    running.batch();
    let mut refused = |frame: DataFrame| {
        desk.put(Ok(frame));
        running.1.advance(Duration::from_secs(600));
        let (names, stale) = running.batch();
        assert_eq!(names, ["ann", "bob"]);
        stale.unwrap()
    };
    assert!(refused(keys(["a", "b"]).drop("name").unwrap()).contains("there is no column \"name\" any more"));
    let numbers = df!["id" => ["key 0", "key 1"], "name" => [1i32, 2]].unwrap();
    assert!(refused(numbers).contains("column \"name\" is i32 now, and was str"));
    let more = df!["id" => ["key 0"], "name" => ["a"], "age" => [1]].unwrap();
    assert!(refused(more).contains("a new column, \"age\""));
    // Another order of the same columns is none.
    let turned = keys(["anna", "bob"]).select(["name", "id"]).unwrap();
    desk.put(Ok(turned));
    running.1.advance(Duration::from_secs(600));
    assert_eq!(running.batch(), (vec!["anna".to_owned(), "bob".to_owned()], None));
}

#[test]
fn a_query_tells_in_its_status_that_the_frame_is_old() {
    let desk = Desk::new(["ann", "bob"]);
    let plan = joined(&desk);
    desk.put(Err(polars_err!(ComputeError: "the disk is away")));
    let rows: Vec<Row> =
        (0..4).map(|n| Row { partition: 0, time: Some(n), key: Some(0), rank: None, number: n }).collect();
    let options = Options { trigger: engine::Trigger::AvailableNow, ..Options::default() };
    let query = Query::start("lookup", &plan, bare(&rows, false).1, options).unwrap();
    assert!(query.await_termination(Duration::from_secs(30)));
    assert!(query.status().stale.unwrap().contains("the disk is away"));
    assert_eq!(query.result().frame().height(), 4);
}

#[test]
fn the_plan_names_the_refresh_and_not_how_many_rows_there_are() {
    let desk = Desk::new(["ann", "bob"]);
    let words = joined(&desk).explain();
    assert!(
        words.contains("LEFT JOIN [col(\"key\")] = [col(\"id\")] WITH ROWS OF [\"id\", \"name\"], READ ANEW EVERY 10m"),
        "{words}"
    );
    desk.put(Ok(keys(["ann", "bob"]).head(Some(1))));
    assert_eq!(joined(&desk).explain(), words);
}

#[test]
fn as_of_a_time_it_is_read_anew_too() {
    let desk = Desk::new(["", ""]);
    let rates = |rate: i64| df!["at" => [0i64, 1], "rate" => [rate, rate]].unwrap();
    desk.put(Ok(rates(1)));
    let plan = bare(&[], false).0.select(&[col("number").alias("t")]).unwrap();
    let plan = plan.join_asof(desk.refreshed("1h"), &[], &[], &asof("t", "at")).unwrap();
    let mut running = Running::new(&plan);
    let mut rate = || {
        let row = Row { partition: 0, time: None, key: None, rank: None, number: 5 };
        let parts = vec![PartitionRows { partition: 0.into(), rows: table(&[row], false), newest_ms: None }];
        running.1.advance(Duration::from_secs(3600));
        running.0.execute(parts).unwrap().changes.rows.column("rate").unwrap().i64().unwrap().get(0)
    };
    assert_eq!(rate(), Some(1));
    desk.put(Ok(rates(2)));
    assert_eq!(rate(), Some(2));
}

#[test]
fn a_frame_that_cannot_be_read_at_first_or_has_no_interval_is_refused() {
    let plan = bare(&[], false).0;
    let key = [col("key")];
    let refused = |frame: Refreshed| plan.join(frame, &key, &[col("id")], &JoinType::Left).err().unwrap().to_string();
    let desk = Desk::new(["ann", "bob"]);
    assert!(refused(desk.refreshed("now and then")).contains("is not a duration"));
    desk.put(Err(polars_err!(ComputeError: "the disk is away")));
    assert!(refused(desk.refreshed("10m")).contains("the disk is away"));
    assert!(refused(refreshed("10m", || panic!("no such luck"))).contains("panicked: no such luck"));
}

#[test]
fn it_comes_after_a_union_or_a_join_of_streams() {
    let desk = Desk::new(["ann", "bob"]);
    let looked = (joined(&desk), bare(&[], false).1);
    let refused = union(&[looked.clone(), looked.clone()]).err().unwrap().to_string();
    assert!(refused.contains("Union the rows first"), "{refused}");
    let key = [col("key")];
    let other = stream(&[], true);
    let refused = join_stream(&looked, &other, (&key, &key), &JoinType::Inner, &within("time", "time", "1s"));
    assert!(refused.err().unwrap().to_string().contains("Join or unite the streams first"));
}

#[test]
fn keys_that_come_to_be_there_twice_are_refused_where_rows_change() {
    let desk = Desk::new(["ann", "bob"]);
    let counted = bare(&[], false).0.group_by(&[col("key")], &[len().alias("n")]).unwrap();
    let plan = counted.join(desk.refreshed("10m"), &[col("key")], &[col("id")], &JoinType::Left).unwrap();
    desk.put(Ok(df!["id" => ["key 0", "key 0"], "name" => ["a", "b"]].unwrap()));
    let (_, stale) = Running::new(&plan).batch();
    assert!(stale.unwrap().contains("several rows for one key"));
}
