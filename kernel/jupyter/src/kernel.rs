//! The kernel's loop: one task that owns the language, the cells and the comms, and takes one event at a time. It never
//! waits for a cell, so comms, interrupts and questions are served while one runs. It knows no sockets.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::answer::{CompletionAnswer, InspectionAnswer};
use crate::answers::{Answers, Request};
use crate::cell::{Extras, Publisher};
use crate::cells::Cells;
use crate::comms::Comms;
use crate::history::History;
use crate::inbox::Inbox;
use crate::input::Asking;
use crate::language::{Cursor, Language, Outcome};
use crate::outbox::{Outbox, Output};
use crate::transport::{Channel, Frames, Transport, Wires};
use crate::wire::Signer;
use crate::{Connection, JupyterError, iopub, replies};

/// How long the last outputs may take to reach the sockets.
const FAREWELL: std::time::Duration = std::time::Duration::from_millis(500);

/// What the loop takes beside messages.
#[derive(Debug)]
pub(crate) enum Event {
    /// A cell ended.
    Finished { id: String, outcome: Outcome, extras: Extras },
    /// A cell asks the person in front of the page.
    Asked { id: String, prompt: String, password: bool, asking: Asking },
    /// A question has its answer.
    Answered { request: Box<Request>, content: Value },
    /// The kernel's side opened a comm.
    CommOpened { id: String, target: String },
    /// The kernel's side closed a comm.
    CommClosed { id: String },
}

pub(crate) type Events = UnboundedSender<Event>;

/// Serves a connection over any transport until it is asked to end, or `end` comes.
///
/// # Errors
/// When the transport cannot be opened.
pub async fn run_on<L: Language>(
    transport: impl Transport,
    connection: &Connection,
    history: History,
    language: impl FnOnce(Publisher) -> L,
    end: impl Future<Output = ()>,
) -> Result<(), JupyterError> {
    let Wires { incoming, replies: sockets, outputs } = transport.open(connection).await?;
    let (signer, session) = (Signer::new(&connection.key), uuid::Uuid::new_v4().to_string());
    let outbox = Arc::new(Outbox::default());
    let publishing = tokio::spawn(iopub::serve(Arc::clone(&outbox), outputs, signer.clone(), session.clone()));
    let (events, happening) = unbounded_channel();
    let inbox = Inbox::new(signer.clone());
    let answers = Answers { sockets, outbox: Arc::clone(&outbox), signer, session };
    answers.status(None, "starting");
    let language = language(Publisher { outbox: Arc::clone(&outbox), events: events.clone() });
    let connection = connection.clone();
    let mut kernel = Kernel {
        language,
        connection,
        answers,
        events,
        incoming,
        inbox,
        cells: Cells::default(),
        comms: Comms::default(),
        history,
        ended: false,
    };
    kernel.serve(happening, end).await;
    // All that was put out is sent before the sockets close; handles that a thread still holds put out nothing more.
    outbox.close();
    drop(tokio::time::timeout(FAREWELL, publishing).await);
    Ok(())
}

struct Kernel<L> {
    language: L,
    connection: Connection,
    answers: Answers,
    events: Events,
    incoming: Receiver<(Channel, Frames)>,
    inbox: Inbox,
    cells: Cells,
    comms: Comms,
    history: History,
    ended: bool,
}

impl<L: Language> Kernel<L> {
    async fn serve(&mut self, mut happening: UnboundedReceiver<Event>, end: impl Future<Output = ()>) {
        let mut end = std::pin::pin!(end);
        while !self.ended {
            tokio::select! {
                // Events first: a comm that the kernel opened is known before the page's first message on it.
                biased;
                Some(event) = happening.recv() => self.happen(event),
                message = self.incoming.recv() => match message {
                    Some((channel, frames)) => {
                        self.take(channel, frames);
                        self.start_next();
                    }
                    None => return self.language.shutdown(false),
                },
                () = &mut end => return self.language.shutdown(false),
            }
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Finished { id, outcome, extras } => {
                self.take_arrived();
                if self.cells.finish(&id, &outcome, extras, &self.answers) {
                    self.cells.abort_waiting(&self.answers);
                }
                self.start_next();
            }
            Event::Asked { id, prompt, password, asking } => {
                self.cells.ask(&id, &prompt, password, asking, &self.answers);
            }
            Event::Answered { request, content } => {
                self.answers.reply(&request, content);
                self.done(&request);
            }
            Event::CommOpened { id, target } => self.comms.opened(id, target),
            Event::CommClosed { id } => self.comms.closed(&id),
        }
    }

