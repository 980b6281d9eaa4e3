//! The loaded tenants of one deployment: opening keyrings, making new ones, forgetting erased ones.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::anchors::Anchors;
use super::budget::LoadBudget;
use super::caches::Caches;
use super::faults::{KeyError, key_refusal, seal_refusal, store_refusal};
use super::heads::Witnesses;
use super::keys::Seals;
use super::lease::Leases;
use super::loader::Loader;
use super::loading::Loading;
use super::news::News;
use super::refresh::KeyringTimes;
use super::tenant::Tenant;
use super::wraps::{new_tenant, new_tenant_by_some};
use crate::answer::Refusal;
use crate::archive::Archive;
use crate::id::{DeploymentId, TenantId};
use crate::mount::LeaseTtl;
use crate::namespace::Namespace;
use crate::record::{Address, Kind};
use crate::seal::Seal;
use crate::storage::{NewTenant, Store};
use crate::time::{Clock, Timestamp};

/// What the background jobs are asked to do before their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wake {
    /// Look for work now.
    Now,
    /// And look at every token, not at some of them.
    Everything,
}

/// The loaded tenants, the seals that open them, and the store that holds them.
pub struct Tenants {
    store: Arc<dyn Store>,
    seals: ArcSwap<Seals>,
    clock: Arc<dyn Clock>,
    deployment: DeploymentId,
    lease_ttl: LeaseTtl,
    api_addr: OnceLock<String>,
    keyring_times: OnceLock<KeyringTimes>,
    root: ArcSwap<Tenant>,
    edge: ArcSwap<Tenant>,
    loaded: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    budget: LoadBudget,
    wanted: Mutex<Option<Wake>>,
    waking: tokio::sync::Notify,
    pub(super) readers: OnceLock<Vec<Arc<News>>>,
    pub(super) archive: OnceLock<Arc<Archive>>,
    pub(super) witnesses: OnceLock<Arc<Witnesses>>,
    backups: OnceLock<Option<Duration>>,
    pub(super) loading: Loading,
    pub(super) anchors: Arc<Anchors>,
    pub(super) leases: Arc<Leases>,
    pub(super) caches: Arc<Caches>,
}

impl Tenants {
    /// Opens the root and the edge of the deployment in `store`. `lease_ttl` is what the server's configuration says.
    /// Fails when no seal opens them, or when their logs do not extend their anchors and nobody has accepted that.
    pub async fn open(
        store: Arc<dyn Store>,
        seals: Seals,
        clock: Arc<dyn Clock>,
        lease_ttl: LeaseTtl,
        anchors: Arc<Anchors>,
    ) -> Result<Arc<Self>, KeyError> {
        let deployment = store.deployment().await?.ok_or(KeyError::Uninitialised)?;
        let caches = Arc::new(Caches::default());
        let with = Loader { store: &*store, seals: &seals.list, deployment: deployment.id, clock: &*clock, caches: &caches };
        let root = with.load(deployment.root, None).await?;
        let edge = with.load(deployment.edge, None).await?;
        anchors.open(root.keyring(), &deployment).await?;
        let leases = Leases::new(Arc::clone(&clock), store.is_shared());
        let loaded = [&root, &edge].map(|tenant| (tenant.id(), Arc::clone(tenant)));
        let tenants = Self {
            store,
            seals: ArcSwap::from_pointee(seals),
            clock,
            deployment: deployment.id,
            lease_ttl,
            api_addr: OnceLock::new(),
            keyring_times: OnceLock::new(),
            root: ArcSwap::new(root),
            edge: ArcSwap::new(edge),
            loaded: RwLock::new(loaded.into()),
            budget: LoadBudget::default(),
            wanted: Mutex::new(None),
            waking: tokio::sync::Notify::new(),
            readers: OnceLock::new(),
            archive: OnceLock::new(),
            witnesses: OnceLock::new(),
            backups: OnceLock::new(),
            loading: Loading::default(),
            anchors,
            leases,
            caches,
        };
        for tenant in [tenants.root(), tenants.edge()] {
            tenants.check_fixed(&tenant).await?;
        }
        Ok(Arc::new(tenants))
    }

    /// The tenant that all others descend from.
    pub fn root(&self) -> Arc<Tenant> {
        self.root.load_full()
    }

    /// The tenant whose log takes the events of callers without a verified credential.
    pub fn edge(&self) -> Arc<Tenant> {
        self.edge.load_full()
    }

