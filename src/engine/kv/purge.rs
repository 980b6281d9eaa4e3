//! Removing what a disabled mount left behind, in small steps.

use super::data;
use super::settings::KvConfig;
use crate::answer::Refusal;
use crate::commit::{Place, Txn};
use crate::record::Kind;

/// Removes up to `limit` secrets of a mount with all their versions, then its configuration. True when nothing is left.
pub async fn purge(place: &Place, limit: usize, txn: &mut Txn) -> Result<bool, Refusal> {
    let mut open = vec![String::new()];
    let mut secrets = Vec::new();
    while let Some(directory) = open.pop() {
        for name in txn.names(&place.tenant, Kind::KvMetadata, place.mount.id, &directory).await?.iter() {
            let path = format!("{directory}{name}");
            if name.ends_with('/') {
                open.push(path);
            } else if secrets.len() < limit {
                secrets.push(path);
            }
        }
        if secrets.len() >= limit {
            break;
        }
    }
    for path in &secrets {
        data::remove(place, path, txn).await?;
    }
    if secrets.len() < limit {
        txn.remove::<KvConfig>(&place.tenant, &KvConfig::address(place.mount.id)).await?;
        return Ok(true);
    }
    Ok(false)
}