    /// What was sent before the page could know how a cell ended is told from what it sends once it knows: an error
    /// aborts the former only.
    fn take_arrived(&mut self) {
        while let Ok((channel, frames)) = self.incoming.try_recv() {
            self.take(channel, frames);
        }
    }

    fn start_next(&mut self) {
        self.cells.start_next(&mut self.language, &self.answers, &self.events, &mut self.history);
    }

    fn take(&mut self, channel: Channel, mut frames: Frames) {
        if channel == Channel::Iopub {
            if let Some(frame) = frames.first_mut().filter(|frame| frame.first() == Some(&1)) {
                self.answers.outbox.put(Output::Welcome { subscription: frame.slice(1..) });
            }
            return;
        }
        match self.inbox.take(frames) {
            Ok(message) if message.header.msg_type == "execute_request" => {
                self.cells.enqueue(Request::new(channel, message))
            }
            Ok(message) if message.header.msg_type == "input_reply" => self.cells.questions().take(&message),
            Ok(message) => self.answer(Request::new(channel, message)),
            Err(error) => eprintln!("{error}"),
        }
    }

    fn answer(&mut self, request: Request) {
        self.answers.busy(&request.parent);
        let message = &request.message;
        let content = match request.msg_type() {
            "kernel_info_request" => replies::kernel_info(&self.language.info()),
            "is_complete_request" => replies::is_complete(&self.language.is_complete(message.text("code"))),
            "history_request" => self.history.answer(&message.content),
            "connect_request" => replies::connect(&self.connection),
            "comm_info_request" => self.comms.info(message.content["target_name"].as_str()),
            "complete_request" => {
                return self.language.complete(cursor(&request), CompletionAnswer::new(request, self.events.clone()));
            }
            "inspect_request" => {
                return self.language.inspect(cursor(&request), InspectionAnswer::new(request, self.events.clone()));
            }
            "interrupt_request" => {
                self.cells.questions().drop_waiting();
                self.language.interrupt();
                json!({"status": "ok"})
            }
            "shutdown_request" => return self.end(&request),
            "comm_open" | "comm_msg" | "comm_close" => {
                match self.comms.take(message) {
                    Some(event) => self.language.comm(event),
                    None => eprintln!("a {} was dropped: its comm is not open", request.msg_type()),
                }
                return self.done(&request);
            }
            asked if asked.ends_with("_request") => replies::unknown(asked),
            _ => return self.done(&request),
        };
        self.answers.reply(&request, content);
        self.done(&request);
    }

    fn end(&mut self, request: &Request) {
        let restart = request.message.content["restart"].as_bool().unwrap_or(false);
        let content = json!({"status": "ok", "restart": restart});
        self.answers.reply(request, content.clone());
        // Other pages on this kernel learn of it too.
        self.answers.publish(Some(Arc::clone(&request.parent)), "shutdown_reply", &content);
        self.answers.idle(&request.parent);
        self.language.shutdown(restart);
        self.ended = true;
    }

    /// The request is answered. To a page the last status counts, whoever's it is: a cell that runs is busy again.
    fn done(&self, request: &Request) {
        self.answers.idle(&request.parent);
        if let Some(running) = self.cells.running() {
            self.answers.busy(running);
        }
    }
}

fn cursor(request: &Request) -> Cursor {
    let number = |name: &str| request.message.content[name].as_u64().unwrap_or(0);
    let position = usize::try_from(number("cursor_pos")).unwrap_or(usize::MAX);
    Cursor { code: request.message.text("code").to_owned(), position, detail: number("detail_level") }
}
