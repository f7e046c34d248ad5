//! The sockets, on ZeroMQ: a task each, which ends when the kernel's ends of the wires are gone. The only file that knows
//! the crate.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::{Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use zeromq::{
    RepSocket, RouterRecvHalf, RouterSendHalf, RouterSocket, Socket, SocketRecv, SocketSend, XPubSocket, ZmqMessage,
};

use crate::transport::{Channel, Frames, OUTPUTS, REQUESTS, Transport, Wires};
use crate::{Connection, JupyterError};

/// After an error, so that a peer that breaks again and again does not keep the machine busy.
const PAUSE: Duration = Duration::from_millis(10);
/// How long an output waits for a page that does not read.
const PATIENCE: Duration = Duration::from_secs(1);
/// And how long as soon as it is known not to.
const NO_PATIENCE: Duration = Duration::from_millis(1);

/// ZeroMQ, over TCP or over sockets that are files.
pub(crate) struct ZeroMq;

impl Transport for ZeroMq {
    async fn open(self, connection: &Connection) -> Result<Wires, JupyterError> {
        let (to_kernel, incoming) = channel(REQUESTS);
        let (replies, leaving) = unbounded_channel();
        let (outputs, shown) = channel(OUTPUTS);
        let shell = router(connection, connection.shell_port, Channel::Shell, &to_kernel).await?;
        let control = router(connection, connection.control_port, Channel::Control, &to_kernel).await?;
        let stdin = router(connection, connection.stdin_port, Channel::Stdin, &to_kernel).await?;
        let iopub = bind(connection, connection.iopub_port).await?;
        let heartbeat = bind(connection, connection.hb_port).await?;
        tokio::spawn(publish(iopub, shown, to_kernel.clone()));
        tokio::spawn(beat(heartbeat, to_kernel));
        tokio::spawn(dispatch(leaving, shell, control, stdin));
        Ok(Wires { incoming, replies, outputs })
    }
}

async fn bind<S: Socket>(connection: &Connection, port: u16) -> Result<S, JupyterError> {
    let endpoint = connection.endpoint(port);
    let mut socket = S::new();
    let file = connection.socket(port);
    if let Some(file) = &file {
        remove_abandoned(file);
    }
    let failed = |detail: String| JupyterError::Bind { endpoint: endpoint.clone(), detail };
    socket.bind(&endpoint).await.map_err(|error| failed(error.to_string()))?;
    if let Some(file) = &file {
        // What is signed can be read by who can connect: nobody else.
        let private = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(file, private).map_err(|error| failed(error.to_string()))?;
    }
    Ok(socket)
}

/// Removes the socket that a kernel with this connection file has left, when it was killed; one that is listened to stays,
/// and so does a file that is none.
fn remove_abandoned(file: &Path) {
    let is_socket = std::fs::symlink_metadata(file).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(file).is_err() {
        // What cannot be removed cannot be bound either, and that is told.
        let _ = std::fs::remove_file(file);
    }
}

/// Removes the sockets of a kernel that ends.
pub(crate) fn remove_sockets(connection: &Connection) {
    let Connection { shell_port, control_port, stdin_port, iopub_port, hb_port, .. } = connection;
    for port in [shell_port, control_port, stdin_port, iopub_port, hb_port] {
        if let Some(file) = connection.socket(*port) {
            // A server removes them too.
            let _ = std::fs::remove_file(file);
        }
    }
}

/// Binds a socket for requests; what comes back takes the replies.
async fn router(
    connection: &Connection,
    port: u16,
    channel: Channel,
    to_kernel: &Sender<(Channel, Frames)>,
) -> Result<UnboundedSender<Frames>, JupyterError> {
    let socket: RouterSocket = bind(connection, port).await?;
    let (sending, receiving) = socket.split();
    let (sender, leaving) = unbounded_channel();
    tokio::spawn(send(channel, sending, leaving));
    tokio::spawn(receive(channel, receiving, to_kernel.clone()));
    Ok(sender)
}

/// Gives each reply to its socket, so that a page that does not read on one channel holds up no other.
async fn dispatch(
    mut leaving: UnboundedReceiver<(Channel, Frames)>,
    shell: UnboundedSender<Frames>,
    control: UnboundedSender<Frames>,
    stdin: UnboundedSender<Frames>,
) {
    while let Some((channel, frames)) = leaving.recv().await {
        let socket = match channel {
            Channel::Control => &control,
            Channel::Stdin => &stdin,
            Channel::Shell | Channel::Iopub => &shell,
        };
        // The socket's task lives as long as this one.
        let _ = socket.send(frames);
    }
}

async fn send(channel: Channel, mut socket: RouterSendHalf, mut leaving: UnboundedReceiver<Frames>) {
    while let Some(frames) = leaving.recv().await {
        if let Ok(message) = ZmqMessage::try_from(frames)
            && let Err(error) = socket.send(message).await
        {
            log(channel, &error);
        }
    }
}

async fn receive(channel: Channel, mut socket: RouterRecvHalf, to_kernel: Sender<(Channel, Frames)>) {
    loop {
        let received = tokio::select! {
            () = to_kernel.closed() => return,
            received = socket.recv() => received,
        };
        match received {
            // A kernel that has ended is noticed above.
            Ok(message) => drop(to_kernel.send((channel, message.into_vec())).await),
            Err(error) => {
                log(channel, &error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn publish(mut socket: XPubSocket, mut outputs: Receiver<Frames>, to_kernel: Sender<(Channel, Frames)>) {
    let mut patience = PATIENCE;
    loop {
        tokio::select! {
            // Subscriptions first, so that one made before an output does not miss it.
            biased;
            subscription = socket.recv() => match subscription {
                Ok(message) => drop(to_kernel.send((Channel::Iopub, message.into_vec())).await),
                Err(error) => {
                    log(Channel::Iopub, &error);
                    tokio::time::sleep(PAUSE).await;
                }
            },
            frames = outputs.recv() => {
                let Some(frames) = frames else { return };
                let Ok(message) = ZmqMessage::try_from(frames) else { continue };
                match tokio::time::timeout(patience, socket.send(message)).await {
                    Ok(Ok(())) => patience = PATIENCE,
                    Ok(Err(error)) => log(Channel::Iopub, &error),
                    Err(_) => {
                        if patience == PATIENCE {
                            log(Channel::Iopub, &"a page does not read; it will miss outputs");
                        }
                        patience = NO_PATIENCE;
                    }
                }
            }
        }
    }
}

async fn beat(mut socket: RepSocket, to_kernel: Sender<(Channel, Frames)>) {
    loop {
        let beat = tokio::select! {
            () = to_kernel.closed() => return,
            beat = socket.recv() => beat,
        };
        match beat {
            Ok(beat) => drop(socket.send(beat).await),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn log(channel: Channel, detail: &dyn std::fmt::Display) {
    eprintln!("the {channel:?} socket: {detail}");
}
