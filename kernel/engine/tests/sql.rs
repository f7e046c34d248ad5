//! SQL over a stream gives what Polars' own SQL gives over the same rows at rest.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::sync::Arc;

use engine::{Connectors, OpenSource, collect};
use plan::{Plan, SqlTable, sql};
use polars::prelude::*;
use polars::sql::SQLContext;

/// Rows that are handed out at a time, so that a query sees several batches.
const BATCH: usize = 17;

/// Rows with nulls, empty texts and the same values often. The amounts are quarters, so that sums are exact.
fn rows(count: i64) -> DataFrame {
    let at = |n: i64, of: i64| (n * 7 + n * n) % of;
    let frame = df![
        "event_time" => (0..count).map(|n| 1_700_000_000_000 + n * 700 - at(n, 5) * 300).collect::<Vec<_>>(),
        "card" => (0..count).map(|n| (at(n, 9) != 8).then(|| format!("card {}", at(n, 9)))).collect::<Vec<_>>(),
        "account_id" => (0..count).map(|n| n % 6).collect::<Vec<_>>(),
        "category" => (0..count).map(|n| ["food", "fuel", ""][(n % 3) as usize]).collect::<Vec<_>>(),
        "amount" => (0..count).map(|n| (at(n, 11) != 0).then(|| at(n, 400) as f64 / 4.0)).collect::<Vec<_>>(),
    ];
    let time = col("event_time").cast(DataType::Datetime(TimeUnit::Milliseconds, None));
    frame.unwrap().lazy().with_columns([time]).collect().unwrap()
}

fn customers() -> DataFrame {
    df!["id" => [Some(1i64), Some(2), Some(3), None], "name" => ["Ada", "Ben", "Cy", "Nobody"], "category" => ["a", "b", "c", "d"]].unwrap()
}

fn stream(connectors: &Connectors, name: &str, rows: DataFrame) -> SqlTable {
    let plan = Plan::source(name, rows.schema().clone());
    let open: OpenSource = common::log::open(vec![rows], BATCH);
    connectors.register(name, Arc::new(move |_, columns| open(columns)));
    SqlTable::Stream(plan.with_watermark("event_time", "1s").unwrap())
}

/// The rows sorted by all columns, for a result of a stream has no order of its own.
fn sorted(frame: &DataFrame) -> DataFrame {
    let names: Vec<PlSmallStr> = frame.schema().iter_names().cloned().collect();
    frame.sort(names, SortMultipleOptions::default()).unwrap()
}

fn streamed(query: &str) -> DataFrame {
    let connectors = Connectors::default();
    let tables = [
        ("txns".to_owned(), stream(&connectors, "txns", rows(200))),
        ("refunds".to_owned(), stream(&connectors, "refunds", rows(30))),
        ("customers".to_owned(), SqlTable::Still(customers())),
    ];
    let plan = sql(query, &tables).unwrap_or_else(|error| panic!("{query}: {error}"));
    collect(&plan, &connectors.open(&plan), |_| true).unwrap_or_else(|error| panic!("{query}: {error}")).frame
}

#[track_caller]
fn same(query: &str) {
    let mut context = SQLContext::new();
    context.register("txns", rows(200).lazy());
    context.register("refunds", rows(30).lazy());
    context.register("customers", customers().lazy());
    let expected = context.execute(query).unwrap().collect().unwrap();
    let found = streamed(query);
    assert_eq!(found.schema(), expected.schema(), "{query}");
    assert!(sorted(&found).equals_missing(&sorted(&expected)), "{query}:\n{found}\nand not\n{expected}");
    assert!(expected.height() > 0, "{query} asks for nothing");
}

