//! When wrapping keys are to be rotated by themselves. Nobody may ask for a namespace for months, and jobs work on tenants whose keys are
//! open: so the root keeps when each is due, in the order of time. Those whose time has come are opened, and the job that looks at
//! every open tenant does the rest. What is not due costs nothing, however many there are.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::committer::{Attempt, Committer};
use super::lease::Held;
use super::tenant::Tenant;
use super::txn::Txn;
use super::unfinished::open;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::id::TenantId;
use crate::json_record;
use crate::record::{Address, Kind, Listing, SYSTEM};
use crate::time::Timestamp;

/// Tenants that are opened in one round.
const OPENED: usize = 16;

/// That a tenant's wrapping key is to be rotated. Its name is the time, and then the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DueRotation {
    /// From the one below the root down to it.
    chain: Vec<TenantId>,
}

json_record!(DueRotation, Kind::DueRotation, Listing::Flat);

impl DueRotation {
    fn name(at: Timestamp, tenant: TenantId) -> String {
        format!("{:019}-{tenant}", at.0.max(0))
    }

    fn address(at: Timestamp, tenant: TenantId) -> Address {
        Address::system(Kind::DueRotation, Self::name(at, tenant))
    }
}

/// What a name says.
fn parse(name: &str) -> Option<(Timestamp, TenantId)> {
    let (at, tenant) = name.split_once('-')?;
    Some((Timestamp(at.parse().ok()?), TenantId::parse(tenant)?))
}

impl Txn {
    /// Writes down in the root that a tenant's wrapping key is due at `next`, and no more at `before`. The root itself is always open.
    pub async fn mark_due(
        &mut self,
        tenant: &Arc<Tenant>,
        before: Option<Timestamp>,
        next: Option<Timestamp>,
    ) -> Result<(), Refusal> {
        let root = self.tenants().root();
        if let Some(before) = before {
            self.remove::<DueRotation>(&root, &DueRotation::address(before, tenant.id())).await?;
        }
        let Some(next) = next else { return Ok(()) };
        let (address, chain) = (DueRotation::address(next, tenant.id()), self.chain_to(tenant).await?);
        self.exists(&root, &address).await?;
        self.put(&root, &address, &DueRotation { chain }, None).await
    }
}

/// Opens tenants whose time has come, some in each round.
#[derive(Default)]
pub(super) struct Due {
    round: AtomicUsize,
}

impl Due {
    pub(super) async fn open(&self, committer: &Committer, under: Option<&Held>) {
        let first = self.round.fetch_add(OPENED, Ordering::Relaxed);
        let look = Arc::new(Look { first, found: Mutex::default() });
        if let Err(refusal) = committer.run(Arc::clone(&look) as Arc<dyn Attempt>).await {
            tracing::warn!(?refusal, "rotations that are due were not looked up; trying again later");
            return;
        }
        let found = std::mem::take(&mut *look.found.lock().unwrap_or_else(PoisonError::into_inner));
        for (at, tenant, chain) in found {
            match open(committer.tenants(), &chain).await {
                Ok(true) => {}
                Ok(false) => {
                    if committer.tenants().is_gone(tenant).await
                        && let Err(refusal) = committer.run_under(under, Arc::new(Forget { at, tenant })).await
                    {
                        tracing::warn!(?refusal, "the schedule of an erased tenant is not forgotten yet");
                    }
                }
                // Sealed, or its own key is away: it is opened when somebody can.
                Err(refusal) => tracing::debug!(?refusal, %tenant, "a rotation that is due waits for its tenant's keys"),
            }
        }
    }
}

type Found = (Timestamp, TenantId, Vec<TenantId>);

/// Some that are due and not open now, others in each round.
struct Look {
    first: usize,
    found: Mutex<Vec<Found>>,
}

#[async_trait]
impl Attempt for Look {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, now) = (txn.tenants().root(), txn.now());
        let names = txn.names(&root, Kind::DueRotation, SYSTEM, "").await?;
        let due = names.iter().filter_map(|name| parse(name)).take_while(|(at, _)| *at <= now);
        let mut waiting: Vec<_> = due.filter(|(_, tenant)| txn.tenants().get(*tenant).is_none()).collect();
        let first = self.first.checked_rem(waiting.len()).unwrap_or(0);
        waiting.rotate_left(first);
        let mut found = Vec::new();
        for (at, tenant) in waiting.into_iter().take(OPENED) {
            if let Some(due) = txn.read::<DueRotation>(&root, &DueRotation::address(at, tenant)).await? {
                found.push((at, tenant, due.value.chain.clone()));
            }
        }
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(Answer::Empty)
    }
}

/// The tenant was erased meanwhile.
struct Forget {
    at: Timestamp,
    tenant: TenantId,
}

#[async_trait]
impl Attempt for Forget {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        txn.remove::<DueRotation>(&root, &DueRotation::address(self.at, self.tenant)).await?;
        let text = format!("tenant {} was erased: its wrapping key is not rotated any more", self.tenant);
        txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("rotate-key"), text), false);
        Ok(Answer::Empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_time() {
        let tenant = TenantId([7; 16]);
        let times = [0, 9, 10, 1_795_251_600_000_000_001, i64::MAX].map(Timestamp);
        let names = times.map(|at| DueRotation::name(at, tenant));
        assert!(names.is_sorted());
        assert_eq!(names.each_ref().map(|name| parse(name)), times.map(|at| Some((at, tenant))));
        assert_eq!(parse("soon"), None);
        assert_eq!(parse("12-x"), None);
    }
}
