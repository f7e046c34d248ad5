//! The sockets: a task a connection, which reads a request, has the state answer it, and writes the reply; requests of
//! one connection are answered in turn, as Kafka does. The state belongs to the thread `broker state`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, RequestKind, ResponseHeader, ResponseKind};
use kafka_protocol::protocol::{Decodable as _, Encodable as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};

use crate::state::{Answer, Request, State, versions};
use crate::{Config, Error};

/// Bytes a request may have.
const MAX_REQUEST: usize = 100 << 20;
/// How often what only time changes is looked at.
const TICK: Duration = Duration::from_millis(50);

/// How many requests there were of each kind.
pub(crate) type Counts = Arc<Mutex<BTreeMap<String, u64>>>;

/// A running server.
pub(crate) struct Server {
    address: SocketAddr,
    counts: Counts,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    pub(crate) fn start(config: Config) -> Result<Server, Error> {
        let threads = |error: std::io::Error| Error::Threads { detail: error.to_string() };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("broker")
            .enable_all()
            .build()
            .map_err(threads)?;
        let listening =
            |error: std::io::Error| Error::Listen { listen: config.listen.clone(), detail: error.to_string() };
        let listener = runtime.block_on(TcpListener::bind(&config.listen)).map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let (asks, asked) = mpsc::channel(256);
        let counts = Counts::default();
        let counted = counts.clone();
        let state = State::new(&config, address.port());
        runtime.spawn(own(state, asked));
        runtime.spawn(async move {
            loop {
                // A connection that fails to come about is the client's to try again.
                if let Ok((stream, _)) = listener.accept().await {
                    let (asks, counts) = (asks.clone(), counted.clone());
                    tokio::spawn(async move {
                        if let Err(error) = serve(stream, asks, counts).await {
                            eprintln!("broker: {error}");
                        }
                    });
                }
            }
        });
        Ok(Server { address, counts, runtime: Some(runtime) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A request on its way to the state.
struct Ask {
    request: Request,
    reply: oneshot::Sender<Option<ResponseKind>>,
}

/// A request that waits for data, members or time.
struct Parked {
    ask: Ask,
    until: i64,
}

/// Owns the state: answers what can be answered and keeps the rest until it can.
async fn own(mut state: State, mut asked: mpsc::Receiver<Ask>) {
    let mut parked: Vec<Parked> = Vec::new();
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            ask = asked.recv() => {
                let Some(ask) = ask else { return };
                answer(&mut state, ask, None, &mut parked);
            }
            _ = tick.tick() => state.tick(now()),
        }
        if state.take_changed() || parked.iter().any(|waiting| waiting.until <= now()) {
            for waiting in std::mem::take(&mut parked) {
                answer(&mut state, waiting.ask, Some(waiting.until), &mut parked);
            }
        }
    }
}

fn answer(state: &mut State, mut ask: Ask, waited_until: Option<i64>, parked: &mut Vec<Parked>) {
    if ask.reply.is_closed() {
        return;
    }
    let now = now();
    match state.handle(now, &mut ask.request, waited_until.is_some_and(|until| until <= now)) {
        // A connection that is gone wants no reply.
        Answer::Reply(response) => drop(ask.reply.send(Some(response))),
        Answer::Nothing => drop(ask.reply.send(None)),
        Answer::Wait { until } => parked.push(Parked { ask, until: waited_until.unwrap_or(until) }),
    }
}

async fn serve(mut stream: TcpStream, asks: mpsc::Sender<Ask>, counts: Counts) -> Result<(), Error> {
    // Small replies must not wait for more.
    let _ = stream.set_nodelay(true);
    let host = stream.local_addr().map(|address| address.ip().to_string()).unwrap_or_default();
    loop {
        let Ok(size) = stream.read_i32().await else { return Ok(()) };
        let size = usize::try_from(size).ok().filter(|size| *size <= MAX_REQUEST && *size >= 8);
        let Some(size) = size else {
            return Err(Error::NotKafka { detail: "a request has an absurd size".to_owned() });
        };
        let mut bytes = BytesMut::zeroed(size);
        if stream.read_exact(&mut bytes).await.is_err() {
            return Ok(());
        }
        let Some(reply) = respond(bytes.freeze(), &host, &asks, &counts).await? else { continue };
        if stream.write_all(&reply).await.is_err() {
            return Ok(());
        }
    }
}

/// The reply to one request, as bytes with their length before them.
async fn respond(
    mut bytes: Bytes,
    host: &str,
    asks: &mpsc::Sender<Ask>,
    counts: &Counts,
) -> Result<Option<Bytes>, Error> {
    let not_kafka = |detail: String| Error::NotKafka { detail };
    let (key, version) = (i16::from_be_bytes([bytes[0], bytes[1]]), i16::from_be_bytes([bytes[2], bytes[3]]));
    let correlation = i32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    let api = ApiKey::try_from(key).map_err(|()| not_kafka(format!("request {key} is not known")))?;
    *counts.lock().unwrap_or_else(PoisonError::into_inner).entry(format!("{api:?}")).or_default() += 1;
    let Some(supported) = versions::supported(api) else { return Err(not_kafka(format!("{api:?} is not served"))) };
    if !supported.contains(&version) {
        if api == ApiKey::ApiVersions {
            return encode(api, 0, correlation, &versions::unsupported()).map(Some);
        }
        return Err(not_kafka(format!("{api:?} version {version} is not served")));
    }
    let bad =
        |error: &dyn std::fmt::Display| Error::NotKafka { detail: format!("a {api:?} request does not read: {error}") };
    let header = RequestHeader::decode(&mut bytes, api.request_header_version(version)).map_err(|e| bad(&e))?;
    let body = RequestKind::decode(api, &mut bytes, version).map_err(|e| bad(&e))?;
    let client = header.client_id.map(|id| id.to_string()).unwrap_or_default();
    let (reply, answered) = oneshot::channel();
    let request = Request { body, version, host: host.to_owned(), client };
    let gone = || Error::NotKafka { detail: "the broker stops".to_owned() };
    asks.send(Ask { request, reply }).await.map_err(|_| gone())?;
    match answered.await.map_err(|_| gone())? {
        Some(response) => encode(api, version, correlation, &response).map(Some),
        None => Ok(None),
    }
}

fn encode(api: ApiKey, version: i16, correlation: i32, response: &ResponseKind) -> Result<Bytes, Error> {
    let bad = |error: &dyn std::fmt::Display| Error::NotKafka { detail: format!("a reply cannot be written: {error}") };
    let mut bytes = BytesMut::zeroed(4);
    let header = ResponseHeader::default().with_correlation_id(correlation);
    header.encode(&mut bytes, api.response_header_version(version)).map_err(|e| bad(&e))?;
    response.encode(&mut bytes, version).map_err(|e| bad(&e))?;
    let size = u32::try_from(bytes.len() - 4).map_err(|e| bad(&e))?;
    bytes[..4].copy_from_slice(&size.to_be_bytes());
    Ok(bytes.freeze())
}

/// Milliseconds since the epoch.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
