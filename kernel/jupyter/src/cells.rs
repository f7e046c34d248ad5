//! Cells, one at a time: the queue, the one that runs, its count, and what an error does to those behind it. Part of the
//! kernel's loop.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::answers::{Answers, Request};
use crate::cell::{Cell, Extras};
use crate::history::History;
use crate::input::{Asking, Questions};
use crate::kernel::Events;
use crate::language::{ExecuteRequest, Language, Outcome};
use crate::message::{Header, now};
use crate::replies;

/// The cells of a kernel.
#[derive(Default)]
pub(crate) struct Cells {
    waiting: VecDeque<Request>,
    running: Option<Running>,
    executed: u64,
    questions: Questions,
}

struct Running {
    request: Request,
    count: u64,
    stop_on_error: bool,
    started: String,
}

impl Cells {
    pub(crate) fn enqueue(&mut self, request: Request) {
        self.waiting.push_back(request);
    }

    /// The header of the cell that runs.
    pub(crate) fn running(&self) -> Option<&Arc<Header>> {
        self.running.as_ref().map(|running| &running.request.parent)
    }

    /// Starts the next cell, if none runs.
    pub(crate) fn start_next(
        &mut self,
        language: &mut impl Language,
        answers: &Answers,
        events: &Events,
        history: &mut History,
    ) {
        if self.running.is_some() {
            return;
        }
        let Some(request) = self.waiting.pop_front() else { return };
        let flag = |name: &str| request.message.content[name].as_bool();
        let silent = flag("silent").unwrap_or(false);
        let store_history = !silent && flag("store_history").unwrap_or(true);
        let stop_on_error = flag("stop_on_error").unwrap_or(true);
        // The first cell is number 1; a cell that leaves no trace has the number of the last one that did.
        self.executed += u64::from(store_history);
        let count = self.executed;
        let code = request.message.text("code").to_owned();
        answers.busy(&request.parent);
        if !silent {
            answers.publish(
                Some(Arc::clone(&request.parent)),
                "execute_input",
                &json!({"code": code, "execution_count": count}),
            );
        }
        if store_history {
            history.add(count, &code);
        }
        let user_expressions = expressions(&request);
        // JupyterLab, Notebook and VS Code say it; it is not of the protocol.
        let cell_id = request.message.metadata.get("cellId").and_then(Value::as_str).map(str::to_owned);
        let cell = Cell::new(Arc::clone(&request.parent), count, silent, Arc::clone(&answers.outbox), events.clone());
        self.running = Some(Running { request, count, stop_on_error, started: now() });
        let request = ExecuteRequest { code, silent, store_history, execution_count: count, cell_id, user_expressions };
        language.start_execute(request, cell);
    }

    /// Answers the cell that ran; whether those behind it are to be aborted. A cell that finishes twice has finished.
    pub(crate) fn finish(&mut self, id: &str, outcome: &Outcome, extras: Extras, answers: &Answers) -> bool {
        let Some(running) = self.running.take_if(|running| running.request.parent.msg_id == id) else { return false };
        self.questions.drop_waiting();
        // JupyterLab shows from it how long a cell took.
        let metadata = Map::from_iter([("started".to_owned(), json!(running.started))]);
        answers.reply_with(&running.request, replies::execute(running.count, outcome, extras), metadata);
        answers.idle(&running.request.parent);
        running.stop_on_error && *outcome != Outcome::Ok
    }

    /// Puts a question of the cell `id` to its page; of a cell that does not run any more it is dropped.
    pub(crate) fn ask(&mut self, id: &str, prompt: &str, password: bool, asking: Asking, answers: &Answers) {
        if let Some(running) = self.running.as_ref().filter(|running| running.request.parent.msg_id == id) {
            self.questions.ask(&running.request, prompt, password, asking, answers);
        }
    }

    pub(crate) fn questions(&mut self) -> &mut Questions {
        &mut self.questions
    }

    /// Answers every cell that waits, without running it.
    pub(crate) fn abort_waiting(&mut self, answers: &Answers) {
        for request in std::mem::take(&mut self.waiting) {
            answers.busy(&request.parent);
            answers.reply(&request, replies::execute(self.executed, &Outcome::Aborted, Extras::default()));
            answers.idle(&request.parent);
        }
    }
}

fn expressions(request: &Request) -> Vec<(String, String)> {
    let wanted = request.message.content["user_expressions"].as_object().into_iter().flatten();
    wanted.filter_map(|(name, code)| Some((name.clone(), code.as_str()?.to_owned()))).collect()
}
