//! SQL and words give one plan: each query beside the words that mean the same, and what cannot be streamed beside its refusal.
#![allow(clippy::unwrap_used, missing_docs)]

use plan::{Plan, PlanError, Scan, SqlTable, Window, hopping, session, sql, tumbling};
use polars::prelude::*;

fn time() -> DataType {
    DataType::Datetime(TimeUnit::Milliseconds, None)
}

/// A topic's frame, without a watermark.
fn topic(name: &str) -> Plan {
    let fields = [
        ("event_time", time()),
        ("card", DataType::String),
        ("account_id", DataType::Int64),
        ("category", DataType::String),
        ("amount", DataType::Float64),
        ("status", DataType::String),
    ];
    let schema = Schema::from_iter(fields.map(|(name, dtype)| Field::new(name.into(), dtype)));
    Plan::scan(Scan::new("kafka", schema.into()).topic(name))
}

fn txns() -> Plan {
    topic("transactions").with_watermark("event_time", "30s").unwrap()
}

fn customers() -> DataFrame {
    df!["id" => [1i64, 2, 3], "name" => ["Ada", "Ben", "Cy"], "category" => ["gold", "blue", "blue"]].unwrap()
}

fn limits() -> DataFrame {
    df!["highest" => [500.0]].unwrap()
}

fn asked(query: &str) -> Result<Plan, PlanError> {
    let refunds = topic("refunds").with_watermark("event_time", "1m").unwrap();
    let tables = [
        ("txns".to_owned(), SqlTable::Stream(txns())),
        ("refunds".to_owned(), SqlTable::Stream(refunds)),
        ("customers".to_owned(), SqlTable::Still(customers())),
        ("limits".to_owned(), SqlTable::Still(limits())),
    ];
    sql(query, &tables)
}

fn united(frames: &[Plan]) -> Plan {
    Plan::union(frames).unwrap()
}

