//! Whose turn it is: the cell that waits for the session and the one that the session is at, and what an interrupt means to
//! them. One lock; the session's thread moves a cell on, the kernel's interrupts it, the link's says that it runs.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::children::Moment;
use crate::stop::Stop;

/// The cells on their way.
pub(crate) struct Turns {
    state: Mutex<State>,
    /// A turn has ended.
    ended: Condvar,
    stop: Stop,
}

#[derive(Default)]
struct State {
    /// Whether the session takes cells.
    open: bool,
    /// Whether the session ends.
    closed: bool,
    waiting: Option<u64>,
    turn: Option<Turn>,
}

/// The cell that the session is at.
struct Turn {
    id: u64,
    since: Moment,
    stage: Stage,
    /// How often it was interrupted.
    interrupts: u32,
    /// Whether the page has been told how it ended, although the session is not done with it.
    answered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of it runs yet.
    Compiling,
    Running,
}

/// What an interrupt is to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Nothing is to be interrupted.
    Nothing,
    /// The cell has not begun: it is answered, and does not begin.
    Answer(u64),
    /// The cell is compiled, which ends now.
    Compiling { id: u64, first: bool },
    /// The cell runs, and is asked to end.
    Ask(u64),
    /// The cell was asked before: its process ends.
    End,
}

impl Turns {
    pub(crate) fn new(stop: Stop) -> Turns {
        Turns { state: Mutex::default(), ended: Condvar::new(), stop }
    }

    /// The session takes cells from now on.
    pub(crate) fn open(&self) {
        self.state().open = true;
    }

    /// A cell waits.
    pub(crate) fn sent(&self, id: u64) {
        self.state().waiting = Some(id);
    }

    /// The session begins with a cell; `false` when it was interrupted and answered before.
    pub(crate) fn begin(&self, id: u64) -> bool {
        let mut state = self.state();
        if state.waiting != Some(id) {
            return false;
        }
        state.waiting = None;
        let (since, stage) = (Moment::now(), Stage::Compiling);
        state.turn = Some(Turn { id, since, stage, interrupts: 0, answered: false });
        true
    }

    /// Something is compiled for the cell; nothing of that runs yet.
    pub(crate) fn compiles(&self) {
        self.set(Stage::Compiling);
    }

    /// The cell's statements begin.
    pub(crate) fn runs(&self) {
        self.set(Stage::Running);
    }

    fn set(&self, stage: Stage) {
        if let Some(turn) = &mut self.state().turn {
            turn.stage = stage;
        }
    }

    /// The session is done with the cell; whether the page is to be told.
    pub(crate) fn end(&self) -> bool {
        let mut state = self.state();
        let turn = state.turn.take();
        if !state.closed {
            self.stop.clear();
        }
        self.ended.notify_all();
        turn.is_some_and(|turn| !turn.answered)
    }

    /// Notes an interrupt, and says what it is to do. What is being compiled has ended when this returns.
    pub(crate) fn interrupt(&self) -> Interrupt {
        let mut state = self.state();
        let Some(turn) = state.turn.as_mut().filter(|turn| !turn.answered) else {
            return state.waiting.take().map_or(Interrupt::Nothing, Interrupt::Answer);
        };
        turn.interrupts += 1;
        match (turn.stage, turn.interrupts) {
            (Stage::Compiling, number) => {
                let id = turn.id;
                // Under the lock, so that it is this cell's compiler and not the next one's.
                self.stop.set();
                Interrupt::Compiling { id, first: number == 1 }
            }
            (Stage::Running, 1) => Interrupt::Ask(turn.id),
            (Stage::Running, _) => Interrupt::End,
        }
    }

    /// Ends what is being compiled, and lets nothing be compiled any more.
    pub(crate) fn close(&self) {
        let mut state = self.state();
        (state.waiting, state.closed) = (None, true);
        self.stop.set();
    }

    /// Whether the cell was interrupted before anything of it ran.
    pub(crate) fn was_stopped(&self) -> bool {
        self.state().turn.as_ref().is_some_and(|turn| turn.interrupts > 0 && turn.stage == Stage::Compiling)
    }

    /// Whether the cell was interrupted so often that its process was ended.
    pub(crate) fn was_ended(&self) -> bool {
        self.state().turn.as_ref().is_some_and(|turn| turn.interrupts > 1)
    }

    /// When the cell began.
    pub(crate) fn since(&self) -> Option<Moment> {
        self.state().turn.as_ref().map(|turn| turn.since)
    }

    /// Waits; whether the session is still at this cell then.
    pub(crate) fn lasts(&self, id: u64, time: Duration) -> bool {
        let is_at = |state: &mut State| state.turn.as_ref().is_some_and(|turn| turn.id == id);
        let waited = self.ended.wait_timeout_while(self.state(), time, is_at);
        waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }

    /// Whether the page is to be told now that a cell of which nothing runs was interrupted; once.
    pub(crate) fn answer_early(&self, id: u64) -> bool {
        let mut state = self.state();
        let turn = state.turn.as_mut().filter(|turn| turn.id == id && turn.stage == Stage::Compiling);
        turn.is_some_and(|turn| !std::mem::replace(&mut turn.answered, true))
    }

    /// Whether a cell waits or runs.
    pub(crate) fn has_cells(&self) -> bool {
        let state = self.state();
        state.waiting.is_some() || state.turn.is_some()
    }

    /// Whether the session has more to do than to answer questions.
    pub(crate) fn is_occupied(&self) -> bool {
        !self.state().open || self.has_cells()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave the state half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn turns() -> (tempfile::TempDir, Turns) {
        let folder = tempfile::tempdir().unwrap();
        let turns = Turns::new(Stop::at(folder.path()).unwrap());
        turns.sent(1);
        (folder, turns)
    }

    #[test]
    fn a_cell_that_waits_is_answered_and_does_not_begin() {
        let (_folder, turns) = turns();
        assert_eq!(turns.interrupt(), Interrupt::Answer(1));
        assert!(!turns.begin(1));
        assert_eq!(turns.interrupt(), Interrupt::Nothing);
    }

    #[test]
    fn a_cell_that_is_compiled_is_stopped_and_its_process_lives() {
        let (folder, turns) = turns();
        assert!(turns.begin(1) && !turns.was_stopped());
        assert_eq!(turns.interrupt(), Interrupt::Compiling { id: 1, first: true });
        assert_eq!(turns.interrupt(), Interrupt::Compiling { id: 1, first: false });
        assert!(turns.was_stopped() && crate::stop::Tool::enter(folder.path()).is_none());
        assert!(turns.answer_early(1) && !turns.answer_early(1));
        assert!(!turns.end());
        turns.sent(2);
        assert!(turns.begin(2) && crate::stop::Tool::enter(folder.path()).is_some());
    }

    #[test]
    fn a_cell_that_runs_is_asked_once() {
        let (_folder, turns) = turns();
        assert!(turns.begin(1));
        turns.runs();
        assert_eq!((turns.interrupt(), turns.interrupt()), (Interrupt::Ask(1), Interrupt::End));
        assert!(turns.was_ended() && !turns.was_stopped() && !turns.answer_early(1));
        assert!(turns.lasts(1, Duration::ZERO) && turns.end() && !turns.lasts(1, Duration::ZERO));
    }

    #[test]
    fn an_answered_cell_leaves_the_interrupt_to_the_next() {
        let (_folder, turns) = turns();
        assert!(turns.begin(1));
        turns.interrupt();
        assert!(turns.answer_early(1));
        turns.sent(2);
        assert_eq!(turns.interrupt(), Interrupt::Answer(2));
    }
}
