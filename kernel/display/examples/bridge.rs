//! A stand-in kernel for trying the page: results fed by hand, comms as JSON lines on stdin and stdout.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]
use base64::Engine as _;
use display::*;
use engine::*;
use polars::prelude::{col, DataFrame, DataType, IntoLazy, NamedFrom, Series, TimeUnit, df, IntoColumn};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::sync::Arc;

struct Out;
impl Port for Out {
    fn send(&self, comm_id: &str, data: Value, buffers: Vec<Vec<u8>>) {
        let b: Vec<String> = buffers.iter().map(|b| base64::engine::general_purpose::STANDARD.encode(b)).collect();
        say(json!({"op": "msg", "comm": comm_id, "data": data, "buffers": b}));
    }
    fn close(&self, comm_id: &str, data: Value) {
        say(json!({"op": "close", "comm": comm_id, "data": data}));
    }
}
fn say(v: Value) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{v}").unwrap();
    out.flush().unwrap();
}
fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}
struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
    fn of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[(self.next() % list.len() as u64) as usize]
    }
}
const CATS: [&str; 8] = ["groceries", "fuel", "travel", "dining", "electronics", "health", "fashion", "utilities"];
fn txns(rng: &mut Rng, n: usize, t: i64) -> DataFrame {
    let amounts: Vec<String> = (0..n).map(|_| format!("{}.{:02}", rng.next() % 400, rng.next() % 100)).collect();
    let mut f = df![
        "txn_id" => (0..n).map(|_| format!("t{:010}", rng.next() % 9_999_999_999)).collect::<Vec<_>>(),
        "account_id" => (0..n).map(|_| (rng.next() % 50_000) as i64 + 100_000).collect::<Vec<_>>(),
        "card_type" => (0..n).map(|_| rng.of(&["debit", "credit", "prepaid"])).collect::<Vec<_>>(),
        "merchant" => (0..n).map(|_| rng.of(&["Mercadona", "Repsol", "Iberia", "El Corte Inglés", "<img src=x onerror=alert(1)>", "Farmacia Sol", "Zara"])).collect::<Vec<_>>(),
        "category" => (0..n).map(|_| rng.of(&CATS)).collect::<Vec<_>>(),
        "amount" => amounts,
        "currency" => (0..n).map(|_| rng.of(&["EUR", "EUR", "EUR", "GBP", "USD"])).collect::<Vec<_>>(),
        "country" => (0..n).map(|_| if rng.next() % 9 == 0 { None } else { Some(rng.of(&["ES", "FR", "PT", "DE"])) }).collect::<Vec<_>>(),
        "channel" => (0..n).map(|_| rng.of(&["chip", "online", "contactless"])).collect::<Vec<_>>(),
        "status" => (0..n).map(|_| rng.of(&["approved", "approved", "approved", "declined", "reversed"])).collect::<Vec<_>>(),
        "event_time" => (0..n).map(|_| t - (rng.next() % 800) as i64).collect::<Vec<_>>(),
    ].unwrap();
    let money = f.column("amount").unwrap().cast(&DataType::Decimal(38, 2)).unwrap();
    f.with_column(money).unwrap();
    let time = f.column("event_time").unwrap().cast(&DataType::Datetime(TimeUnit::Milliseconds, None)).unwrap();
    f.with_column(time).unwrap();
    f
}
fn main() {
    let mut rng = Rng(88172645463325252);
    let status = |name: &str| Status { name: name.into(), fingerprint: "0123456789abcdef".into(), topic: Some("transactions".into()), state: State::Running, ..Status::default() };
    let sample = txns(&mut rng, 1, now());
    let live = LiveResult::new(sample.schema().clone(), status("txns"));
    let totals_of = |t: i64, values: &[f64; 8], n: &[i64; 8]| {
        let mut f = df!["event_time" => vec![t; 8], "category" => CATS.to_vec(), "n" => n.to_vec(), "total" => values.iter().map(|v| format!("{v:.2}")).collect::<Vec<_>>(), "mean" => values.iter().zip(n).map(|(v, n)| v / (*n).max(1) as f64).collect::<Vec<_>>()].unwrap();
        f.with_column(f.column("total").unwrap().cast(&DataType::Decimal(38, 2)).unwrap()).unwrap();
        f.with_column(f.column("event_time").unwrap().cast(&DataType::Datetime(TimeUnit::Milliseconds, None)).unwrap()).unwrap();
        f
    };
    let totals = LiveResult::new(totals_of(0, &[0.0; 8], &[0; 8]).schema().clone(), status("spend"));
    let views = Views::new(Arc::new(Out));
    let (w_live, w_totals) = (live.clone(), totals.clone());
    std::thread::Builder::new().name("writer".into()).spawn(move || {
        let (mut id, mut window, mut values, mut counts, mut windows) = (0u64, 0i64, [0.0; 8], [0i64; 8], 0u64);
        // history: forty windows
        let start = now() / 10_000 * 10_000;
        let mut r = Rng(99);
        for back in (1..=60).rev() {
            let mut v = [0.0; 8];
            let mut c = [0; 8];
            for k in 0..8 { c[k] = 100 + (r.next() % 40) as i64 + (k as i64) * 9; v[k] = c[k] as f64 * (60.0 + 25.0 * k as f64 + 30.0 * ((back as f64) / 7.0 + k as f64).sin()); }
            let f = totals_of(start - back * 10_000, &v, &c);
            let ids: Vec<u64> = (windows * 8..windows * 8 + 8).collect();
            windows += 1;
            w_totals.apply(&Changes { ids, rows: f, deletes: vec![] }, |_| {}).unwrap();
        }
        loop {
            let t = now();
            let n = 20 + (rng.next() % 20) as usize;
            let f = txns(&mut rng, n, t);
            let ids: Vec<u64> = (id..id + n as u64).collect();
            id += n as u64;
            let read = id;
            let update = |s: &mut Status| { s.rows_read = read; s.newest_ms = Some(now() - 3); s.watermark_ms = Some(t - 30_000); s.late_rows = read / 97; s.dead_letters = read / 1000; s.offsets = [(0, (0, read as i64 / 2)), (1, (0, read as i64 / 2))].into(); };
            w_live.apply(&Changes { ids, rows: f, deletes: vec![] }, update).unwrap();
            if t / 10_000 != window { if window != 0 { windows += 1; } window = t / 10_000; values = [0.0; 8]; counts = [0; 8]; }
            for k in 0..8 { counts[k] += (n / 8 + k % 2) as i64; values[k] += n as f64 / 8.0 * (50.0 + 30.0 * k as f64); }
            let ids: Vec<u64> = (windows * 8..windows * 8 + 8).collect();
            w_totals.apply(&Changes { ids, rows: totals_of(window * 10_000, &values, &counts), deletes: vec![] }, update).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(15));
        }
    }).unwrap();
    if let Some(dir) = std::env::args().nth(1) {
        return dump(&views, &live, &totals, &dir);
    }
    for line in std::io::stdin().lock().lines() {
        let Ok(v) = serde_json::from_str::<Value>(&line.unwrap()) else { continue };
        let comm = v["comm"].as_str().unwrap_or_default();
        match v["op"].as_str().unwrap() {
            "open" => views.open(comm, &v["data"]),
            "msg" => views.message(comm, v["data"].clone(), vec![]),
            "close" => views.closed(comm),
            "stop" => { live.set_status(|s| s.state = State::Ended); totals.set_status(|s| s.state = State::Failed("the topic \"transactions\" was deleted".into())) }
            which => say(json!({"op": "bundle", "bundle": bundle(&views, &live, &totals, which)})),
        }
    }
}
fn bundle(views: &Views, live: &LiveResult, totals: &LiveResult, which: &str) -> Bundle {
    match which {
        "table" => views.add_table(live.clone()),
        "totals" => views.add_table(totals.clone()),
        "line" => views.add_chart(totals.clone(), line("event_time", "total").by("category")).unwrap(),
        "area" => views.add_chart(totals.clone(), area("event_time", "total").by("category").title("Spend by category").last("3m")).unwrap(),
        "bar" => views.add_chart(totals.clone(), bar("event_time", "total").by("category").last("3m")).unwrap(),
        "barc" => views.add_chart(totals.clone(), bar("category", "total").title("Since the start")).unwrap(),
        "points" => views.add_chart(live.clone(), points("event_time", "amount").by("status").last("30s")).unwrap(),
        "frame" => table_bundle(&live.frame().lazy().filter(col("status").eq(polars::prelude::lit("approved"))).collect().unwrap()),
        other => Bundle::of(format!("? {other}"), String::new()),
    }
}
fn dump(views: &Views, live: &LiveResult, totals: &LiveResult, dir: &str) {
    let _ = Series::new("x".into(), [1i64]).into_column();
    std::thread::sleep(std::time::Duration::from_millis(3000));
    for which in ["table", "totals", "line", "area", "bar", "barc", "points", "frame"] {
        let at = std::time::Instant::now();
        let b = bundle(views, live, totals, which);
        eprintln!("{which}: {:?} html {} live {}", at.elapsed(), b.data[HTML_MIME].as_str().unwrap().len(), b.data.get(LIVE_MIME).map_or(0, |v| v.to_string().len()));
        std::fs::write(format!("{dir}/{which}.html"), format!("<meta charset=utf-8>{}", b.data[HTML_MIME].as_str().unwrap())).unwrap();
        if let Some(p) = b.data.get(LIVE_MIME).and_then(|v| v["snapshot"]["picture"]["light"].as_str()) {
            std::fs::write(format!("{dir}/{which}.png"), base64::engine::general_purpose::STANDARD.decode(p).unwrap()).unwrap();
            let p = b.data[LIVE_MIME]["snapshot"]["picture"]["dark"].as_str().unwrap();
            std::fs::write(format!("{dir}/{which}-dark.png"), base64::engine::general_purpose::STANDARD.decode(p).unwrap()).unwrap();
        }
    }
}
