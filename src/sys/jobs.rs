//! What the server does by itself while it is open: expiry, rows of erased tenants, of dead tokens with what they kept,
//! and of disabled mounts. Small steps through the same path as requests, with one summary event each, so that it never holds them up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::auth::token::{is_live, revoke};
use crate::commit::{Attempt, Committer, Place, Tenant, Txn, Upkeep};
use crate::engine::{cubbyhole, kv};
use crate::id::TenantId;
use crate::mount::{Engine, RetiredMount};
use crate::record::{Address, Kind, SYSTEM};
use crate::sys::mounts::directory;

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
    /// The accessor after which the next look at a tenant's tokens begins.
    looked_at: HashMap<TenantId, String>,
    /// The same of cubbyholes, by the accessor of their holder.
    cubbyholes_looked_at: HashMap<TenantId, String>,
}

impl Jobs {
    pub(super) fn new(committer: Arc<Committer>) -> Self {
        let upkeep = Upkeep::new(Arc::clone(&committer));
        Self { upkeep, committer, looked_at: HashMap::new(), cubbyholes_looked_at: HashMap::new() }
    }

    /// Rounds for ever: the next at once while there is more to do, otherwise after a pause.
    pub(super) async fn run(mut self) {
        loop {
            if !self.tick().await {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// One round. True when more is left to do at once.
    async fn tick(&mut self) -> bool {
        let mut more = self.upkeep.tick().await;
        for tenant in self.committer.tenants().all() {
            self.tidy_tokens(&tenant).await;
            more |= self.tidy_cubbyholes(&tenant).await;
            more |= self.purge_mounts(&tenant).await;
        }
        more
    }

    /// Removes rows of dead tokens, a stretch of the accessors at a time. A tenant whose ancestors are not loaded has no
    /// requests either: it waits.
    async fn tidy_tokens(&mut self, tenant: &Arc<Tenant>) {
        let Some(chain) = self.committer.tenants().chain(tenant) else { return };
        let step = Arc::new(TidyTokens { chain, after: self.looked_at.remove(&tenant.id()), last: std::sync::Mutex::default() });
        self.do_step(Arc::clone(&step) as Arc<dyn Attempt>).await;
        if let Some(last) = step.last.lock().ok().and_then(|mut last| last.take()) {
            self.looked_at.insert(tenant.id(), last);
        }
    }

    /// Removes what dead tokens kept, likewise. Whose token is dead is out of reach already.
    async fn tidy_cubbyholes(&mut self, tenant: &Arc<Tenant>) -> bool {
        let Some(chain) = self.committer.tenants().chain(tenant) else { return false };
        let after = self.cubbyholes_looked_at.remove(&tenant.id());
        let step = Arc::new(TidyCubbyholes { chain, after, last: std::sync::Mutex::default() });
        let more = self.do_step(Arc::clone(&step) as Arc<dyn Attempt>).await;
        if let Some(last) = step.last.lock().ok().and_then(|mut last| last.take()) {
            self.cubbyholes_looked_at.insert(tenant.id(), last);
        }
        more
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

/// Looks at a stretch of a tenant's accessors.
struct TidyTokens {
    chain: Vec<Arc<Tenant>>,
    after: Option<String>,
    last: std::sync::Mutex<Option<String>>,
}

#[async_trait]
impl Attempt for TidyTokens {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let tidied = revoke::tidy(txn, &self.chain, self.after.as_deref(), ACCESSORS).await?;
        if let Ok(mut last) = self.last.lock() {
            *last = tidied.last;
        }
        let Some(tenant) = self.chain.last() else { return Ok(Answer::Empty) };
        Ok(conclude(txn, tenant, Word::new("tidy-tokens"), tidied.removed, "dead tokens"))
    }
}

/// Looks at a stretch of those who keep something in a tenant's cubbyhole.
struct TidyCubbyholes {
    chain: Vec<Arc<Tenant>>,
    after: Option<String>,
    last: std::sync::Mutex<Option<String>>,
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
        if let Ok(mut to) = self.last.lock() {
            *to = last.filter(|last| holders.last().is_some_and(|end| last < end));
        }
        Ok(conclude(txn, tenant, Word::new("tidy-cubbyholes"), removed, "objects of dead tokens"))
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
            Engine::System | Engine::Token | Engine::Cubbyhole => true,
        };
        if done {
            txn.remove::<RetiredMount>(&self.tenant, &address).await?;
        }
        Ok(conclude(txn, &self.tenant, Word::new("purge-mount"), 1, "step of a disabled mount's records"))
    }
}
