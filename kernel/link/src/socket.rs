//! The link's two ends. Each end has a half that sends and one that receives, for a thread each.

use std::io::{BufReader, BufWriter};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{read_frame, write_frame};
use crate::{Channel, Framed, LinkError, ToCell, ToKernel};

/// The environment variable that tells the cell process where the kernel listens.
pub const ENV: &str = "CORRIENTE_LINK";

/// The named pipe in which a cell process's standard output or error is: beside the socket, made by the cell process before
/// it says hello. The kernel opens it too, and so has what a process wrote last, however it ended.
#[must_use]
pub fn pipe(socket: &Path, pid: u32, channel: Channel) -> PathBuf {
    let name = match channel {
        Channel::Stdout => "stdout",
        Channel::Stderr => "stderr",
    };
    socket.with_file_name(format!("{name}-{pid}"))
}

/// The file that says, while it is there, that nothing is to be compiled for the cell and nothing of it is to begin; in the folder
/// where the socket is.
#[must_use]
pub fn stopped(folder: &Path) -> PathBuf {
    folder.join("stopped")
}

/// The kernel's end, waiting for a cell process. The socket's file goes when it is dropped.
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`, which must be in a folder that only this user can enter.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn bind(path: &Path) -> Result<Listener, LinkError> {
        Ok(Listener { socket: UnixListener::bind(path)?, path: path.to_owned() })
    }

    /// Waits for the next cell process.
    ///
    /// # Errors
    /// When the socket fails.
    pub fn accept(&self) -> Result<(Sender<ToCell>, Receiver<ToKernel>), LinkError> {
        halves(self.socket.accept()?.0)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The folder it is in goes with the session; a file left over harms nobody.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// The cell process's end.
///
/// # Errors
/// When no kernel listens at `path`.
pub fn connect(path: &Path) -> Result<(Sender<ToKernel>, Receiver<ToCell>), LinkError> {
    halves(UnixStream::connect(path)?)
}

fn halves<S, R>(stream: UnixStream) -> Result<(Sender<S>, Receiver<R>), LinkError> {
    let reading = stream.try_clone()?;
    Ok((
        Sender { stream: BufWriter::new(stream), says: PhantomData },
        Receiver { stream: BufReader::new(reading), hears: PhantomData },
    ))
}

/// The half that sends.
pub struct Sender<T> {
    stream: BufWriter<UnixStream>,
    says: PhantomData<fn(T)>,
}

impl<T: Serialize> Sender<T> {
    /// Sends one frame.
    ///
    /// # Errors
    /// When the other side is gone, or the frame is too large.
    pub fn send(&mut self, framed: &Framed<T>) -> Result<(), LinkError> {
        write_frame(&mut self.stream, framed)
    }
}

impl<T> Sender<T> {
    /// Ends the link in both directions; the other half's wait ends too.
    pub fn close(&self) {
        // A socket that is closed already is what was wanted.
        let _ = self.stream.get_ref().shutdown(Shutdown::Both);
    }
}

/// The half that receives.
pub struct Receiver<T> {
    stream: BufReader<UnixStream>,
    hears: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Receiver<T> {
    /// Waits for the next frame; `None` when the other side has closed.
    ///
    /// # Errors
    /// When the socket fails or what came is no frame.
    pub fn receive(&mut self) -> Result<Option<Framed<T>>, LinkError> {
        read_frame(&mut self.stream)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn both_ends_talk_and_hear_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link");
        let listener = Listener::bind(&path).unwrap();
        let cell = std::thread::Builder::new().name("cell".into()).spawn({
            let path = path.clone();
            move || {
                let (mut sender, mut receiver) = connect(&path).unwrap();
                sender.send(&ToKernel::Hello { pid: 7 }.into()).unwrap();
                receiver.receive().unwrap().unwrap().frame
            }
        });
        let (mut sender, mut receiver) = listener.accept().unwrap();
        assert_eq!(receiver.receive().unwrap().unwrap().frame, ToKernel::Hello { pid: 7 });
        sender.send(&ToCell::Interrupt.into()).unwrap();
        assert_eq!(cell.unwrap().join().unwrap(), ToCell::Interrupt);
        assert_eq!(receiver.receive().unwrap(), None);
    }
}
