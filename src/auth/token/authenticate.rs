//! From the text or accessor of a token to a live one.

use std::sync::Arc;

use super::entry::{
    AccessorRecord, ChildRecord, DEPTH_MAX, TokenEntry, TokenKind, accessor_address, child_address, hash_of, hex, label_of,
    token_address,
};
use super::wrapping::Wrapped;
use crate::answer::Refusal;
use crate::auth::Caller;
use crate::auth::policies;
use crate::commit::{Tenant, Txn};
use crate::policy::Acl;
use crate::secret::SecretText;

/// No token is longer, in bytes: longer texts are not looked up.
const TEXT_BYTES_MAX: usize = 512;

/// A live token: neither it nor any token above it has expired or been revoked.
#[derive(Clone)]
pub struct Known {
    /// The tenant it belongs to.
    pub tenant: Arc<Tenant>,
    /// Its hash there.
    pub hash: String,
    /// What is known about it.
    pub entry: Arc<TokenEntry>,
    /// Whether the token above it was given up without it, so that it is an orphan now.
    pub released: bool,
}

/// Finds out who sends `token`, among the tokens of the last tenant of `chain`, which begins at the root. `None`: it
/// has no such valid token. Whoever walks down a chain asks at each step.
///
/// Counts a use, if uses are counted: a guard write, which stays when the request is refused. The use that is the
/// last one still succeeds, and the token is gone with this commit.
pub async fn authenticate(txn: &mut Txn, chain: &[Arc<Tenant>], token: &SecretText) -> Result<Option<Caller>, Refusal> {
    let Some(tenant) = chain.last() else { return Ok(None) };
    let Some(standing) = standing(txn, chain, tenant, token).await? else { return Ok(None) };
    let Standing { hash, entry, released, acl } = &*standing;
    let known = Known { tenant: Arc::clone(tenant), hash: hash.clone(), entry: Arc::clone(entry), released: *released };
    let entry = count_use(txn, &known).await?;
    Ok(Some(Caller {
        tenant: known.tenant,
        token: SecretText::new(token.expose().to_owned()),
        hash: known.hash,
        entry,
        released: known.released,
        acl: Arc::clone(acl),
        chain: chain.to_vec(),
        namespace: String::new(),
        prefix: String::new(),
    }))
}

/// A live token and what it may do, worked out once for as long as nothing about it changes.
struct Standing {
    hash: String,
    entry: Arc<TokenEntry>,
    released: bool,
    acl: Arc<Acl>,
}

async fn standing(
    txn: &mut Txn,
    chain: &[Arc<Tenant>],
    tenant: &Arc<Tenant>,
    text: &SecretText,
) -> Result<Option<Arc<Standing>>, Refusal> {
    let text = text.expose();
    if !may_be_of(tenant, text) {
        return Ok(None);
    }
    let name = tenant.keyring().token_hash(text);
    if let Some(standing) = txn.recall(tenant, &name) {
        return Ok(Some(standing));
    }
    let mark = txn.mark(tenant);
    let Some(known) = live(txn, chain, tenant, &hex(&name)).await? else { return Ok(None) };
    let acl = Arc::new(policies::acl(txn, tenant, &known.entry.policies).await?);
    let standing = Arc::new(Standing { hash: known.hash, entry: known.entry, released: known.released, acl });
    txn.keep(tenant, name, &mark, &standing);
    Ok(Some(standing))
}

async fn count_use(txn: &mut Txn, known: &Known) -> Result<Arc<TokenEntry>, Refusal> {
    // The one use of a wrapping token is to open what it was made for, which ends it there.
    let uses = known.entry.uses_left.filter(|_| !known.entry.is_wrapping());
    let Some(uses) = uses else { return Ok(Arc::clone(&known.entry)) };
    let left = uses.saturating_sub(1);
    let entry = TokenEntry { uses_left: Some(left), ..TokenEntry::clone(&known.entry) };
    if left == 0 {
        remove_rows(txn, known).await?;
    } else {
        txn.put(&known.tenant, &token_address(&known.hash), &entry, entry.expires).await?;
    }
    txn.keep_guards();
    Ok(Arc::new(entry))
}

