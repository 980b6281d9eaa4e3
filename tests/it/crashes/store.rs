//! A store as a server has it that dies: from a certain call on nothing reaches the store behind it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use strongroom::storage::{Cause, StoreError};

use crate::support::between::{Between, Call};

/// When a server dies, by the number of calls that change the store, from 1.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    /// Before this one has any effect.
    Before(u64),
    /// When it is durable, and before the server hears of it.
    Behind(u64),
}

/// The life of one server.
#[derive(Default)]
pub(super) struct Life {
    changes: AtomicU64,
    before: AtomicU64,
    behind: AtomicU64,
    dead: AtomicBool,
}

impl Life {
    /// It ends so, counted from now on.
    pub(super) fn arm(&self, ends: Ends) {
        self.changes.store(0, Ordering::SeqCst);
        match ends {
            Ends::Before(number) => self.before.store(number, Ordering::SeqCst),
            Ends::Behind(number) => self.behind.store(number, Ordering::SeqCst),
        }
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_dead() { Err(StoreError::Unavailable(Cause::text("the server has died"))) } else { Ok(()) }
    }

    fn die(&self) -> StoreError {
        self.dead.store(true, Ordering::SeqCst);
        // Not `Unknown`: nobody is left to ask for the outcome.
        StoreError::Unavailable(Cause::text("the server has died"))
    }

    async fn change<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        self.check()?;
        let number = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        if number == self.before.load(Ordering::SeqCst) {
            return Err(self.die());
        }
        let done = call.await;
        if number == self.behind.load(Ordering::SeqCst) { Err(self.die()) } else { done }
    }
}

impl Between for Life {
    async fn pass<T: Send>(&self, call: Call, done: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        if call.changes {
            return self.change(done).await;
        }
        self.check()?;
        done.await
    }
}
