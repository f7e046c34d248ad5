//! Joins the protocol and the evaluator: cells go one way here, outputs and comms the other in `pages`. Only these two know
//! both.

use std::sync::Arc;

use evaluator::{Evaluator, EvaluatorError, Execution, Place, Toolchain};
use jupyter::{
    Cell, CommEvent, Completeness, Completion, CompletionAnswer, Cursor, ExecuteRequest, InspectionAnswer, Language,
    LanguageInfo, Outcome, Publisher,
};
use link::{Framed, ToCell};
use serde_json::{Map, Value, json};

use crate::overflow::Overflow;
use crate::pages::{Pages, shown};

/// Rust, as Jupyter sees it.
pub(crate) struct Bridge {
    evaluator: Result<Evaluator, EvaluatorError>,
    pages: Arc<Pages>,
    next: u64,
}

impl Bridge {
    pub(crate) fn new(
        publisher: Publisher,
        place: Option<&Place>,
        toolchain: Result<Toolchain, EvaluatorError>,
    ) -> Bridge {
        let overflow = Overflow::new(place.map(|place| place.path().to_owned()));
        let pages = Arc::new(Pages::new(publisher, overflow));
        let evaluator = toolchain.and_then(|toolchain| {
            let place = place.ok_or_else(|| EvaluatorError::Evcxr { detail: "it has no folder".to_owned() })?;
            let heard = Arc::clone(&pages);
            let evaluator = Evaluator::start(place, toolchain, move |event| heard.put(event))?;
            pages.reach(evaluator.sender());
            Ok(evaluator)
        });
        Bridge { evaluator, pages, next: 0 }
    }
}

impl Language for Bridge {
    fn info(&self) -> LanguageInfo {
        LanguageInfo {
            implementation: "corriente".to_owned(),
            implementation_version: env!("CARGO_PKG_VERSION").to_owned(),
            banner: "Corriente: Rust cells, live DataFrames over Kafka".to_owned(),
            language_info: json!({
                "name": "rust", "version": "2024", "mimetype": "text/rust", "file_extension": ".rs",
                "pygments_lexer": "rust", "codemirror_mode": "rust", "nbconvert_exporter": "rust",
            }),
        }
    }

    fn start_execute(&mut self, request: ExecuteRequest, cell: Cell) {
        self.next += 1;
        match &self.evaluator {
            Ok(evaluator) => {
                let paged = request.code.trim() == ":help";
                self.pages.begin(self.next, request.execution_count, cell, paged);
                let ExecuteRequest { code, execution_count: number, cell_id: cell, user_expressions, .. } = request;
                evaluator.execute(Execution { id: self.next, number, cell, code, expressions: user_expressions });
            }
            Err(error) => {
                let text = error.to_string();
                cell.finish(Outcome::Error {
                    ename: "KernelError".to_owned(),
                    evalue: text.clone(),
                    traceback: vec![text],
                });
            }
        }
    }

    fn is_complete(&mut self, code: &str) -> Completeness {
        match evaluator::is_complete(code) {
            evaluator::Completeness::Complete => Completeness::Complete,
            evaluator::Completeness::Incomplete { indent } => Completeness::Incomplete { indent },
            evaluator::Completeness::Invalid => Completeness::Invalid,
        }
    }

    fn complete(&mut self, at: Cursor, answer: CompletionAnswer) {
        if let Ok(evaluator) = &self.evaluator {
            evaluator.complete(at.code, at.position, |found| answer.give(completion(found)));
        }
    }

    fn inspect(&mut self, at: Cursor, answer: InspectionAnswer) {
        let give = |found: Option<link::Bundle>| {
            // An answer that is dropped says that nothing is known.
            if let Some(found) = found {
                answer.give(shown(found));
            }
        };
        if let Ok(evaluator) = &self.evaluator {
            evaluator.inspect(at.code, at.position, give);
        }
    }

    fn interrupt(&mut self) {
        if let Ok(evaluator) = &self.evaluator {
            evaluator.interrupt();
        }
    }

    fn comm(&mut self, event: CommEvent) {
        let Ok(evaluator) = &self.evaluator else { return };
        self.pages.note(&event);
        evaluator.send(match event {
            CommEvent::Open { id, target, data, buffers } => {
                Framed { frame: ToCell::CommOpen { id, target, data }, buffers }
            }
            CommEvent::Message { id, data, buffers } => Framed { frame: ToCell::CommMessage { id, data }, buffers },
            CommEvent::Close { id, data } => Framed::from(ToCell::CommClose { id, data }),
        });
    }

    fn shutdown(&mut self, _restart: bool) {
        if let Ok(evaluator) = &mut self.evaluator {
            evaluator.shutdown();
        }
    }
}

/// JupyterLab shows kinds and signatures from the metadata.
fn completion(found: evaluator::Completion) -> Completion {
    let evaluator::Completion { matches, start, end } = found;
    let types: Vec<Value> = matches
        .iter()
        .map(|found| {
            json!({"start": start, "end": end, "text": found.text, "type": found.kind, "signature": found.label})
        })
        .collect();
    let metadata = Map::from_iter([("_jupyter_types_experimental".to_owned(), Value::Array(types))]);
    Completion { matches: matches.into_iter().map(|found| found.text).collect(), start, end, metadata }
}
