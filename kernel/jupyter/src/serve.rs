//! The kernel as a process: its runtime, its signals, and the server that started it.

use std::os::unix::process::parent_id;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::cell::Publisher;
use crate::history::History;
use crate::kernel::run_on;
use crate::language::Language;
use crate::zmq::{ZeroMq, remove_sockets};
use crate::{Connection, JupyterError};

/// By which a Jupyter server says that it is the parent.
const PARENT: &str = "JPY_PARENT_PID";
/// How long the last replies may take to leave the sockets.
const FAREWELL: Duration = Duration::from_millis(300);

/// Serves a connection over ZeroMQ until it is asked to end, by a message or by SIGTERM, or the server that started it is
/// gone. An interrupt is a message too: SIGINT is ignored, being for whoever else is in the terminal.
///
/// # Errors
/// When a socket cannot be bound.
pub fn run<L: Language>(
    connection: &Connection,
    history: History,
    language: impl FnOnce(Publisher) -> L,
) -> Result<(), JupyterError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("jupyter").enable_all().build()?;
    let served = runtime.block_on(async {
        // Listened to and never asked.
        let _interrupts = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let end = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                () = orphaned() => {}
            }
        };
        run_on(ZeroMq, connection, history, language, end).await
    });
    // The last replies are with tasks of ZeroMQ, which end once they have written them.
    runtime.block_on(async { drop(tokio::time::timeout(FAREWELL, all_tasks_ended()).await) });
    runtime.shutdown_background();
    if served.is_ok() {
        remove_sockets(connection);
    }
    served
}

async fn all_tasks_ended() {
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Ends when the server that started this process is gone: one that was killed does not say goodbye.
async fn orphaned() {
    let parent = parent_id();
    if std::env::var_os(PARENT).is_none() {
        return std::future::pending().await;
    }
    let mut second = tokio::time::interval(Duration::from_secs(1));
    while parent_id() == parent {
        second.tick().await;
    }
}
