//! The end of a restore, before any server opens the store: every namespace is told that it was restored. Its log begins a new epoch,
//! all tokens of before are dead, and logins and references wait to be confirmed (`commit/epoch.rs`). What the backup has of namespaces that
//! are not to be there is removed. Doing it twice does no harm.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::record::Backup;
use crate::answer::{Answer, Refusal};
use crate::audit::event::{Event, Word};
use crate::auth::token::{self, epoch};
use crate::backup::Marker;
use crate::commit::{Anchors, Attempt, Committer, Seals, Tenant, Tenants, Txn};
use crate::id::TenantId;
use crate::mount::LeaseTtl;
use crate::namespace::Namespace;
use crate::secret::SecretText;
use crate::storage::{Store, TenantState};
use crate::time::Clock;

/// No token lives longer than the one that may be made here.
const LEASE_TTL: LeaseTtl = LeaseTtl { default_seconds: 3600, max_seconds: 32 * 24 * 3600 };
/// Tenants that are listed at once.
const TENANTS: usize = 1_000;

/// What was done.
#[derive(Default)]
pub struct Finished {
    /// Namespaces that were told, the root among them.
    pub namespaces: u64,
    /// Namespaces that are not there, or not any more.
    pub removed: u64,
    /// A root token, if one was asked for.
    pub root_token: Option<SecretText>,
}

/// What it is done with.
pub struct Finish<'a> {
    /// Where all rows are, and the mark.
    pub store: Arc<dyn Store>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// What opens the deployment.
    pub seals: Seals,
    /// The mark.
    pub marker: Marker,
    /// Namespaces that are not to be there.
    pub left_out: &'a BTreeSet<TenantId>,
    /// Also make a root token.
    pub root_token: bool,
}

impl Finish<'_> {
    /// Tells every namespace. `tell` hears how many.
    ///
    /// # Errors
    /// Why not; the store keeps its mark, and it can be done again.
    pub async fn run(self, tell: &mut (dyn FnMut(u64) + Send)) -> Result<Finished, String> {
        let opened = Tenants::open(
            Arc::clone(&self.store),
            self.seals.clone(),
            Arc::clone(&self.clock),
            LEASE_TTL,
            Arc::new(Anchors::default()),
        );
        let tenants = opened.await.map_err(|error| error.to_string())?;
        let committer = Committer::start(Arc::clone(&tenants)).map_err(|error| error.to_string())?;
        let done = self.all(&committer, &tenants, tell).await;
        committer.stop().await;
        done
    }

    async fn all(
        &self,
        committer: &Committer,
        tenants: &Arc<Tenants>,
        tell: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Finished, String> {
        let mut finished = Finished::default();
        let mut reached = BTreeSet::new();
        for tenant in [tenants.root(), tenants.edge()] {
            reached.insert(tenant.id());
            self.begin(committer, tenant).await?;
        }
        tenants.reload_restored().await;
        let mut waiting = vec![tenants.root()];
        while let Some(parent) = waiting.pop() {
            finished.namespaces += 1;
            tell(finished.namespaces);
            for child in tenants.children(&parent).await.map_err(|refusal| format!("{refusal:?}"))? {
                let id = child.namespace.tenant;
                let row = self.store.tenant(id).await.map_err(|error| error.to_string())?;
                if self.left_out.contains(&id) || row.is_none_or(|row| row.state == TenantState::Erasing) {
                    run(committer, Remove { parent: Arc::clone(&parent), name: child.name }).await?;
                    finished.removed += 1;
                    continue;
                }
                let closed = |error| {
                    let name = &child.name;
                    format!("namespace {name:?} does not open: {error}; run it again when it does, or with --leave-out {id}")
                };
                let mut namespace = child.namespace.clone();
                if let Some(older) = tenants.older_key(&namespace).await.map_err(closed)? {
                    namespace = Arc::new(older);
                    let (parent, name) = (Arc::clone(&parent), child.name.clone());
                    run(committer, Bind { parent, name, namespace: Arc::clone(&namespace) }).await?;
                }
                let tenant = tenants.open_restored(parent.id(), &namespace).await.map_err(closed)?;
                self.begin(committer, tenant).await?;
                reached.insert(id);
                waiting.push(tenants.open_restored(parent.id(), &namespace).await.map_err(closed)?);
            }
        }
        finished.removed += self.remove_unreached(committer, &reached).await?;
        run(committer, Made(self.marker)).await?;
        if self.root_token {
            let mint = Arc::new(RootToken::default());
            let minted = committer.run(Arc::clone(&mint) as Arc<dyn Attempt>).await;
            minted.map_err(|refusal| format!("the root token was not made: {refusal:?}"))?;
            finished.root_token = mint.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        Ok(finished)
    }

    async fn begin(&self, committer: &Committer, tenant: Arc<Tenant>) -> Result<(), String> {
        run(committer, Begin { tenant, marker: self.marker }).await
    }

    /// Namespaces that no parent knows: they were made or erased while the backup was taken.
    async fn remove_unreached(&self, committer: &Committer, reached: &BTreeSet<TenantId>) -> Result<u64, String> {
        let (mut removed, mut after) = (0, None);
        loop {
            let page = self.store.tenants(after, TENANTS).await.map_err(|error| error.to_string())?;
            for id in page.iter().filter(|id| !reached.contains(id)) {
                let row = self.store.tenant(*id).await.map_err(|error| error.to_string())?;
                if row.is_some_and(|row| row.state != TenantState::Erasing) {
                    run(committer, Destroy(*id)).await?;
                    removed += 1;
                }
            }
            match page.last() {
                Some(last) if page.len() == TENANTS => after = Some(*last),
                _ => return Ok(removed),
            }
        }
    }
}

async fn run(committer: &Committer, step: impl Attempt + 'static) -> Result<(), String> {
    committer.run(Arc::new(step)).await.map(drop).map_err(|refusal| format!("a step was refused: {refusal:?}"))
}

fn conclude(txn: &mut Txn, text: String) {
    let root = txn.tenants().root();
    txn.conclude(&root, &Event::of_job(txn.now(), root.id(), Word::new("restore"), text), false);
}

/// Tells one namespace.
struct Begin {
    tenant: Arc<Tenant>,
    marker: Marker,
}

#[async_trait]
impl Attempt for Begin {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let Marker { restoring, epoch, at, .. } = self.marker;
        if let Some(event) = txn.begin_restored(&self.tenant, epoch, (restoring, at)).await? {
            epoch::end_all(txn, &self.tenant).await?;
            txn.conclude(&self.tenant, &event, false);
        }
        Ok(Answer::Empty)
    }
}

