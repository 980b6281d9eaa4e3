//! Keeping a server open whose seal opens it: trying again while the seal or the store is away, having keyrings confirmed while it
//! is open, and sealing it when the root's keys are gone.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Barrier, BarrierError};

/// Between two looks at what is due.
const PERIOD: Duration = Duration::from_millis(250);
/// Looks between two tries to open.
const TRIES: u32 = 4;

impl Barrier {
    /// Runs as long as the server does.
    pub async fn keep_open(self: Arc<Self>) {
        let mut looks: u32 = 0;
        let mut told = String::new();
        loop {
            tokio::time::sleep(PERIOD).await;
            looks = looks.wrapping_add(1);
            if let Some(open) = self.open() {
                if !open.refresher.lock().await.tick().await {
                    tracing::error!("sealed: the root's keys are gone; trying to open them again");
                    self.lose().await;
                }
            } else if looks.is_multiple_of(TRIES) && self.opens_itself() && self.wants_open.load(Ordering::Acquire) {
                match self.open_by_itself().await {
                    Ok(true) => tracing::info!("open"),
                    Ok(false) => {}
                    // Each reason once: it may be the same for hours.
                    Err(error) => {
                        let text = error.to_string();
                        if text != told {
                            tracing::warn!(%error, "still sealed");
                            told = text;
                        }
                    }
                }
            }
        }
    }

    /// Seals, and opens again as soon as that is possible.
    async fn lose(&self) {
        let _alone = self.changing.lock().await;
        self.close().await;
    }

    /// For a store without a deployment: whether its seals will do. An outage is no answer.
    pub(super) async fn probe(&self) -> Result<(), BarrierError> {
        let Some(seals) = self.guard.opening() else { return Ok(()) };
        match crate::commit::probe(seals).await {
            Err(error) if error.is_outage() => {
                tracing::warn!(%error, "the seal was not tried");
                Ok(())
            }
            probed => probed.map_err(BarrierError::Seal),
        }
    }
}