    /// The seals that wrap now.
    pub fn seals(&self) -> Arc<Seals> {
        self.seals.load_full()
    }

    /// Takes other seals into use, for what is opened and wrapped from now on.
    pub fn set_seals(&self, seals: Seals) {
        self.seals.store(Arc::new(seals));
    }

    /// The default and longest TTL of the server, which mounts may change for themselves.
    pub fn lease_ttl(&self) -> LeaseTtl {
        self.lease_ttl
    }

    /// Says where clients reach this server. The first word counts.
    pub fn announce(&self, api_addr: &str) {
        self.api_addr.get_or_init(|| api_addr.to_owned());
    }

    /// Where clients reach this server, as the configuration says: without a slash at the end, empty if it does not say.
    pub fn api_addr(&self) -> &str {
        self.api_addr.get().map_or("", String::as_str)
    }

    /// Says how long keyrings are used. Without a word they stay until they are dropped.
    pub fn set_keyring_times(&self, times: KeyringTimes) {
        self.keyring_times.get_or_init(|| times);
    }

    pub(super) fn keyring_times(&self) -> KeyringTimes {
        self.keyring_times.get().copied().unwrap_or(KeyringTimes::ENDLESS)
    }

    /// Says that this server has a place for backups, and how long they are kept there, if that was said.
    pub fn set_makes_backups(&self, retention: Option<Duration>) {
        self.backups.get_or_init(|| retention);
    }

    /// Whether this server makes backups.
    pub fn makes_backups(&self) -> bool {
        self.backups.get().is_some()
    }

    /// How long it keeps them.
    pub fn backup_retention(&self) -> Option<Duration> {
        self.backups.get().copied().flatten()
    }

