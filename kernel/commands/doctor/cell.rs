//! A real cell: a session is started, a frame is made in it, and its value comes back.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use evaluator::{Evaluator, Event, Execution, Outcome, Place, Toolchain};

use super::{Found, Problem};

const CELL: &str = "let doctor = df!(\"a\" => [20, 22])?;\ndoctor.column(\"a\")?.i32()?.sum()";
const VALUE: &str = "Some(42)";
/// A loaded machine takes half a minute.
const WITHIN: Duration = Duration::from_secs(180);

/// Runs it. No thread may have been started in this process.
pub(super) fn run(toolchain: Toolchain) -> Found {
    let failed = |fact: String| {
        Problem::new(
            fact,
            "What failed is above, or in the sentence itself; where neither helps, build anew with ./install/build and install again",
        )
    };
    // SAFETY: this process has one thread.
    let place = unsafe { Place::prepare(&toolchain) }.map_err(|error| failed(error.to_string()))?;
    let (told, events) = channel();
    let began = Instant::now();
    let tell = std::sync::Mutex::new(told);
    let hear = move |event| {
        if let Ok(told) = tell.lock() {
            // Who asked may have given up.
            let _ = told.send(event);
        }
    };
    let mut session = Evaluator::start(&place, toolchain, hear).map_err(|error| failed(error.to_string()))?;
    session.execute(Execution { id: 1, number: 1, cell: None, code: CELL.to_owned(), expressions: Vec::new() });
    let mut shown = String::new();
    let found = loop {
        match events.recv_timeout(WITHIN.saturating_sub(began.elapsed())) {
            Ok(Event::Ready(Err(error))) => break Err(failed(error.to_string())),
            Ok(Event::FromCell(framed)) => shown.push_str(&format!("{:?}", framed.frame)),
            Ok(Event::Finished { outcome: Outcome::Ok, .. }) if shown.contains(VALUE) => {
                break Ok(format!(
                    "was compiled and run, {:.1} s after the session's start",
                    began.elapsed().as_secs_f64()
                ));
            }
            Ok(Event::Finished { outcome: Outcome::Ok, .. }) => break Err(failed(format!("it ran, and gave {shown}"))),
            Ok(Event::Finished { outcome: Outcome::Error { value, .. }, .. }) => break Err(failed(value)),
            Ok(_) => {}
            Err(RecvTimeoutError::Timeout) => {
                break Err(failed(format!("it has not ended within {} s", WITHIN.as_secs())));
            }
            Err(RecvTimeoutError::Disconnected) => break Err(failed("the session has ended".to_owned())),
        }
    };
    session.shutdown();
    found
}
