//! Frames that rows are looked up in and that are read anew now and then: between two batches, never within one.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::operator::LookupTable;

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

    /// Reads the frames anew for which it is time. `lookups` are all of a pipeline, in one order.
    pub(crate) fn run<'a>(&mut self, lookups: impl Iterator<Item = &'a mut LookupTable>) {
        let refreshed = lookups.filter_map(|lookup| lookup.refresh().map(|every| (lookup, every)));
        for (number, (lookup, every)) in refreshed.enumerate() {
            if self.frames.len() == number {
                self.frames.push(Frame::default());
            }
            let frame = &mut self.frames[number];
            if frame.due.is_some_and(|due| self.clock.now() < due) {
                continue;
            }
            frame.failure = lookup.read_anew().err().map(|error| in_words(every, &error));
            // From when it was read, so that a slow source is not read all the time.
            frame.due = Some(self.clock.now() + every);
        }
    }

    /// Why a frame is not as new as it should be.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.frames.iter().find_map(|frame| frame.failure.as_deref())
    }
}

fn in_words(every: Duration, error: &polars::prelude::PolarsError) -> String {
    format!(
        "the frame that rows are looked up in could not be read anew: {error}. The one before is used, and it is tried again in {every:?}"
    )
}
