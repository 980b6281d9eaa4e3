//! Clearing away: secret ids of deleted roles, and everything of a disabled mount. None of it can be reached any more.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::role::{Role, RoleId};
use super::secret_id::{self, Accessor, SecretId};
use crate::answer::Refusal;
use crate::auth::named;
use crate::commit::{Place, Tenant, Txn};
use crate::id::MountId;
use crate::record::{Address, Kind, Listing, SYSTEM};

/// That a role was deleted, by its inner id.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct RoleRemains {
    mount: MountId,
}

crate::json_record!(RoleRemains, Kind::RoleRemains, Listing::Flat);

impl RoleRemains {
    /// Notes down that the secret ids of a role that goes are to go, too.
    pub(super) async fn leave(role: &str, place: &Place, txn: &mut Txn) -> Result<(), Refusal> {
        let address = Address::system(Kind::RoleRemains, role);
        txn.put(&place.tenant, &address, &Self { mount: place.mount.id }, None).await?;
        txn.wake_jobs(false);
        Ok(())
    }
}

/// Removes up to `limit` secret ids of a tenant's deleted roles. Returns how many rows went; 0 when nothing is left.
pub async fn clear(limit: usize, tenant: &Arc<Tenant>, txn: &mut Txn) -> Result<usize, Refusal> {
    let names = txn.names(tenant, Kind::RoleRemains, SYSTEM, "").await?;
    let Some(role) = names.first() else { return Ok(0) };
    let address = Address::system(Kind::RoleRemains, &**role);
    let Some(found) = txn.read::<RoleRemains>(tenant, &address).await? else { return Ok(0) };
    let mount = found.value.mount;
    let directory = secret_id::directory(role);
    let accessors = txn.page(tenant, (Kind::SecretIdAccessor, mount, &directory), None, limit).await?;
    for (_, accessor) in &accessors {
        let address = secret_id::accessor_address(mount, role, accessor);
        let Some(found) = txn.read::<Accessor>(tenant, &address).await? else { continue };
        txn.forget::<SecretId>(tenant, &secret_id::address(mount, role, &found.value.hash));
        txn.forget::<Accessor>(tenant, &address);
    }
    if accessors.is_empty() {
        txn.remove::<RoleRemains>(tenant, &address).await?;
    }
    Ok(accessors.len().max(1))
}

/// Removes up to `limit` roles of a disabled mount. True when nothing is left but what `clear` finds.
pub async fn purge(place: &Place, limit: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    let names = txn.names(&place.tenant, Kind::AppRole, place.mount.id, "").await?;
    for name in names.iter().take(limit) {
        let address = named::address::<Role>(place.mount.id, name);
        let Some(role) = txn.read::<Role>(&place.tenant, &address).await? else { continue };
        txn.remove::<Role>(&place.tenant, &address).await?;
        txn.forget::<RoleId>(&place.tenant, &RoleId::address(place.mount.id, &role.value.role_id));
        RoleRemains::leave(&role.value.id, place, txn).await?;
    }
    Ok(names.len() <= limit)
}
