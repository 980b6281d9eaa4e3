//! What one server does by itself for all while it is open: expiry, rows of erased tenants, of dead tokens with what they kept,
//! and of disabled mounts. Whoever has the lease does it, also in tenants that are used through other servers only. Small steps through the same path as requests, with one summary event each, so that it never holds them up.

mod steps;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::answer::Answer;
use crate::auth::token::expiry::ExpiredTokens;
use crate::auth::token::revoke::Walk;
use crate::commit::{Attempt, Committer, Elsewhere, Held, Rounds, Tenant, Upkeep, Wake};
use crate::id::TenantId;
use crate::record::RecordKey;
use crate::storage::{LeaseName, Outlook};
use crate::sys::erasure::Eraser;
use steps::{
    ClearRemains, EndPaths, EndTrees, PurgeMounts, RotateKeyring, RotateKeys, RotateTransit, TidyCubbyholes, TidyTokens,
};

/// Between two rounds that found little to do.
const PAUSE: Duration = Duration::from_secs(5);
/// Whoever takes the jobs over opens tenants in which something happened so lately: the server before may have left work there.
const LATELY: Duration = Duration::from_mins(10);

/// The jobs of one server.
pub(super) struct Jobs {
    committer: Arc<Committer>,
    upkeep: Upkeep,
    rounds: Rounds,
    elsewhere: Elsewhere,
    /// What this round is done under.
    held: Option<Held>,
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
        let (upkeep, keys_looked_at) = (Upkeep::new(Arc::clone(&committer), Some(Arc::new(ExpiredTokens))), HashMap::new());
        let (rounds, elsewhere, held) = (Rounds::default(), Elsewhere::default(), None);
        Self {
            committer,
            upkeep,
            rounds,
            elsewhere,
            held,
            looked_at,
            cubbyholes_looked_at,
            walks,
            keys_looked_at,
            eraser,
            thorough: false,
        }
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
        self.upkeep.drop_sealed().await;
        let leases = Arc::clone(self.committer.tenants().leases());
        self.held = leases.held(LeaseName::Upkeep);
        let Some(held) = self.held.clone() else {
            // Of what another server does by now nothing is known here any more.
            self.rounds.restart();
            self.elsewhere.forget();
            self.eraser.keep_up().await;
            if std::mem::take(&mut self.thorough) {
                leases.ask();
            }
            return false;
        };
        self.look_elsewhere().await;
        let mut more = self.upkeep.around(Some(&held)).await | self.eraser.round(Some(&held)).await;
        if self.thorough {
            self.rounds.restart();
        }
        for turn in self.rounds.turns(self.committer.tenants(), Tenant::changed) {
            if !held.is_valid() {
                return false;
            }
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

    /// Opens tenants in which there may be something to do though nobody uses them here.
    async fn look_elsewhere(&mut self) {
        let now = self.committer.tenants().clock().now();
        let is_wanted = |outlook: &Outlook, seen: Option<u64>| {
            let expires = outlook.next_expiry.is_some_and(|at| at <= now.plus(PAUSE));
            expires || seen.map_or_else(|| now.since(outlook.time) < LATELY, |seen| seen < outlook.seq)
        };
        if let Err(refusal) = self.elsewhere.look(&self.committer, is_wanted).await {
            tracing::warn!(?refusal, "what other servers did was not looked up; trying again later");
        }
    }

    /// A step of each job in one tenant. True when more is left to do there at once.
    async fn visit(&mut self, tenant: &Arc<Tenant>) -> bool {
        // As long as there is so much, it goes first: walks through all that lives find it, too, and slowly.
        if self.upkeep.expire(tenant, self.held.as_ref()).await {
            return true;
        }
        let mut more = self.upkeep.visit(tenant, self.held.as_ref()).await;
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
        let tokens = self.looked_at.contains_key(&tenant) || self.cubbyholes_looked_at.contains_key(&tenant);
        tokens || self.walks.contains_key(&tenant) || self.keys_looked_at.contains_key(&tenant)
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
        match self.committer.run_under(self.held.as_ref(), step).await {
            Ok(Answer::Empty) => false,
            Ok(_) => true,
            Err(refusal) => {
                tracing::warn!(?refusal, "a background step was not done; trying again later");
                false
            }
        }
    }
}

/// What the last attempt of a step has left for the next step.
fn taken<T>(left: &Mutex<Option<T>>) -> Option<T> {
    left.lock().unwrap_or_else(PoisonError::into_inner).take()
}