#[test]
fn queries_on_rows_are_those_of_polars() {
    same("SELECT * FROM txns");
    same("SELECT card, amount * 2 AS double, UPPER(category) AS loud FROM txns WHERE amount > 20 OR amount IS NULL");
    same("SELECT 1 AS one, 'x' AS x FROM txns");
    same("SELECT CASE WHEN amount > 50 THEN 'large' ELSE 'small' END AS size, COALESCE(card, '?') AS card FROM txns");
    same("SELECT DISTINCT category, account_id FROM txns");
    same("SELECT EXTRACT(minute FROM event_time) AS minute FROM txns WHERE card LIKE 'card _' AND category <> ''");
    same(
        "WITH big AS (SELECT * FROM txns WHERE amount > 50) SELECT b.card, b.amount / 2 AS half FROM big b WHERE b.account_id IN (1, 2)",
    );
    same("SELECT card FROM txns UNION ALL SELECT card FROM refunds");
    same("SELECT account_id FROM txns UNION SELECT account_id FROM refunds");
}

#[test]
fn aggregations_are_those_of_polars() {
    same(
        "SELECT category, COUNT(*) AS n, COUNT(amount) AS known, SUM(amount) AS total, AVG(amount) AS mean, MIN(card) AS first FROM txns GROUP BY category",
    );
    same("SELECT COUNT(*) AS n, MAX(amount) AS most, COUNT(DISTINCT card) AS cards FROM txns WHERE account_id > 1");
    same(
        "SELECT category, account_id % 2 AS odd, SUM(amount) AS total FROM txns GROUP BY category, account_id % 2 HAVING SUM(amount) > 500",
    );
    same("SELECT card FROM txns GROUP BY card HAVING COUNT(*) > 20");
    same("SELECT SUM(CASE WHEN amount > 50 THEN 1 ELSE 0 END) AS large, category FROM txns GROUP BY category");
    same(
        "SELECT MAX(total) AS most, COUNT(*) AS groups FROM (SELECT card, SUM(amount) AS total FROM txns GROUP BY card)",
    );
    same("SELECT account_id FROM txns GROUP BY account_id");
    same("SELECT card, MEDIAN(amount) AS median, QUANTILE_CONT(amount, 0.9) AS ninth FROM txns GROUP BY card");
    same("SELECT ROUND(STDDEV(amount), 6) AS spread, FIRST(category) AS first, category FROM txns GROUP BY category");
    same(
        "SELECT account_id AS id, COUNT(*) AS n FROM txns GROUP BY ALL HAVING MAX(amount) - MIN(amount) > 10 OR COUNT(card) > 5",
    );
    same("SELECT 2 * SUM(amount) + COUNT(*) AS score, category || '!' AS loud FROM txns GROUP BY category");
}

#[test]
fn orders_are_those_of_polars() {
    let ordered = |query: &str| {
        let mut context = SQLContext::new();
        context.register("txns", rows(200).lazy());
        context.register("customers", customers().lazy());
        let expected = context.execute(query).unwrap().collect().unwrap();
        let found = streamed(query);
        assert!(found.equals_missing(&expected), "{query}:\n{found}\nand not\n{expected}");
    };
    ordered("SELECT event_time, amount FROM txns ORDER BY amount DESC NULLS LAST, event_time LIMIT 7");
    ordered("SELECT event_time, amount AS spent FROM txns WHERE amount < 30 ORDER BY amount, event_time DESC LIMIT 7");
    ordered("SELECT category, COUNT(*) AS n FROM txns GROUP BY category ORDER BY category DESC");
    ordered(
        "SELECT category, account_id, SUM(amount) AS total FROM txns GROUP BY category, account_id ORDER BY total DESC NULLS LAST, account_id, category LIMIT 4",
    );
    ordered(
        "SELECT c.name, COUNT(*) AS n FROM txns t JOIN customers c ON t.account_id = c.id GROUP BY c.name ORDER BY c.name LIMIT 2",
    );
    ordered(
        "WITH spent AS (SELECT card, SUM(amount) AS total FROM txns GROUP BY card) SELECT card, total / 2 AS half FROM spent WHERE total > 10 ORDER BY half DESC, card LIMIT 3",
    );
    ordered("SELECT DISTINCT account_id FROM txns ORDER BY account_id LIMIT 3");
}

