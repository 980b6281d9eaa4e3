//! What the server does by itself while it is open: expiry, rows of erased tenants, of dead tokens with what they kept,
//! and of disabled mounts. Small steps through the same path as requests, with one summary event each, so that it never holds them up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::auth::token::is_live;
use crate::auth::token::revoke::{self, Walk};
use crate::auth::{approle, cert, jwt, kubernetes, userpass};
use crate::commit::{Attempt, Committer, Place, Rounds, Tenant, Txn, Upkeep, Wake};
use crate::engine::directory;
use crate::engine::{cubbyhole, identity, kv, transit};
use crate::id::TenantId;
use crate::mount::{Engine, RetiredMount};
use crate::record::{Address, Kind, RecordKey, SYSTEM};
use crate::sys::erasure::Eraser;
use crate::sys::keyring;

/// Between two rounds that found little to do.
const PAUSE: Duration = Duration::from_secs(5);
/// Accessors that are looked at in one step.
const ACCESSORS: usize = 128;
/// Secrets of a disabled mount, or objects in the cubbyholes of dead tokens, that are removed in one step.
const SECRETS: usize = 32;

/// The jobs of one server.
pub(super) struct Jobs {
    committer: Arc<Committer>,
    upkeep: Upkeep,
    rounds: Rounds,
    /// Where the next look at a tenant's tokens begins.
    looked_at: HashMap<TenantId, RecordKey>,
    /// The same of cubbyholes, by the accessor of their holder.
    cubbyholes_looked_at: HashMap<TenantId, String>,
    /// Where the walk through a tenant's revoked paths stands.
    walks: HashMap<TenantId, Walk>,
    /// Where the next look at a tenant's Transit keys begins: a mount and a name.
    keys_looked_at: HashMap<TenantId, (String, String)>,
    eraser: Eraser,
    /// Somebody asked for all tokens to be looked at: go on without a pause until that is done.
    thorough: bool,
}

impl Jobs {
    pub(super) fn new(committer: Arc<Committer>, eraser: Eraser) -> Self {
        let (looked_at, cubbyholes_looked_at, walks) = (HashMap::new(), HashMap::new(), HashMap::new());
        let (upkeep, keys_looked_at) = (Upkeep::new(Arc::clone(&committer)), HashMap::new());
        let rounds = Rounds::default();
        Self { committer, upkeep, rounds, looked_at, cubbyholes_looked_at, walks, keys_looked_at, eraser, thorough: false }
    }

    /// Rounds for ever: the next at once while there is more to do, otherwise after a pause.
    pub(super) async fn run(mut self) {
        loop {
            if self.tick().await {
                continue;
            }
            let wanted = tokio::time::timeout(PAUSE, self.committer.tenants().jobs_wanted()).await;
            self.thorough |= wanted == Ok(Wake::Everything);
        }
    }

    /// One round. True when more is left to do at once.
    async fn tick(&mut self) -> bool {
        let mut more = self.upkeep.around().await | self.eraser.round().await;
        if self.thorough {
            self.rounds.restart();
        }
        for turn in self.rounds.turns(self.committer.tenants(), Tenant::changed) {
            if self.visit(&turn.tenant).await {
                more = true;
            } else if !self.is_on_the_way_in(turn.tenant.id()) {
                let pause = self.upkeep.nothing_expires_for(&turn.tenant).await;
                self.rounds.idle(&turn, pause);
            }
        }
        self.thorough &= !self.looked_at.is_empty();
        more | self.thorough
    }

    /// A step of each job in one tenant. True when more is left to do there at once.
    async fn visit(&mut self, tenant: &Arc<Tenant>) -> bool {
        let mut more = self.upkeep.visit(tenant).await;
        more |= self.end_trees(tenant).await | self.end_paths(tenant).await;
        more |= self.tidy_tokens(tenant).await;
        more |= self.tidy_cubbyholes(tenant).await;
        more |= self.purge_mounts(tenant).await;
        more |= self.clear_remains(tenant).await;
        more |= self.rotate_keys(tenant).await;
        more |= self.rotate_transit(tenant).await;
        more | self.rotate_keyring(tenant).await
    }

    /// Whether a walk through a tenant is not at its end yet.
    fn is_on_the_way_in(&self, tenant: TenantId) -> bool {
        self.looked_at.contains_key(&tenant)
            || self.cubbyholes_looked_at.contains_key(&tenant)
            || self.walks.contains_key(&tenant)
            || self.keys_looked_at.contains_key(&tenant)
    }

    /// Removes rows of dead tokens, a stretch of the accessors at a time. A tenant whose ancestors are not loaded has no
    /// requests either: it waits.
    async fn tidy_tokens(&mut self, tenant: &Arc<Tenant>) -> bool {
        let Some(chain) = self.committer.tenants().chain(tenant) else { return false };
        let step = Arc::new(TidyTokens { chain, after: self.looked_at.remove(&tenant.id()), last: Mutex::default() });
        let more = self.do_step(Arc::clone(&step) as Arc<dyn Attempt>).await;
        if let Some(last) = taken(&step.last) {
            self.looked_at.insert(tenant.id(), last);
        }
        more
    }

    /// Removes rows below tokens that were ended.
    async fn end_trees(&self, tenant: &Arc<Tenant>) -> bool {
        self.do_step(Arc::new(EndTrees { tenant: Arc::clone(tenant) })).await
    }

