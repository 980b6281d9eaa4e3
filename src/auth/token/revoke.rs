//! Ending tokens, and clearing away what is left of dead ones.

use std::sync::Arc;

use super::authenticate::{Known, live, remove_names, remove_rows};
use super::entry::{
    AccessorRecord, ChildRecord, DEPTH_MAX, TokenEntry, TokenKind, accessor_address, child_address, children_of, token_address,
};
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::record::{Kind, SYSTEM};

/// How many dead descendants one commit clears away: three rows each, so 255 changes.
pub const SWEEP_MAX: usize = 85;

/// The same of the commit that revokes, which somebody waits for.
const INLINE_MAX: usize = 16;

/// Ends a token and with it everything below it, at once. The rows of the first descendants go in the same commit.
pub async fn revoke(txn: &mut Txn, known: &Known) -> Result<(), Refusal> {
    remove_rows(txn, known).await?;
    sweep(txn, &known.tenant, &known.hash, INLINE_MAX).await?;
    Ok(())
}

/// Ends a token and leaves those directly below it as orphans.
///
/// What remains says so, and opens nothing. It stays as long as its tenant: children may belong to tenants below,
/// which are not known here.
pub async fn release(txn: &mut Txn, known: &Known) -> Result<(), Refusal> {
    remove_names(txn, known).await?;
    let address = token_address(&known.hash);
    // Read again: the new version continues the object.
    let Some(found) = txn.read::<TokenEntry>(&known.tenant, &address).await? else { return Ok(()) };
    let rest =
        TokenEntry { kind: TokenKind::Released, parent: None, expires: None, meta: None, ..TokenEntry::clone(&found.value) };
    txn.put(&known.tenant, &address, &rest, None).await
}

/// Clears away the rows, in `tenant`, of up to `limit` tokens below a removed one. Returns how many it removed; fewer
/// than `limit` means that nothing is left. `hash` may be of a token of a tenant above: its children here are listed here.
pub async fn sweep(txn: &mut Txn, tenant: &Arc<Tenant>, hash: &str, limit: usize) -> Result<usize, Refusal> {
    let mut removed = 0;
    let mut open = vec![hash.to_owned()];
    // Each turn removes something or goes down one level, unless rows are damaged: then it must end too.
    for _ in 0..=2 * (limit + usize::from(DEPTH_MAX)) {
        let Some(parent) = open.pop() else { break };
        let names = txn.names(tenant, Kind::TokenChild, SYSTEM, &children_of(&parent)).await?;
        for accessor in names.iter() {
            if removed == limit {
                return Ok(removed);
            }
            let address = child_address(&parent, accessor);
            let Some(child) = txn.read::<ChildRecord>(tenant, &address).await? else { continue };
            let below = txn.names(tenant, Kind::TokenChild, SYSTEM, &children_of(&child.value.hash)).await?;
            if !below.is_empty() {
                // The way down must not be lost when the limit ends this: leaves go first.
                open.push(parent.clone());
                open.push(child.value.hash.clone());
                break;
            }
            txn.remove::<TokenEntry>(tenant, &token_address(&child.value.hash)).await?;
            txn.remove::<AccessorRecord>(tenant, &accessor_address(accessor)).await?;
            txn.remove::<ChildRecord>(tenant, &address).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// What one pass of `tidy` did.
#[derive(Debug, PartialEq, Eq)]
pub struct Tidied {
    /// Dead tokens whose rows were removed.
    pub removed: usize,
    /// The last accessor that was looked at: go on after it. `None` at the end.
    pub last: Option<String>,
}

/// Looks at up to `limit` accessors of the chain's last tenant that come after `after`, and removes the rows of those
/// whose token is dead: expired, or below a dead one, in whichever tenant that was.
pub async fn tidy(txn: &mut Txn, chain: &[Arc<Tenant>], after: Option<&str>, limit: usize) -> Result<Tidied, Refusal> {
    let Some(tenant) = chain.last() else { return Ok(Tidied { removed: 0, last: None }) };
    let names = txn.names(tenant, Kind::TokenAccessor, SYSTEM, "").await?;
    let start = after.map_or(0, |after| names.partition_point(|name| &**name <= after));
    let mut tidied = Tidied { removed: 0, last: None };
    for accessor in names.iter().skip(start).take(limit) {
        let address = accessor_address(accessor);
        let Some(record) = txn.read::<AccessorRecord>(tenant, &address).await? else { continue };
        if live(txn, chain, tenant, &record.value.hash).await?.is_none() {
            txn.remove::<TokenEntry>(tenant, &token_address(&record.value.hash)).await?;
            if let Some(parent) = &record.value.parent {
                txn.remove::<ChildRecord>(tenant, &child_address(&parent.hash, accessor)).await?;
            }
            txn.remove::<AccessorRecord>(tenant, &address).await?;
            tidied.removed += 1;
        }
    }
    if names.len().saturating_sub(start) > limit {
        tidied.last = limit.checked_sub(1).and_then(|at| names.get(start + at)).map(ToString::to_string);
    }
    Ok(tidied)
}
