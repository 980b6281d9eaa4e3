//! The fault: which call it strikes, and how.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use strongroom::storage::{Cause, StoreError};
use tokio::sync::watch;

use crate::support::between::{Between, Call};

/// What becomes of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It fails, and nothing is done.
    Fails,
    /// It is done, and its answer is lost.
    LosesAnswer,
    /// The same, and the next calls fail: nobody can be asked what came of it.
    Outage,
    /// It is done only after its client has given up.
    Hangs,
}

/// Calls that fail behind the one whose answer is lost.
const OUTAGE: u64 = 2;

/// Strikes one call, once.
pub(super) struct Fault {
    mode: Mode,
    /// Calls until the one that it strikes, from 1; none when it does not strike now.
    countdown: Mutex<Option<u64>>,
    /// Calls that fail now.
    failing: AtomicU64,
    struck: watch::Sender<Option<&'static str>>,
    released: watch::Sender<bool>,
}

impl Fault {
    pub(super) fn new(mode: Mode) -> Self {
        let (struck, released) = (watch::Sender::new(None), watch::Sender::new(false));
        Self { mode, countdown: Mutex::default(), failing: AtomicU64::new(0), struck, released }
    }

    /// The call of this number, counted from now on, is struck; from 1.
    pub(super) fn arm(&self, number: u64) {
        *self.countdown.lock().unwrap() = Some(number);
    }

    /// Nothing is struck any more, and what hangs goes on.
    pub(super) fn over(&self) {
        self.countdown.lock().unwrap().take();
        self.failing.store(0, Ordering::SeqCst);
        self.released.send_replace(true);
    }

    /// The call that was struck, if one was.
    pub(super) fn struck(&self) -> Option<&'static str> {
        *self.struck.borrow()
    }

    /// Waits until a call hangs.
    pub(super) async fn hangs(&self) {
        if self.mode != Mode::Hangs || *self.released.borrow() {
            std::future::pending::<()>().await;
        }
        self.struck.subscribe().wait_for(Option::is_some).await.unwrap();
    }

    fn strikes(&self, call: Call) -> bool {
        let mut countdown = self.countdown.lock().unwrap();
        let Some(left) = &mut *countdown else { return false };
        *left -= 1;
        if *left > 0 {
            return false;
        }
        *countdown = None;
        self.struck.send_replace(Some(call.name));
        true
    }
}

impl Between for Fault {
    async fn pass<T: Send>(&self, call: Call, done: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        let fails = |left: u64| left.checked_sub(1);
        if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails).is_ok() {
            return Err(StoreError::Unavailable(Cause::text("it was struck, too")));
        }
        if !self.strikes(call) {
            return done.await;
        }
        match self.mode {
            Mode::Fails => Err(StoreError::Unavailable(Cause::text("it was struck before it was done"))),
            Mode::LosesAnswer | Mode::Outage => {
                drop(done.await?);
                self.failing.store(if self.mode == Mode::Outage { OUTAGE } else { 0 }, Ordering::SeqCst);
                let cause = Cause::text("it was struck when it was done");
                // The outcome of what changes something is then unknown, which is what a store has to say.
                Err(if call.changes { StoreError::Unknown(cause) } else { StoreError::Unavailable(cause) })
            }
            Mode::Hangs => {
                self.released.subscribe().wait_for(|released| *released).await.unwrap();
                done.await
            }
        }
    }
}
