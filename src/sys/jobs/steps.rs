//! The steps of jobs: each looks at a little of one tenant and changes a little, in one transaction with one event.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::auth::token::is_live;
use crate::auth::token::revoke::{self, Walk};
use crate::auth::{approle, cert, jwt, kubernetes, userpass};
use crate::commit::{Attempt, Place, Tenant, Txn};
use crate::engine::directory;
use crate::engine::{cubbyhole, identity, kv, transit};
use crate::mount::{Engine, RetiredMount};
use crate::record::{Address, Kind, RecordKey, SYSTEM};
use crate::sys::keyring;

/// Accessors that are looked at in one step.
const ACCESSORS: usize = 128;
/// Secrets of a disabled mount, or objects in the cubbyholes of dead tokens, that are removed in one step.
const SECRETS: usize = 32;

/// Ends a step. One that changed nothing leaves no event.
fn conclude(txn: &mut Txn, tenant: &Arc<Tenant>, operation: Word, removed: usize, what: &str) -> Answer {
    if removed == 0 {
        return Answer::Empty;
    }
    let event = Event::of_job(txn.now(), tenant.id(), operation, format!("{removed} {what} removed"));
    txn.conclude(tenant, &event, false);
    Answer::Data(crate::answer::Data::new(None))
}

/// Looks at a stretch of a tenant's accessors.
pub(super) struct TidyTokens {
    pub(super) chain: Vec<Arc<Tenant>>,
    pub(super) after: Option<RecordKey>,
    pub(super) last: Mutex<Option<RecordKey>>,
}

#[async_trait]
impl Attempt for TidyTokens {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let tidied = revoke::tidy(txn, &self.chain, self.after, ACCESSORS).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = tidied.last;
        let Some(tenant) = self.chain.last() else { return Ok(Answer::Empty) };
        Ok(conclude(txn, tenant, Word::new("tidy-tokens"), tidied.removed, "dead tokens"))
    }
}

/// Looks at a stretch of those who keep something in a tenant's cubbyhole.
pub(super) struct TidyCubbyholes {
    pub(super) chain: Vec<Arc<Tenant>>,
    pub(super) after: Option<String>,
    pub(super) last: Mutex<Option<String>>,
}

#[async_trait]
impl Attempt for TidyCubbyholes {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        const PATH: &str = "cubbyhole/";
        let Some(tenant) = self.chain.last() else { return Ok(Answer::Empty) };
        let Some(mount) = directory::permanent(tenant.id(), PATH) else { return Ok(Answer::Empty) };
        let place = Place { tenant: Arc::clone(tenant), mount: Arc::new(mount), path: PATH.to_owned() };
        let holders = cubbyhole::holders(&place, txn).await?;
        let start = self.after.as_ref().map_or(0, |after| holders.partition_point(|holder| holder <= after));
        let (mut removed, mut last) = (0, self.after.clone());
        for holder in holders.iter().skip(start).take(ACCESSORS) {
            if !is_live(txn, &self.chain, holder).await? {
                removed += cubbyhole::purge(holder, &place, SECRETS - removed, txn).await?;
                if removed == SECRETS {
                    // There may be more of this one.
                    break;
                }
            }
            last = Some(holder.clone());
        }
        let next = last.filter(|last| holders.last().is_some_and(|end| last < end));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(conclude(txn, tenant, Word::new("tidy-cubbyholes"), removed, "objects of dead tokens"))
    }
}

/// Removes some rows below ended tokens.
pub(super) struct EndTrees {
    pub(super) tenant: Arc<Tenant>,
}

#[async_trait]
impl Attempt for EndTrees {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let removed = revoke::sweep(txn, &self.tenant).await?;
        Ok(conclude(txn, &self.tenant, Word::new("revoke-tree"), removed, "tokens below revoked ones"))
    }
}

/// Removes some tokens that were ended by path.
pub(super) struct EndPaths {
    pub(super) tenant: Arc<Tenant>,
    pub(super) walk: Option<Walk>,
    pub(super) next: Mutex<Option<Walk>>,
}

#[async_trait]
impl Attempt for EndPaths {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (removed, next) = revoke::clear_paths(txn, &self.tenant, self.walk.clone()).await?;
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(conclude(txn, &self.tenant, Word::new("revoke-prefix"), removed, "tokens of revoked paths"))
    }
}

/// Rotates the first key of identity tokens that is due.
pub(super) struct RotateKeys {
    pub(super) tenant: Arc<Tenant>,
}

#[async_trait]
impl Attempt for RotateKeys {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        if !identity::oidc::rotate_due(txn, &self.tenant).await? {
            return Ok(Answer::Empty);
        }
        let event =
            Event::of_job(txn.now(), self.tenant.id(), Word::new("rotate-key"), "1 key of identity tokens rotated".to_owned());
        txn.conclude(&self.tenant, &event, false);
        Ok(Answer::Data(crate::answer::Data::new(None)))
    }
}