/// The live token with this text in `tenant`, which is one of the chain.
pub async fn by_text(
    txn: &mut Txn,
    chain: &[Arc<Tenant>],
    tenant: &Arc<Tenant>,
    text: &SecretText,
) -> Result<Option<Known>, Refusal> {
    let text = text.expose();
    if may_be_of(tenant, text) { live(txn, chain, tenant, &hash_of(tenant, text)).await } else { Ok(None) }
}

/// Whether it is worth looking for a token with this text in `tenant`.
fn may_be_of(tenant: &Tenant, text: &str) -> bool {
    !text.is_empty() && text.len() <= TEXT_BYTES_MAX && label_of(text) == tenant.label()
}

/// The live token with this accessor in `tenant`, which is one of the chain.
pub async fn by_accessor(
    txn: &mut Txn,
    chain: &[Arc<Tenant>],
    tenant: &Arc<Tenant>,
    accessor: &str,
) -> Result<Option<Known>, Refusal> {
    if accessor.is_empty() || accessor.len() > TEXT_BYTES_MAX {
        return Ok(None);
    }
    let Some(record) = txn.read::<AccessorRecord>(tenant, &accessor_address(accessor)).await? else { return Ok(None) };
    live(txn, chain, tenant, &record.value.hash).await
}

/// Whether a live token of one of the tenants of `chain` has this accessor.
pub async fn is_live(txn: &mut Txn, chain: &[Arc<Tenant>], accessor: &str) -> Result<bool, Refusal> {
    for tenant in chain {
        // The text of a dead token may have been chosen again, and an accessor that is not cleared away yet leads there.
        if by_accessor(txn, chain, tenant, accessor).await?.is_some_and(|known| known.entry.accessor == accessor) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The token with this hash, if it and all above it live. All of them are in the read-set.
pub async fn live(txn: &mut Txn, chain: &[Arc<Tenant>], tenant: &Arc<Tenant>, hash: &str) -> Result<Option<Known>, Refusal> {
    let Some(entry) = service(txn, tenant, hash).await? else { return Ok(None) };
    let mut above = entry.parent.clone();
    let mut released = false;
    for _ in 0..=DEPTH_MAX {
        let Some(parent) = above else {
            return Ok(Some(Known { tenant: Arc::clone(tenant), hash: hash.to_owned(), entry, released }));
        };
        // A parent belongs to the same tenant or to one above it: to one of the chain.
        let Some(owner) = chain.iter().find(|owner| owner.id() == parent.tenant) else { return Ok(None) };
        let Some(found) = current(txn, owner, &parent.hash).await? else { return Ok(None) };
        let given_up = found.kind == TokenKind::Released;
        // What is given up is shown of the token directly below it only.
        released |= given_up && entry.parent.as_ref() == Some(&parent);
        above = if given_up { None } else { found.parent.clone() };
    }
    Ok(None)
}

async fn service(txn: &mut Txn, tenant: &Arc<Tenant>, hash: &str) -> Result<Option<Arc<TokenEntry>>, Refusal> {
    Ok(current(txn, tenant, hash).await?.filter(|entry| entry.kind == TokenKind::Service))
}

async fn current(txn: &mut Txn, tenant: &Arc<Tenant>, hash: &str) -> Result<Option<Arc<TokenEntry>>, Refusal> {
    let Some(found) = txn.read::<TokenEntry>(tenant, &token_address(hash)).await? else { return Ok(None) };
    if found.value.has_expired(txn.now()) {
        return Ok(None);
    }
    if let Some(at) = found.value.expires {
        txn.relies_until(at);
    }
    Ok(Some(found.value))
}

/// Removes a token's own rows. Whatever is below it is dead from then on.
pub(super) async fn remove_rows(txn: &mut Txn, known: &Known) -> Result<(), Refusal> {
    txn.remove::<TokenEntry>(&known.tenant, &token_address(&known.hash)).await?;
    if known.entry.is_wrapping() {
        txn.remove::<Wrapped>(&known.tenant, &Wrapped::address(&known.entry)).await?;
    }
    remove_names(txn, known).await
}

/// Removes the rows that lead to a token.
pub(super) async fn remove_names(txn: &mut Txn, known: &Known) -> Result<(), Refusal> {
    txn.remove::<AccessorRecord>(&known.tenant, &accessor_address(&known.entry.accessor)).await?;
    if let Some(parent) = &known.entry.parent {
        txn.remove::<ChildRecord>(&known.tenant, &child_address(&parent.hash, &known.entry.accessor)).await?;
    }
    Ok(())
}
