//! What happens in tenants through other servers, for the jobs that one server does for all. Where a tenant stands is asked of the
//! store, for all of them at once: idle ones cost a few look-ups in indexes, and nothing as long as there is no other server.

use std::collections::HashMap;
use std::time::Duration;

use super::committer::Committer;
use super::family::Family;
use super::faults::store_refusal;
use crate::answer::Refusal;
use crate::id::TenantId;
use crate::storage::Outlook;

/// Tenants that are asked about at once: each of these statements is in the context of that many.
const PAGE: usize = 128;
/// Until the keys of a tenant that did not open are asked for again.
const CLOSED: Duration = Duration::from_mins(1);

/// What a job knows of tenants that this server has not loaded, or has not worked in lately.
#[derive(Default)]
pub struct Elsewhere {
    family: Family,
    /// Up to which row each tenant's log was seen.
    seen: HashMap<TenantId, u64>,
    /// When keys that did not open are asked for again, by the clock's uptime.
    closed: HashMap<TenantId, Duration>,
    /// When all of them were looked at last, by the clock's uptime.
    looked: Option<Duration>,
}

impl Elsewhere {
    /// Brings what is in memory of loaded tenants up to what other servers wrote, and loads those in which there is work: `is_wanted` says
    /// so, of where a tenant stands and of the row that was the newest when it was looked at before.
    pub async fn look(
        &mut self,
        committer: &Committer,
        is_wanted: impl Fn(&Outlook, Option<u64>) -> bool,
    ) -> Result<(), Refusal> {
        let tenants = committer.tenants();
        let (store, now) = (tenants.store(), tenants.clock().uptime());
        // What happens, happens here then.
        if !store.is_shared() || self.looked.is_some_and(|looked| tenants.leases().alone_since(looked)) {
            return Ok(());
        }
        self.closed.retain(|_, until| *until > now);
        let (mut after, mut behind, mut wanted, mut seen) = (None, Vec::new(), Vec::new(), HashMap::new());
        loop {
            let ids = store.tenants(after, PAGE).await.map_err(|error| store_refusal(&error))?;
            for outlook in store.outlook(&ids).await.map_err(|error| store_refusal(&error))? {
                let id = outlook.tenant;
                match tenants.fresh(id) {
                    Some(tenant) if tenant.position() < outlook.seq => behind.push(tenant),
                    None if !self.closed.contains_key(&id) && is_wanted(&outlook, self.seen.get(&id).copied()) => wanted.push(id),
                    _ => {}
                }
                seen.insert(id, outlook.seq);
            }
            after = ids.last().copied().filter(|_| ids.len() == PAGE);
            if after.is_none() {
                break;
            }
        }
        for some in behind.chunks(PAGE) {
            committer.catch_up(some.to_vec()).await?;
        }
        for id in wanted {
            // Sealed, or its keys are away: it is opened when somebody can.
            if let Err(refusal) = self.family.find(tenants, id).await {
                tracing::debug!(?refusal, tenant = %id, "a tenant in which there is work does not open");
                self.closed.insert(id, now + CLOSED);
            }
        }
        (self.seen, self.looked) = (seen, Some(now));
        Ok(())
    }

    /// The next look is as the first.
    pub fn forget(&mut self) {
        (self.seen, self.looked) = (HashMap::new(), None);
    }
}
