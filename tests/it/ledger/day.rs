//! The rounds, as clients know them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Ends with its last round.
#[derive(Default)]
pub(super) struct Day {
    rounds: AtomicUsize,
    is_busy: AtomicBool,
    is_over: AtomicBool,
}

impl Day {
    /// How many rounds are over; nothing when all are.
    pub(super) fn round(&self) -> Option<usize> {
        if self.is_over.load(Ordering::SeqCst) { None } else { Some(self.rounds.load(Ordering::SeqCst)) }
    }

    pub(super) fn next_round(&self) {
        self.rounds.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether clients send one request right after another: so they do when something is about to be killed. On the way back they go on slowly,
    /// and leave the processors to those who start.
    pub(super) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::SeqCst)
    }

    pub(super) fn set_busy(&self, busy: bool) {
        self.is_busy.store(busy, Ordering::SeqCst);
    }
}

/// Ends the day, also when the test fails.
pub(super) struct Over<'a>(pub(super) &'a Day);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}
