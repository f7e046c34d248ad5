//! The connection file: where to listen, and the key that signs every message.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::JupyterError;

const IPC: &str = "ipc";
/// The bytes that a socket's name may have, with the zero at its end.
const SOCKET_NAME: usize = if cfg!(target_os = "linux") { 108 } else { 104 };

/// What a connection file says.
#[derive(Clone, Deserialize)]
pub struct Connection {
    /// The address to listen on; for `ipc` the beginning of the sockets' paths.
    pub ip: String,
    /// `tcp`, or `ipc` for sockets that are files.
    pub transport: String,
    /// Shell requests.
    pub shell_port: u16,
    /// Control requests.
    pub control_port: u16,
    /// Standard input.
    pub stdin_port: u16,
    /// Outputs.
    pub iopub_port: u16,
    /// Heartbeat.
    pub hb_port: u16,
    /// The key; empty for a connection without signatures.
    pub key: String,
    /// How messages are signed.
    pub signature_scheme: String,
}

impl Connection {
    /// Reads a connection file.
    ///
    /// # Errors
    /// When it cannot be read, or asks for what this kernel does not do.
    pub fn read(path: &Path) -> Result<Connection, JupyterError> {
        let failed = |detail: String| JupyterError::ConnectionFile { path: path.to_owned(), detail };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        Connection::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<Connection, String> {
        let connection: Connection = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if !["tcp", IPC].contains(&connection.transport.as_str()) {
            return Err(format!("its transport is \"{}\", and \"tcp\" and \"ipc\" are served", connection.transport));
        }
        if let Some(longest) = connection.socket(u16::MAX).filter(|path| path.as_os_str().len() >= SOCKET_NAME) {
            return Err(format!(
                "the path of a socket, {}, has more than {} bytes. Set JUPYTER_RUNTIME_DIR to a folder with a shorter name",
                longest.display(),
                SOCKET_NAME - 1
            ));
        }
        if !connection.key.is_empty() && connection.signature_scheme != "hmac-sha256" {
            return Err(format!(
                "its signature scheme is \"{}\", and only \"hmac-sha256\" is known",
                connection.signature_scheme
            ));
        }
        Ok(connection)
    }

    /// The socket of a port where sockets are files.
    pub(crate) fn socket(&self, port: u16) -> Option<PathBuf> {
        (self.transport == IPC).then(|| PathBuf::from(format!("{}-{port}", self.ip)))
    }

    /// Where a port listens.
    pub(crate) fn endpoint(&self, port: u16) -> String {
        if let Some(path) = self.socket(port) {
            return format!("ipc://{}", path.display());
        }
        match self.ip.as_str() {
            // As ZeroMQ writes "any".
            "*" | "" => format!("tcp://0.0.0.0:{port}"),
            ip if ip.contains(':') && !ip.starts_with('[') => format!("tcp://[{ip}]:{port}"),
            ip => format!("tcp://{ip}:{port}"),
        }
    }
}

// The key is a secret.
impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a connection at {}, shell port {}", self.ip, self.shell_port)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file(transport: &str, ip: &str, key: &str, scheme: &str) -> String {
        serde_json::json!({
            "transport": transport, "ip": ip, "key": key, "signature_scheme": scheme, "kernel_name": "any",
            "shell_port": 1, "control_port": 2, "stdin_port": 3, "iopub_port": 4, "hb_port": 5,
        })
        .to_string()
    }

    #[test]
    fn tcp_and_ipc_are_served() {
        let refused =
            |transport: &str, ip: &str| Connection::parse(&file(transport, ip, "k", "hmac-sha256")).unwrap_err();
        assert!(refused("inproc", "x").contains("\"tcp\" and \"ipc\""));
        assert!(refused("ipc", &format!("/{}", "x".repeat(110))).contains("JUPYTER_RUNTIME_DIR"));
        let ipc = Connection::parse(&file("ipc", "/run/kernel-ipc", "k", "hmac-sha256")).unwrap();
        assert_eq!(ipc.endpoint(7), "ipc:///run/kernel-ipc-7");
    }

    #[test]
    fn only_sha256_is_known_but_without_a_key_the_scheme_does_not_matter() {
        assert!(Connection::parse(&file("tcp", "127.0.0.1", "k", "hmac-md5")).unwrap_err().contains("hmac-md5"));
        assert!(Connection::parse(&file("tcp", "127.0.0.1", "", "")).is_ok());
    }

    #[test]
    fn an_address_is_written_as_zeromq_reads_it() {
        let at = |ip: &str| Connection::parse(&file("tcp", ip, "", "")).unwrap().endpoint(7);
        assert_eq!(at("127.0.0.1"), "tcp://127.0.0.1:7");
        assert_eq!(at("*"), "tcp://0.0.0.0:7");
        assert_eq!(at("::1"), "tcp://[::1]:7");
    }

    #[test]
    fn the_key_is_not_shown() {
        let connection = Connection::parse(&file("tcp", "127.0.0.1", "secret", "hmac-sha256")).unwrap();
        assert!(!format!("{connection:?}").contains("secret"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Connection::read(Path::new("/no/such/file.json")).unwrap_err();
        assert!(error.to_string().contains("/no/such/file.json"), "{error}");
    }
}
