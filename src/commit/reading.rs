//! Reading all logs from outside of requests: where they stand, whose they are, and what their rows say. Straight from the
//! store, so that what other servers wrote is seen too; nothing of it is remembered, and it leaves no event.

use super::faults::store_refusal;
use super::news::{News, Unread};
use super::opening::decode;
use super::tenant::{Entry, Tenant};
use super::tenants::Tenants;
use crate::answer::Refusal;
use crate::audit::merkle::leaf_hash;
use crate::audit::{batch, changed};
use crate::id::TenantId;
use crate::namespace::Namespace;
use crate::record::{Address, Kind, RecordKey, SYSTEM};
use crate::storage::{Known, LogRow, Tail, TenantState};

use std::sync::Arc;

/// Names that are read at once.
const NAMES: usize = 1_000;

/// Where a log stands.
pub struct Standing {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its newest row; `None` before its first event, or when the tenant is gone.
    pub tail: Option<Tail>,
    /// There is no such tenant any more, or its keys are destroyed.
    pub gone: bool,
}

/// A child namespace, as its parent knows it.
pub struct Child {
    /// Its name in the parent.
    pub name: String,
    /// What the parent keeps of it.
    pub namespace: Arc<Namespace>,
}

impl Tenants {
    /// Tells `readers` of what is committed from now on. The first word counts.
    pub fn tell(&self, readers: Vec<Arc<News>>) {
        self.readers.get_or_init(|| readers);
    }

    /// Who is told of what is committed.
    pub fn readers(&self) -> &[Arc<News>] {
        self.readers.get().map_or(&[], Vec::as_slice)
    }

    /// A row of a tenant's log is durable; the one before it ended before event `from`.
    pub(super) fn grown(&self, tenant: TenantId, news: Unread) {
        for reader in self.readers() {
            reader.tell(tenant, news);
        }
    }

    /// Where logs stand, in one short transaction that locks none of them.
    pub async fn standing(&self, tenants: &[TenantId]) -> Result<Vec<Standing>, Refusal> {
        let known: Vec<Known> = tenants.iter().map(|tenant| Known { tenant: *tenant, seq: 0, locked: false }).collect();
        let group = self.store().begin(&known).await.map_err(|error| store_refusal(&error))?;
        let standing = |tenant: &TenantId| {
            let feed = group.feed(*tenant);
            let gone = feed.state.is_none_or(|state| state == TenantState::Erasing);
            Standing { tenant: *tenant, tail: feed.tail.clone(), gone }
        };
        let found = tenants.iter().map(standing).collect();
        group.rollback().await;
        Ok(found)
    }

    /// Whose child a tenant is. `None` when it is gone; `Some(None)` when it has no parent.
    pub async fn parent_of(&self, tenant: TenantId) -> Result<Option<Option<TenantId>>, Refusal> {
        let row = self.store().tenant(tenant).await.map_err(|error| store_refusal(&error))?;
        Ok(row.filter(|row| row.state != TenantState::Erasing).map(|row| row.parent))
    }

    /// The loaded tenant of a child, loaded now if it is not yet. `None` when the parent has no such child of this name. What the
    /// parent says is read anew before keys are opened: those of a sealed namespace are not.
    pub async fn open_child(&self, parent: &Arc<Tenant>, name: &str, tenant: TenantId) -> Result<Option<Arc<Tenant>>, Refusal> {
        if let Some(tenant) = self.get(tenant) {
            return Ok(Some(tenant));
        }
        let key = parent.keyring().record_key(&Address::system(Kind::Namespace, name));
        match self.child_at(parent, key).await?.filter(|child| child.namespace.tenant == tenant) {
            None => Ok(None),
            Some(child) if child.namespace.sealed => Err(Refusal::NamespaceSealed),
            Some(child) => self.child(parent, name, &child.namespace).await.map(Some),
        }
    }

    /// All child namespaces.
    pub async fn children(&self, parent: &Arc<Tenant>) -> Result<Vec<Child>, Refusal> {
        let directory = parent.keyring().dir_key(Kind::Namespace, SYSTEM, "");
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = self.store().names(parent.id(), directory, after, NAMES).await.map_err(|error| store_refusal(&error))?;
            for (key, _) in &page.value {
                found.extend(self.child_at(parent, *key).await?);
            }
            match page.value.last() {
                Some((key, _)) if page.value.len() == NAMES => after = Some(*key),
                _ => return Ok(found),
            }
        }
    }

    /// The child namespaces that a row of the parent's log made or changed, and that are there now.
    pub async fn children_of_row(&self, parent: &Arc<Tenant>, row: &LogRow) -> Result<Vec<Child>, Refusal> {
        let directory = parent.keyring().dir_key(Kind::Namespace, SYSTEM, "");
        let changed = changed::keys(&row.tail.changed);
        let mut found = Vec::new();
        if changed.contains(&directory.0) {
            for key in changed {
                found.extend(self.child_at(parent, RecordKey(*key)).await?);
            }
        }
        Ok(found)
    }

    pub(super) async fn child_at(&self, parent: &Arc<Tenant>, key: RecordKey) -> Result<Option<Child>, Refusal> {
        let directory = parent.keyring().dir_key(Kind::Namespace, SYSTEM, "");
        let fill = self.store().record(parent.id(), key).await.map_err(|error| store_refusal(&error))?;
        let Some(row) = fill.value.filter(|row| row.directory == directory) else { return Ok(None) };
        let name = parent.keyring().open_name(&key, &directory, &row.name).map_err(|error| {
            tracing::error!(%error, tenant = %parent.id(), "the name of a namespace does not open: it was changed");
            Refusal::Internal("the name of a namespace does not open".into())
        })?;
        let address = Address::system(Kind::Namespace, &name);
        let namespace = decode::<Namespace>(parent, &address, key, &Entry::new(Some(row)))?.value;
        Ok(Some(Child { name, namespace }))
    }
}

impl Tenant {
    /// The canonical bytes of a row's events. What was exchanged or damaged is refused, and told in the server's log.
    pub fn events(&self, row: &LogRow) -> Result<Vec<Vec<u8>>, Refusal> {
        let damaged = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, tenant = %self.id(), seq = row.tail.seq, "a row of the audit log does not open: it was changed outside this server");
            Refusal::Internal(format!("row {} of the audit log does not open", row.tail.seq))
        };
        let opened = self.keyring().open_batch(&row.batch).map_err(|error| damaged(&error))?;
        let events = batch::decode(opened.expose()).map_err(|error| damaged(&error))?;
        let leaves: Vec<[u8; 32]> = events.iter().map(|event| leaf_hash(event)).collect();
        if leaves.concat() == row.leaves { Ok(events) } else { Err(damaged(&"its events are those of another row")) }
    }
}
