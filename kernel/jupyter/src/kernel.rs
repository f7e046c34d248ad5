//! The kernel's loop: one task that owns the language, the queue of cells and the comms, and takes one event at a time.
//! It never waits for a cell, so comms, interrupts and questions are served while one runs.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::cell::{Cell, Publisher};
use crate::iopub::{self, Output};
use crate::language::{CommEvent, ExecuteRequest, Language, Outcome};
use crate::message::{Header, Message};
use crate::transport::{Channel, Frames, Transport, Wires};
use crate::wire::Signer;
use crate::zmq::ZeroMq;
use crate::{Connection, JupyterError, replies};

/// What the loop takes beside messages.
#[derive(Debug)]
pub(crate) enum Event {
    Finished(String, Outcome),
    CommClosed(String),
}

/// Serves a connection over ZeroMQ until it is asked to end.
///
/// # Errors
/// When a socket cannot be bound.
pub fn run<L: Language>(connection: &Connection, language: impl FnOnce(Publisher) -> L) -> Result<(), JupyterError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("jupyter").enable_all().build()?;
    let served = runtime.block_on(run_on(ZeroMq, connection, language));
    // The last replies leave before the sockets go.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    served
}

/// Serves a connection over any transport.
///
/// # Errors
/// When the transport cannot be opened.
pub async fn run_on<L: Language>(
    transport: impl Transport,
    connection: &Connection,
    language: impl FnOnce(Publisher) -> L,
) -> Result<(), JupyterError> {
    let signer = Signer::new(&connection.key);
    let session = uuid::Uuid::new_v4().to_string();
    let Wires { mut incoming, outgoing } = transport.open(connection).await?;
    let (outputs, queued) = unbounded_channel();
    let publishing = tokio::spawn(iopub::serve(queued, outgoing.clone(), signer.clone(), session.clone()));
    let (events, mut happening) = unbounded_channel();
    let language = language(Publisher { outputs: outputs.clone(), events: events.clone() });
    let mut kernel = Kernel {
        language,
        sockets: outgoing,
        signer,
        session,
        outputs,
        events,
        waiting: VecDeque::new(),
        running: None,
        executed: 0,
        comms: BTreeMap::new(),
        ended: false,
    };
    kernel.status(None, "starting");
    kernel.serve(&mut incoming, &mut happening).await;
    drop(kernel);
    // All that was put out is sent before the sockets close; handles that a thread still holds do not keep it.
    drop(tokio::time::timeout(std::time::Duration::from_millis(200), publishing).await);
    Ok(())
}

struct Kernel<L> {
    language: L,
    sockets: UnboundedSender<(Channel, Frames)>,
    signer: Signer,
    session: String,
    outputs: UnboundedSender<Output>,
    events: UnboundedSender<Event>,
    waiting: VecDeque<Message>,
    running: Option<Running>,
    executed: u64,
    /// Open comms and what they are for.
    comms: BTreeMap<String, String>,
    ended: bool,
}

struct Running {
    request: Message,
    count: u64,
    stop_on_error: bool,
}

