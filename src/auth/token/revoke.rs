//! Ending tokens, and clearing away what is left of dead ones.
//!
//! What is ended is dead at once: each use reads the whole chain above a token, and what was ended by path. The rows
//! that remain go piece by piece, in commits of at most 256 changes, so that a large tree holds nobody up.

use std::sync::Arc;

use super::authenticate::{Known, Rows, live};
use super::entry::{
    AccessorRecord, ChildRecord, REMAINS, TokenEntry, TokenKind, accessor_address, child_address, children_of, remains_address,
    token_address,
};
use super::epoch::{self, DeadPath, Epoch};
use super::lease::{self, LeaseRecord};
use crate::answer::Refusal;
use crate::commit::{Tenant, Txn};
use crate::record::{Kind, RecordKey, SYSTEM};

/// How many dead tokens one commit clears away: at most five rows each, so 255 changes.
pub const SWEEP_MAX: usize = 51;

/// The same of the commit that revokes, which somebody waits for.
const INLINE_MAX: usize = 16;

/// How many notes of dead trees one step looks at.
const TREES_MAX: usize = 16;

/// Ends a token and with it everything below it, at once. The rows of the first descendants go in the same commit; what
/// is left is noted down for the background jobs.
pub async fn revoke(txn: &mut Txn, known: &Known) -> Result<(), Refusal> {
    Rows::of(known).remove(txn, &known.tenant);
    let (_, left) = clear_below(txn, &known.tenant, &known.hash, INLINE_MAX).await?;
    note_remains(txn, &known.tenant, &left).await
}

/// Ends a token and leaves those directly below it as orphans.
///
/// What remains says so, and opens nothing. It stays as long as its tenant: children may belong to tenants below,
/// which are not known here.
pub async fn release(txn: &mut Txn, known: &Known) -> Result<(), Refusal> {
    Rows::of(known).remove_names(txn, &known.tenant);
    let address = token_address(&known.hash);
    // Read again: the new version continues the object.
    let Some(found) = txn.read::<TokenEntry>(&known.tenant, &address).await? else { return Ok(()) };
    let rest =
        TokenEntry { kind: TokenKind::Released, parent: None, expires: None, meta: None, ..TokenEntry::clone(&found.value) };
    txn.put(&known.tenant, &address, &rest, None).await
}

/// Clears away some of what is below tokens that were ended. Gives how many tokens and notes that was; 0 when nothing is
/// left to do.
pub async fn sweep(txn: &mut Txn, tenant: &Arc<Tenant>) -> Result<usize, Refusal> {
    let trees = txn.names(tenant, Kind::TokenChild, SYSTEM, REMAINS).await?;
    let mut removed = 0;
    for hash in trees.iter().take(TREES_MAX) {
        if removed >= SWEEP_MAX {
            break;
        }
        let (cleared, left) = clear_below(txn, tenant, hash, SWEEP_MAX - removed).await?;
        txn.forget::<ChildRecord>(tenant, &remains_address(hash));
        // A note that goes costs a change, too.
        removed += cleared + 1;
        note_remains(txn, tenant, &left).await?;
    }
    Ok(removed)
}

/// Removes the rows, in `tenant`, of up to `limit` tokens below a dead one. Gives how many those were, and the tokens
/// below which there are more.
async fn clear_below(txn: &mut Txn, tenant: &Arc<Tenant>, root: &str, limit: usize) -> Result<(usize, Vec<String>), Refusal> {
    let mut open = vec![root.to_owned()];
    let mut removed = 0;
    while removed < limit {
        let Some(parent) = open.pop() else { break };
        let (directory, before) = (children_of(&parent), removed);
        let children = txn.page(tenant, (Kind::TokenChild, SYSTEM, &directory), None, limit - removed).await?;
        for (_, accessor) in &children {
            let Some(child) = txn.read::<ChildRecord>(tenant, &child_address(&parent, accessor)).await? else { continue };
            let ChildRecord { hash, path } = &*child.value;
            if has_children(txn, tenant, hash).await? {
                open.push(hash.clone());
            }
            Rows { hash, accessor, parent: Some(&parent), path }.remove(txn, tenant);
            removed += 1;
        }
        // What is left of a short list is remembered as read: a child that is made meanwhile must not be missed.
        if !children.is_empty()
            && (removed == limit || !txn.names(tenant, Kind::TokenChild, SYSTEM, &directory).await?.is_empty())
        {
            open.push(parent);
        }
        if removed == before && !children.is_empty() {
            // Others of this group are at the same work: the next step sees what they have left.
            break;
        }
    }
    Ok((removed, open))
}

async fn has_children(txn: &mut Txn, tenant: &Arc<Tenant>, hash: &str) -> Result<bool, Refusal> {
    Ok(!txn.page(tenant, (Kind::TokenChild, SYSTEM, &children_of(hash)), None, 1).await?.is_empty())
}

/// Notes down below which dead tokens there are more, and wakes the jobs if there are any.
pub(super) async fn note_remains(txn: &mut Txn, tenant: &Arc<Tenant>, dead: &[String]) -> Result<(), Refusal> {
    for hash in dead {
        let note = ChildRecord { hash: hash.clone(), path: String::new() };
        txn.put(tenant, &remains_address(hash), &note, None).await?;
        txn.wake_jobs(false);
    }
    Ok(())
}