    /// Removes rows of tokens that were ended by the path of their lease.
    async fn end_paths(&mut self, tenant: &Arc<Tenant>) -> bool {
        let walk = self.walks.remove(&tenant.id());
        let step = Arc::new(EndPaths { tenant: Arc::clone(tenant), walk, next: Mutex::default() });
        let changed = self.do_step(Arc::clone(&step) as Arc<dyn Attempt>).await;
        let Some(next) = taken(&step.next) else { return changed };
        self.walks.insert(tenant.id(), next);
        true
    }

    /// Removes what dead tokens kept, likewise. Whose token is dead is out of reach already.
    async fn tidy_cubbyholes(&mut self, tenant: &Arc<Tenant>) -> bool {
        let Some(chain) = self.committer.tenants().chain(tenant) else { return false };
        let after = self.cubbyholes_looked_at.remove(&tenant.id());
        let step = Arc::new(TidyCubbyholes { chain, after, last: Mutex::default() });
        let more = self.do_step(Arc::clone(&step) as Arc<dyn Attempt>).await;
        if let Some(last) = taken(&step.last) {
            self.cubbyholes_looked_at.insert(tenant.id(), last);
        }
        more
    }

    /// Rotates a key of identity tokens whose time has come.
    async fn rotate_keys(&self, tenant: &Arc<Tenant>) -> bool {
        self.do_step(Arc::new(RotateKeys { tenant: Arc::clone(tenant) })).await
    }

    /// Removes secret ids of deleted roles, and data keys of removed Transit keys.
    async fn clear_remains(&self, tenant: &Arc<Tenant>) -> bool {
        self.do_step(Arc::new(ClearRemains { tenant: Arc::clone(tenant) })).await
    }

    /// Rotates Transit keys whose time has come, a stretch of the keys at a time.
    async fn rotate_transit(&mut self, tenant: &Arc<Tenant>) -> bool {
        let after = self.keys_looked_at.remove(&tenant.id());
        let step = Arc::new(RotateTransit { tenant: Arc::clone(tenant), after, last: Mutex::default() });
        let more = self.do_step(Arc::clone(&step) as Arc<dyn Attempt>).await;
        if let Some(last) = taken(&step.last) {
            self.keys_looked_at.insert(tenant.id(), last);
        }
        more
    }

    /// Rotates a wrapping key whose time has come.
    async fn rotate_keyring(&self, tenant: &Arc<Tenant>) -> bool {
        self.do_step(Arc::new(RotateKeyring { tenant: Arc::clone(tenant) })).await
    }

    async fn purge_mounts(&self, tenant: &Arc<Tenant>) -> bool {
        self.do_step(Arc::new(PurgeMounts { tenant: Arc::clone(tenant) })).await
    }

    /// True when the step changed something.
    async fn do_step(&self, step: Arc<dyn Attempt>) -> bool {
        match self.committer.run(step).await {
            Ok(Answer::Empty) => false,
            Ok(_) => true,
            Err(refusal) => {
                tracing::warn!(?refusal, "a background step was not done; trying again later");
                false
            }
        }
    }
}

/// Ends a step. One that changed nothing leaves no event.
fn conclude(txn: &mut Txn, tenant: &Arc<Tenant>, operation: Word, removed: usize, what: &str) -> Answer {
    if removed == 0 {
        return Answer::Empty;
    }
    let event = Event::of_job(txn.now(), tenant.id(), operation, format!("{removed} {what} removed"));
    txn.conclude(tenant, &event, false);
    Answer::Data(crate::answer::Data::new(None))
}

/// What the last attempt of a step has left for the next step.
fn taken<T>(left: &Mutex<Option<T>>) -> Option<T> {
    left.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Looks at a stretch of a tenant's accessors.
struct TidyTokens {
    chain: Vec<Arc<Tenant>>,
    after: Option<RecordKey>,
    last: Mutex<Option<RecordKey>>,
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
struct TidyCubbyholes {
    chain: Vec<Arc<Tenant>>,
    after: Option<String>,
    last: Mutex<Option<String>>,
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
struct EndTrees {
    tenant: Arc<Tenant>,
}

#[async_trait]
impl Attempt for EndTrees {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let removed = revoke::sweep(txn, &self.tenant).await?;
        Ok(conclude(txn, &self.tenant, Word::new("revoke-tree"), removed, "tokens below revoked ones"))
    }
}

/// Removes some tokens that were ended by path.
struct EndPaths {
    tenant: Arc<Tenant>,
    walk: Option<Walk>,
    next: Mutex<Option<Walk>>,
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
struct RotateKeys {
    tenant: Arc<Tenant>,
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
struct ClearRemains {
    tenant: Arc<Tenant>,
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
struct RotateTransit {
    tenant: Arc<Tenant>,
    after: Option<(String, String)>,
    last: Mutex<Option<(String, String)>>,
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
struct RotateKeyring {
    tenant: Arc<Tenant>,
}

#[async_trait]
impl Attempt for RotateKeyring {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        if !keyring::rotate_due(&self.tenant, txn).await? {
            return Ok(Answer::Empty);
        }
        let text = "1 wrapping key rotated".to_owned();
        txn.conclude(&self.tenant, &Event::of_job(txn.now(), self.tenant.id(), Word::new("rotate-key"), text), false);
        Ok(Answer::Data(crate::answer::Data::new(None)))
    }
}

/// Removes some records of a tenant's first disabled mount.
struct PurgeMounts {
    tenant: Arc<Tenant>,
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
