//! The connection file: where to listen, and the key that signs every message.

use std::path::Path;

use serde::Deserialize;

use crate::JupyterError;

/// What a connection file says.
#[derive(Clone, Deserialize)]
pub struct Connection {
    /// The address to listen on.
    pub ip: String,
    /// Only `tcp` is served.
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
        let connection: Connection = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        if connection.transport != "tcp" {
            return Err(failed(format!("its transport is \"{}\", and only \"tcp\" is served", connection.transport)));
        }
        if !connection.key.is_empty() && connection.signature_scheme != "hmac-sha256" {
            return Err(failed(format!(
                "its signature scheme is \"{}\", and only \"hmac-sha256\" is known",
                connection.signature_scheme
            )));
        }
        Ok(connection)
    }

    /// Where a port listens.
    pub(crate) fn endpoint(&self, port: u16) -> String {
        format!("tcp://{}:{port}", self.ip)
    }
}

// The key is a secret.
impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a connection at {}, shell port {}", self.ip, self.shell_port)
    }
}
