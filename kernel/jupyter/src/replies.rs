//! The contents of replies. Functions of values.

use serde_json::{Value, json};

use crate::Connection;
use crate::cell::Extras;
use crate::language::{Completeness, LanguageInfo, Outcome};
use crate::message::PROTOCOL_VERSION;

pub(crate) fn kernel_info(info: &LanguageInfo) -> Value {
    json!({
        "status": "ok", "protocol_version": PROTOCOL_VERSION, "implementation": info.implementation,
        "implementation_version": info.implementation_version, "language_info": info.language_info, "banner": info.banner,
        "help_links": [], "debugger": false,
        // Not "kernel subshells": JupyterLab would move comms onto them.
        "supported_features": [],
    })
}

pub(crate) fn execute(count: u64, outcome: &Outcome, extras: Extras) -> Value {
    let Extras { expressions, payload } = extras;
    match outcome {
        Outcome::Ok => {
            json!({"status": "ok", "execution_count": count, "user_expressions": expressions, "payload": payload})
        }
        Outcome::Error { ename, evalue, traceback } => json!({
            "status": "error", "execution_count": count, "ename": ename, "evalue": evalue, "traceback": traceback,
            "user_expressions": {}, "payload": [],
        }),
        Outcome::Aborted => {
            json!({"status": "aborted", "execution_count": count, "user_expressions": {}, "payload": []})
        }
    }
}

pub(crate) fn is_complete(completeness: &Completeness) -> Value {
    match completeness {
        Completeness::Complete => json!({"status": "complete"}),
        Completeness::Incomplete { indent } => json!({"status": "incomplete", "indent": indent}),
        Completeness::Invalid => json!({"status": "invalid"}),
        Completeness::Unknown => json!({"status": "unknown"}),
    }
}

pub(crate) fn connect(connection: &Connection) -> Value {
    json!({
        "status": "ok", "shell_port": connection.shell_port, "iopub_port": connection.iopub_port,
        "stdin_port": connection.stdin_port, "control_port": connection.control_port, "hb_port": connection.hb_port,
    })
}

pub(crate) fn unknown(msg_type: &str) -> Value {
    let text = format!("this kernel does not serve {msg_type}");
    json!({"status": "error", "ename": "UnknownRequest", "evalue": text, "traceback": [text]})
}
