//! Deleting what is archived of tenants that are erased. Their keys are destroyed already, so nothing of it opens any more; until
//! it is gone, too, the database keeps the tenant's row.

use super::{Archiver, Fault, Round};
use crate::storage::TenantState;

/// Erased tenants that are looked at in one round.
const TENANTS: usize = 64;

impl Archiver {
    pub(super) async fn erase(&self, round: &Round<'_>) -> Result<(), Fault> {
        let (store, deployment) = (self.tenants().store(), self.tenants().deployment());
        for tenant in store.tenants_in(TenantState::Erasing, TENANTS).await? {
            loop {
                let names = round.archive.list(deployment, tenant, None).await?;
                if names.is_empty() {
                    break;
                }
                for name in names {
                    self.under()?;
                    round.archive.delete(deployment, name).await?;
                }
            }
            store.forget_archived(tenant, self.under()?).await?;
        }
        Ok(())
    }
}