/// Removes some secret ids of a tenant's first deleted role, or data keys of its first removed Transit key.
pub(super) struct ClearRemains {
    pub(super) tenant: Arc<Tenant>,
}

#[async_trait]
impl Attempt for ClearRemains {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let removed = transit::clear(SECRETS, &self.tenant, txn).await?;
        if removed > 0 {
            return Ok(conclude(txn, &self.tenant, Word::new("purge-data-keys"), removed, "data keys of a removed Transit key"));
        }
        let removed = approle::clear(SECRETS, &self.tenant, txn).await?;
        Ok(conclude(txn, &self.tenant, Word::new("purge-role"), removed, "secret ids of a deleted role"))
    }
}

/// Looks at a stretch of a tenant's Transit keys.
pub(super) struct RotateTransit {
    pub(super) tenant: Arc<Tenant>,
    pub(super) after: Option<(String, String)>,
    pub(super) last: Mutex<Option<(String, String)>>,
}

#[async_trait]
impl Attempt for RotateTransit {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let mut next = None;
        let mut rotated = false;
        let begin = self.after.as_ref().map_or("", |(path, _)| path.as_str());
        for path in directory::paths(&self.tenant, txn).await?.into_iter().filter(|path| &**path >= begin) {
            let Some(mount) = directory::at(&self.tenant, &path, txn).await? else { continue };
            if mount.engine != Engine::Transit {
                continue;
            }
            let place = Place { tenant: Arc::clone(&self.tenant), mount, path: path.into_string() };
            let after = self.after.as_ref().filter(|(path, _)| *path == place.path).map(|(_, name)| name.as_str());
            let (last, changed) = transit::rotate_due(&place, after, ACCESSORS, txn).await?;
            rotated |= changed;
            next = last.map(|last| (place.path, last));
            if rotated || next.is_some() {
                break;
            }
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = next;
        if !rotated {
            return Ok(Answer::Empty);
        }
        let text = "1 Transit key rotated".to_owned();
        txn.conclude(&self.tenant, &Event::of_job(txn.now(), self.tenant.id(), Word::new("rotate-key"), text), false);
        Ok(Answer::Data(crate::answer::Data::new(None)))
    }
}

/// Gives a tenant a new wrapping key when its schedule says so.
pub(super) struct RotateKeyring {
    pub(super) tenant: Arc<Tenant>,
}

#[async_trait]
impl Attempt for RotateKeyring {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let Some(done) = keyring::rotate_due(&self.tenant, txn).await? else { return Ok(Answer::Empty) };
        let event = Event::of_job(txn.now(), self.tenant.id(), Word::new("rotate-key"), done.to_owned());
        txn.conclude(&self.tenant, &event, false);
        Ok(Answer::Data(crate::answer::Data::new(None)))
    }
}

/// Removes some records of a tenant's first disabled mount.
pub(super) struct PurgeMounts {
    pub(super) tenant: Arc<Tenant>,
}

#[async_trait]
impl Attempt for PurgeMounts {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let names = txn.names(&self.tenant, Kind::RetiredMount, SYSTEM, "").await?;
        let Some(name) = names.first() else { return Ok(Answer::Empty) };
        let address = Address::system(Kind::RetiredMount, &**name);
        let Some(found) = txn.read::<RetiredMount>(&self.tenant, &address).await? else { return Ok(Answer::Empty) };
        let mount = Arc::new(found.value.mount.clone());
        let place = Place { tenant: Arc::clone(&self.tenant), mount, path: String::new() };
        let done = match place.mount.engine {
            Engine::Kv1 => kv::v1::purge(&place, SECRETS, txn).await?,
            Engine::Kv2 => kv::v2::purge(&place, SECRETS, txn).await?,
            Engine::AppRole => approle::purge(&place, SECRETS, txn).await?,
            Engine::Userpass => userpass::purge(&place, SECRETS, txn).await?,
            Engine::Cert => cert::purge(&place, SECRETS, txn).await?,
            Engine::Transit => transit::purge(&place, SECRETS, txn).await?,
            Engine::Jwt | Engine::Oidc => jwt::purge(&place, SECRETS, txn).await?,
            Engine::Kubernetes => kubernetes::purge(&place, SECRETS, txn).await?,
            Engine::System | Engine::Token | Engine::Cubbyhole | Engine::Identity => true,
        };
        if done {
            txn.remove::<RetiredMount>(&self.tenant, &address).await?;
        }
        Ok(conclude(txn, &self.tenant, Word::new("purge-mount"), 1, "step of a disabled mount's records"))
    }
}
