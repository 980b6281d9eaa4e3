//! The way into modules, which closes at the end of the process: `exit(3)` takes down what modules and the libraries under them
//! have set up, and a thread that is still in one of them then crashes the process.
//!
//! One for the process, as modules are: seals of the same library share its state, whatever has made them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

static WAY: Way = Way::new();

/// Shows that its owner is in a module.
pub(super) struct Inside(&'static Way);

/// Goes into a module. None: the process ends, and nothing of a module may be called any more.
pub(super) fn enter() -> Option<Inside> {
    WAY.enter()
}

/// Lets nobody into a module any more, and waits for those who are in one for this long at most: whoever hangs there is left behind.
pub fn leave(longest: Duration) {
    WAY.close(longest);
}

struct Way {
    state: Mutex<State>,
    left: Condvar,
}

struct State {
    closed: bool,
    inside: usize,
}

impl Way {
    const fn new() -> Self {
        Self { state: Mutex::new(State { closed: false, inside: 0 }), left: Condvar::new() }
    }

    /// A thread that panicked in between has changed nothing by halves.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&'static self) -> Option<Inside> {
        let mut state = self.state();
        if state.closed {
            return None;
        }
        state.inside += 1;
        Some(Inside(self))
    }

    fn close(&self, longest: Duration) {
        let mut state = self.state();
        state.closed = true;
        let _ = self.left.wait_timeout_while(state, longest, |state| state.inside > 0);
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn the_way_closes_behind_the_last_one_or_after_a_time() {
        static ONE: Way = Way::new();
        let inside = ONE.enter().unwrap();
        ONE.close(Duration::from_millis(1));
        assert!(ONE.enter().is_none());
        let (send, receive) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                ONE.close(Duration::from_mins(10));
                send.send(ONE.state().inside).unwrap();
            });
            drop(inside);
        });
        assert_eq!(receive.recv().unwrap(), 0);
    }
}
