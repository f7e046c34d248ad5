//! The sockets, on ZeroMQ: a task each. The only file that knows the crate.

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeromq::{RepSocket, RouterSocket, Socket, SocketRecv, SocketSend, XPubSocket, ZmqMessage};

use crate::transport::{Channel, Frames, Transport, Wires};
use crate::{Connection, JupyterError};

/// ZeroMQ over TCP.
pub(crate) struct ZeroMq;

impl Transport for ZeroMq {
    async fn open(self, connection: &Connection) -> Result<Wires, JupyterError> {
        let (to_kernel, incoming) = unbounded_channel();
        let (outgoing, mut leaving) = unbounded_channel::<(Channel, Frames)>();
        let shell = router(connection, connection.shell_port, Channel::Shell, &to_kernel).await?;
        let control = router(connection, connection.control_port, Channel::Control, &to_kernel).await?;
        let stdin = router(connection, connection.stdin_port, Channel::Stdin, &to_kernel).await?;
        let iopub = publisher(connection, &to_kernel).await?;
        heartbeat(connection).await?;
        tokio::spawn(async move {
            while let Some((channel, frames)) = leaving.recv().await {
                let socket = match channel {
                    Channel::Shell => &shell,
                    Channel::Control => &control,
                    Channel::Stdin => &stdin,
                    Channel::Iopub => &iopub,
                };
                // The socket's task ends with the kernel.
                let _ = socket.send(frames);
            }
        });
        Ok(Wires { incoming, outgoing })
    }
}

async fn bind<S: Socket>(connection: &Connection, port: u16) -> Result<S, JupyterError> {
    let endpoint = connection.endpoint(port);
    let mut socket = S::new();
    match socket.bind(&endpoint).await {
        Ok(_) => Ok(socket),
        Err(error) => Err(JupyterError::Bind { endpoint, detail: error.to_string() }),
    }
}

async fn router(
    connection: &Connection,
    port: u16,
    channel: Channel,
    to_kernel: &UnboundedSender<(Channel, Frames)>,
) -> Result<UnboundedSender<Frames>, JupyterError> {
    let socket: RouterSocket = bind(connection, port).await?;
    let (mut sending, mut receiving) = socket.split();
    let (sender, mut leaving): (_, UnboundedReceiver<Frames>) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(frames) = leaving.recv().await {
            if let Ok(message) = ZmqMessage::try_from(frames)
                && let Err(error) = sending.send(message).await
            {
                log(channel, &error.to_string());
            }
        }
    });
    let to_kernel = to_kernel.clone();
    tokio::spawn(async move {
        loop {
            match receiving.recv().await {
                Ok(message) => {
                    if to_kernel.send((channel, message.into_vec())).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    log(channel, &error.to_string());
                    // A peer that breaks again and again must not keep the machine busy.
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
            }
        }
    });
    Ok(sender)
}

async fn publisher(
    connection: &Connection,
    to_kernel: &UnboundedSender<(Channel, Frames)>,
) -> Result<UnboundedSender<Frames>, JupyterError> {
    let mut socket: XPubSocket = bind(connection, connection.iopub_port).await?;
    let (sender, mut leaving): (_, UnboundedReceiver<Frames>) = unbounded_channel();
    let to_kernel = to_kernel.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                // Subscriptions first, so that one made before an output does not miss it.
                biased;
                subscription = socket.recv() => match subscription {
                    Ok(message) => drop(to_kernel.send((Channel::Iopub, message.into_vec()))),
                    Err(error) => {
                        log(Channel::Iopub, &error.to_string());
                        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                    }
                },
                frames = leaving.recv() => {
                    let Some(frames) = frames else { return };
                    if let Ok(message) = ZmqMessage::try_from(frames)
                        && let Err(error) = socket.send(message).await
                    {
                        log(Channel::Iopub, &error.to_string());
                    }
                }
            }
        }
    });
    Ok(sender)
}

async fn heartbeat(connection: &Connection) -> Result<(), JupyterError> {
    let mut socket: RepSocket = bind(connection, connection.hb_port).await?;
    tokio::spawn(async move {
        loop {
            match socket.recv().await {
                Ok(beat) => drop(socket.send(beat).await),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            }
        }
    });
    Ok(())
}

fn log(channel: Channel, detail: &str) {
    eprintln!("the {channel:?} socket: {detail}");
}