/// What one pass of `tidy` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Dead tokens whose rows were removed.
    pub removed: usize,
    /// Go on behind this one. `None` at the end.
    pub last: Option<RecordKey>,
}

/// Looks at up to `limit` accessors of the chain's last tenant behind `after`, and removes the rows of those whose
/// token is dead: expired, or below a dead one, in whichever tenant that was. Stops early when that is many changes.
pub async fn tidy(txn: &mut Txn, chain: &[Arc<Tenant>], after: Option<RecordKey>, limit: usize) -> Result<Tidied, Refusal> {
    let Some(tenant) = chain.last() else { return Ok(Tidied::default()) };
    let names = txn.page(tenant, (Kind::TokenAccessor, SYSTEM, ""), after, limit).await?;
    let mut tidied = Tidied::default();
    for (key, accessor) in &names {
        let Some(record) = txn.read::<AccessorRecord>(tenant, &accessor_address(accessor)).await? else { continue };
        let AccessorRecord { hash, parent, path } = &*record.value;
        // A row that claims to have expired is opened before it goes, and what leads to it goes after it.
        if live(txn, chain, tenant, hash).await?.is_none() && !txn.awaits_expiry(tenant, &token_address(hash)).await? {
            if has_children(txn, tenant, hash).await? {
                note_remains(txn, tenant, std::slice::from_ref(hash)).await?;
            }
            let parent = parent.as_ref().map(|parent| parent.hash.as_str());
            Rows { hash, accessor, parent, path }.remove(txn, tenant);
            tidied.removed += 1;
        }
        if tidied.removed == SWEEP_MAX {
            return Ok(Tidied { last: Some(*key), ..tidied });
        }
    }
    if names.len() == limit {
        tidied.last = names.last().map(|(key, _)| *key);
    }
    Ok(tidied)
}

/// A walk through the leases under a path that was ended.
#[derive(Clone, Debug)]
pub struct Walk {
    path: DeadPath,
    /// Directories that are still to be looked at, the next one last, and behind which key.
    open: Vec<(String, Option<RecordKey>)>,
}

/// Ends all tokens of a tenant whose leases are under `prefix` (ends in a slash) now, with everything below them, at
/// once. The rows of the first ones go in the same commit.
pub async fn revoke_path(txn: &mut Txn, tenant: &Arc<Tenant>, prefix: String) -> Result<(), Refusal> {
    let path = epoch::end_path(txn, tenant, prefix).await?;
    let mut walk = Walk { open: vec![(path.prefix.clone(), None)], path };
    let mut removed = 0;
    // That nothing is left is for the jobs to find out: only what comes after this commit can tell.
    for _ in 0..INLINE_MAX {
        if walk.open.is_empty() || removed >= INLINE_MAX {
            break;
        }
        let (cleared, Some(next)) = clear_paths(txn, tenant, Some(walk)).await? else { break };
        removed += cleared;
        walk = next;
    }
    Ok(())
}

/// Clears away some of the tokens that were ended by path, from where `walk` stands. Gives how many changes that were,
/// and where the next step begins; `None` when the path is done.
pub async fn clear_paths(txn: &mut Txn, tenant: &Arc<Tenant>, walk: Option<Walk>) -> Result<(usize, Option<Walk>), Refusal> {
    let epoch = Epoch::of(txn, tenant).await?;
    let walk = walk.filter(|walk| epoch.paths.contains(&walk.path));
    let first = || epoch.paths.first().map(|path| Walk { path: path.clone(), open: vec![(path.prefix.clone(), None)] });
    let Some(mut walk) = walk.or_else(first) else { return Ok((0, None)) };
    let Some((directory, after)) = walk.open.pop() else {
        epoch::cleared(txn, tenant, &walk.path).await?;
        return Ok((1, None));
    };
    let names = txn.page(tenant, (Kind::TokenLease, SYSTEM, &directory), after, SWEEP_MAX).await?;
    if names.len() == SWEEP_MAX {
        walk.open.push((directory.clone(), names.last().map(|(key, _)| *key)));
    }
    let mut removed = 0;
    for (_, name) in &names {
        if name.ends_with('/') {
            walk.open.push((format!("{directory}{name}"), None));
            continue;
        }
        let address = lease::in_directory(directory.clone(), name.to_string());
        let Some(lease) = txn.read::<LeaseRecord>(tenant, &address).await? else { continue };
        if lease.value.generation < walk.path.below {
            clear_lease(txn, tenant, name).await?;
            txn.forget::<LeaseRecord>(tenant, &address);
            removed += 1;
        }
    }
    Ok((removed, Some(walk)))
}

async fn clear_lease(txn: &mut Txn, tenant: &Arc<Tenant>, name: &str) -> Result<(), Refusal> {
    let Some(hash) = lease::hash_in(tenant, name) else { return Ok(()) };
    // One that has expired meanwhile has no row; `tidy` finds what led to it.
    let Some(found) = txn.read::<TokenEntry>(tenant, &token_address(hash)).await? else { return Ok(()) };
    if has_children(txn, tenant, hash).await? {
        note_remains(txn, tenant, &[hash.to_owned()]).await?;
    }
    let entry = &*found.value;
    let parent = entry.parent.as_ref().map(|parent| parent.hash.as_str());
    Rows { hash, accessor: &entry.accessor, parent, path: entry.lease_path() }.remove(txn, tenant);
    Ok(())
}
