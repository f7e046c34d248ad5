//! A language for tests of the protocol: each line of a cell is an order, and a cell runs on a thread of its own.
//!
//! `print T`, `eprint T`, `flood N` (N lines), `show T`, `show@ID T`, `update@ID T`, `value T`, `clear`, `fail T`, `abort`,
//! `panic`, `hold` (until an interrupt, or "go" on a comm; then prints which), `late T` (a print after the end and an
//! interrupt),
//! `comm ID` (opens one), `page T` (in a pager), `ask P`, `secret P` (a question; prints what was answered).

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use jupyter::{
    Bundle, Cell, CommEvent, Completeness, Completion, CompletionAnswer, Cursor, ExecuteRequest, InspectionAnswer,
    Language, LanguageInfo, Outcome, Publisher, Stream,
};
use serde_json::{Map, json};

/// Echoes.
pub(crate) struct Echo {
    publisher: Publisher,
    signal: Arc<Signal>,
}

/// What a cell that holds waits for.
#[derive(Default)]
struct Signal {
    came: Mutex<Option<&'static str>>,
    changed: Condvar,
}

impl Signal {
    fn set(&self, came: Option<&'static str>) {
        *self.came.lock().unwrap_or_else(PoisonError::into_inner) = came;
        self.changed.notify_all();
    }

    fn wait(&self) -> &'static str {
        let mut came = self.came.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(came) = came.take() {
                return came;
            }
            came = self.changed.wait(came).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Echo {
    /// An echo that speaks of its comms through `publisher`.
    pub(crate) fn new(publisher: Publisher) -> Echo {
        Echo { publisher, signal: Arc::default() }
    }
}

impl Language for Echo {
    fn info(&self) -> LanguageInfo {
        LanguageInfo {
            implementation: "echo".to_owned(),
            implementation_version: "1".to_owned(),
            banner: "echo".to_owned(),
            language_info: json!({"name": "echo", "version": "1", "mimetype": "text/plain", "file_extension": ".txt"}),
        }
    }

    fn start_execute(&mut self, request: ExecuteRequest, cell: Cell) {
        self.signal.set(None);
        let (signal, publisher) = (Arc::clone(&self.signal), self.publisher.clone());
        let run = move || {
            for line in request.code.lines() {
                if let Some(end) = order(line, &cell, &signal, &publisher) {
                    return cell.finish(end);
                }
            }
            for (name, code) in &request.user_expressions {
                let failed = || Err(("Failed".to_owned(), "no value".to_owned()));
                cell.expression(name, code.strip_prefix("value ").map_or_else(failed, |text| Ok(bundle(text))));
            }
            cell.finish(Outcome::Ok);
            for line in request.code.lines() {
                if let Some(text) = line.strip_prefix("late ") {
                    signal.wait();
                    cell.stream(Stream::Stdout, text);
                }
            }
        };
        // A thread that does not start drops the cell, which ends it.
        drop(thread::Builder::new().name("cell".to_owned()).spawn(run));
    }

    fn is_complete(&mut self, code: &str) -> Completeness {
        match code {
            "" => Completeness::Unknown,
            "fail" => Completeness::Invalid,
            code if code.ends_with('\\') => Completeness::Incomplete { indent: "  ".to_owned() },
            _ => Completeness::Complete,
        }
    }

    fn interrupt(&mut self) {
        self.signal.set(Some("interrupted"));
    }

    fn comm(&mut self, event: CommEvent) {
        match event {
            CommEvent::Open { id, target, .. } if target != "echo" => self.publisher.comm_close(&id, json!({})),
            CommEvent::Open { id, data, buffers, .. } => self.publisher.comm_message(&id, data, buffers),
            CommEvent::Message { id, data, buffers } => {
                if data == "go" {
                    self.signal.set(Some("going"));
                }
                self.publisher.comm_message(&id, data, buffers);
            }
            CommEvent::Close { .. } => {}
        }
    }

    fn complete(&mut self, at: Cursor, answer: CompletionAnswer) {
        let before: Vec<char> = at.code.chars().take(at.position).collect();
        let start = before.iter().rposition(|letter| *letter == ' ').map_or(0, |space| space + 1);
        let word = String::from_iter(&before[start..]);
        let orders = ["clear", "eprint", "fail", "flood", "hold", "print"];
        let matches = orders.iter().filter(|order| order.starts_with(&word)).map(ToString::to_string).collect();
        let answer = move || answer.give(Completion { matches, start, end: at.position, metadata: Map::new() });
        drop(thread::Builder::new().name("completion".to_owned()).spawn(answer));
    }

    fn inspect(&mut self, at: Cursor, answer: InspectionAnswer) {
        if at.code == "print" {
            answer.give(bundle("prints what follows"));
        }
    }
}

/// Does what a line says; `Some` when that ends the cell.
fn order(line: &str, cell: &Cell, signal: &Signal, publisher: &Publisher) -> Option<Outcome> {
    let (order, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (order, id) = order.split_once('@').map_or((order, None), |(order, id)| (order, Some(id.to_owned())));
    match order {
        "print" => cell.stream(Stream::Stdout, &format!("{rest}\n")),
        "eprint" => cell.stream(Stream::Stderr, &format!("{rest}\n")),
        "flood" => {
            (0..rest.parse().unwrap_or(0)).for_each(|line| cell.stream(Stream::Stdout, &format!("line {line}\n")))
        }
        "show" => cell.display(bundle(rest), id),
        "update" => cell.update_display(bundle(rest), id.unwrap_or_default()),
        "value" => cell.result(bundle(rest)),
        "clear" => cell.clear_output(true),
        "hold" => cell.stream(Stream::Stdout, &format!("{}\n", signal.wait())),
        "page" => cell.page(bundle(rest)),
        "ask" | "secret" => {
            let (answered, answer) = std::sync::mpsc::channel();
            // The cell's thread waits for it.
            cell.ask(rest, order == "secret", move |input| drop(answered.send(input)));
            cell.stream(Stream::Stdout, &format!("{:?}\n", answer.recv()));
        }
        "comm" => publisher.comm_open(rest, "page", &json!({"from": "kernel"}), Map::new(), vec![vec![7]]),
        "fail" => {
            let text = rest.to_owned();
            return Some(Outcome::Error { ename: "Failed".to_owned(), evalue: text.clone(), traceback: vec![text] });
        }
        "abort" => return Some(Outcome::Aborted),
        "panic" => std::panic::resume_unwind(Box::new("asked for")),
        _ => {}
    }
    None
}

fn bundle(text: &str) -> Bundle {
    Bundle { data: Map::from_iter([("text/plain".to_owned(), json!(text))]), metadata: Map::new() }
}
