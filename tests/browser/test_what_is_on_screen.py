"""What the screen shows is right, and what a stranger wrote into a topic is text."""

import json

from kafka import KafkaProducer
from page import Notebook

MERCHANT = '<img src=x onerror="window.broken_in = true">'

TOTALS = """
let hourly = txns.group_by_dynamic(col("event_time"), [col("card_type")], tumbling("1d"))
    .agg([len().alias("n"), col("amount").sum().alias("total")]);
hourly
"""

# The same by Polars over the rows themselves, one line of JSON a row.
REFERENCE = """
let reference = txns.collect()?.lazy()
    .group_by([col("event_time").dt().truncate(lit("1d")), col("card_type")])
    .agg([len().alias("n"), col("amount").sum().alias("total")])
    .collect()?;
for row in 0..reference.height() {
    let cell = |name: &str| reference.column(name).unwrap().get(row).unwrap().to_string().replace('"', "");
    println!("{{\\"card_type\\": \\"{}\\", \\"n\\": \\"{}\\", \\"total\\": \\"{}\\"}}", cell("card_type"), cell("n"), cell("total"));
}
"""


def test_totals_on_screen_equal_polars_once_the_producer_has_stopped(chromium, demo):
    demo.write(
        "totals.ipynb",
        "let mut bank = demo::bank()?;",
        'let txns = read_kafka(bank.bootstrap()).topic("transactions").json()?;',
        TOTALS,
        'let produced = bank.stop();\neprintln!("{produced} produced");',
        REFERENCE,
    )
    notebook = Notebook(chromium, demo, "totals.ipynb")
    try:
        notebook.run_all()
        assert notebook.errors() == []
        expected = {(row["card_type"], row["n"], row["total"]) for row in map(json.loads, notebook.printed().splitlines())}
        assert expected

        def on_screen():
            text = notebook.show("table").inner_text().replace(",", "").replace("\u202f", "").split()
            return [row for row in expected if not all(part in text for word in row for part in word.split())]

        notebook.poll(on_screen, lambda missing: not missing, 20, f"table with all of {sorted(expected)}")
        assert notebook.number(notebook.show("table"), "rows") == len(expected)
    finally:
        notebook.close()
        demo.end_sessions()


def test_html_in_a_record_is_shown_as_text(chromium, demo):
    demo.write(
        "stranger.ipynb",
        "let bank = demo::bank()?;\nprintln!(\"{}\", bank.bootstrap());",
        'let txns = read_kafka(bank.bootstrap()).topic("transactions").json()?;\n'
        'txns.filter(col("merchant").str().contains_literal(lit("onerror")))',
        'df!("merchant" => [r#"' + MERCHANT + '"#])?',
    )
    notebook = Notebook(chromium, demo, "stranger.ipynb")
    try:
        notebook.run_all()
        assert notebook.errors() == []
        record = {
            "txn_id": 1, "account_id": 1, "card_type": "debit", "merchant": MERCHANT, "category": MERCHANT, "amount": 1.00,
            "currency": "EUR", "country": "ES", "channel": "online", "status": "approved", "event_time": 1_800_000_000_000,
        }  # fmt: skip
        sample = notebook.printed().strip()
        producer = KafkaProducer(bootstrap_servers=sample)
        line = json.dumps(record).replace('"amount": 1.0,', '"amount": 1.00,')
        producer.send("transactions", line.encode()).get(timeout=20)
        producer.close()
        view = notebook.show("table")
        notebook.poll(view.inner_text, lambda text: "onerror" in text, 20, "merchant as text")
        notebook.page.wait_for_timeout(500)
        assert notebook.page.evaluate("window.broken_in") is None
        assert notebook.page.locator('img[src="x"]').count() == 0
    finally:
        notebook.close()
        demo.end_sessions()
