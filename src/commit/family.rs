//! Which tenants there are, learned from the top: each parent knows its children. A tenant is asked again only when its log has
//! grown, so after the first round keys are opened only where something happens.

use std::collections::HashMap;
use std::sync::Arc;

use super::tenant::Tenant;
use super::tenants::Tenants;
use crate::answer::Refusal;
use crate::id::TenantId;

/// The tenants that were seen.
#[derive(Default)]
pub(super) struct Family {
    known: HashMap<TenantId, Known>,
}

#[derive(Default)]
struct Known {
    /// Its parent, and its name there.
    place: Option<(TenantId, String)>,
    /// Up to which row of its log its children are known.
    seq: u64,
    children: Vec<TenantId>,
}

impl Family {
    pub(super) fn forget(&mut self, id: TenantId) {
        self.known.remove(&id);
    }

    /// The children of a tenant whose newest row is `seq`.
    pub(super) async fn children(&mut self, tenants: &Tenants, id: TenantId, seq: u64) -> Result<Vec<TenantId>, Refusal> {
        if let Some(known) = self.known.get(&id).filter(|known| known.seq == seq) {
            return Ok(known.children.clone());
        }
        self.learn(tenants, id, seq).await
    }

    async fn learn(&mut self, tenants: &Tenants, id: TenantId, seq: u64) -> Result<Vec<TenantId>, Refusal> {
        let Some(tenant) = self.opened(tenants, id).await? else { return Ok(Vec::new()) };
        let mut children = Vec::new();
        for child in tenants.children(&tenant).await? {
            let child_id = child.namespace.tenant;
            self.known.entry(child_id).or_default().place = Some((id, child.name));
            children.push(child_id);
        }
        let known = self.known.entry(id).or_default();
        (known.seq, known.children) = (seq, children.clone());
        Ok(children)
    }

    /// The same as `opened`, of a tenant that was not met on the way from the top: it is looked for from itself up.
    pub(super) async fn find(&mut self, tenants: &Tenants, id: TenantId) -> Result<Option<Arc<Tenant>>, Refusal> {
        let (mut unknown, mut above) = (Vec::new(), id);
        while tenants.get(above).is_none() && self.known.get(&above).is_none_or(|known| known.place.is_none()) {
            let Some(parent) = tenants.parent_of(above).await?.flatten() else { return Ok(None) };
            unknown.push(above);
            above = parent;
        }
        while let Some(child) = unknown.pop() {
            // The one before may have taught it, too.
            if self.known.get(&child).is_none_or(|known| known.place.is_none()) {
                self.learn(tenants, above, 0).await?;
            }
            above = child;
        }
        let found = self.opened(tenants, id).await;
        if matches!(found, Ok(None)) {
            // It may have another name by now.
            self.forget(id);
        }
        found
    }

    /// A tenant with its keys, opened from the top if they are not open. `None` when it is gone.
    pub(super) async fn opened(&self, tenants: &Tenants, id: TenantId) -> Result<Option<Arc<Tenant>>, Refusal> {
        let fixed = [tenants.root(), tenants.edge()];
        if let Some(tenant) = fixed.into_iter().find(|tenant| tenant.id() == id).or_else(|| tenants.get(id)) {
            return Ok(Some(tenant));
        }
        let Some((parent, name)) = self.known.get(&id).and_then(|known| known.place.as_ref()) else { return Ok(None) };
        let Some(parent) = Box::pin(self.opened(tenants, *parent)).await? else { return Ok(None) };
        tenants.open_child(&parent, name, id).await
    }
}
