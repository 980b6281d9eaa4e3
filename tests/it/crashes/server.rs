//! A server in this process that dies when it is told to.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use strongroom::storage::Store;
use strongroom::sys::barrier::Guard;
use strongroom::sys::erasure::ErasureSettings;

use super::store::{Ends, Life};
use crate::support::between::Guarded;
use crate::support::in_process::{InProcess, guard};
use crate::support::process::PATIENCE;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(5);

/// Such a server.
pub(super) struct Mortal {
    server: InProcess,
    life: Arc<Life>,
}

impl Deref for Mortal {
    type Target = InProcess;

    fn deref(&self) -> &InProcess {
        &self.server
    }
}

impl Mortal {
    /// One that is not open yet.
    pub(super) fn new(store: &Arc<dyn Store>, guard: Guard, erasure: ErasureSettings) -> Self {
        let life = Arc::<Life>::default();
        let store: Arc<dyn Store> = Arc::new(Guarded { inner: Arc::clone(store), between: Arc::clone(&life) });
        Self { server: InProcess::new(&store, guard, erasure), life }
    }

    /// One whose seals open it.
    pub(super) async fn open(store: &Arc<dyn Store>, names: &[&str]) -> Self {
        let server = Self::new(store, guard(names), ErasureSettings::default());
        assert!(server.barrier.open_at_start().await.unwrap());
        server
    }

    /// It dies so, from now on.
    pub(super) fn arm(&self, ends: Ends) {
        self.life.arm(ends);
    }

    /// Waits until something is so, or the server has died. True when it has died.
    pub(super) async fn dies_before(&self, what: &str, is: impl AsyncFn() -> bool) -> bool {
        let begun = Instant::now();
        loop {
            if self.life.is_dead() {
                return true;
            }
            if is().await {
                return false;
            }
            assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until something is so.
    pub(super) async fn until(&self, what: &str, is: impl AsyncFn() -> bool) {
        assert!(!self.dies_before(what, is).await, "it has died before: {what}");
    }

    /// It is gone, and with it whatever it was about to do.
    pub(super) async fn end(self) {
        self.server.end().await;
    }
}
