//! From the text or accessor of a token to a live one.

use std::sync::Arc;

use super::batch;
use super::entry::{
    AccessorRecord, ChildRecord, DEPTH_MAX, TokenEntry, TokenKind, accessor_address, child_address, hash_of, hex, label_of,
    token_address,
};
use super::epoch::Epoch;
use super::lease::{self, LeaseRecord};
use super::wrapping::Wrapped;
use crate::answer::Refusal;
use crate::auth::Caller;
use crate::auth::cert;
use crate::auth::origin::Origin;
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
///
/// A token that is bound to addresses or to a certificate, and comes from elsewhere (`origin`), is none.
pub async fn authenticate(
    txn: &mut Txn,
    chain: &[Arc<Tenant>],
    token: &SecretText,
    origin: &Origin,
) -> Result<Option<Caller>, Refusal> {
    let Some(tenant) = chain.last() else { return Ok(None) };
    let Some(standing) = standing(txn, chain, tenant, token).await? else { return Ok(None) };
    let Standing { hash, entry, released, acl } = &*standing;
    let known = Known { tenant: Arc::clone(tenant), hash: hash.clone(), entry: Arc::clone(entry), released: *released };
    if !known.entry.may_come_from(origin) {
        return Ok(None);
    }
    let entry = count_use(txn, &known).await?;
    Ok(Some(Caller {
        tenant: known.tenant,
        token: SecretText::new(token.expose().to_owned()),
        hash: known.hash,
        entry,
        released: known.released,
        origin: origin.clone(),
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
    let Some(known) = known(txn, chain, tenant, text, &hex(&name)).await? else { return Ok(None) };
    let Some(acl) = policies::of_token(txn, tenant, &known.entry).await? else { return Ok(None) };
    let acl = Arc::new(acl);
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
        Rows::of(known).remove(txn, &known.tenant);
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
    if !may_be_of(tenant, text) {
        return Ok(None);
    }
    known(txn, chain, tenant, text, &hash_of(tenant, text)).await
}

/// Whether it is worth looking for a token with this text in `tenant`.
fn may_be_of(tenant: &Tenant, text: &str) -> bool {
    let longest = if text.starts_with(batch::PREFIX) { batch::TEXT_BYTES_MAX } else { TEXT_BYTES_MAX };
    !text.is_empty() && text.len() <= longest && label_of(text) == tenant.label()
}

/// The live token with this text: one that is stored at its hash, or one that carries everything itself.
async fn known(
    txn: &mut Txn,
    chain: &[Arc<Tenant>],
    tenant: &Arc<Tenant>,
    text: &str,
    hash: &str,
) -> Result<Option<Known>, Refusal> {
    if !text.starts_with(batch::PREFIX) {
        return live(txn, chain, tenant, hash).await;
    }
    let Some(entry) = batch::open(tenant, text) else { return Ok(None) };
    if !lives(txn, tenant, &entry).await? {
        return Ok(None);
    }
    below_the_living(txn, chain, tenant, hash, Arc::new(entry)).await
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

/// The stored token with this hash, if it and all above it live. All of them are in the read-set.
pub async fn live(txn: &mut Txn, chain: &[Arc<Tenant>], tenant: &Arc<Tenant>, hash: &str) -> Result<Option<Known>, Refusal> {
    let entry = current(txn, tenant, hash).await?.filter(|entry| entry.kind == TokenKind::Service);
    let Some(entry) = entry else { return Ok(None) };
    below_the_living(txn, chain, tenant, hash, entry).await
}

/// The token, if all above it live.
async fn below_the_living(
    txn: &mut Txn,
    chain: &[Arc<Tenant>],
    tenant: &Arc<Tenant>,
    hash: &str,
    entry: Arc<TokenEntry>,
) -> Result<Option<Known>, Refusal> {
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

/// What is stored at a hash, if it lives.
async fn current(txn: &mut Txn, tenant: &Arc<Tenant>, hash: &str) -> Result<Option<Arc<TokenEntry>>, Refusal> {
    let Some(found) = txn.read::<TokenEntry>(tenant, &token_address(hash)).await? else { return Ok(None) };
    Ok(lives(txn, tenant, &found.value).await?.then_some(found.value))
}

/// Whether a token's time is not over, it was not ended with others, and the certificate that it was logged in with is good.
async fn lives(txn: &mut Txn, tenant: &Arc<Tenant>, entry: &TokenEntry) -> Result<bool, Refusal> {
    if !in_time(txn, entry) || Epoch::of(txn, tenant).await?.ended(entry) {
        return Ok(false);
    }
    match &entry.login {
        Some(login) => Ok(!cert::denies(login, tenant, txn).await?),
        None => Ok(true),
    }
}

fn in_time(txn: &mut Txn, entry: &TokenEntry) -> bool {
    if entry.has_expired(txn.now()) {
        return false;
    }
    if let Some(at) = entry.expires {
        txn.relies_until(at);
    }
    true
}

/// What leads to the rows of one token.
pub(super) struct Rows<'a> {
    pub(super) hash: &'a str,
    pub(super) accessor: &'a str,
    pub(super) parent: Option<&'a str>,
    /// Where its lease is; empty of a wrapping token, which has none, and an answer instead.
    pub(super) path: &'a str,
}

impl<'a> Rows<'a> {
    pub(super) fn of(known: &'a Known) -> Self {
        let entry = &*known.entry;
        let parent = entry.parent.as_ref().map(|parent| parent.hash.as_str());
        let path = entry.lease_path();
        Self { hash: &known.hash, accessor: &entry.accessor, parent, path }
    }

    /// Removes all of them. Whatever is below the token is dead from then on.
    pub(super) fn remove(&self, txn: &mut Txn, tenant: &Arc<Tenant>) {
        txn.forget::<TokenEntry>(tenant, &token_address(self.hash));
        if self.path.is_empty() {
            txn.forget::<Wrapped>(tenant, &Wrapped::address(self.accessor));
        }
        self.remove_names(txn, tenant);
    }

    /// Removes those that lead to the token.
    pub(super) fn remove_names(&self, txn: &mut Txn, tenant: &Arc<Tenant>) {
        txn.forget::<AccessorRecord>(tenant, &accessor_address(self.accessor));
        if let Some(parent) = self.parent {
            txn.forget::<ChildRecord>(tenant, &child_address(parent, self.accessor));
        }
        if !self.path.is_empty() {
            txn.forget::<LeaseRecord>(tenant, &lease::address(tenant, self.path, self.hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::testing::Deployed;

    #[tokio::test]
    async fn no_longer_text_is_looked_up_than_a_token_can_have() {
        let tenants = Deployed::at(crate::time::Timestamp(1_795_251_600_000_000_001)).await.tenants().await;
        let root = tenants.root();
        let batch = |count: usize| [batch::PREFIX, &"x".repeat(count - batch::PREFIX.len())].concat();
        for (most, text) in [(TEXT_BYTES_MAX, (|count| "x".repeat(count)) as fn(usize) -> String), (batch::TEXT_BYTES_MAX, batch)]
        {
            assert!(may_be_of(&root, &text(most)), "{most}");
            assert!(!may_be_of(&root, &text(most + 1)), "{most}");
        }
        assert!(!may_be_of(&root, ""));
    }
}
