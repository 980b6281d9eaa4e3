//! Removing what a disabled mount left behind, in small steps.

use super::data;
use super::run::tree;
use super::settings::KvConfig;
use crate::answer::Refusal;
use crate::commit::{Place, Txn};

/// Removes up to `limit` secrets of a mount with all their versions, then its configuration. True when nothing is left.
pub async fn purge(place: &Place, limit: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    let secrets = tree(place).first("", limit, txn).await?;
    for path in &secrets {
        data::remove(place, path, txn).await?;
    }
    if secrets.len() < limit {
        txn.remove::<KvConfig>(&place.tenant, &KvConfig::address(place.mount.id)).await?;
        return Ok(true);
    }
    Ok(false)
}