impl<L: Language> Kernel<L> {
    async fn serve(
        &mut self,
        incoming: &mut UnboundedReceiver<(Channel, Frames)>,
        happening: &mut UnboundedReceiver<Event>,
    ) {
        let parent = std::os::unix::process::parent_id();
        let watches_parent = std::env::var_os("JPY_PARENT_PID").is_some();
        let mut second = tokio::time::interval(std::time::Duration::from_secs(1));
        while !self.ended {
            tokio::select! {
                message = incoming.recv() => match message {
                    Some((channel, frames)) => self.take(channel, frames),
                    None => return,
                },
                Some(event) = happening.recv() => self.happen(event),
                // An interrupt is a message; the signal is for whoever else is in the terminal.
                _ = tokio::signal::ctrl_c() => {}
                _ = second.tick() => {
                    // A server that was killed does not say goodbye.
                    if watches_parent && std::os::unix::process::parent_id() != parent {
                        self.language.shutdown(false);
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, channel: Channel, mut frames: Frames) {
        if channel == Channel::Iopub {
            if let Some(frame) = frames.first_mut()
                && frame.first() == Some(&1)
            {
                self.put(Output::Welcome { subscription: frame.slice(1..) });
            }
            return;
        }
        match self.signer.decode(frames) {
            Ok(message) if message.header.msg_type == "execute_request" => {
                self.waiting.push_back(message);
                self.start_next();
            }
            Ok(message) => self.answer(channel, &message),
            Err(error) => eprintln!("{error}"),
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Finished(id, outcome) => {
                // A cell that finishes twice has finished.
                if let Some(running) = self.running.take_if(|running| running.request.header.msg_id == id) {
                    self.finish(&running, &outcome);
                }
            }
            Event::CommClosed(id) => drop(self.comms.remove(&id)),
        }
    }

    fn start_next(&mut self) {
        if self.running.is_some() {
            return;
        }
        let Some(request) = self.waiting.pop_front() else { return };
        let content = &request.content;
        let flag = |name: &str, otherwise: bool| content[name].as_bool().unwrap_or(otherwise);
        let silent = flag("silent", false);
        if !silent && flag("store_history", true) {
            self.executed += 1;
        }
        let code = content["code"].as_str().unwrap_or("").to_owned();
        let stop_on_error = flag("stop_on_error", true);
        let count = self.executed;
        self.status(Some(&request.header), "busy");
        if !silent {
            self.publish(&request.header, "execute_input", json!({"code": code, "execution_count": count}));
        }
        let cell = Cell {
            parent: request.header.clone(),
            execution_count: count,
            silent,
            outputs: self.outputs.clone(),
            events: self.events.clone(),
        };
        self.running = Some(Running { request, count, stop_on_error });
        self.language.start_execute(ExecuteRequest { code, silent, execution_count: count }, cell);
    }

    fn finish(&mut self, running: &Running, outcome: &Outcome) {
        self.reply(Channel::Shell, &running.request, "execute_reply", replies::execute(running.count, outcome));
        self.status(Some(&running.request.header), "idle");
        if running.stop_on_error && matches!(outcome, Outcome::Error { .. }) {
            for request in std::mem::take(&mut self.waiting) {
                self.status(Some(&request.header), "busy");
                self.reply(Channel::Shell, &request, "execute_reply", replies::aborted(self.executed));
                self.status(Some(&request.header), "idle");
            }
        }
        self.start_next();
    }

    fn answer(&mut self, channel: Channel, request: &Message) {
        self.status(Some(&request.header), "busy");
        let content = &request.content;
        let msg_type = request.header.msg_type.as_str();
        let answer = match msg_type {
            "kernel_info_request" => Some(replies::kernel_info(&self.language.info())),
            "is_complete_request" => {
                Some(replies::is_complete(&self.language.is_complete(content["code"].as_str().unwrap_or(""))))
            }
            "complete_request" => Some(replies::nothing_to_complete(content)),
            "inspect_request" => Some(json!({"status": "ok", "found": false, "data": {}, "metadata": {}})),
            "history_request" => Some(json!({"status": "ok", "history": []})),
            "comm_info_request" => Some(self.comm_info(content["target_name"].as_str())),
            "interrupt_request" => {
                self.language.interrupt();
                Some(json!({"status": "ok"}))
            }
            "shutdown_request" => {
                let restart = content["restart"].as_bool().unwrap_or(false);
                self.ended = true;
                Some(json!({"status": "ok", "restart": restart}))
            }
            "comm_open" | "comm_msg" | "comm_close" => {
                self.comm(request);
                None
            }
            _ if msg_type.ends_with("_request") => Some(replies::unknown(msg_type)),
            // Such as an input_reply that nobody asked for.
            _ => None,
        };
        if let Some(answer) = answer {
            self.reply(channel, request, &msg_type.replace("_request", "_reply"), answer);
        }
        self.status(Some(&request.header), "idle");
        if self.ended {
            let restart = content["restart"].as_bool().unwrap_or(false);
            self.publish(&request.header, "shutdown_reply", json!({"status": "ok", "restart": restart}));
            self.language.shutdown(restart);
        }
    }

    fn comm(&mut self, message: &Message) {
        let content = &message.content;
        let Some(id) = content["comm_id"].as_str().map(str::to_owned) else {
            return eprintln!("a {} without a comm_id was dropped", message.header.msg_type);
        };
        let data = content["data"].clone();
        let buffers = message.buffers.iter().map(|buffer| buffer.to_vec()).collect();
        let event = match message.header.msg_type.as_str() {
            "comm_open" => {
                let target = content["target_name"].as_str().unwrap_or("").to_owned();
                self.comms.insert(id.clone(), target.clone());
                CommEvent::Open { id, target, data, buffers }
            }
            _ if !self.comms.contains_key(&id) => return eprintln!("a message for the closed comm {id} was dropped"),
            "comm_msg" => CommEvent::Message { id, data, buffers },
            _ => {
                self.comms.remove(&id);
                CommEvent::Close { id, data }
            }
        };
        self.language.comm(event);
    }

    fn comm_info(&self, target: Option<&str>) -> Value {
        let wanted = self.comms.iter().filter(|(_, of)| target.is_none_or(|target| target == of.as_str()));
        let comms: Map<String, Value> = wanted.map(|(id, of)| (id.clone(), json!({"target_name": of}))).collect();
        json!({"status": "ok", "comms": comms})
    }

    fn status(&self, parent: Option<&Header>, state: &str) {
        let content = json!({"execution_state": state});
        self.put(Output::Message { parent: parent.cloned(), msg_type: "status", content, buffers: Vec::new() });
    }

    fn publish(&self, parent: &Header, msg_type: &'static str, content: Value) {
        self.put(Output::Message { parent: Some(parent.clone()), msg_type, content, buffers: Vec::new() });
    }

    fn put(&self, output: Output) {
        // The iopub task lives as long as this loop.
        let _ = self.outputs.send(output);
    }

    fn reply(&self, channel: Channel, request: &Message, msg_type: &str, content: Value) {
        let reply = request.reply(&self.session, msg_type, content);
        // Sockets that are gone have nobody who waits.
        let _ = self.sockets.send((channel, self.signer.encode(&reply)));
    }
}