#[test]
fn joins_of_aggregates_are_those_of_polars() {
    let spent = "(SELECT card, SUM(amount) AS total FROM txns GROUP BY card) a";
    let refunded = "(SELECT card, COUNT(*) AS n FROM refunds GROUP BY card) b";
    same(&format!("SELECT a.card, a.total, b.n FROM {spent} JOIN {refunded} ON a.card = b.card"));
    same(&format!("SELECT a.card, a.total, b.card AS other, b.n FROM {spent} LEFT JOIN {refunded} ON a.card = b.card"));
    same(&format!(
        "SELECT a.card, a.total, b.n FROM {spent} FULL JOIN {refunded} ON a.card = b.card WHERE b.n IS NULL OR b.n > 2"
    ));
    same(&format!("SELECT COUNT(*) AS pairs, SUM(b.n) AS refunds FROM {spent} JOIN {refunded} ON a.card = b.card"));
    same(&format!("SELECT a.total FROM {spent} SEMI JOIN {refunded} ON a.card = b.card"));
    same(&format!("SELECT t.card, t.amount, b.n FROM txns t JOIN {refunded} ON t.card = b.card"));
    same(&format!(
        "SELECT a.card, b.n, c.least FROM {spent} JOIN {refunded} ON a.card = b.card JOIN (SELECT card, MIN(amount) AS least FROM txns GROUP BY card) c ON a.card = c.card"
    ));
}

#[test]
fn joins_with_a_frame_are_those_of_polars() {
    same("SELECT t.card, c.name, c.category AS class, t.category FROM txns t JOIN customers c ON t.account_id = c.id");
    same("SELECT t.card, c.name, c.id FROM txns t LEFT JOIN customers c ON t.account_id = c.id");
    same("SELECT * FROM txns t JOIN customers c ON t.account_id = c.id");
    same("SELECT * FROM txns LEFT JOIN customers ON txns.account_id = customers.id");
    same("SELECT c.name, t.category, c.category AS class FROM customers c JOIN txns t ON c.id = t.account_id");
    same(
        "SELECT t.card, c.name FROM txns t JOIN customers c ON t.account_id = c.id AND t.amount > CAST(c.id AS DOUBLE) * 10",
    );
    same("SELECT t.card FROM txns t, customers c WHERE t.account_id = c.id AND c.name = 'Ben'");
    same("SELECT c.name, SUM(t.amount) AS total FROM txns t JOIN customers c ON t.account_id = c.id GROUP BY c.name");
    same("SELECT card FROM txns WHERE account_id IN (SELECT id FROM customers WHERE name <> 'Ben')");
    same("SELECT card FROM txns WHERE account_id NOT IN (SELECT id FROM customers WHERE id IS NOT NULL)");
    same("SELECT card FROM txns t WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = t.account_id)");
    same("SELECT card FROM txns t CROSS JOIN (SELECT MAX(id) AS most FROM customers) m WHERE t.account_id = m.most");
}

#[test]
fn windows_are_those_of_group_by_dynamic() {
    let found = streamed(
        "SELECT category, tumbling(event_time, '10s') AS start, COUNT(*) AS n, SUM(amount) AS total FROM txns GROUP BY category, start HAVING COUNT(*) > 2",
    );
    let options = DynamicGroupOptions {
        every: polars::prelude::Duration::parse("10s"),
        period: polars::prelude::Duration::parse("10s"),
        offset: polars::prelude::Duration::parse("0s"),
        ..Default::default()
    };
    let expected = rows(200)
        .lazy()
        .sort(["event_time"], Default::default())
        .group_by_dynamic(col("event_time"), [col("category")], options)
        .agg([len().alias("n"), col("amount").sum().alias("total")])
        .filter(col("n").gt(lit(2)))
        .rename(["event_time"], ["start"], true)
        .collect()
        .unwrap();
    assert!(sorted(&found).equals_missing(&sorted(&expected)), "{found}\nand not\n{expected}");
    let minutes =
        streamed("SELECT DATE_TRUNC('minute', event_time) AS minute, COUNT(*) AS n FROM txns GROUP BY minute");
    assert_eq!(minutes.column("n").unwrap().as_materialized_series().sum::<u32>().unwrap(), 200);
    assert!(minutes.height() > 1);
}