/// Has a parent say which key a child came with: the child's was renewed while the backup was made.
struct Bind {
    parent: Arc<Tenant>,
    name: String,
    namespace: Arc<Namespace>,
}

#[async_trait]
impl Attempt for Bind {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        txn.bind_restored(&self.parent, &self.name, &self.namespace).await?;
        let Namespace { tenant, generation, .. } = &*self.namespace;
        let text = format!("tenant {tenant} was restored with key {generation}, which was renewed while the backup was made");
        txn.conclude(&self.parent, &Event::of_job(txn.now(), self.parent.id(), Word::new("restore"), text), false);
        Ok(Answer::Empty)
    }
}

/// Removes what a parent says of a child that is not to be there.
struct Remove {
    parent: Arc<Tenant>,
    name: String,
}

#[async_trait]
impl Attempt for Remove {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        txn.delete_child(&self.parent, &self.name).await?;
        let text = format!("a namespace of tenant {} was not restored", self.parent.id());
        txn.conclude(&self.parent, &Event::of_job(txn.now(), self.parent.id(), Word::new("restore"), text), false);
        Ok(Answer::Empty)
    }
}

/// Removes a tenant that no parent knows.
struct Destroy(TenantId);

#[async_trait]
impl Attempt for Destroy {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        txn.destroy_keys(self.0);
        conclude(txn, format!("tenant {} was not restored: no namespace knows it", self.0));
        Ok(Answer::Empty)
    }
}

/// The backup was being made when the root was written to it: now it is known to be whole.
struct Made(Marker);

#[async_trait]
impl Attempt for Made {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let (root, address) = (txn.tenants().root(), Backup::address(self.0.restoring));
        let Some(found) = txn.read::<Backup>(&root, &address).await?.filter(|found| found.value.state() == "running") else {
            return Ok(Answer::Empty);
        };
        let next = Backup { ended: Some(self.0.at), lease: None, ..Backup::clone(&found.value) };
        txn.put(&root, &address, &next, None).await?;
        conclude(txn, format!("the deployment was restored from backup {}", next.id));
        Ok(Answer::Empty)
    }
}

/// Makes a root token.
#[derive(Default)]
struct RootToken(Mutex<Option<SecretText>>);

#[async_trait]
impl Attempt for RootToken {
    async fn attempt(&self, txn: &mut Txn) -> Result<Answer, Refusal> {
        let root = txn.tenants().root();
        let token = token::root_token(txn, &root, None).await?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
        conclude(txn, "a root token was made by whoever restored the deployment".to_owned());
        Ok(Answer::Empty)
    }
}
