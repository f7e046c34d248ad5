//! A page for tests: an echo kernel over the in-memory transport. Every wait has a deadline and shows what did arrive.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use jupyter::{Channel, Connection, Frames, Header, JupyterError, Message, Page, Signer};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::echo::Echo;

const DEADLINE: Duration = Duration::from_secs(20);
const KEY: &str = "the key";

/// A page, and the kernel behind it.
pub(crate) struct Client {
    page: Page,
    signer: Signer,
    /// Outputs in the order in which they came, as far as no one took them.
    outputs: VecDeque<Message>,
    pub(crate) kernel: JoinHandle<Result<(), JupyterError>>,
}

impl Client {
    /// Starts a kernel; its "starting" has been heard.
    pub(crate) async fn start() -> Client {
        let connection = json!({
            "transport": "tcp", "ip": "127.0.0.1", "key": KEY, "signature_scheme": "hmac-sha256",
            "shell_port": 1, "control_port": 2, "stdin_port": 3, "iopub_port": 4, "hb_port": 5,
        });
        let connection: Connection = serde_json::from_value(connection).unwrap();
        let (transport, page) = jupyter::in_memory();
        let kernel = tokio::spawn(async move {
            jupyter::run_on(transport, &connection, jupyter::History::default(), Echo::new, std::future::pending())
                .await
        });
        let mut client = Client { page, signer: Signer::new(KEY), outputs: VecDeque::new(), kernel };
        let starting = client.output().await;
        assert_eq!(told(&starting), "status starting");
        client
    }

    /// Sends a request; its id.
    pub(crate) async fn ask(&mut self, channel: Channel, msg_type: &str, content: Value) -> String {
        self.ask_with(channel, msg_type, content, Vec::new()).await
    }

    pub(crate) async fn ask_with(
        &mut self,
        channel: Channel,
        msg_type: &str,
        content: Value,
        buffers: Vec<Bytes>,
    ) -> String {
        let header = Header::new(msg_type, "page");
        let id = header.msg_id.clone();
        let message =
            Message { identities: vec![Bytes::from_static(b"page")], header, content, buffers, ..Message::default() };
        self.raw(channel, self.signer.encode(&message)).await;
        id
    }

    /// Sends frames as they are.
    pub(crate) async fn raw(&mut self, channel: Channel, frames: Frames) {
        self.page.requests.send((channel, frames)).await.unwrap();
    }

    pub(crate) async fn run(&mut self, code: &str) -> String {
        self.ask(Channel::Shell, "execute_request", json!({"code": code})).await
    }

    pub(crate) async fn comm(&mut self, msg_type: &str, content: Value) -> String {
        self.ask_with(Channel::Shell, msg_type, content, vec![Bytes::from_static(&[0, 255])]).await
    }

    /// The next reply, which must be to `id`, and where it came.
    pub(crate) async fn reply(&mut self, id: &str) -> (Channel, Message) {
        let received = tokio::time::timeout(DEADLINE, self.page.replies.recv()).await;
        let (channel, frames) =
            received.unwrap_or_else(|_| panic!("no reply; outputs: {:#?}", self.told_so_far())).unwrap();
        let message = self.signer.decode(frames).unwrap();
        assert_eq!(message.parent.as_ref().unwrap().msg_id, id, "{message:?}");
        assert_eq!(message.identities, [Bytes::from_static(b"page")]);
        (channel, message)
    }

    /// The next output.
    pub(crate) async fn output(&mut self) -> Message {
        match self.outputs.pop_front() {
            Some(message) => message,
            None => self.receive().await,
        }
    }

    /// What was put out for `id`, from busy to idle; the rest stays.
    pub(crate) async fn outputs_of(&mut self, id: &str) -> Vec<String> {
        let mut said = Vec::new();
        let mut others = VecDeque::new();
        loop {
            let message = self.output().await;
            if message.parent.as_ref().is_none_or(|parent| parent.msg_id != id) {
                others.push_back(message);
                continue;
            }
            said.push(told(&message));
            if said.last().is_some_and(|last| last == "status idle") {
                others.extend(self.outputs.drain(..));
                self.outputs = others;
                return said;
            }
        }
    }

    /// Skips outputs until one that is told so.
    pub(crate) async fn until(&mut self, wanted: &str) -> Message {
        loop {
            let message = self.output().await;
            if told(&message) == wanted {
                return message;
            }
        }
    }

    async fn receive(&mut self) -> Message {
        let received = tokio::time::timeout(DEADLINE, self.page.outputs.recv()).await;
        let frames = received.unwrap_or_else(|_| panic!("no output; so far: {:#?}", self.told_so_far())).unwrap();
        self.signer.decode(frames).unwrap()
    }

    fn told_so_far(&self) -> Vec<String> {
        self.outputs.iter().map(told).collect()
    }
}

/// An output in a line, its fields by their names: whether objects keep the order in which they are written is for whoever asks
/// serde_json for it.
pub(crate) fn told(message: &Message) -> String {
    let content = &message.content;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| text.trim_end().to_owned());
    let rest = match message.header.msg_type.as_str() {
        "status" => text(&content["execution_state"]),
        "stream" => format!("{} {}", text(&content["name"]), text(&content["text"])),
        "execute_input" => format!("{} {}", content["execution_count"], text(&content["code"])),
        "display_data" | "update_display_data" => {
            format!("{} {}", text(&content["transient"]["display_id"]), text(&content["data"]["text/plain"]))
        }
        "execute_result" => format!("{} {}", content["execution_count"], text(&content["data"]["text/plain"])),
        "error" => format!("{} {}", text(&content["ename"]), text(&content["evalue"])),
        _ => json!(content.as_object().into_iter().flatten().collect::<BTreeMap<_, _>>()).to_string(),
    };
    format!("{} {rest}", message.header.msg_type)
}
