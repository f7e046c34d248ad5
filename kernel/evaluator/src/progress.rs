//! The way of a long build's lines to the page: the stand-in tools are processes whose output evcxr keeps until they have
//! ended, so what they want to be seen at once goes over a socket of its own. A thread `progress` listens.

use std::io::BufRead as _;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use link::Channel;

use crate::{EvaluatorError, Event, Place};

/// Listens for tools; their lines become text on standard error.
pub(crate) fn listen(place: &Place, events: Arc<dyn Fn(Event) + Send + Sync>) -> Result<(), EvaluatorError> {
    let failed = EvaluatorError::machine("listen for its tools");
    let listener = UnixListener::bind(place.progress()).map_err(&failed)?;
    let run = move || {
        // One tool runs at a time.
        for tool in listener.incoming().flatten() {
            for line in std::io::BufReader::new(tool).lines().map_while(Result::ok) {
                events(Event::Stream { channel: Channel::Stderr, text: format!("{line}\n"), cell: None });
            }
        }
    };
    std::thread::Builder::new().name("progress".into()).spawn(run).map_err(failed)?;
    Ok(())
}

/// Where a tool's own tool is to write what the page shows; `None` where nobody listens.
pub(crate) fn to_page(socket: &Path) -> Option<Stdio> {
    UnixStream::connect(socket).ok().map(|stream| Stdio::from(OwnedFd::from(stream)))
}