    /// Which installation this is.
    pub fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    /// The clock.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn wake_jobs(&self, wake: Wake) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted = (*wanted).max(Some(wake));
        self.waking.notify_one();
    }

    /// Waits until somebody wants the jobs to begin before their time.
    pub async fn jobs_wanted(&self) -> Wake {
        loop {
            self.waking.notified().await;
            if let Some(wake) = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return wake;
            }
        }
    }

    /// Whether a tenant may be opened for a caller who has not shown a valid credential yet: when that costs nothing,
    /// or within a budget.
    pub fn may_open(&self, tenant: TenantId, now: Timestamp) -> bool {
        self.get(tenant).is_some() || self.budget.take(now)
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// When a tenant's log begins; `None` when its first row is not there any more.
    pub async fn begun(&self, tenant: TenantId) -> Result<Option<Timestamp>, Refusal> {
        let rows = self.store.log(tenant, 1, 1).await.map_err(|error| store_refusal(&error))?;
        Ok(rows.first().filter(|row| row.tail.seq == 1).map(|row| row.tail.time))
    }

    /// All tenants that are loaded now.
    pub fn all(&self) -> Vec<Arc<Tenant>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.values().filter(|tenant| tenant.ended.get().is_none()).cloned().collect()
    }

    /// How many tenants' keys are in memory, the edge log's among them.
    pub fn count(&self) -> usize {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether this very object is the loaded one of its tenant.
    pub(super) fn is_loaded(&self, tenant: &Arc<Tenant>) -> bool {
        self.fresh(tenant.id()).is_some_and(|loaded| Arc::ptr_eq(&loaded, tenant))
    }

    /// Loads the root and the edge again when their keys were changed: nobody else would.
    pub(super) async fn reload_fixed(&self) {
        for slot in [&self.root, &self.edge] {
            let tenant = slot.load_full();
            if self.is_loaded(&tenant) {
                continue;
            }
            let seals = self.seals();
            let loaded = self.loader(&seals).load(tenant.id(), None).await;
            let checked = match loaded {
                Ok(new) => self.check_fixed(&new).await.map(|()| new),
                Err(error) => Err(error),
            };
            match checked {
                Ok(new) => {
                    self.insert(&new);
                    slot.store(new);
                }
                Err(error) => tracing::error!(%error, "keys that were changed do not load; trying again"),
            }
        }
    }

    /// Drops the keys of a tenant and of all tenants below it, and everything derived from them.
    pub(super) fn forget(&self, tenant: TenantId) {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let mut gone = vec![tenant];
        while let Some(id) = gone.pop() {
            loaded.remove(&id);
            gone.extend(loaded.values().filter(|tenant| tenant.parent() == Some(id)).map(|tenant| tenant.id()));
        }
    }

    /// The loaded tenants from the root down to `tenant`; `None` when one of them is not loaded now.
    pub fn chain(&self, tenant: &Arc<Tenant>) -> Option<Vec<Arc<Tenant>>> {
        let mut chain = vec![Arc::clone(tenant)];
        let mut above = tenant.parent();
        while let Some(id) = above {
            let parent = self.get(id)?;
            above = parent.parent();
            chain.insert(0, parent);
        }
        Some(chain)
    }

    /// The loaded tenant. One whose seals were not heard of for too long is none, whoever has noticed that yet; and neither is one
    /// that waits for a new epoch of its log.
    pub(super) fn get(&self, tenant: TenantId) -> Option<Arc<Tenant>> {
        self.fresh(tenant).filter(|tenant| tenant.ended.get().is_none())
    }

    /// The same, also if it waits for a new epoch.
    pub(super) fn fresh(&self, tenant: TenantId) -> Option<Arc<Tenant>> {
        let found = self.loaded.read().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned();
        found.filter(|tenant| !tenant.freshness.has_lapsed(&*self.clock, self.keyring_times()))
    }

    pub(super) fn loader<'a>(&'a self, seals: &'a Seals) -> Loader<'a> {
        let Self { store, deployment, clock, caches, .. } = self;
        Loader { store: &**store, seals: &seals.list, deployment: *deployment, clock: &**clock, caches }
    }

    /// The tenant of a namespace record that its parent has under `name`, loaded now if it is not yet.
    pub(super) async fn child(&self, parent: &Arc<Tenant>, name: &str, namespace: &Namespace) -> Result<Arc<Tenant>, Refusal> {
        if let Some(tenant) = self.get(namespace.tenant) {
            return Ok(tenant);
        }
        // One load of a tenant at a time: a thousand requests for a cold one ask its seal once.
        let slot = self.loading.slot(namespace.tenant);
        let mut failure = slot.lock().await;
        if let Some(tenant) = self.get(namespace.tenant) {
            return Ok(tenant);
        }
        if let Some(refusal) = failure.recent(self.clock.uptime()) {
            return Err(refusal);
        }
        match self.load_child(parent, name, namespace).await? {
            Ok(tenant) => {
                if self.lost(&tenant, &tenant.head()).await?.is_some() {
                    failure.note(Refusal::RolledBack, self.clock.uptime());
                    return Err(Refusal::RolledBack);
                }
                self.insert(&tenant);
                self.loading.forget(namespace.tenant);
                Ok(tenant)
            }
            Err(error) => {
                if let KeyError::Seal(_, error) = &error {
                    failure.note(seal_refusal(error), self.clock.uptime());
                }
                Err(key_refusal(error))
            }
        }
    }

    /// Unwraps, opens and verifies a child. When its key was renewed since the parent's record was read, by what the parent says now:
    /// nobody is refused for that. Who relies on the record that was read is decided anew, as after every change.
    async fn load_child(
        &self,
        parent: &Arc<Tenant>,
        name: &str,
        namespace: &Namespace,
    ) -> Result<Result<Arc<Tenant>, KeyError>, Refusal> {
        let seals = self.seals();
        let load = async |namespace: &Namespace| self.loader(&seals).load(namespace.tenant, Some((parent.id(), namespace))).await;
        let loaded = load(namespace).await;
        if !matches!(loaded, Err(KeyError::Renewed(_))) {
            return Ok(loaded);
        }
        let key = parent.keyring().record_key(&Address::system(Kind::Namespace, name));
        let now = self.child_at(parent, key).await?.filter(|child| child.namespace.tenant == namespace.tenant);
        Ok(match now {
            Some(child) if child.namespace.sealed => return Err(Refusal::NamespaceSealed),
            Some(child) => load(&child.namespace).await,
            None => loaded,
        })
    }

    pub(super) fn insert(&self, tenant: &Arc<Tenant>) {
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).insert(tenant.id(), Arc::clone(tenant));
    }

    /// Keys of a tenant to be made, and the commitment to its key. `own`: wrapped by this one alone.
    pub(super) async fn generate(
        &self,
        seals: &Seals,
        own: Option<&Arc<dyn Seal>>,
        parent: Option<TenantId>,
    ) -> Result<(NewTenant, String), Refusal> {
        let made = match own {
            Some(own) => new_tenant(std::slice::from_ref(own), self.deployment, parent).await,
            None => new_tenant_by_some(&seals.list, self.deployment, parent).await,
        };
        made.map_err(|(tenant, error)| key_refusal(KeyError::Seal(tenant, error)))
    }
}