#[track_caller]
fn same(query: &str, words: Result<Plan, PlanError>) {
    let found = asked(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let words = words.unwrap();
    assert_eq!(found.explain(), words.explain(), "{query}");
    assert_eq!(found.schema(), words.schema(), "{query}");
}

#[track_caller]
fn refuses(query: &str, words: &[&str]) {
    let error = match asked(query) {
        Ok(plan) => panic!("{query} is taken:\n{}", plan.explain()),
        Err(error) => error.to_string(),
    };
    for word in words {
        assert!(error.contains(word), "{query}: \"{word}\" is not in: {error}");
    }
}

/// SQL's sum, which is null where there is no value.
fn sum(of: &str) -> Expr {
    when(col(of).count().gt(lit(0))).then(col(of).sum()).otherwise(lit(NULL))
}

fn total() -> [Expr; 2] {
    [len().alias("n"), sum("amount").alias("total")]
}

fn windows(window: &Window) -> Result<Plan, PlanError> {
    txns().group_by_dynamic(&col("event_time"), &[col("category")], window, &total())
}

#[test]
fn rows_are_selected_and_filtered() {
    same("SELECT * FROM txns", Ok(txns()));
    same("FROM txns", Ok(txns()));
    same("SELECT card, amount FROM txns", txns().select(&[col("card"), col("amount")]));
    same("SELECT * EXCLUDE (status, card) FROM txns", txns().drop(&["status", "card"]));
    same("SELECT amount * 2 AS double FROM txns", txns().select(&[(col("amount") * lit(2)).alias("double")]));
    same("SELECT * FROM txns WHERE amount > 50", txns().filter(col("amount").gt(lit(50))));
    same("SELECT * FROM txns t WHERE t.status = 'approved'", txns().filter(col("status").eq(lit("approved"))));
    same(
        "SELECT upper(card) AS card FROM (SELECT * FROM txns WHERE amount > 50) big",
        txns().filter(col("amount").gt(lit(50))).unwrap().select(&[col("card").str().to_uppercase().alias("card")]),
    );
    same(
        "WITH big AS (SELECT * FROM txns WHERE amount > 50) SELECT card FROM big WHERE category = 'food'",
        txns()
            .filter(col("amount").gt(lit(50)))
            .and_then(|big| big.filter(col("category").eq(lit("food"))))
            .and_then(|food| food.select(&[col("card")])),
    );
    let two = lit(Series::new("".into(), [1i64, 2])).implode(false);
    same("SELECT * FROM txns WHERE account_id IN (1, 2)", txns().filter(col("account_id").is_in(two, false)));
    let far = |last: i32| {
        asked(&format!("SELECT * FROM txns WHERE account_id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, {last})"))
    };
    assert_ne!(far(14).unwrap().explain(), far(15).unwrap().explain(), "what is looked for is in the words");
    same("SELECT * FROM txns LIMIT 10", txns().limit(10));
    same("SELECT DISTINCT category FROM txns", txns().select(&[col("category")]).unwrap().unique(None));
    same("SELECT DISTINCT ON (card) * FROM txns", txns().unique(Some(&["card"])));
    same(
        "SELECT DATE_TRUNC('minute', event_time) AS minute FROM txns",
        txns().select(&[col("event_time").dt().truncate(lit("1m")).alias("minute")]),
    );
}

#[test]
fn values_alone_are_there_once_a_row() {
    let one = lit(1).alias("one");
    same("SELECT 1 AS one FROM txns", txns().with_columns(&[one]).unwrap().select(&[col("one")]));
}

#[test]
fn rows_are_grouped() {
    let by = [col("category")];
    same(
        "SELECT category, COUNT(*) AS n, SUM(amount) AS total FROM txns GROUP BY category",
        txns().group_by(&by, &total()),
    );
    same("SELECT category, COUNT(*) AS n, SUM(amount) AS total FROM txns GROUP BY 1", txns().group_by(&by, &total()));
    same("SELECT COUNT(*) AS n, SUM(amount) AS total FROM txns", txns().group_by(&[], &total()));
    same(
        "SELECT COUNT(*) AS n, category FROM txns GROUP BY category",
        txns().group_by(&by, &[len().alias("n")]).unwrap().select(&[col("n"), col("category")]),
    );
    same(
        "SELECT category, SUM(amount) AS total FROM txns WHERE status = 'approved' GROUP BY category HAVING SUM(amount) > 100 AND category <> 'food'",
        txns()
            .filter(col("status").eq(lit("approved")))
            .and_then(|plan| plan.group_by(&by, &[sum("amount").alias("total")]))
            .and_then(|plan| plan.filter(col("total").gt(lit(100)).and(col("category").eq(lit("food")).not()))),
    );
    same(
        "SELECT category FROM txns GROUP BY category HAVING COUNT(*) > 3",
        txns()
            .group_by(&by, &[len().alias("having 0")])
            .and_then(|plan| plan.filter(col("having 0").gt(lit(3))))
            .and_then(|plan| plan.select(&by)),
    );
    same(
        "SELECT MAX(total) AS most FROM (SELECT category, SUM(amount) AS total FROM txns GROUP BY category)",
        txns()
            .group_by(&by, &[sum("amount").alias("total")])
            .and_then(|plan| plan.group_by(&[], &[col("total").max().alias("most")])),
    );
}

#[test]
fn a_key_that_cuts_time_makes_windows() {
    let query = |window: &str| {
        format!(
            "SELECT category, event_time, COUNT(*) AS n, SUM(amount) AS total FROM txns GROUP BY category, {window}"
        )
    };
    same(&query("tumbling(event_time, '10s')"), windows(&tumbling("10s")));
    same(&query("hopping(event_time, '1m', '10s')"), windows(&hopping("1m", "10s")));
    same(&query("session(event_time, '5m')"), windows(&session("5m")));
    let unit = |unit: &str| {
        format!(
            "SELECT category, DATE_TRUNC('{unit}', event_time) AS unit, COUNT(*) AS n, SUM(amount) AS total FROM txns GROUP BY category, unit"
        )
    };
    for (word, length) in [("minute", "1m"), ("months", "1mo"), ("WEEK", "1w")] {
        same(&unit(word), windows(&tumbling(length)).unwrap().rename(&["event_time"], &["unit"]));
    }
    same(
        "SELECT category, tumbling(event_time, '10s') AS start, COUNT(*) AS n, SUM(amount) AS total FROM txns GROUP BY category, start",
        windows(&tumbling("10s")).unwrap().rename(&["event_time"], &["start"]),
    );
    same(
        "SELECT category, tumbling(event_time, '10s') AS start, COUNT(*) AS n, SUM(amount) AS total FROM txns GROUP BY category, tumbling(event_time, '10s') HAVING COUNT(*) > 1",
        windows(&tumbling("10s"))
            .and_then(|plan| plan.filter(col("n").gt(lit(1))))
            .and_then(|plan| plan.rename(&["event_time"], &["start"])),
    );
}

#[test]
fn an_order_keeps_the_first_rows() {
    let most = SortMultipleOptions::default();
    same("SELECT * FROM txns ORDER BY amount DESC NULLS LAST LIMIT 3", txns().top_k(3, &[col("amount")], &most));
    same(
        "SELECT card, amount AS spent FROM txns ORDER BY amount DESC NULLS LAST LIMIT 3",
        txns().select(&[col("card"), col("amount").alias("spent")]).unwrap().top_k(3, &[col("spent")], &most),
    );
    same(
        "SELECT category, COUNT(*) AS n, SUM(amount) AS total FROM txns GROUP BY category ORDER BY total",
        txns()
            .group_by(&[col("category")], &total())
            .unwrap()
            .sort(&[col("total")], &most.clone().with_nulls_last(true)),
    );
}

#[test]
fn rows_are_looked_up_in_a_frame() {
    // The frame as SQL calls its columns, and beside them what rows are looked up by.
    let known = |key: &str| {
        let columns = [col("id"), col("name"), col("category").alias("category:c"), col(key).alias("on 0")];
        customers().lazy().select(columns).collect().unwrap()
    };
    let looked_up = |how: JoinType| txns().join(known("id"), &[col("account_id")], &[col("on 0")], &how);
    let selected = [col("card"), col("name"), col("category:c").alias("class")];
    let select = "SELECT t.card, c.name, c.category AS class FROM txns t";
    same(
        &format!("{select} JOIN customers c ON t.account_id = c.id"),
        looked_up(JoinType::Inner).unwrap().select(&selected),
    );
    same(
        &format!("{select} LEFT JOIN customers c ON t.account_id = c.id"),
        looked_up(JoinType::Left).unwrap().select(&selected),
    );
    same(
        "SELECT card FROM txns WHERE account_id IN (SELECT id FROM customers WHERE name <> 'Ben')",
        txns()
            .join(
                customers().lazy().filter(col("name").neq(lit("Ben"))).collect().unwrap(),
                &[col("account_id")],
                &[col("id")],
                &JoinType::Semi,
            )
            .and_then(|plan| plan.select(&[col("card")])),
    );
    let joined =
        asked("SELECT c.name, t.category, c.category AS class FROM customers c JOIN txns t ON c.id = t.account_id");
    assert_eq!(
        joined.unwrap().schema().iter_names().map(PlSmallStr::as_str).collect::<Vec<_>>(),
        ["name", "category", "class"]
    );
    let missing = asked("SELECT card FROM txns WHERE account_id NOT IN (SELECT id FROM customers)").unwrap();
    assert_eq!(
        missing.explain(),
        asked("SELECT card FROM txns WHERE account_id NOT IN (SELECT id FROM customers)").unwrap().explain()
    );
}

#[test]
fn a_value_from_a_frame_is_known_at_once() {
    let words = asked("SELECT t.card FROM txns t CROSS JOIN limits l WHERE t.amount > l.highest").unwrap().explain();
    assert!(words.contains("500.0") && words.contains("FILTER"), "{words}");
}

#[test]
fn streams_are_united() {
    let bare = [topic("transactions"), topic("refunds")];
    same("SELECT * FROM txns UNION ALL SELECT * FROM refunds", united(&bare).with_watermark("event_time", "1m"));
    let cards = bare.map(|plan| plan.select(&[col("card")]).unwrap());
    same("SELECT card FROM txns UNION ALL SELECT card FROM refunds", Ok(united(&cards)));
    same("SELECT card FROM txns UNION SELECT card FROM refunds", united(&cards).unique(None));
}

#[test]
fn what_is_not_there_is_named() {
    refuses(
        "SELECT * FROM txn",
        &["sql: there is no table \"txn\"", "did you mean \"txns\"", "register(\"…\", &frame)"],
    );
    refuses("SELECT nothing FROM txns", &["nothing"]);
    refuses("SELEC * FROM txns", &["sql: ", "parse"]);
    refuses("SELECT * FROM customers", &["the query reads no stream"]);
    refuses("SELECT soon(card) FROM txns", &["unsupported function 'soon'"]);
    refuses("SELECT COLUMNS('^(.*$') FROM txns", &["sql: "]);
    refuses("SELECT category, COUNT(*) FROM txns GROUP BY 0", &["sql: "]);
    refuses("SELECT card FROM txns; SELECT card FROM txns", &["sql: ", "statement can be parsed"]);
    refuses("", &["sql: "]);
}

#[test]
fn what_has_no_end_is_refused_with_the_way_to_do_it() {
    refuses("SELECT * FROM txns ORDER BY amount", &["sql: ORDER BY has no end on a stream", "LIMIT 10"]);
    refuses("SELECT * FROM txns LIMIT 10 OFFSET 5", &["OFFSET passes over rows", "Leave it out"]);
    refuses("SELECT card FROM txns ORDER BY amount LIMIT 3", &["in the order of \"amount\"", "after SELECT too"]);
    refuses("SELECT SUM(amount) OVER (PARTITION BY card) AS total FROM txns", &["needs more than one row", "GROUP BY"]);
    refuses("SELECT card, SUM(amount) AS total FROM txns", &["beside an aggregate", "GROUP BY"]);
    refuses("SELECT * FROM txns t JOIN refunds r ON t.card = r.card", &["no bound of time", "join_stream", "within"]);
    refuses("SELECT * FROM customers c LEFT JOIN txns t ON c.id = t.account_id", &["LEFT JOIN", "stream first"]);
    refuses("SELECT * FROM txns CROSS JOIN customers", &["CROSS JOIN", "3 times", "equal"]);
    refuses("SELECT card FROM txns UNION ALL SELECT name FROM customers", &["UNION", "JOIN"]);
    refuses("SELECT card FROM txns EXCEPT SELECT name FROM customers", &["EXCEPT", "NOT IN"]);
    refuses(
        "SELECT card FROM txns WHERE card IN (SELECT card FROM refunds GROUP BY card)",
        &["reads a stream", "stands still"],
    );
    refuses(
        "SELECT category, COUNT(*) FROM txns GROUP BY category LIMIT 3",
        &["limit", "the rows of an aggregation change"],
    );
    refuses("SELECT DISTINCT ON (card) * FROM txns ORDER BY amount", &["DISTINCT ON", "ORDER BY"]);
}

#[test]
fn a_window_that_is_none_is_refused() {
    let query = |window: &str| format!("SELECT COUNT(*) AS n FROM txns GROUP BY {window}");
    refuses(&query("tumbling(card, '10s')"), &["column \"card\" is str", "a datetime is needed"]);
    refuses(&query("tumbling(event_time, 'soon')"), &["\"soon\" is not a duration"]);
    refuses(&query("tumbling(event_time)"), &["tumbling(event_time, '10s')"]);
    refuses(&query("DATE_TRUNC('moon', event_time)"), &["no unit 'moon'", "'minute'"]);
    let two = "SELECT tumbling(event_time, '10s') AS a, hopping(event_time, '1m', '10s') AS b, COUNT(*) AS n FROM txns GROUP BY a, b";
    refuses(two, &["two windows"]);
    refuses("SELECT session(event_time, '5m') AS start FROM txns", &["Write them in GROUP BY"]);
}
