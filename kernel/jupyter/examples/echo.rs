//! The echo language as a kernel: `echo CONNECTION_FILE`. For tests of the protocol with other people's clients.

use std::path::Path;
use std::process::ExitCode;

use jupyter::{Connection, History};

#[path = "../tests/protocol/echo.rs"]
mod echo;

fn main() -> ExitCode {
    let Some(file) = std::env::args().nth(1) else {
        eprintln!("echo CONNECTION_FILE");
        return ExitCode::FAILURE;
    };
    let served = Connection::read(Path::new(&file))
        .and_then(|connection| jupyter::run(&connection, History::default(), echo::Echo::new));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
