//! Questions of a cell to the person in front of the page: one at a time, and never longer than the cell runs.

use serde_json::json;

use crate::answers::{Answers, Request};
use crate::message::Message;
use crate::transport::Channel;

/// What becomes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// What the person typed.
    Text(String),
    /// The page that runs the cell takes no questions, as when a notebook runs without a person.
    NotAllowed,
    /// The cell was interrupted or has ended, or another question came.
    Dropped,
}

/// Where the answer goes; one that is dropped has answered [`Input::Dropped`].
pub(crate) struct Asking(Option<Box<dyn FnOnce(Input) + Send>>);

impl Asking {
    pub(crate) fn new(answer: impl FnOnce(Input) + Send + 'static) -> Asking {
        Asking(Some(Box::new(answer)))
    }

    pub(crate) fn answer(mut self, input: Input) {
        if let Some(answer) = self.0.take() {
            answer(input);
        }
    }
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Asking")
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(answer) = self.0.take() {
            answer(Input::Dropped);
        }
    }
}

/// The question that waits, if one does. Part of the kernel's loop.
#[derive(Default)]
pub(crate) struct Questions(Option<Asking>);

impl Questions {
    /// Puts a question to the page that sent `request`.
    pub(crate) fn ask(&mut self, request: &Request, prompt: &str, password: bool, asking: Asking, answers: &Answers) {
        if request.message.content["allow_stdin"].as_bool() == Some(false) {
            return asking.answer(Input::NotAllowed);
        }
        self.0 = Some(asking);
        answers.send(Channel::Stdin, request, "input_request", json!({"prompt": prompt, "password": password}));
    }

    /// Takes an `input_reply`; one that nobody waits for is dropped.
    pub(crate) fn take(&mut self, message: &Message) {
        if let (Some(asking), Some(value)) = (self.0.take(), message.content["value"].as_str()) {
            asking.answer(Input::Text(value.to_owned()));
        }
    }

    /// Gives the question up.
    pub(crate) fn drop_waiting(&mut self) {
        self.0 = None;
    }
}
