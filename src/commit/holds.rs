//! Legal holds: what may not be destroyed, whoever asks.

use std::sync::Arc;

use super::tenant::Tenant;
use super::txn::Txn;
use crate::answer::Refusal;
use crate::id::TenantId;
use crate::namespace::LegalHold;

impl Txn {
    /// The hold that concerns a tenant: its own, else the nearest one above it, with the tenant that it was laid on. What destroys
    /// anything of a tenant asks this first, in the same transaction.
    ///
    /// # Errors
    /// `Unavailable` when a tenant above is not loaded now: then nobody can tell.
    pub async fn legal_hold(&mut self, tenant: &Arc<Tenant>) -> Result<Option<(TenantId, Arc<LegalHold>)>, Refusal> {
        let missing = || Refusal::Unavailable("a namespace above is not open now, so legal holds cannot be looked up".into());
        let chain = self.tenants().chain(tenant).ok_or_else(missing)?;
        for (parent, child) in chain.iter().zip(chain.iter().skip(1)).rev() {
            if let Some(hold) = self.read::<LegalHold>(parent, &LegalHold::address(child.id())).await? {
                return Ok(Some((child.id(), hold.value)));
            }
        }
        Ok(None)
    }
}
