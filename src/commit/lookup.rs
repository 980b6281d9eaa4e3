//! Where a transaction finds a record: among its own writes, those of its group, what this server has in memory, and in the store.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;

use super::faults::store_refusal;
use super::overlay::Touch;
use super::tenant::{Entry, Tenant};
use super::txn::Txn;
use crate::answer::Refusal;
use crate::metrics;
use crate::record::{Address, RecordKey};
use crate::storage::{Fill, RecordRow};

impl Txn {
    /// The row at `key` as this transaction sees it; absent when it has expired.
    pub(super) async fn entry(&mut self, tenant: &Arc<Tenant>, key: RecordKey) -> Result<Option<Arc<Entry>>, Refusal> {
        let own = self.collected.writes.iter().rev().find(|write| write.key == key && write.tenant.id() == tenant.id());
        if let Some(write) = own {
            return Ok(write.row.clone().map(|row| Arc::new(Entry::new(Some(row)))));
        }
        let entry = match self.overlay.as_ref().and_then(|overlay| overlay.row(tenant.id(), key)) {
            Some(Touch::Written(row)) => Arc::new(Entry::new(Some(row))),
            Some(Touch::Removed) => return Ok(None),
            None => self.stored(tenant, key).await?,
        };
        let Some(row) = &entry.row else { return Ok(None) };
        match row.expires_at {
            Some(at) if at <= self.now() => Ok(None),
            Some(at) => {
                self.relies_until(at);
                Ok(Some(entry))
            }
            None => Ok(Some(entry)),
        }
    }

    pub(super) async fn stored(&mut self, tenant: &Arc<Tenant>, key: RecordKey) -> Result<Arc<Entry>, Refusal> {
        if let (position, Some(entry)) = tenant.cached(&key) {
            self.remember(tenant, key.0, position);
            metrics::cache_hit();
            return Ok(entry);
        }
        let fill = self.ask(tenant, key).await?;
        let entry = Arc::new(Entry::new(fill.value));
        tenant.fill(key, fill.seq, &entry);
        self.remember(tenant, key.0, fill.seq);
        Ok(entry)
    }

    /// Has records in the cache that are going to be read, all asked for at once: whoever reads one after another waits for the database each
    /// time. One that cannot be read now is asked for again.
    pub async fn look_up(&self, tenant: &Arc<Tenant>, keys: &[RecordKey]) {
        let unknown = keys.iter().filter(|key| tenant.cached(key).1.is_none());
        let reading = unknown.map(async |key| {
            if let Ok(found) = self.tenants().store().record(tenant.id(), *key).await {
                tenant.fill(*key, found.seq, &Arc::new(Entry::new(found.value)));
            }
        });
        join_all(reading).await;
    }

    /// A transaction beside this one, for who looks ahead: what it reads is in memory afterwards, and nothing that it decides counts. `None`
    /// where this one is decided anew: then that was done before.
    pub fn aside(&self) -> Option<Self> {
        let tenants = Arc::clone(self.tenants());
        self.overlay.is_none().then(|| Self::new(tenants, self.now(), None, Arc::clone(&self.work)))
    }

    /// How often it has asked the store for a record: each is something that was not in memory.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// Asks the store for a record, and does nothing with the answer: whoever must not learn whether something is there, or is in memory, waits
    /// as long as for what is not.
    pub async fn ask_in_vain(&mut self, tenant: &Arc<Tenant>, address: &Address) -> Result<(), Refusal> {
        let key = tenant.keyring().record_key(address);
        self.ask(tenant, key).await.map(drop)
    }

    async fn ask(&mut self, tenant: &Arc<Tenant>, key: RecordKey) -> Result<Fill<Option<RecordRow>>, Refusal> {
        self.asked += 1;
        let began = Instant::now();
        let fill = self.tenants.store().record(tenant.id(), key).await.map_err(|error| store_refusal(&error))?;
        metrics::record_read(began.elapsed());
        Ok(fill)
    }
}
