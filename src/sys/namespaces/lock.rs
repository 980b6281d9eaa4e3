//! Locking and sealing: two ways to shut a namespace and all below it. A lock only refuses requests. A seal takes the keys
//! out of the memory of every server besides, so that nothing in there can be read until it is taken off.

use std::sync::Arc;

use super::operation::KeyHash;
use super::run::{address, read};
use crate::answer::{Answer, Refusal};
use crate::auth::Caller;
use crate::commit::{Place, Tenant, Txn};
use crate::crypto;
use crate::json::Json;
use crate::namespace::{Lock, Namespace, SealedNamespace};
use crate::path::Path;
use crate::random;
use crate::secret::SecretText;

/// Characters of an unlock key: about 142 bits.
const KEY_LENGTH: usize = 24;

/// A namespace that is there, and where its record is.
struct Target {
    parent: Arc<Tenant>,
    name: String,
    /// From the root on, with a slash at the end.
    path: String,
    namespace: Namespace,
}

impl Target {
    /// `path` is below the request's namespace; an empty one is that namespace itself.
    async fn find(path: &Path, place: &Place, caller: &Caller, txn: &mut Txn) -> Result<Self, Refusal> {
        let own = format!("{}{}", caller.namespace, caller.prefix);
        let (mut parent, relative) = match caller.chain.as_slice() {
            _ if !path.is_empty() => (Arc::clone(&place.tenant), path.as_str()),
            [.., parent, _] => {
                let own = own.trim_end_matches('/');
                (Arc::clone(parent), own.rsplit_once('/').map_or(own, |(_, name)| name))
            }
            _ => return Err(Refusal::invalid("root namespace cannot be locked/unlocked")),
        };
        let missing = || Refusal::invalid("requested namespace does not exist");
        let (above, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        for step in above.split('/').filter(|step| !step.is_empty()) {
            (parent, _) = txn.child(&parent, step).await?.ok_or_else(missing)?;
        }
        let namespace = read(&parent, name, txn).await?.ok_or_else(missing)?;
        let path = if path.is_empty() { own.clone() } else { format!("{own}{path}/") };
        Ok(Self { parent, name: name.to_owned(), path, namespace })
    }

    async fn write(self, txn: &mut Txn) -> Result<(), Refusal> {
        txn.put(&self.parent, &address(&self.name), &self.namespace, None).await
    }
}

pub(super) async fn lock(path: &Path, place: &Place, caller: Option<&Caller>, txn: &mut Txn) -> Result<Answer, Refusal> {
    let mut target = Target::find(path, place, caller.ok_or(Refusal::NoToken)?, txn).await?;
    if target.namespace.lock.is_some() {
        return Err(Refusal::invalid(format!("cannot lock namespace {:?}: is already locked", target.path)));
    }
    let key = SecretText::new(random::base62(KEY_LENGTH));
    let KeyHash(key_hash) = KeyHash::of(&key);
    target.namespace.lock = Some(Lock { key_hash });
    target.write(txn).await?;
    Ok(Answer::data(Json::object(|data| {
        data.field("unlock_key", key.expose());
    })))
}

/// With the key, whoever may ask. Without it, sudo of a token from above the namespace: what is inside cannot free itself.
pub(super) async fn unlock(
    path: &Path,
    key: Option<&KeyHash>,
    place: &Place,
    caller: Option<&Caller>,
    txn: &mut Txn,
) -> Result<Answer, Refusal> {
    let caller = caller.ok_or(Refusal::NoToken)?;
    let mut target = Target::find(path, place, caller, txn).await?;
    let Some(lock) = target.namespace.lock.take() else {
        return Err(Refusal::invalid(format!("namespace {:?} is not locked", target.path)));
    };
    let Some(KeyHash(given)) = key else {
        let from_above = !path.is_empty() || !caller.prefix.is_empty();
        let asked = if path.is_empty() { super::UNLOCK_OWN.to_owned() } else { format!("{}/{path}", super::UNLOCK_OWN) };
        if !from_above || !caller.has_sudo(&format!("{}{asked}", place.path)) {
            return Err(Refusal::invalid("provided empty key"));
        }
        target.write(txn).await?;
        let warnings = vec!["Namespace unlocked using sudo capabilities".to_owned()];
        return Ok(Answer::done(warnings));
    };
    if !crypto::equal(given.as_bytes(), lock.key_hash.as_bytes()) {
        return Err(Refusal::invalid("incorrect unlock key"));
    }
    target.write(txn).await?;
    Ok(Answer::Empty)
}

async fn child(tenant: &Arc<Tenant>, name: &str, txn: &mut Txn) -> Result<Namespace, Refusal> {
    read(tenant, name, txn).await?.ok_or_else(|| Refusal::invalid("namespace doesn't exist"))
}

pub(super) async fn seal(tenant: &Arc<Tenant>, name: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let namespace = child(tenant, name, txn).await?;
    if !namespace.sealed {
        txn.put(tenant, &SealedNamespace::address(namespace.tenant), &SealedNamespace {}, None).await?;
        txn.drop_keys(namespace.tenant);
        txn.put(tenant, &address(name), &Namespace { sealed: true, ..namespace }, None).await?;
    }
    Ok(Answer::Empty)
}

pub(super) async fn unseal(tenant: &Arc<Tenant>, name: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    let namespace = child(tenant, name, txn).await?;
    if namespace.sealed {
        txn.remove::<SealedNamespace>(tenant, &SealedNamespace::address(namespace.tenant)).await?;
        txn.put(tenant, &address(name), &Namespace { sealed: false, ..namespace }, None).await?;
    }
    Ok(Answer::data(shown(false)))
}

pub(super) async fn seal_status(tenant: &Arc<Tenant>, name: &str, txn: &mut Txn) -> Result<Answer, Refusal> {
    Ok(Answer::data(shown(child(tenant, name, txn).await?.sealed)))
}

/// There are no shares, and so no progress: the key of a namespace is under the server's own seal.
fn shown(sealed: bool) -> Json {
    Json::object(|data| {
        data.field("initialized", &true).field("n", &0).field("nonce", "").field("progress", &0);
        data.field("sealed", &sealed).field("t", &0).field("type", "server");
    })
}
