//! Frames that rows are looked up in and that are read anew now and then: between two batches, never within one.

use std::sync::Arc;
use std::time::Duration;

use plan::{Lookup, Step};

use crate::clock::Clock;

/// When the frames of a pipeline are due.
pub(crate) struct Refresh {
    clock: Arc<dyn Clock>,
    frames: Vec<Frame>,
}

#[derive(Default)]
struct Frame {
    /// At once, if it was not read since the pipeline was made.
    due: Option<Duration>,
    failure: Option<String>,
}

impl Refresh {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Refresh {
        Refresh { clock, frames: Vec::new() }
    }

    /// Reads the frames anew for which it is time. `steps` are all of a pipeline, in one order.
    pub(crate) fn run<'a>(&mut self, steps: impl Iterator<Item = &'a mut Step>) {
        let lookups = steps.filter_map(|step| match step {
            Step::Join(lookup) => lookup.refresh().map(|every| (lookup, every)),
            _ => None,
        });
        for (number, (lookup, every)) in lookups.enumerate() {
            if self.frames.len() == number {
                self.frames.push(Frame::default());
            }
            let frame = &mut self.frames[number];
            if frame.due.is_some_and(|due| self.clock.now() < due) {
                continue;
            }
            frame.failure = lookup.read_anew().err().map(|error| in_words(lookup, &error));
            // From when it was read, so that a slow source is not read all the time.
            frame.due = Some(self.clock.now() + every);
        }
    }

    /// Why a frame is not as new as it should be.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.frames.iter().find_map(|frame| frame.failure.as_deref())
    }
}

fn in_words(lookup: &Lookup, error: &polars::prelude::PolarsError) -> String {
    let every = lookup.refresh().unwrap_or_default();
    format!(
        "the frame that rows are looked up in could not be read anew: {error}. The one before is used, and it is tried again in {every:?}"
    )
}
