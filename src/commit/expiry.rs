//! Removing what has expired, some records at a time, with all that leads to them.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::committer::{Attempt, Committer};
use super::lease::Held;
use super::tenant::Tenant;
use super::txn::{Swept, Txn};
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::id::TenantId;
use crate::record::RecordKey;
use crate::time::Timestamp;

/// Changes in one commit. There may be minutes of this without a pause, and requests that share a group with it wait for its rows, too.
const CHANGES_MAX: usize = 24;
/// Damaged records of one tenant that are remembered. With more of them its expired records are not removed any more.
const DAMAGED_MAX: usize = 4096;

/// Knows what else goes with a record that has expired.
#[async_trait]
pub trait Remains: Send + Sync {
    /// Of the records at `keys`, removes those that are of the kind that this one knows and have expired, with all that leads to them, one
    /// after another as long as there is room for the changes: `changes` in all.
    async fn remove(&self, txn: &mut Txn, tenant: &Arc<Tenant>, keys: &[RecordKey], changes: usize) -> Result<Cleared, Refusal>;
}

/// What became of expired records. Those of which it says nothing were not looked at.
#[derive(Default)]
pub struct Cleared {
    /// How many were removed.
    pub removed: usize,
    /// Those that are something else.
    pub others: Vec<RecordKey>,
}

/// The expired records of all tenants.
pub(super) struct Expiring {
    remains: Option<Arc<dyn Remains>>,
    known: Mutex<HashMap<TenantId, Known>>,
}

/// What the step before found out about a tenant.
#[derive(Default)]
struct Known {
    /// What expired before this is gone. A database reads past it until it is cleaned up, so the next step looks from here on; `None` looks
    /// at everything.
    from: Option<Timestamp>,
    /// Records that seem to be past their expiry and do not open: told once, and passed over.
    damaged: HashSet<RecordKey>,
}

impl Expiring {
    pub(super) fn new(remains: Option<Arc<dyn Remains>>) -> Self {
        Self { remains, known: Mutex::default() }
    }

    /// Removes expired records of a tenant. True when more is left.
    pub(super) async fn step(&self, committer: &Committer, tenant: &Arc<Tenant>, under: Option<&Held>) -> bool {
        let (store, now) = (committer.tenants().store(), committer.tenants().clock().now());
        let mut known = self.known().remove(&tenant.id()).unwrap_or_default();
        let from = known.from.take();
        let limit = CHANGES_MAX + known.damaged.len();
        let found = match store.expired(tenant.id(), from.unwrap_or(Timestamp(i64::MIN))..=now, limit).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "expired records were not looked up; trying again later");
                self.remember(tenant, known);
                return false;
            }
        };
        let (full, first) = (found.len() == limit, found.first().map(|(at, _)| *at));
        let (damaged, keys): (Vec<RecordKey>, Vec<RecordKey>) =
            found.into_iter().map(|(_, key)| key).partition(|key| known.damaged.contains(key));
        if from.is_none() {
            // What is no longer there, or no longer past its expiry, is forgotten here.
            known.damaged = damaged.into_iter().collect();
        }
        if keys.is_empty() {
            self.remember(tenant, known);
            return false;
        }
        let step = Arc::new(Step {
            tenant: Arc::clone(tenant),
            keys,
            remains: self.remains.clone(),
            damaged: Mutex::default(),
            rest: AtomicBool::new(full),
        });
        let more = match committer.run_under(under, Arc::clone(&step) as Arc<dyn Attempt>).await {
            Ok(_) => {
                let (mut found, room) = (step.found_damaged(), DAMAGED_MAX.saturating_sub(known.damaged.len()));
                let fit = found.len() <= room;
                known.damaged.extend(found.drain(..).take(room));
                // With more of them the next step would find the same ones again.
                fit && step.rest.load(Ordering::Relaxed)
            }
            Err(refusal) => {
                tracing::warn!(?refusal, "expired records were not removed; trying again later");
                false
            }
        };
        known.from = first.filter(|_| more);
        self.remember(tenant, known);
        more
    }

    fn known(&self) -> MutexGuard<'_, HashMap<TenantId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, tenant: &Tenant, known: Known) {
        if known.from.is_some() || !known.damaged.is_empty() {
            self.known().insert(tenant.id(), known);
        }
    }
}

/// Removes records that are past their expiry; one that was renewed meanwhile stays.
struct Step {
    tenant: Arc<Tenant>,
    keys: Vec<RecordKey>,
    remains: Option<Arc<dyn Remains>>,
    /// Those that do not open, as the last attempt found them.
    damaged: Mutex<Vec<RecordKey>>,
    /// Not all of those were removed that there are.
    rest: AtomicBool,
}

impl Step {
    fn found_damaged(&self) -> MutexGuard<'_, Vec<RecordKey>> {
        self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Attempt for Step {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let Cleared { mut removed, others } = match &self.remains {
            Some(remains) => remains.remove(txn, &self.tenant, &self.keys, CHANGES_MAX).await?,
            None => Cleared { removed: 0, others: self.keys.clone() },
        };
        let (mut looked_at, mut damaged) = (removed, Vec::new());
        txn.look_up(&self.tenant, &others).await;
        for key in others {
            if txn.changes() == CHANGES_MAX {
                break;
            }
            looked_at += 1;
            match txn.sweep(&self.tenant, key).await? {
                Swept::Removed => removed += 1,
                Swept::Damaged => damaged.push(key),
                Swept::Current => {}
            }
        }
        if looked_at < self.keys.len() {
            self.rest.store(true, Ordering::Relaxed);
        }
        let mut text = format!("{removed} expired records removed");
        if !damaged.is_empty() {
            // For the auditor: somebody has changed the database.
            let _ = write!(text, ", {} left because they do not open as their rows say", damaged.len());
        }
        *self.found_damaged() = damaged;
        let event = Event::of_job(txn.now(), self.tenant.id(), Word::new("expire"), text);
        txn.conclude(&self.tenant, &event, false);
        Ok(Answer::Empty)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Upkeep;
    use super::super::testing::Deployed;
    use super::*;

    #[tokio::test]
    async fn more_damaged_records_than_are_remembered_end_it_until_the_next_time() {
        let deployed = Deployed::at(Timestamp(1_795_251_600_000_000_001)).await;
        deployed
            .tamper(
                "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 4096 + 65)
                 INSERT INTO record (tenant_id, key, dir, seq, expires_at, name, sealed)
                 SELECT (SELECT root FROM deployment), randomblob(32), zeroblob(32), 1, n, x'', randomblob(64) FROM number",
            )
            .await;
        let committer = Arc::new(Committer::start(deployed.tenants().await).unwrap());
        let (upkeep, root) = (Upkeep::new(Arc::clone(&committer), None), committer.tenants().root());
        for expected in [DAMAGED_MAX / CHANGES_MAX, 0] {
            let mut steps = 0;
            while upkeep.expire(&root, None).await {
                steps += 1;
                assert!(steps <= expected, "the same ones are found again and again");
            }
            assert_eq!(steps, expected);
        }
    }
}
